import NetDevice
import NetNamespace
import SkBuff
import Tables
import Testing
import Timers
import Trace

/// A queue that holds packets back: the device asks again when the first may go, and not before. Linux: `sch_tbf`.
@Suite struct TokenBucketTests {
  private func bench(_ words: String, mtu: Int = 1500) throws -> DeviceBench {
    let bench = DeviceBench(mtu: mtu, isLimited: false)
    bench.device.setQdisc(try configuration(words), net: &bench.net)
    return bench
  }
  private func configuration(_ words: String) throws -> QdiscConfiguration {
    try QdiscConfiguration(parsing: words.split(separator: " ").map(String.init))
  }
  private func tags(_ frames: [[UInt8]]) -> [UInt8] { frames.map { $0.last! } }

  @Test(
    "Q3 tbf: a burst goes at once, the next packet exactly when its tokens have come, not a nanosecond before"
  )
  func exactDeadline() throws {
    // 1 Mbyte/s: a frame of 1000 bytes takes a millisecond; the bucket holds two.
    let bench = try bench("tbf rate 8mbit burst 2000 limit 100000")
    for tag in 1...4 { _ = bench.send(bench.frame(UInt8(tag), length: 1000)) }
    bench.settle()
    #expect(tags(bench.frames) == [1, 2])
    #expect(bench.net.timers.nextDeadline == bench.net.now + .milliseconds(1))
    bench.advance(.microseconds(999))
    bench.advance(Nanoseconds(999))
    bench.settle()
    #expect(tags(bench.frames) == [1, 2])
    bench.advance(Nanoseconds(1))
    bench.settle()
    #expect(tags(bench.frames) == [1, 2, 3])
    bench.advance(.milliseconds(1))
    bench.settle()
    #expect(tags(bench.frames) == [1, 2, 3, 4])
    #expect(bench.net.timers.nextDeadline == nil)
    let snapshot = bench.device.qdiscSnapshot
    #expect(snapshot.statistics.sentPackets == 4 && snapshot.statistics.sentBytes == 4000)
    #expect(snapshot.statistics.overlimits > 0 && snapshot.statistics.dropped == 0)
  }

  @Test("Q3 tbf: an idle bucket is filled to its burst and no further")
  func bucketIsBounded() throws {
    let bench = try bench("tbf rate 8mbit burst 3000 limit 100000")
    _ = bench.send(bench.frame(1, length: 1000))
    bench.settle()
    bench.advance(.seconds(100))
    for tag in 2...8 { _ = bench.send(bench.frame(UInt8(tag), length: 1000)) }
    bench.settle()
    #expect(tags(bench.frames) == [1, 2, 3, 4])
  }

  @Test("Q3 tbf: ten seconds of a sender that never rests pass at the rate, within 2 %")
  func rate() throws {
    let bench = try bench("tbf rate 10mbit burst 10kb latency 50ms")
    var bytes = 0
    for _ in 0..<10_000 {
      while bench.send(bench.frame(1, length: 1514)) == .success {}
      bench.advance(.milliseconds(1))
      bench.settle()
      bytes += bench.frames.reduce(0) { $0 + $1.count }
      bench.frames.removeAll()
    }
    // The burst is extra.
    #expect(abs(Double(bytes - 10240) / 12_500_000 - 1) < 0.02)
    #expect(bench.device.qdiscSnapshot.statistics.dropped > 0)
  }

  @Test("Q3 tbf: peakrate bounds how fast the burst goes")
  func peak() throws {
    let bench = try bench("tbf rate 8mbit burst 10000 limit 100000 peakrate 80mbit mtu 1000")
    for tag in 1...4 { _ = bench.send(bench.frame(UInt8(tag), length: 1000)) }
    bench.settle()
    #expect(bench.frames.count == 1)
    #expect(bench.net.timers.nextDeadline == bench.net.now + .microseconds(100))
    bench.advance(.microseconds(100))
    bench.settle()
    #expect(bench.frames.count == 2)
    // Longer than the small bucket: it would never go.
    #expect(bench.send(bench.frame(9, length: 1001)) == .dropped)
  }

  @Test("Q3 tbf: the limit is in bytes: what reaches it is kept, one byte more is dropped")
  func limit() throws {
    let bench = try bench("tbf rate 8mbit burst 1000 limit 2000")
    #expect(bench.send(bench.frame(1, length: 1000)) == .success)
    #expect(bench.device.queueLength == 0)
    #expect(bench.send(bench.frame(2, length: 1000)) == .success)
    #expect(bench.send(bench.frame(3, length: 941)) == .success)
    #expect(bench.send(bench.frame(4, length: 60)) == .dropped)
    #expect(bench.pool.dropCount(.qdiscDrop) == 1)
    #expect(bench.device.qdiscSnapshot.statistics.dropped == 1 && bench.device.statistics.sentDropped == 1)
    #expect(bench.send(bench.frame(5, length: 59)) == .success)
    let snapshot = bench.device.qdiscSnapshot
    #expect(snapshot.backlogBytes == 2000 && snapshot.backlogPackets == 3)
    bench.advance(.seconds(1))
    bench.settle()
    bench.advance(.seconds(1))
    bench.settle()
    bench.advance(.seconds(1))
    bench.settle()
    #expect(bench.frames.count == 4 && tags(bench.frames).prefix(3) == [1, 2, 3])
  }

  @Test("Q3 tbf: a TSO packet larger than the bucket is cut; the segments wait their turn and none is larger")
  func segments() throws {
    let bench = try bench("tbf rate 8mbit burst 2000 limit 1mb")
    #expect(bench.send(bench.tcp(payload: 14480, mss: 1448)) == .success)
    bench.settle()
    #expect(bench.frames.count == 1)
    #expect(bench.device.qdiscSnapshot.backlogPackets == 9)
    for _ in 0..<20 {
      bench.advance(.milliseconds(2))
      bench.settle()
    }
    #expect(bench.frames.map(\.count) == [Int](repeating: 1514, count: 10))
    #expect(bench.frames.flatMap { $0.dropFirst(66) } == pattern(0..<14480))
    // One that fits the bucket stays whole.
    bench.advance(.seconds(1))
    bench.tracer.isEnabled = true
    #expect(bench.send(bench.tcp(payload: 1448, mss: 700)) == .success)
    #expect(bench.count(.skb_gso_segment) == 0 && bench.count(.dev_hard_start_xmit) == 1)
    // Segments larger than the bucket would never go.
    let small = try self.bench("tbf rate 8mbit burst 1513 limit 1mb")
    #expect(small.send(small.tcp(payload: 14480, mss: 1448)) == .dropped)
    #expect(small.pool.dropCount(.qdiscDrop) == 1)
    bench.settle()
  }

  @Test("Q3 tbf: of a packet that is cut, what fits is kept and every segment that does not is counted")
  func partOfSegments() throws {
    let bench = try bench("tbf rate 8mbit burst 1514 limit 4542")
    #expect(bench.send(bench.tcp(payload: 14480, mss: 1448)) == .success)
    #expect(bench.device.qdiscSnapshot.statistics.dropped == 7)
    #expect(bench.pool.dropCount(.qdiscDrop) == 7)
    #expect(bench.device.queueLength == 2)
  }

  @Test(
    "Q3 replace: another kind drops what waits with a reason; the same kind keeps it under the new parameters"
  )
  func replace() throws {
    let bench = try bench("tbf rate 8kbit burst 1000 limit 100000")
    for tag in 1...4 { _ = bench.send(bench.frame(UInt8(tag), length: 1000)) }
    bench.settle()
    #expect(bench.frames.count == 1 && bench.device.queueLength == 3)
    bench.device.setQdisc(try configuration("tbf rate 8mbit burst 2000 limit 100000"), net: &bench.net)
    #expect(bench.device.queueLength == 3 && bench.device.qdiscSnapshot.handle == 0x8001)
    bench.settle()
    #expect(tags(bench.frames) == [1, 2, 3])
    #expect(bench.device.qdiscSnapshot.statistics.sentPackets == 3)
    bench.device.setQdisc(.pfifoFast, net: &bench.net)
    #expect(bench.pool.dropCount(.qdiscReset) == 1)
    #expect(bench.net.timers.count == 0 && bench.pool.buffersInUse == 0)
    let snapshot = bench.device.qdiscSnapshot
    #expect(snapshot.handle == 0x8002 && snapshot.statistics.sentPackets == 0)
  }

  @Test("Q3 del: the qdisc that the device came with is back; ENOENT when it is there already")
  func delete() throws {
    let bench = try bench("tbf rate 8kbit burst 1000 limit 100000")
    for tag in 1...2 { _ = bench.send(bench.frame(UInt8(tag), length: 1000)) }
    try bench.device.resetQdisc(net: &bench.net)
    #expect(bench.pool.dropCount(.qdiscReset) == 1 && bench.device.qdiscSnapshot.handle == 0)
    #expect(bench.device.qdiscSnapshot.kind == .pfifoFast)
    #expect(throws: Errno.ENOENT) { try bench.device.resetQdisc(net: &bench.net) }
    for tag in 3...4 { _ = bench.send(bench.frame(UInt8(tag), length: 1000)) }
    bench.settle()
    #expect(tags(bench.frames) == [1, 3, 4])
  }

  @Test(
    "Q3 tbf: the words of iproute2 come back as tc 6.1 prints them",
    arguments: [
      ("tbf rate 10mbit burst 10kb latency 50ms", "rate 10Mbit burst 10Kb lat 50ms"),
      ("tbf rate 1mbps burst 5000 limit 10000", "rate 8Mbit burst 5000b lat 5ms"),
      (
        "tbf rate 100kbit burst 1600 limit 3000 peakrate 200kbit mtu 1514",
        "rate 100Kbit burst 1600b peakrate 200Kbit minburst 1514b lat 112ms"
      ),
      ("tbf limit 1mb buffer 32kbit rate 1.5MBit", "rate 1500Kbit burst 4Kb lat 5.57s"),
      ("tbf rate 999bit burst 2000 limit 2000", "rate 992bit burst 2000b limit 2000b"),
      ("tbf rate 10Gibit burst 1mb latency 400us", "rate 10737Mbit burst 1Mb lat 400us"),
      ("pfifo_fast", "bands 3 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1"), ("noqueue", ""),
    ])
  func words(_ words: String, _ printed: String) throws {
    #expect(try configuration(words).options == printed)
  }

  @Test(
    "Q3 a bad word is named, with what is expected there",
    arguments: [
      ("", "no qdisc is named: expected one of noqueue, pfifo_fast"),
      ("sfq", "unknown qdisc \"sfq\": expected one of noqueue, pfifo_fast"),
      ("pfifo_fast limit 5", "pfifo_fast: unknown parameter \"limit\": expected no parameters"),
      (
        "tbf rate 10x burst 10kb latency 5ms",
        "tbf: illegal value for \"rate\": \"10x\": expected a rate above 0, such as 10mbit or 500kbps"
      ),
      (
        "tbf rate 1mbit burst -3 latency 5ms",
        "tbf: illegal value for \"burst\": \"-3\": expected a size of 1 byte to 1 gb, such as 10kb"
      ),
      (
        "tbf rate 1mbit burst 10k latency 50",
        "tbf: illegal value for \"latency\": \"50\": expected a time with its unit, up to 3600s, such as 20ms"
      ),
      ("tbf rate", "tbf: \"rate\" needs a value: expected a rate above 0, such as 10mbit or 500kbps"),
      ("tbf burst 10k limit 5k", "tbf: \"rate\" is missing: expected a rate such as 10mbit"),
      ("tbf rate 1mbit limit 5k", "tbf: \"burst\" is missing: expected a size such as 10kb"),
      ("tbf rate 1mbit burst 10k", "tbf: either \"limit\" or \"latency\" is required"),
      ("tbf rate 1mbit burst 10k limit 5k latency 5ms", "tbf: \"limit\" and \"latency\" exclude each other"),
      ("tbf rate 1mbit burst 10k limit 5k mtu 5k", "tbf: \"peakrate\" and \"mtu\" go together"),
      (
        "tbf rate 1mbit burst 10k limit 5k mtu 5k peakrate 500kbit",
        "tbf: illegal \"peakrate\" 500Kbit: expected more than the rate, 1Mbit"
      ),
      (
        "tbf speed 3",
        "tbf: unknown parameter \"speed\": expected rate, burst, limit, latency, peakrate or mtu"
      ),
    ])
  func bad(_ words: String, _ sentence: String) throws {
    do throws(WordError) {
      _ = try QdiscConfiguration(parsing: words.split(separator: " ").map(String.init))
      Issue.record("\(words) was taken")
    } catch {
      #expect(error.description.hasPrefix(sentence), "\(error)")
    }
  }
}
