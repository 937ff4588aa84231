import NetDevice
import NetNamespace
import SkBuff
import Testing
import Timers
import Trace

/// Frames sent one after the other through an emulated network, and when each of them left.
final class EmulatedLine {
  let bench: DeviceBench
  /// Tag (the frame's number) and departure, in the order of departure.
  private(set) var departures: [(tag: Int, at: Instant)] = []
  private(set) var sent: [Instant] = []

  init(_ words: String) throws {
    bench = DeviceBench(isLimited: false)
    bench.device.setQdisc(try Self.configuration(words), net: &bench.net)
  }

  static func configuration(_ words: String) throws -> QdiscConfiguration {
    try QdiscConfiguration(parsing: words.split(separator: " ").map(String.init))
  }

  /// Sends a frame that carries its number.
  @discardableResult
  func send(length: Int = 100) -> XmitResult {
    var bytes: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xB5]
    let tag = sent.count
    bytes += [UInt8(tag >> 16), UInt8(tag >> 8 & 255), UInt8(tag & 255)]
    bytes += [UInt8](repeating: 0, count: length - bytes.count)
    sent.append(bench.net.now)
    let result = bench.send(bench.packet(bytes))
    collect()
    return result
  }

  private func collect() {
    bench.settle()
    for frame in bench.frames {
      departures.append((Int(frame[14]) << 16 | Int(frame[15]) << 8 | Int(frame[16]), bench.net.now))
    }
    bench.frames.removeAll()
  }

  /// Moves the clock from timer to timer.
  func run(_ span: Nanoseconds) {
    let end = bench.net.now + span
    while let next = bench.net.timers.nextDeadline, next <= end {
      bench.advance(max(.zero, next - bench.net.now))
      collect()
    }
    bench.advance(end - bench.net.now)
    collect()
  }

  /// Milliseconds that each frame took, in the order of sending; frames that were lost are left out.
  var delays: [Double] {
    departures.sorted { $0.tag < $1.tag }.map { Double(($0.at - sent[$0.tag]).rawValue) / 1e6 }
  }
  var tags: [Int] { departures.map(\.tag) }
}

private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
private func deviation(_ values: [Double]) -> Double {
  let middle = mean(values)
  return mean(values.map { ($0 - middle) * ($0 - middle) }).squareRoot()
}
/// How much one value tells of the next, -1 to 1.
private func correlation(_ values: [Double]) -> Double {
  let middle = mean(values)
  let products = zip(values, values.dropFirst()).map { ($0 - middle) * ($1 - middle) }
  return mean(products) / (deviation(values) * deviation(values))
}

@Suite struct NetworkEmulatorTests {
  @Test("Q3 netem delay: a frame leaves exactly at its time, not a nanosecond before")
  func delay() throws {
    let line = try EmulatedLine("netem delay 20ms")
    line.send()
    #expect(line.bench.net.timers.nextDeadline == line.bench.net.now + .milliseconds(20))
    line.run(Nanoseconds(19_999_999))
    #expect(line.tags.isEmpty && line.bench.device.queueLength == 1)
    line.send()
    // The queue was looked at.
    #expect(line.tags.isEmpty)
    line.run(Nanoseconds(1))
    #expect(line.tags == [0])
    line.run(Nanoseconds(19_999_998))
    #expect(line.tags == [0])
    line.run(Nanoseconds(1))
    #expect(line.tags == [0, 1])
    #expect(line.bench.net.timers.nextDeadline == nil && line.bench.pool.buffersInUse == 0)
    let statistics = line.bench.device.qdiscSnapshot.statistics
    #expect(statistics.sentPackets == 2 && statistics.sentBytes == 200 && statistics.dropped == 0)
  }

  @Test("Q3 netem without a parameter lets everything pass at once, in order")
  func nothing() throws {
    let line = try EmulatedLine("netem")
    for _ in 0..<20 { line.send() }
    #expect(line.tags == Array(0..<20))
  }

  @Test("Q3 netem jitter: every delay lies within mean and jitter, evenly, and frames overtake each other")
  func jitter() throws {
    let line = try EmulatedLine("netem delay 20ms 5ms limit 100000")
    for _ in 0..<4000 {
      line.send()
      line.run(.microseconds(100))
    }
    line.run(.seconds(1))
    let delays = line.delays
    #expect(delays.count == 4000)
    #expect(delays.allSatisfy { $0 >= 15 && $0 < 25 })
    #expect(delays.min()! < 15.05 && delays.max()! > 24.95)
    #expect(abs(mean(delays) - 20) < 0.15)
    // A uniform distribution's deviation is its half width by the root of 3.
    #expect(abs(deviation(delays) - 2.887) < 0.1)
    #expect(abs(correlation(delays)) < 0.06)
    #expect(line.tags != line.tags.sorted())
  }

  @Test("Q3 netem distribution normal: jitter is the standard deviation")
  func normal() throws {
    let line = try EmulatedLine("netem delay 20ms 2ms distribution normal limit 100000")
    for _ in 0..<4000 {
      line.send()
      line.run(.microseconds(100))
    }
    line.run(.seconds(1))
    let delays = line.delays
    #expect(abs(mean(delays) - 20) < 0.12)
    #expect(abs(deviation(delays) - 2) < 0.1)
    let within = Double(delays.count { abs($0 - 20) < 2 }) / 4000
    #expect(abs(within - 0.6827) < 0.025)
    #expect(delays.contains { abs($0 - 20) > 5 } && delays.allSatisfy { abs($0 - 20) < 9 })
  }

  /// The figures of iproute2's own tables: mean and standard deviation of what goes beyond the delay, in jitters, the
  /// least and the most.
  @Test(
    "Q3 netem distribution pareto, paretonormal: delays stray as iproute2's tables say",
    arguments: [
      ("pareto", -0.0335, 0.8204, -0.6667, 4.0), ("paretonormal", -0.0253, 0.8343, -1.5021, 3.8806),
    ])
  func pareto(name: String, middle: Double, spread: Double, least: Double, most: Double) throws {
    let line = try EmulatedLine("netem delay 100ms 10ms distribution \(name) limit 100000")
    for _ in 0..<6000 {
      line.send()
      line.run(.microseconds(100))
    }
    line.run(.seconds(1))
    let strays = line.delays.map { ($0 - 100) / 10 }
    #expect(strays.count == 6000)
    #expect(abs(mean(strays) - middle) < 0.05)
    #expect(abs(deviation(strays) - spread) < 0.08)
    #expect(strays.allSatisfy { $0 >= least - 0.01 && $0 <= most + 0.01 })
    // Half of them are short of the mean by more than a fifth of jitter.
    let median = strays.sorted()[3000]
    #expect(abs(median - (name == "pareto" ? -0.3204 : -0.2405)) < 0.04)
  }

  @Test("Q3 netem delay correlation: one delay tells of the next")
  func delayCorrelation() throws {
    let line = try EmulatedLine("netem delay 20ms 5ms 75% limit 100000")
    for _ in 0..<2000 {
      line.send()
      line.run(.microseconds(100))
    }
    line.run(.seconds(1))
    #expect(correlation(line.delays) > 0.65)
  }

  @Test("Q3 netem jitter beyond the mean: what should have gone earlier goes at once")
  func negativeDelay() throws {
    let line = try EmulatedLine("netem delay 1ms 5ms")
    for _ in 0..<200 {
      line.send()
      line.run(.milliseconds(10))
    }
    #expect(line.delays.count { $0 == 0 } > 40 && line.delays.allSatisfy { $0 < 6 })
  }

  @Test(
    "Q3 netem loss: the share lost lies in its confidence interval, the sender hears nothing, and it is counted"
  )
  func loss() throws {
    let line = try EmulatedLine("netem loss 10%")
    for _ in 0..<10_000 { #expect(line.send() == .success) }
    let lost = 10_000 - line.tags.count
    // Three standard deviations of 10,000 draws are 90.
    #expect(abs(lost - 1000) < 90)
    #expect(line.bench.device.qdiscSnapshot.statistics.dropped == UInt64(lost))
    #expect(line.bench.pool.dropCount(.qdiscDrop) == UInt64(lost))
    #expect(line.tags == line.tags.sorted())
  }

  @Test("Q3 netem loss at its ends: 0 % loses nothing, 100 % everything", arguments: ["0%", "100%"])
  func lossEnds(share: String) throws {
    let line = try EmulatedLine("netem loss random \(share)")
    for _ in 0..<500 { line.send() }
    #expect(line.tags.count == (share == "0%" ? 500 : 0))
  }

  @Test("Q3 netem loss gemodel: losses come in bursts of the length that r makes")
  func gilbertElliott() throws {
    let line = try EmulatedLine("netem loss gemodel 1% 20%")
    for _ in 0..<20_000 { line.send() }
    let arrived = Set(line.tags)
    var bursts: [Double] = []
    var run = 0.0
    for tag in 0..<20_000 {
      if arrived.contains(tag) {
        if run > 0 { bursts.append(run) }
        run = 0
      } else {
        run += 1
      }
    }
    // p / (p + r) of the time bad, 1 / r packets long.
    #expect(abs(Double(20_000 - arrived.count) / 20_000 - 0.0476) < 0.012)
    #expect(abs(mean(bursts) - 5) < 1)
  }

  @Test("Q3 netem loss gemodel: 1-h and 1-k are the shares lost in the bad and in the good state")
  func gilbertElliottShares() throws {
    // Always good: 1-k alone.
    let good = try EmulatedLine("netem loss gemodel 0% 100% 100% 30%")
    for _ in 0..<5000 { good.send() }
    #expect(abs(5000 - good.tags.count - 1500) < 100)
    // Bad from the second on: 1-h alone.
    let bad = try EmulatedLine("netem loss gemodel 100% 0% 40% 0%")
    for _ in 0..<5000 { bad.send() }
    #expect(abs(5000 - bad.tags.count - 2000) < 105)
  }

  @Test("Q3 netem duplicate: so many come twice, as the same bytes")
  func duplicate() throws {
    let line = try EmulatedLine("netem duplicate 25%")
    for _ in 0..<4000 { line.send() }
    #expect(abs(line.tags.count - 5000) < 85)
    #expect(Set(line.tags).count == 4000 && line.tags == line.tags.sorted())
    let all = try EmulatedLine("netem duplicate 100% delay 1ms")
    all.send()
    all.run(.milliseconds(1))
    #expect(all.tags == [0, 0] && all.bench.pool.buffersInUse == 0)
  }

  @Test("Q3 netem duplicate and loss: of a packet that comes twice, one is lost and the other arrives")
  func duplicateLost() throws {
    let line = try EmulatedLine("netem duplicate 100% loss 100%")
    for _ in 0..<5 { line.send() }
    #expect(line.tags == [0, 1, 2, 3, 4] && line.bench.pool.buffersInUse == 0)
  }

  @Test("Q3 netem reset: what waits goes, what was about to overtake too, and nothing is counted as waiting")
  func reset() throws {
    let bench = DeviceBench(isLimited: false)
    guard case .netem(let parameters) = try EmulatedLine.configuration("netem delay 10ms reorder 50%") else {
      Issue.record("netem is netem")
      return
    }
    var emulator = NetworkEmulator(parameters, random: RandomSource(seed: 1))
    var statistics = QdiscStatistics()
    for tag in 0..<20 {
      let result = emulator.enqueue(bench.frame(UInt8(tag)), now: bench.net.now, statistics: &statistics)
      #expect(result == .success)
    }
    #expect(statistics.requeues > 0 && statistics.requeues < 20)
    check(emulator.count == 20)
    emulator.reset()
    check(emulator.count == 0 && emulator.byteCount == 0)
    #expect(bench.pool.dropCount(.qdiscReset) == 20 && bench.pool.buffersInUse == 0)
  }

  @Test("Q3 netem corrupt: exactly one bit, and the sender's own copy stays as it was")
  func corrupt() throws {
    let bench = DeviceBench(isLimited: false)
    bench.device.setQdisc(try EmulatedLine.configuration("netem corrupt 100%"), net: &bench.net)
    for round in 0..<50 {
      let skb = bench.tcp(payload: 100, linear: 100, mss: 0, sequence: UInt32(round))
      var twin = skb.clone()!
      let before = skb.bytes
      #expect(bench.send(skb) == .success)
      bench.settle()
      #expect(twin.bytes == before)
      check(twin.completeChecksum())
      let sent = bench.frames.removeLast()
      let flipped = zip(sent, twin.bytes).reduce(0) { $0 + ($1.0 ^ $1.1).nonzeroBitCount }
      #expect(flipped == 1 && sent.count == twin.length)
    }
    // Without a checksum to complete, too.
    let plain = bench.frame(7)
    let twin = plain.clone()!
    let before = plain.bytes
    #expect(bench.send(plain) == .success)
    bench.settle()
    #expect(twin.bytes == before && bench.frames.last != before)
  }

  @Test("Q3 netem corrupt: of a packet that stands for several, one segment is damaged")
  func corruptSegments() throws {
    let bench = DeviceBench(isLimited: false)
    bench.device.setQdisc(try EmulatedLine.configuration("netem corrupt 100%"), net: &bench.net)
    #expect(bench.send(bench.tcp(payload: 14480, linear: 1, mss: 1448)) == .success)
    bench.settle()
    let damaged = bench.frames.enumerated().count { index, frame in
      // Ports, addresses and payload are the same in all; the sums tell of the rest.
      folded(frame[14..<34]) != 0xFFFF
        || folded(
          [10, 0, 0, 2, 10, 0, 0, 1, 0, 6, UInt8((frame.count - 34) >> 8), UInt8((frame.count - 34) & 255)]
            + frame[34...]) != 0xFFFF
        || Array(frame[0..<14]) != Array(bench.frames[9][0..<14])
    }
    #expect(bench.frames.count == 10 && damaged == 1)
  }

  @Test("Q3 netem reorder with gap: every fifth frame leaves at once, the others at their time and in order")
  func reorder() throws {
    let line = try EmulatedLine("netem delay 10ms reorder 100% gap 5")
    for _ in 0..<10 {
      line.send()
      line.run(.microseconds(10))
    }
    #expect(line.tags == [4, 9])
    line.run(.milliseconds(20))
    #expect(line.tags == [4, 9, 0, 1, 2, 3, 5, 6, 7, 8])
    #expect(line.bench.device.qdiscSnapshot.statistics.requeues == 2)
    let share = try EmulatedLine("netem delay 10ms reorder 25% limit 10000")
    for _ in 0..<2000 { share.send() }
    #expect(abs(share.tags.count - 500) < 60)
  }

  @Test(
    "Q3 netem rate: frames leave one line's time apart; those that wait for it have their delay meanwhile")
  func rate() throws {
    // 1000 bytes take a millisecond.
    let line = try EmulatedLine("netem rate 8mbit")
    for _ in 0..<5 { line.send(length: 1000) }
    line.run(.seconds(1))
    #expect(line.delays == [1, 2, 3, 4, 5])
    let far = try EmulatedLine("netem delay 2500us rate 8mbit")
    for _ in 0..<4 { far.send(length: 1000) }
    far.run(.seconds(1))
    #expect(far.delays == [3.5, 4.5, 5.5, 6.5])
  }

  @Test("Q3 netem limit: as many wait as it says, one more is dropped and the sender hears of it")
  func limit() throws {
    let line = try EmulatedLine("netem delay 10ms limit 3")
    #expect((0..<3).map { _ in line.send() } == [.success, .success, .success])
    #expect(line.send() == .dropped)
    #expect(line.bench.device.qdiscSnapshot.statistics.dropped == 1)
    #expect(line.bench.device.qdiscSnapshot.backlogBytes == 300)
    line.run(.milliseconds(10))
    #expect(line.tags == [0, 1, 2])
    #expect(line.send() == .success)
    line.run(.milliseconds(10))
  }

  @Test("Q3 netem replaced: the same kind keeps what waits at its times, another drops it and its timer")
  func replace() throws {
    let line = try EmulatedLine("netem delay 10ms")
    for _ in 0..<3 { line.send() }
    let bench = line.bench
    bench.device.setQdisc(try EmulatedLine.configuration("netem delay 1ms"), net: &bench.net)
    line.send()
    line.run(.milliseconds(1))
    #expect(line.tags == [3])
    line.run(.milliseconds(9))
    #expect(line.tags == [3, 0, 1, 2])
    for _ in 0..<3 { line.send() }
    try bench.device.resetQdisc(net: &bench.net)
    #expect(bench.pool.dropCount(.qdiscReset) == 3 && bench.pool.buffersInUse == 0)
    #expect(bench.net.timers.count == 0 && bench.device.queueLength == 0)
    bench.device.setQdisc(try EmulatedLine.configuration("netem delay 10ms reorder 100%"), net: &bench.net)
    for _ in 0..<3 { line.send() }
    bench.device.setLink(up: false, now: bench.net.now)
    #expect(bench.device.queueLength == 0 && bench.device.qdiscSnapshot.backlogBytes == 0)
  }

  @Test(
    "Q3 netem: a packet held back counts as sent, so that its socket may go on; undelayed it stays charged")
  func charge() throws {
    for (words, charged) in [("netem delay 10ms", false), ("netem loss 1%", true)] {
      let bench = DeviceBench(isLimited: false)
      bench.device.setQdisc(try EmulatedLine.configuration(words), net: &bench.net)
      let account = SocketAccount(pool: bench.pool, socket: 1)
      var skb = bench.frame(1)
      skb.chargeWrite(to: account, socket: 1)
      _ = bench.send(skb)
      check((account.writeAllocated > 0) == charged)
      bench.advance(.milliseconds(10))
      bench.settle()
      check(account.writeAllocated == 0)
    }
  }

  @Test("Q3 netem: one seed, one history")
  func seed() throws {
    func history() throws -> [Int] {
      let line = try EmulatedLine("netem delay 5ms 5ms loss 20% duplicate 10%")
      for _ in 0..<200 { line.send() }
      line.run(.seconds(1))
      return line.tags
    }
    #expect(try history() == history())
  }
}
