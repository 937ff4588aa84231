import NetDevice
import SkBuff
import Testing
import Timers

/// Queueing disciplines that are changed, or whose link goes down, while packets wait in them.
@Suite struct QdiscChangeTests {
  private func set(_ bench: DeviceBench, _ words: String) throws {
    bench.device.setQdisc(try EmulatedLine.configuration(words), net: &bench.net)
    bench.settle()
  }

  @Test("Q3 tbf: what waits and is longer than the new burst is cut, and all of it goes")
  func cut() throws {
    let bench = DeviceBench(isLimited: false)
    try set(bench, "tbf rate 8mbit burst 60kb limit 1mb")
    _ = bench.send(bench.tcp(payload: 40 * 1448, mss: 1448))
    _ = bench.send(bench.tcp(payload: 10 * 1448, mss: 1448))
    bench.settle()
    #expect(bench.frames.count == 40)
    let bytes = bench.device.qdiscSnapshot.backlogBytes
    try set(bench, "tbf rate 8mbit burst 1600 limit 1mb")
    #expect(bench.device.qdiscSnapshot.statistics.dropped == 0)
    // The bucket is full, for one; the others follow at a megabyte a second.
    #expect(bench.frames.count == 41)
    #expect(bench.device.qdiscSnapshot.backlogPackets == 9)
    #expect(bench.device.qdiscSnapshot.backlogBytes == bytes / 10 * 9)
    for _ in 0..<20 {
      bench.advance(.milliseconds(1))
      bench.settle()
    }
    #expect(bench.frames.count == 50 && bench.device.queueLength == 0)
    #expect(bench.net.timers.nextDeadline == nil)
  }

  @Test(
    "Q3 tbf: what cannot be cut to the new burst is dropped and counted, and does not stop what is behind it")
  func drop() throws {
    let bench = DeviceBench(isLimited: false)
    try set(bench, "tbf rate 8kbit burst 1500 limit 100kb")
    for (tag, length) in [(1, 1400), (2, 1400), (3, 500), (4, 1400), (5, 500)] {
      _ = bench.send(bench.frame(UInt8(tag), length: length))
    }
    bench.settle()
    try set(bench, "tbf rate 8mbit burst 600 limit 100kb")
    bench.advance(.milliseconds(1))
    bench.settle()
    #expect(bench.frames.map { $0.last! } == [1, 3, 5])
    #expect(bench.device.qdiscSnapshot.statistics.dropped == 2)
    #expect(bench.pool.dropCount(.qdiscDrop) == 2)
  }

  @Test("Q3 tbf: what waits beyond the new limit is dropped, the newest first")
  func limit() throws {
    let bench = DeviceBench(isLimited: false)
    try set(bench, "tbf rate 8kbit burst 1000 limit 100kb")
    for tag in 1...6 { _ = bench.send(bench.frame(UInt8(tag), length: 1000)) }
    bench.settle()
    try set(bench, "tbf rate 8mbit burst 1000 limit 3000")
    for _ in 0..<5 {
      bench.advance(.milliseconds(1))
      bench.settle()
    }
    #expect(bench.frames.map { $0.last! } == [1, 2, 3, 4])
    #expect(bench.device.qdiscSnapshot.statistics.dropped == 2)
  }

  @Test("Q3 what is held back at the ingress does not come in while the link is down")
  func down() throws {
    let bench = DeviceBench(isLimited: false)
    try bench.device.setIngressQdisc(EmulatedLine.configuration("netem delay 20ms"), net: &bench.net)
    let sender = DeviceBench(isLimited: false)
    _ = sender.send(sender.tcp(payload: 100, mss: 1448))
    sender.settle()
    let frame = Array(sender.frames[0][6..<12] + sender.frames[0][0..<6] + sender.frames[0][12...])
    bench.receive(frame)
    bench.poll()
    bench.device.setLink(up: false, now: bench.net.now)
    bench.advance(.milliseconds(20))
    if bench.device.hasIngressWork { bench.device.runIngress(into: &bench.received, net: &bench.net) }
    #expect(bench.received.count == 0)
    #expect(bench.device.ingressSnapshot?.statistics.dropped == 1)
    #expect(bench.device.ingressSnapshot?.backlogPackets == 0)
    // Up again: it holds back what comes then.
    bench.device.setLink(up: true, now: bench.net.now)
    bench.receive(frame)
    bench.poll()
    bench.advance(.milliseconds(20))
    bench.device.runIngress(into: &bench.received, net: &bench.net)
    #expect(bench.received.count == 1)
  }

  @Test(
    "Q3 what a qdisc prints is understood when it is said again",
    arguments: [
      "tbf rate 10mbit burst 10kb latency 50ms", "tbf rate 8bit burst 1b limit 1b",
      "tbf rate 1tbps burst 1mb limit 1mb",
      "tbf rate 1500kbit burst 1514 limit 1514", "tbf rate 1mbps burst 10kb limit 1kb",
      "tbf rate 10mbit burst 10kb limit 10kb peakrate 20mbit mtu 1500",
      "netem", "netem limit 1 delay 1us", "netem delay 20ms 5ms 25% loss 1.5% 30%",
      "netem loss gemodel 1% 10% 70% 0.1%", "netem loss gemodel 3%",
      "netem rate 1gbit delay 10ms reorder 25% 50% gap 5",
      "netem duplicate 3% 20% corrupt 0.1%", "pfifo_fast", "noqueue",
    ])
  func sayAgain(words: String) throws {
    let configuration = try EmulatedLine.configuration(words)
    let kind = configuration.kind
    guard kind.isTimed else { return }
    let printed = configuration.options
    let again = try EmulatedLine.configuration("\(kind.rawValue) \(printed)")
    #expect(again.options == printed)
    if !printed.contains(" lat ") { #expect(again == configuration) }
  }

  @Test(
    "Q3 rates have tc's units, of bits and bytes, of 1000 and 1024",
    arguments: [
      ("1000", 125), ("8bit", 1), ("1kibit", 128), ("1tibit", 1 << 37), ("1bps", 1), ("3kbps", 3000),
      ("2tbps", 2_000_000_000_000), ("1TiBps", 1 << 40), ("1.5mbit", 187_500),
      ("100tbit", 12_500_000_000_000),
    ])
  func units(word: String, bytes: UInt64) throws {
    guard case .tbf(let tbf) = try EmulatedLine.configuration("tbf rate \(word) burst 1kb limit 1kb") else {
      Issue.record("no tbf")
      return
    }
    #expect(tbf.rate == bytes)
  }

  @Test(
    "Q3 a parameter that is said twice, or a time below zero, is refused by its name",
    arguments: [
      ("tbf rate 1mbit burst 10k limit 5k rate 2mbit", "tbf: duplicate \"rate\""),
      ("tbf rate 1mbit burst 10k buffer 5k limit 5k", "tbf: duplicate \"burst\""),
      ("netem delay 1ms loss 1% latency 2ms", "netem: duplicate \"delay\""),
      ("netem loss 1% drop 2%", "netem: duplicate \"loss\""),
      ("netem delay -5ms", "netem: illegal value for \"delay\": \"-5ms\": expected a time"),
      ("netem delay 5ms -1ms", "netem: illegal value for \"delay\": \"-1ms\": expected a time"),
      ("netem loss gemodel 1% 10% 1-h", "netem: \"1-h\" needs a value: expected a percentage"),
      ("tbf rate -1mbit burst 10k limit 5k", "tbf: illegal value for \"rate\": \"-1mbit\""),
    ])
  func refused(words: String, sentence: String) {
    #expect {
      _ = try EmulatedLine.configuration(words)
    } throws: {
      "\($0)".hasPrefix(sentence)
    }
  }
}
