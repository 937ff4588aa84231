import SwiftStack
import TestSupport
import Testing

/// What the first duplicate ACKs of a flight let go.
@Suite("RFC 3042 limited transmit", .everyVariation)
struct LimitedTransmitTests {
  /// Ten segments fill the congestion window, and five more wait.
  private func flight(hasSACK: Bool, window: UInt16 = 65535) throws -> (ScriptedConnection, UInt32) {
    let open =
      hasSACK
      ? try .withSACK(rtt: .milliseconds(100))
      : try ScriptedConnection(peer: ScriptedPeer(), window: window, rtt: .milliseconds(100))
    let base = try open.flight(10)
    try open.socket.send([UInt8](repeating: 2, count: 5 * 1460))
    #expect(open.sent(from: base).isEmpty)
    open.peer.advance(.milliseconds(100))
    return (open, base)
  }

  @Test(
    "RFC 3042 2 each of the first two duplicate ACKs lets a new segment go, the third brings the lost one back",
    arguments: [false, true])
  func twoNew(hasSACK: Bool) throws {
    let (open, base) = try flight(hasSACK: hasSACK)
    for count in 1...3 {
      // Else it is waited for another ACK, so that a larger packet can go.
      open.peer.advance(.milliseconds(2))
      open.acknowledge(base: base, upTo: 0, sack: hasSACK ? [1..<(1 + count)] : [])
      #expect(open.sent(from: base) == [count < 3 ? 9 + count : 0])
      if count < 3 { #expect(open.info.congestionWindow == 10) }
    }
  }

  @Test("RFC 3042 2 nothing goes beyond the window that the peer offers")
  func offered() throws {
    let (open, base) = try flight(hasSACK: false, window: 14600)
    for _ in 1...2 {
      open.acknowledge(base: base, upTo: 0)
      #expect(open.sent(from: base).isEmpty)
    }
  }
}
