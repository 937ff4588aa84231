import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

/// A round trip takes 100 ms here, and so the reordering window 25 ms; what waits for it is looked for 2 ms later.
@Suite("RFC 8985 RACK", .everyVariation)
struct RACKTests {
  typealias Connection = ScriptedConnection

  /// Ten segments, sent a round trip ago.
  private func flight(_ setting: String? = nil, _ value: String = "", timestamps: Bool = false) throws
    -> (open: Connection, base: UInt32)
  {
    let open = try Connection.withSACK(timestamps: timestamps, rtt: .milliseconds(100))
    if let setting { try open.peer.host.stack.set("net.ipv4." + setting, to: value) }
    let base = try open.flight(10)
    open.peer.advance(.milliseconds(100))
    return (open, base)
  }

  private func isRecovering(_ open: Connection) -> Bool { open.info.congestionState == .recovery }

  // MARK: The reordering window

  @Test("RFC 8985 6.2 one that arrived behind a hole: lost after a quarter of a round trip, and sent again")
  func quarter() throws {
    let (open, base) = try flight()
    open.acknowledge(base: base, upTo: 0, sack: [1..<2])
    #expect(open.info.congestionState == .disorder)
    #expect(open.inspect { $0.timers.retransmitKind } == .reordering)
    open.peer.advance(.milliseconds(26))
    #expect(open.sent(from: base).isEmpty)
    open.peer.advance(.milliseconds(2))
    #expect(open.sent(from: base) == [0])
    #expect(isRecovering(open))
    #expect(open.counter(.TcpExtTCPSackRecovery) == 1)
    #expect(open.info.slowStartThreshold == 7)
    // The retransmission timer is the head's again.
    #expect(open.inspect { $0.timers.retransmitKind } == .retransmission)
    #expect(open.info.timer?.remaining == open.info.retransmissionTimeout - .milliseconds(1))
  }

  @Test("RFC 8985 6.2 three that arrived: at once, and all that was sent before them")
  func threshold() throws {
    let (open, base) = try flight()
    open.acknowledge(base: base, upTo: 0, sack: [4..<6])
    #expect(open.info.lost == 0)
    open.acknowledge(base: base, upTo: 0, sack: [4..<7])
    #expect(open.info.lost == 4)
    #expect(isRecovering(open))
  }

  @Test("RFC 8985 6.2 what was sent behind the last that arrived is not lost")
  func notOvertaken() throws {
    let (open, base) = try flight()
    open.acknowledge(base: base, upTo: 0, sack: [1..<4])
    #expect(open.info.lost == 1)
    open.peer.advance(.milliseconds(60))
    #expect(open.info.lost == 1)
  }

  @Test("RFC 8985 6.2 tcp_recovery 4: three that arrived wait as well")
  func noThreshold() throws {
    let (open, base) = try flight("tcp_recovery", "4")
    open.acknowledge(base: base, upTo: 0, sack: [1..<5])
    open.peer.advance(.milliseconds(20))
    #expect(open.info.lost == 0)
    open.peer.advance(.milliseconds(8))
    #expect(open.info.lost == 1)
  }

  @Test("RFC 8985 6.2 tcp_reordering: so many have to arrive")
  func reordering() throws {
    let open = try Connection.withSACK(
      settings: {
        var settings = NetSettings()
        settings.tcpReordering = 5
        return settings
      }(), rtt: .milliseconds(100))
    let base = try open.flight(10)
    open.peer.advance(.milliseconds(100))
    #expect(open.info.reordering == 5)
    open.acknowledge(base: base, upTo: 0, sack: [1..<5])
    #expect(open.info.lost == 0)
    open.acknowledge(base: base, upTo: 0, sack: [1..<6])
    #expect(open.info.lost == 1)
  }

  @Test("RFC 8985 6.2 on a path that reorders three that arrived wait, and recovery waits too")
  func seen() throws {
    let (open, base) = try flight()
    open.acknowledge(base: base, upTo: 0, sack: [3..<4])
    open.acknowledge(base: base, upTo: 0, sack: [1..<2, 3..<4])
    #expect(open.info.reorderingSeen == 1)
    open.acknowledge(base: base, upTo: 0, sack: [1..<2, 3..<9])
    #expect(open.info.lost == 0)
    open.peer.advance(.milliseconds(28))
    #expect(open.info.lost == 2 && isRecovering(open))
    #expect(open.sent(from: base) == [0])
  }

  @Test("RFC 8985 6.2 tcp_max_reordering: more is not believed")
  func mostReordering() throws {
    let (open, base) = try flight("tcp_max_reordering", "4")
    open.acknowledge(base: base, upTo: 0, sack: [8..<9])
    open.acknowledge(base: base, upTo: 0, sack: [1..<2, 8..<9])
    #expect(open.info.reordering == 4)
  }

  @Test("RFC 8985 6.2 no longer than the retransmission timer would wait")
  func clamped() throws {
    let (open, base) = try flight()
    open.inspect {
      $0.sender.rack = RACK()
      for _ in 0..<200 {
        $0.sender.rack.sawDuplicate = true
        $0.sender.rack.adapt(priorDelivered: 0, delivered: 0)
      }
    }
    open.inspect { $0.sender.recovery.reorderSeen = 1 }
    open.acknowledge(base: base, upTo: 0, sack: [1..<2])
    // The window is the smoothed RTT at most.
    #expect(open.info.timer?.remaining == .milliseconds(102))
  }

  // MARK: Which transmission arrived

  @Test(
    "RFC 8985 6.2 step 2: sent again and there sooner than anything can be: the original, which tells no time"
  )
  func ambiguous() throws {
    let (open, base) = try flight()
    open.acknowledge(base: base, upTo: 0, sack: [4..<7])
    #expect(open.sent(from: base) == [0, 1, 2])
    open.peer.advance(.milliseconds(30))
    open.acknowledge(base: base, upTo: 1, sack: [4..<7])
    let isOld = open.inspect { $0.sender.rack.rtt } == .milliseconds(100)
    #expect(isOld)
    #expect(open.counter(.TcpExtTCPLostRetransmit) == 0)
  }

  @Test(
    "RFC 8985 6.2 a retransmission that arrives tells that what was sent again with it, and is not there, is lost again"
  )
  func lostAgain() throws {
    let (open, base) = try flight()
    open.acknowledge(base: base, upTo: 0, sack: [4..<7])
    #expect(open.sent(from: base) == [0, 1, 2])
    open.peer.advance(.milliseconds(100))
    #expect(open.counter(.TcpExtTCPLostRetransmit) == 0)
    // The last of the three arrived.
    open.acknowledge(base: base, upTo: 0, sack: [2..<3, 4..<7])
    #expect(open.counter(.TcpExtTCPLostRetransmit) == 2)
    #expect(open.sent(from: base).first == 0)
    #expect(open.counter(.TcpExtTCPTimeouts) == 0)
  }

  @Test("RFC 8985 what the timer sent again is lost again: that is another loss, and recovery begins")
  func lostAfterTimeout() throws {
    let open = try Connection.withSACK(rtt: .milliseconds(100))
    try open.peer.host.stack.set("net.ipv4.tcp_frto", to: "0")
    let base = try open.flight(10)
    open.timeOut()
    #expect(open.sent(from: base) == [0])
    open.inspect { $0.sender.window.segments = 4 }
    open.peer.advance(.milliseconds(100))
    // The head again, and three more.
    open.acknowledge(base: base, upTo: 0, sack: [8..<9])
    #expect(open.sent(from: base).count > 1)
    open.peer.advance(.milliseconds(100))
    open.acknowledge(base: base, upTo: 0, sack: [2..<3, 8..<9])
    #expect(open.counter(.TcpExtTCPLostRetransmit) > 0)
    #expect(isRecovering(open))
  }

  @Test("RFC 3522 an answer to the original tells no time of the retransmission")
  func answeredOriginal() throws {
    let (open, base) = try flight(timestamps: true)
    open.echo = open.inspect { $0.sender.timestamp($0.sender.lastSent) }
    open.acknowledge(base: base, upTo: 0, sack: [4..<7])
    #expect(open.sent(from: base) == [0, 1, 2])
    open.peer.advance(.milliseconds(150))
    open.acknowledge(base: base, upTo: 1, sack: [4..<7])
    let rtt = open.inspect { $0.sender.rack.rtt }
    #expect(rtt == .milliseconds(100))
  }

  // MARK: D-SACK

  /// The window in quarters of a round trip.
  private func steps(_ open: Connection) -> Int { open.inspect { $0.sender.rack.steps } }

  @Test(
    "RFC 8985 6.2 step 4: D-SACK makes the window longer once for each round trip; without reordering it does not"
  )
  func adapts() throws {
    for isReordering in [true, false] {
      let (open, base) = try flight()
      open.inspect { $0.sender.recovery.reorderSeen = isReordering ? 1 : 0 }
      open.acknowledge(base: base, upTo: 0, sack: [4..<7])
      open.peer.advance(.milliseconds(130))
      #expect(open.info.totalRetransmissions > 0)
      open.acknowledge(base: base, upTo: 5, sack: [0..<1, 5..<7])
      #expect(steps(open) == (isReordering ? 2 : 1))
      guard isReordering else { continue }
      // Of the same round trip.
      open.acknowledge(base: base, upTo: 10, sack: [1..<2])
      #expect(steps(open) == 2)
    }
  }

  @Test("RFC 8985 6.2 step 4: tcp_recovery 2 leaves the window as it is")
  func isStatic() throws {
    let (open, base) = try flight("tcp_recovery", "3")
    open.inspect { $0.sender.recovery.reorderSeen = 1 }
    open.acknowledge(base: base, upTo: 0, sack: [4..<7])
    open.peer.advance(.milliseconds(100))
    open.acknowledge(base: base, upTo: 5, sack: [0..<1, 5..<7])
    #expect(steps(open) == 1)
  }

  @Test("RFC 8985 6.2 step 4: after sixteen recoveries that were not needless the window is a quarter again")
  func forgets() {
    var rack = RACK()
    rack.sawDuplicate = true
    rack.adapt(priorDelivered: 5, delivered: 9)
    rack.sawDuplicate = true
    // Sent before the window grew.
    rack.adapt(priorDelivered: 8, delivered: 12)
    #expect(rack.steps == 2)
    rack.sawDuplicate = true
    rack.adapt(priorDelivered: 9, delivered: 15)
    #expect(rack.steps == 3)
    #expect(rack.window(least: .milliseconds(100), smoothed: .milliseconds(200)) == .milliseconds(75))
    for _ in 0..<15 { rack.recovered() }
    rack.adapt(priorDelivered: 20, delivered: 25)
    #expect(rack.steps == 3)
    rack.recovered()
    rack.adapt(priorDelivered: 20, delivered: 25)
    #expect(rack.steps == 1)
  }

  @Test("RFC 2883 the D-SACK of what the same ACK acknowledges counts: a needless recovery is undone")
  func duplicateAcknowledged() throws {
    let (open, base) = try flight()
    open.acknowledge(base: base, upTo: 0, sack: [1..<4])
    #expect(isRecovering(open))
    open.peer.advance(.milliseconds(50))
    open.acknowledge(base: base, upTo: 4, sack: [0..<1])
    #expect(open.counter(.TcpExtTCPDSACKUndo) == 1)
    #expect(open.info.congestionState == .open)
  }

  // MARK: Timers

  @Test("RFC 8985 after a timeout only what was sent a round trip ago is lost")
  func timeout() throws {
    let open = try Connection.withSACK(rtt: .milliseconds(100))
    var base = try open.flight(1)
    open.peer.advance(.milliseconds(100))
    open.acknowledge(base: base, upTo: 1)
    base = try open.flight(3)
    open.peer.advance(.milliseconds(250))
    try open.socket.send([UInt8](repeating: 1, count: 1460))
    open.timeOut()
    #expect(open.info.lost == 3 && open.info.unacknowledged == 4)
  }

  @Test("RFC 5682 tcp_frto 0: a timeout is believed")
  func believed() throws {
    for probes in [true, false] {
      let open = try Connection.withSACK(rtt: .milliseconds(100))
      if !probes { try open.peer.host.stack.set("net.ipv4.tcp_frto", to: "0") }
      let base = try open.flight(10)
      open.timeOut()
      #expect(open.inspect { $0.sender.recovery.isProbingTimeout } == probes)
      _ = open.sent(from: base)
      open.acknowledge(base: base, upTo: 4)
      #expect(open.info.congestionState == (probes ? .open : .loss))
    }
  }

  @Test("RFC 8985 6.3 a SACK of what was sent before the head was sent again begins the timer anew")
  func rearmed() throws {
    let (open, base) = try flight()
    open.acknowledge(base: base, upTo: 0, sack: [1..<4])
    #expect(open.sent(from: base) == [0])
    open.peer.advance(.milliseconds(40))
    open.acknowledge(base: base, upTo: 0, sack: [1..<5])
    #expect(open.info.timer?.remaining == open.info.retransmissionTimeout)
  }
}
