import SwiftStack
import TestSupport
import Testing

@testable import TCP

@Suite("RFC 6937 proportional rate reduction", .everyVariation)
struct RateReductionTests {
  /// What an ACK of one segment makes of the window, with so many segments in flight.
  private func window(inFlight: Int, delivered: Int, out: Int) throws -> Int {
    let open = try ScriptedConnection.withSACK()
    open.inspect {
      $0.core.isSendBufferFixed = true
      $0.core.sendBuffer = 1 << 20
    }
    try open.flight(inFlight)
    return open.inspect {
      $0.sender.recovery.priorWindow = 40
      $0.sender.window.threshold = 28
      $0.sender.recovery.prrDelivered = delivered - 1
      $0.sender.recovery.prrOut = out
      $0.sender.reduceWindow(newlyDelivered: 1, newlyLost: 0, flags: [])
      return $0.sender.window.segments
    }
  }

  @Test("above the threshold: out is to delivered as the threshold is to the window before, rounded up")
  func proportion() throws {
    // 28 of 40: the tenth delivered allows 7, of which 6 are out; then 7 are.
    #expect(try window(inFlight: 38, delivered: 10, out: 6) == 39)
    #expect(try window(inFlight: 38, delivered: 10, out: 7) == 38)
    #expect(try window(inFlight: 38, delivered: 20, out: 12) == 40)
  }

  @Test("the first ACK lets the fast retransmission out, even where the window is at the threshold")
  func first() throws {
    #expect(try window(inFlight: 28, delivered: 1, out: 0) == 29)
    #expect(try window(inFlight: 28, delivered: 1, out: 1) == 28)
  }
}
