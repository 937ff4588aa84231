import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

/// A round trip takes 100 ms here and a timeout 300 ms.
@Suite("T10 tail loss probe (RFC 8985 section 7)", .everyVariation)
struct TailLossProbeTests {
  private func open(_ settings: NetSettings = NetSettings()) throws -> ScriptedConnection {
    try .withSACK(settings: settings, probesTails: true, rtt: .milliseconds(100))
  }

  /// Which segments come when, in milliseconds.
  private func seen(_ open: ScriptedConnection, _ base: UInt32, for span: Nanoseconds) -> [[Int]] {
    open.peer.timeline(for: span).filter { !$0.segment.payload.isEmpty }.map {
      [Int($0.milliseconds), Int($0.segment.sequence &- base) / 1460, $0.segment.payload.count]
    }
  }

  @Test("T10 loss probe: after two round trips the last segment goes again; the timer starts anew from it")
  func probe() throws {
    let open = try open()
    let base = try open.flight(3)
    #expect(seen(open, base, for: .milliseconds(510)) == [[202, 2, 1460], [502, 0, 1460]])
    #expect(open.counter(.TcpExtTCPLossProbes) == 1)
    #expect(open.counter(.TcpExtTCPTimeouts) == 1)
    #expect(open.info.congestionState == .loss)
  }

  @Test("T10 loss probe: it is no part of a recovery, nothing is taken for lost")
  func state() throws {
    let open = try open()
    try open.flight(3)
    open.peer.advance(.milliseconds(250))
    #expect(open.info.congestionState == .open)
    #expect(open.info.lost == 0 && open.info.retransmitted == 0)
    #expect(open.info.totalRetransmissions == 1 && open.info.bytesRetransmitted == 1460)
    #expect(open.counter(.TcpRetransSegs) == 1)
    #expect(open.inspect { $0.sender.retransmitStamp == .origin })
  }

  @Test("T10 loss probe: of a lone segment no earlier than a delayed ACK, no later than the timer")
  func lone() throws {
    let open = try open()
    let base = try open.flight(1)
    #expect(seen(open, base, for: .milliseconds(610)) == [[300, 0, 1460], [600, 0, 1460]])
    #expect(open.counter(.TcpExtTCPLossProbes) == 1)
    #expect(open.counter(.TcpExtTCPTimeouts) == 1)
  }

  @Test(
    "T10 loss probe: new data where there is some, though the congestion window is full; and arms no other")
  func newData() throws {
    let open = try open()
    open.inspect { $0.sender.window.segments = 3 }
    let base = open.acknowledgment
    try open.socket.send([UInt8](repeating: 1, count: 5 * 1460))
    #expect(open.sent(from: base) == [0, 1, 2])
    #expect(seen(open, base, for: .milliseconds(510)) == [[202, 3, 1460], [502, 0, 1460]])
    #expect(open.info.totalRetransmissions == 1)
    #expect(open.counter(.TcpExtTCPLossProbes) == 1)
  }

  @Test("T10 loss probe: the last segment where the peer's window takes no more")
  func closedWindow() throws {
    let open = try open()
    open.inspect { $0.sender.sndWnd = 3 * 1460 }
    let base = open.acknowledgment
    try open.socket.send([UInt8](repeating: 1, count: 5 * 1460))
    #expect(open.sent(from: base) == [0, 1, 2])
    #expect(seen(open, base, for: .milliseconds(300)) == [[202, 2, 1460]])
  }

  @Test("T10 loss probe: one at a time, until it is answered")
  func oneAtATime() throws {
    let open = try open()
    let base = try open.flight(3)
    open.peer.advance(.milliseconds(250))
    _ = open.peer.all()
    open.acknowledge(base: base, upTo: 1)
    // The clock of the timer is that of segment 1, sent at 0.
    let later = seen(open, base, for: .milliseconds(700))
    #expect(later.first?[1] == 1)
    #expect(open.counter(.TcpExtTCPLossProbes) == 1)
  }

  @Test(
    "T10 loss probe: new data moves it, and an ACK begins it anew",
    arguments: [true, false])
  func rearmed(byData: Bool) throws {
    let open = try open()
    let base = try open.flight(3)
    open.peer.advance(.milliseconds(100))
    if byData {
      try open.socket.send([UInt8](repeating: 1, count: 1460))
    } else {
      open.acknowledge(base: base, upTo: 1)
    }
    _ = open.peer.all()
    let count = byData ? 3 : 2
    let at = seen(open, base, for: .milliseconds(400))
    // The timer would fire at 300, which is 200 from here; after the ACK only 300 from here.
    #expect(at.first == [byData ? 200 : 202, count, 1460])
  }

  // MARK: Answers

  /// Three segments and their probe.
  private func probed() throws -> (ScriptedConnection, UInt32) {
    let open = try open()
    let base = try open.flight(3)
    open.peer.advance(.milliseconds(210))
    _ = open.peer.all()
    #expect(open.counter(.TcpExtTCPLossProbes) == 1)
    return (open, base)
  }

  /// Another segment, which is acknowledged.
  private func goOn(_ open: ScriptedConnection, _ base: UInt32) throws {
    try open.socket.send([UInt8](repeating: 1, count: 1460))
    open.acknowledge(base: base, upTo: 4)
  }

  @Test("T10 loss probe: it has repaired a loss: the window answers for that once, TCPLossProbeRecovery")
  func repaired() throws {
    let (open, base) = try probed()
    open.acknowledge(base: base, upTo: 3)
    #expect(open.info.slowStartThreshold == nil)
    try goOn(open, base)
    #expect(open.counter(.TcpExtTCPLossProbeRecovery) == 1)
    let reduced = try #require(open.info.slowStartThreshold)
    #expect(open.info.congestionWindow == reduced)
    #expect(open.info.congestionState == .open)
    try open.socket.send([UInt8](repeating: 1, count: 1460))
    open.acknowledge(base: base, upTo: 5)
    #expect(open.counter(.TcpExtTCPLossProbeRecovery) == 1)
    #expect(open.info.slowStartThreshold == reduced)
  }

  @Test(
    "RFC 8985 7 its SACK, no earlier than a round trip after it, tells that all before it is lost: no timeout"
  )
  func longTail() throws {
    let open = try open()
    let base = try open.flight(5)
    open.peer.advance(.milliseconds(302))
    #expect(open.sent(from: base) == [4])
    open.acknowledge(base: base, upTo: 0, sack: [4..<5])
    #expect(open.info.congestionState == .recovery)
    #expect(open.info.lost == 4)
    #expect(open.sent(from: base).first == 0)
    #expect(open.counter(.TcpExtTCPTimeouts) == 0)
  }

  @Test(
    "T10 loss probe: it counts among the retransmissions that D-SACK has to deny before a timeout was needless"
  )
  func undo() throws {
    let open = try open()
    let base = try open.flight(2)
    open.peer.advance(.milliseconds(510))
    #expect(open.counter(.TcpExtTCPLossProbes) == 1 && open.counter(.TcpExtTCPTimeouts) == 1)
    // The second was there before its probe; the first was lost.
    open.acknowledge(base: base, upTo: 0, sack: [1..<2, 1..<2])
    open.acknowledge(base: base, upTo: 2)
    #expect(open.counter(.TcpExtTCPLossUndo) == 0 && open.counter(.TcpExtTCPFullUndo) == 0)
    #expect(open.info.slowStartThreshold != nil)
  }

  @Test("T10 loss probe: D-SACK says that it was needless: no reduction")
  func duplicated() throws {
    let (open, base) = try probed()
    open.acknowledge(base: base, upTo: 3, sack: [2..<3])
    try goOn(open, base)
    #expect(open.counter(.TcpExtTCPLossProbeRecovery) == 0)
    #expect(open.info.slowStartThreshold == nil)
  }

  @Test("T10 loss probe: so does a bare duplicate ACK")
  func bareDuplicate() throws {
    let (open, base) = try probed()
    open.acknowledge(base: base, upTo: 3)
    open.acknowledge(base: base, upTo: 3)
    try goOn(open, base)
    #expect(open.counter(.TcpExtTCPLossProbeRecovery) == 0)
    #expect(open.info.slowStartThreshold == nil)
  }

  @Test("T10 loss probe: new data that is acknowledged says nothing of a loss")
  func newDataAcknowledged() throws {
    let open = try open()
    open.inspect { $0.sender.window.segments = 3 }
    let base = open.acknowledgment
    try open.socket.send([UInt8](repeating: 1, count: 4 * 1460))
    open.peer.advance(.milliseconds(210))
    _ = open.peer.all()
    open.acknowledge(base: base, upTo: 4)
    try open.socket.send([UInt8](repeating: 1, count: 1460))
    open.acknowledge(base: base, upTo: 5)
    #expect(open.counter(.TcpExtTCPLossProbes) == 1)
    #expect(open.counter(.TcpExtTCPLossProbeRecovery) == 0)
    // The next tail has its own.
    try open.socket.send([UInt8](repeating: 1, count: 2 * 1460))
    open.peer.advance(.milliseconds(250))
    #expect(open.counter(.TcpExtTCPLossProbes) == 2)
  }

  // MARK: None

  @Test(
    "T10 loss probe: none without SACK, and none where tcp_early_retrans is below 3",
    arguments: [true, false])
  func none(hasSACK: Bool) throws {
    let open: ScriptedConnection
    if hasSACK {
      let host = try self.open()
      try host.peer.host.stack.set("net.ipv4.tcp_early_retrans", to: "2")
      open = host
    } else {
      open = try ScriptedConnection(peer: ScriptedPeer(probesTails: true), rtt: .milliseconds(100))
    }
    let base = try open.flight(3)
    #expect(seen(open, base, for: .milliseconds(310)) == [[300, 0, 1460]])
    #expect(open.counter(.TcpExtTCPLossProbes) == 0)
  }

  @Test("RFC 8985 7.2 none while a hole is known: what has been overtaken is looked for instead")
  func noneInDisorder() throws {
    let open = try open()
    let base = try open.flight(4)
    open.peer.advance(.milliseconds(100))
    #expect(open.inspect { $0.timers.retransmitKind } == .lossProbe)
    open.acknowledge(base: base, upTo: 1, sack: [2..<3])
    #expect(open.info.congestionState == .disorder)
    #expect(open.inspect { $0.timers.retransmitKind } == .reordering)
    open.peer.advance(.milliseconds(300))
    #expect(open.counter(.TcpExtTCPLossProbes) == 0)
  }

  @Test("T10 loss probe: all is acknowledged: no timer runs")
  func stopped() throws {
    let open = try open()
    let base = try open.flight(3)
    open.acknowledge(base: base, upTo: 3)
    #expect(open.inspect { $0.timers.retransmitKind } == .none)
    #expect(seen(open, base, for: .seconds(2)).isEmpty)
  }
}
