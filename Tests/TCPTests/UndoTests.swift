import NetNamespace
import SwiftStack
import TestSupport
import Testing

@testable import TCP

/// Taking a reduction back: RFC 3522, 3708, 5682; and learning how much the network reorders.
@Suite("Undo", .everyVariation)
struct UndoTests {
  typealias Connection = ScriptedConnection

  /// One lost segment of ten, sent again.
  private func recovering(timestamps: Bool = false) throws -> (open: Connection, base: UInt32) {
    let open = try Connection.withSACK(timestamps: timestamps)
    // An older exchange, so that there is something below the episode.
    var base = try open.flight(4)
    open.acknowledge(base: base, upTo: 4)
    base = try open.flight(10)
    let stamp = open.peer.all().last?.timestamps?.value
    if let stamp { open.echo = stamp }
    open.peer.advance(.milliseconds(20))
    open.acknowledge(base: base, upTo: 0, sack: [1..<4])
    #expect(open.sent(from: base) == [0])
    #expect(open.info.congestionState == .recovery)
    return (open, base)
  }

  private func duplicate(_ open: Connection, _ base: UInt32, _ segments: Range<Int>, upTo: Int) {
    open.acknowledge(base: base, upTo: upTo, sack: [segments])
  }

  @Test("RFC 2883 a D-SACK from before the episode does not undo it")
  func olderDuplicate() throws {
    let (open, base) = try recovering()
    duplicate(open, base, -2 ..< -1, upTo: 0)
    #expect(open.info.congestionState == .recovery)
    #expect(open.info.slowStartThreshold != nil)
    #expect(open.counter(.TcpExtTCPDSACKUndo) == 0)
  }

  @Test("RFC 3708 a D-SACK for every retransmission undoes the episode, though it is over")
  func lateDuplicate() throws {
    let (open, base) = try recovering()
    let before = open.inspect { $0.sender.recovery.prior?.window ?? 0 }
    open.acknowledge(base: base, upTo: 10)
    #expect(open.info.congestionState == .open)
    #expect(open.info.congestionWindow < before)
    duplicate(open, base, 0..<1, upTo: 10)
    #expect(open.counter(.TcpExtTCPDSACKUndo) == 1)
    #expect(open.counter(.TcpExtTCPDSACKRecv) == 1)
    #expect(open.info.congestionWindow >= before)
    #expect(open.info.slowStartThreshold == nil)
    #expect(open.info.reordering > 3)
  }

  @Test("RFC 2883 a D-SACK larger than the window counts for nothing: a true one is believed after it")
  func trueAfterDubious() throws {
    let (open, base) = try recovering()
    open.acknowledge(base, sack: [(base &- 2_000_000, base)])
    #expect(open.counter(.TcpExtTCPDSACKIgnoredDubious) == 1)
    open.acknowledge(base: base, upTo: 10)
    duplicate(open, base, 0..<1, upTo: 10)
    #expect(open.counter(.TcpExtTCPDSACKUndo) == 1)
  }

  @Test("RFC 3708 a D-SACK that comes with data undoes the episode that is over, too")
  func duplicateWithData() throws {
    let (open, base) = try recovering()
    open.acknowledge(base: base, upTo: 10)
    let mss = UInt32(open.info.sendMSS)
    open.peer.send(
      0x18, sequence: open.sequence, acknowledgment: open.acknowledgment, window: open.window,
      options: open.standing + [1, 1, 5, 10] + ScriptedPeer.bytes(base) + ScriptedPeer.bytes(base &+ mss),
      payload: [1])
    #expect(open.counter(.TcpExtTCPDSACKUndo) == 1)
  }

  @Test("RFC 3708 a D-SACK undoes the episode that is over though its ACK brings news of what was sent since")
  func duplicateWithNews() throws {
    let (open, base) = try recovering()
    open.acknowledge(base: base, upTo: 10)
    #expect(open.info.congestionState == .open)
    try open.flight(3)
    open.acknowledge(base: base, upTo: 11, sack: [0..<1])
    #expect(open.counter(.TcpExtTCPDSACKUndo) == 1)
    #expect(open.info.slowStartThreshold == nil)
  }

  @Test("RFC 2883 a D-SACK of more than was ever sent again, or than the window, is not believed")
  func dubiousDuplicate() throws {
    let (open, base) = try recovering()
    duplicate(open, base, -3..<0, upTo: 0)
    #expect(open.counter(.TcpExtTCPDSACKIgnoredDubious) == 1)
    open.acknowledge(base, sack: [(base &- 2_000_000, base)])
    #expect(open.counter(.TcpExtTCPDSACKIgnoredDubious) == 2)
    #expect(open.info.congestionState == .recovery)
  }

  @Test("RFC 3522 a late original undoes recovery, and teaches the degree of reordering")
  func lateOriginal() throws {
    let (open, base) = try recovering(timestamps: true)
    let before = open.inspect { $0.sender.recovery.prior?.window ?? 0 }
    open.acknowledge(base: base, upTo: 4)
    #expect(open.counter(.TcpExtTCPPartialUndo) == 1)
    #expect(open.counter(.TcpExtTCPTSReorder) == 1)
    #expect(open.info.congestionWindow >= before)
    #expect(open.info.slowStartThreshold == nil)
    #expect(open.info.reordering == 4)
    #expect(open.info.congestionState != .recovery)
  }

  @Test("RFC 2018 a hole that a SACK fills without a retransmission is reordering")
  func lateSACK() throws {
    let open = try Connection.withSACK()
    let base = try open.flight(20)
    open.inspect { $0.sender.recovery.reordering = 8 }
    open.acknowledge(base: base, upTo: 0, sack: [10..<12])
    open.acknowledge(base: base, upTo: 0, sack: [2..<3, 10..<12])
    #expect(open.info.reordering == 10)
    #expect(open.info.reorderingSeen == 1)
    #expect(open.counter(.TcpExtTCPSACKReorder) == 1)
    #expect(open.counter(.TcpExtTCPTSReorder) == 0)
  }

  @Test("RFC 2018 what was learnt of reordering is given up only by a timeout with three segments SACKed")
  func patience() throws {
    for sacked in [0, 5] {
      let open = try Connection.withSACK(rtt: .milliseconds(100))
      let base = try open.flight(10)
      open.peer.advance(.milliseconds(100))
      open.inspect { $0.sender.recovery.reordering = 50 }
      if sacked > 0 { open.acknowledge(base: base, upTo: 0, sack: [1..<1 + sacked]) }
      // It comes before the reordering window's end.
      open.inspect { $0.timers.start(.retransmission, at: $0.timers.retransmitDeadline) }
      open.timeOut()
      #expect(open.info.congestionState == .loss)
      #expect(open.info.reordering == (sacked > 0 ? 3 : 50))
    }
  }

  @Test("RFC 9438 4.9 a needless timeout is undone with all that CUBIC knew of the path")
  func cubicUndone() throws {
    let open = try Connection.withSACK(timestamps: true)
    open.inspect {
      $0.sender.window.threshold = 2
      _ = $0.sender.congestion.lost(window: 100)
    }
    try open.flight(10)
    func knows100() -> Bool {
      open.inspect { "\($0.sender.congestion.memory as Any)".contains("windowMax: 100.0") }
    }
    #expect(knows100())
    open.echo = open.inspect { $0.sender.timestamp($0.sender.lastSent) }
    open.timeOut()
    #expect(!knows100())
    // The answer to the original.
    open.acknowledge(open.acknowledgment &+ 1448)
    #expect(open.info.congestionState == .open)
    #expect(knows100())
  }

  @Test("RFC 3522 the second and the third needless timeout are undone like the first")
  func everyTimeout() throws {
    let open = try Connection.withSACK(timestamps: true)
    for round in 1...3 {
      open.inspect { $0.sender.window.segments = 10 }
      try open.flight(10)
      open.echo = open.inspect { $0.sender.timestamp($0.sender.lastSent) }
      open.timeOut()
      #expect(open.info.congestionState == .loss)
      // The answer to the original.
      open.acknowledge(open.acknowledgment &+ 1448)
      #expect(open.info.congestionState == .open)
      #expect(open.info.congestionWindow >= 10)
      #expect(open.counter(.TcpExtTCPLossUndo) == UInt64(round))
      _ = open.peer.all()
      open.acknowledge(open.inspect { $0.sender.sndNxt.rawValue })
    }
  }

  @Test(
    "RFC 5682 F-RTO: new data after a timeout, and what was sent once arriving, undo it without time stamps")
  func probing() throws {
    let open = try Connection.withSACK(rtt: .milliseconds(100))
    let base = try open.flight(10)
    try open.socket.send([UInt8](repeating: 1, count: 4 * 1460))
    _ = open.peer.all()
    open.timeOut()
    #expect(open.sent(from: base) == [0])
    open.acknowledge(base: base, upTo: 1)
    #expect(open.sent(from: base) == [10, 11])
    open.acknowledge(base: base, upTo: 3)
    #expect(open.info.congestionState == .open)
    #expect(open.counter(.TcpExtTCPSpuriousRTOs) == 1)
    #expect(open.info.congestionWindow >= 10)
  }

  @Test("RFC 5682 F-RTO: when the new data draws duplicates, the loss was real")
  func provenLoss() throws {
    let open = try Connection.withSACK()
    let base = try open.flight(10)
    try open.socket.send([UInt8](repeating: 1, count: 4 * 1460))
    _ = open.peer.all()
    open.timeOut()
    _ = open.peer.all()
    open.acknowledge(base: base, upTo: 1)
    #expect(open.sent(from: base) == [10, 11])
    open.acknowledge(base: base, upTo: 1, sack: [10..<11])
    #expect(open.sent(from: base).first == 1)
    #expect(open.counter(.TcpExtTCPSpuriousRTOs) == 0)
    #expect(open.counter(.TcpExtTCPSlowStartRetrans) > 0)
  }

  @Test("RFC 5681 two timeouts of one flight reduce the threshold once; CUBIC starts anew")
  func onceForEachFlight() throws {
    let open = try Connection.withSACK()
    try open.flight(20)
    open.timeOut()
    #expect(open.info.slowStartThreshold == 14)
    #expect(open.info.congestionWindow == 1)
    open.peer.advance(.milliseconds(3000))
    #expect(open.info.slowStartThreshold == 14)
    // 400, 800 and 1,600 ms after the first.
    #expect(open.counter(.TcpExtTCPTimeouts) == 4)
  }
}
