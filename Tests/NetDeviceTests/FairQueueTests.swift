import DeviceTestSupport
import NetDevice
import Tables
import SkBuff
import Testing
import Timers

@Suite struct FairQueueTests {
  private func bench(_ words: String = "fq") throws -> DeviceBench {
    let bench = DeviceBench(isLimited: false)
    bench.device.setQdisc(try EmulatedLine.configuration(words), net: &bench.net)
    return bench
  }

  /// A frame of a socket that may leave after so many milliseconds.
  private func send(
    _ bench: DeviceBench, _ tag: UInt8, socket: UInt32, after delay: Int64 = 0, length: Int = 1000
  ) -> XmitResult {
    var skb = bench.frame(tag, length: length)
    skb.socket = socket
    if delay > 0 { skb.timestamp = bench.net.now + .milliseconds(delay) }
    return bench.send(skb)
  }

  private func tags(_ bench: DeviceBench) -> [UInt8] { bench.frames.map { $0.last! } }

  @Test("Q3 fq: no packet leaves before its departure time, and one that waits holds nobody else up")
  func departure() throws {
    let bench = try bench()
    _ = send(bench, 1, socket: 1, after: 20)
    _ = send(bench, 2, socket: 1)
    _ = send(bench, 3, socket: 2, after: 10)
    _ = send(bench, 4, socket: 3)
    bench.settle()
    #expect(tags(bench) == [4])
    #expect(bench.device.qdiscSnapshot.backlogPackets == 3)
    bench.advance(.milliseconds(9))
    bench.settle()
    #expect(tags(bench) == [4])
    bench.advance(.milliseconds(1))
    bench.settle()
    #expect(tags(bench) == [4, 3])
    bench.advance(.milliseconds(10))
    bench.settle()
    // A flow's packets keep their order.
    #expect(tags(bench) == [4, 3, 1, 2])
    #expect(bench.device.queueLength == 0 && bench.net.timers.nextDeadline == nil)
  }

  @Test(
    "Q3 fq: what no socket sends is told apart by its hash; control goes first and within no flow's limit")
  func withoutSocket() throws {
    let bench = try bench("fq flow_limit 1")
    // All of it waits for the same moment.
    let later = bench.net.now + .milliseconds(5)
    func add(_ tag: UInt8, hash: UInt32 = 0, priority: UInt32 = 0) -> XmitResult {
      var skb = bench.frame(tag, length: 100)
      skb.hash = hash
      skb.priority = priority
      skb.timestamp = later
      return bench.send(skb)
    }
    #expect(add(1) == .success)
    #expect(add(2) == .dropped)
    #expect(add(3, hash: 5) == .success)
    for tag in UInt8(4)...5 { #expect(add(tag, priority: 7) == .success) }
    bench.settle()
    // Control does not wait.
    #expect(tags(bench) == [4, 5])
    bench.advance(.milliseconds(5))
    bench.settle()
    #expect(tags(bench).suffix(2) == [1, 3])
  }

  @Test("Q3 fq: a departure time beyond half the clock's range has passed, as Linux's signed time has")
  func farAhead() throws {
    let bench = try bench()
    var skb = bench.frame(1, length: 100)
    skb.socket = 1
    skb.timestamp = Instant(nanoseconds: .max)
    _ = bench.send(skb)
    bench.settle()
    #expect(tags(bench) == [1])
  }

  @Test("Q3 fq: sockets have their turns, of a quantum each, after what a flow begins with")
  func turns() throws {
    let bench = try bench("fq quantum 1000 initial_quantum 2000")
    // All of it waits for the same moment.
    for tag in 1...5 { _ = send(bench, UInt8(tag), socket: 1, after: 5) }
    for tag in 11...15 { _ = send(bench, UInt8(tag), socket: 2, after: 5) }
    bench.advance(.milliseconds(5))
    bench.settle()
    #expect(tags(bench) == [1, 2, 11, 12, 3, 13, 4, 14, 5, 15])
  }

  @Test("Q3 fq: limit, flow_limit and horizon drop, and count")
  func limits() throws {
    let bench = try bench("fq limit 4 flow_limit 2 horizon 1s")
    #expect(send(bench, 1, socket: 1, after: 5) == .success)
    #expect(send(bench, 2, socket: 1, after: 5) == .success)
    #expect(send(bench, 3, socket: 1, after: 5) == .dropped)
    #expect(send(bench, 4, socket: 2, after: 5) == .success)
    #expect(send(bench, 5, socket: 3, after: 1001) == .dropped)
    #expect(send(bench, 6, socket: 3, after: 1000) == .success)
    #expect(send(bench, 7, socket: 4) == .dropped)
    #expect(bench.device.qdiscSnapshot.statistics.dropped == 3)
  }

  @Test("Q3 fq: a flow that is idle for 40 ms has a whole quantum again, not a new beginning")
  func idle() throws {
    let bench = try bench("fq quantum 1000 initial_quantum 5000")
    for tag in 1...5 { _ = send(bench, UInt8(tag), socket: 1) }
    bench.settle()
    bench.advance(.milliseconds(50))
    for tag in 6...8 { _ = send(bench, UInt8(tag), socket: 1, after: 5) }
    for tag in 11...13 { _ = send(bench, UInt8(tag), socket: 2, after: 5) }
    bench.advance(.milliseconds(5))
    bench.settle()
    #expect(tags(bench).suffix(6) == [6, 11, 12, 13, 7, 8])
  }

  @Test("Q3 fq: words, as they are read and printed")
  func words() throws {
    let configuration = try QdiscConfiguration(parsing: [
      "fq", "limit", "50", "flow_limit", "5", "quantum", "2kb",
    ])
    #expect(
      configuration.options
        == "limit 50p flow_limit 5p quantum 2048b initial_quantum 15140b horizon 10s horizon_drop")
    #expect(throws: WordError.self) { try QdiscConfiguration(parsing: ["fq", "rate", "5"]) }
    #expect(throws: WordError.self) { try QdiscConfiguration(parsing: ["fq", "limit", "0"]) }
  }

  @Test("Q3 fq: what waits is dropped when it is replaced, and nothing is left")
  func reset() throws {
    let bench = try bench()
    for socket in 1...3 { _ = send(bench, 1, socket: UInt32(socket), after: 5) }
    bench.device.setQdisc(.pfifoFast, net: &bench.net)
    bench.advance(.milliseconds(10))
    bench.settle()
    #expect(bench.frames.isEmpty)
    #expect(bench.pool.dropCount(.qdiscReset) == 3)
  }
}
