import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

@Suite("T10 pacing")
struct PacingTests {
  private typealias Connection = ScriptedConnection

  /// 2 milliseconds for a packet of two segments, the least on a path of 100 ms.
  private func paced(_ segments: Int = 100) throws -> ScriptedConnection {
    let open = try Connection(
      peer: ScriptedPeer(), window: 16384, options: [2, 4, 5, 0xB4, 1, 1, 4, 2, 1, 3, 3, 6],
      rtt: .milliseconds(100))
    open.acknowledge()
    open.inspect {
      $0.core.options.maximumPacingRate = 1_460_000
      $0.isPacingAsked = true
      $0.sender.window.segments = segments
      $0.updatePacingRate()
    }
    return open
  }

  private func send(_ segments: Int, on open: ScriptedConnection) throws {
    try open.socket.send([UInt8](repeating: 5, count: segments * 1460))
  }

  /// Segments that leave in each of the next milliseconds.
  private func perMillisecond(_ count: Int, of open: ScriptedConnection) -> [Int] {
    (0..<count).map { _ in
      open.peer.advance(.milliseconds(1))
      return open.takeData().count / 1460
    }
  }

  @Test("T10 SO_MAX_PACING_RATE: after the first ten segments a packet leaves each time the rate allows")
  func rate() throws {
    let open = try paced()
    try send(20, on: open)
    #expect(open.takeData().count == 10 * 1460)
    #expect(perMillisecond(10, of: open) == [0, 2, 0, 2, 0, 2, 0, 2, 0, 2])
    #expect(open.info.pacingBytesPerSecond == 1_460_000)
  }

  @Test("T10 pacing: a packet that comes late takes half the time at most off the wait of the next")
  func credit() throws {
    let open = try paced()
    try send(10, on: open)
    _ = open.takeData()
    open.peer.advance(.milliseconds(100))
    open.acknowledge()
    try send(8, on: open)
    #expect(open.takeData().count == 2 * 1460)
    #expect(perMillisecond(5, of: open) == [2, 0, 2, 0, 2])
  }

  @Test("T10 pacing: what waits for its time needs no window probe, and ACKs let nothing go before it")
  func waiting() throws {
    let open = try paced()
    try send(12, on: open)
    _ = open.takeData()
    for _ in 0..<3 { open.acknowledge() }
    #expect(open.takeData().isEmpty)
    #expect(open.info.unacknowledged == 0 && open.info.notSentByteCount == 2 * 1460)
    #expect(open.info.timer == nil)
    #expect(perMillisecond(2, of: open) == [0, 2])
  }

  @Test("T10 pacing: the retransmission timer counts from when the next packet may leave")
  func timer() throws {
    let open = try paced()
    try send(10, on: open)
    let base = open.acknowledgment
    _ = open.takeData()
    open.acknowledge(base &+ 2 * 1460)
    #expect(open.info.timer?.remaining == open.info.retransmissionTimeout + .milliseconds(2))
  }

  @Test("T10 pacing: lost segments go again at the rate too")
  func retransmissions() throws {
    let open = try paced()
    try send(10, on: open)
    let base = open.acknowledgment
    _ = open.takeData()
    open.peer.advance(.milliseconds(100))
    open.acknowledge(base, sack: [(base &+ 4 * 1460, base &+ 6 * 1460)])
    open.acknowledge(base, sack: [(base &+ 4 * 1460, base &+ 10 * 1460)])
    // Ten outstanding in 100 ms, twice that in slow start: 10 ms for two, and half of it is credit.
    let sent = (0..<6).map { _ in
      let sent = open.sent(from: base)
      open.peer.advance(.milliseconds(1))
      return sent
    }
    #expect(sent == [[0, 1], [], [], [], [], [2, 3]])
  }
}
