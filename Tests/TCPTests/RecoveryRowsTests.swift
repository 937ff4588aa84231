import IceModel
import NetNamespace
import SwiftStack
import TestSupport
import Testing

@testable import TCP

/// RFC 2018, 2883, 6675, 6937, 6582, 5682, 3522 on the sending side, one segment at a time.
@Suite("Recovery rows", .everyVariation)
struct RecoveryRowsTests {
  typealias Connection = ScriptedConnection

  @Test("RFC 6675 plain ACKs are not reordering, wherever the sequence numbers begin")
  func noReordering() throws {
    for seed in UInt64(1)...16 {
      let open = try Connection.withSACK(seed: seed)
      let base = try open.flight(10)
      open.acknowledge(base: base, upTo: 2)
      #expect(open.info.reordering == 3)
      #expect(open.info.reorderingSeen == 0)
    }
  }

  @Test("RFC 6675 an ACK that advances and SACKs three segments at once begins recovery")
  func advanceAndSACK() throws {
    let open = try Connection.withSACK()
    let base = try open.flight(10)
    open.acknowledge(base: base, upTo: 1, sack: [4..<5, 7..<10])
    #expect(open.sent(from: base) == [1, 2, 3, 5, 6])
    #expect(open.info.congestionState == .recovery)
    #expect(open.info.reordering == 3)
    #expect(open.counter(.TcpExtTCPSackRecovery) == 1)
    #expect(open.counter(.TcpExtTCPFastRetrans) == 5)
  }

  @Test("RFC 6675 a high mark from 2^31 bytes ago is not looked at")
  func staleHighMark() throws {
    let open = try Connection.withSACK()
    let base = try open.flight(10)
    open.inspect { $0.sender.scoreboard.forgetStaleMark(una: $0.sender.sndUna + 0x7000_0000) }
    open.acknowledge(base: base, upTo: 1)
    open.acknowledge(base: base, upTo: 1, sack: [3..<5])
    #expect(open.info.reordering == 3)
    #expect(
      open.inspect { $0.sender.scoreboard.highestSacked } == open.inspect { $0.sender.sndUna } + 4 * 1460)
  }

  @Test("RFC 6675 4 NextSeg: the lowest lost segment first, also when an ACK of the last one sent has news")
  func lowestFirst() throws {
    let open = try Connection.withSACK(rtt: .milliseconds(100))
    let base = try open.flight(10)
    open.peer.advance(.milliseconds(100))
    for end in 4...6 { open.acknowledge(base: base, upTo: 0, sack: [3..<end]) }
    #expect(open.info.lost == 3)
    #expect(open.sent(from: base) == [0])
    open.acknowledge(base: base, upTo: 1, sack: [3..<6, 7..<10])
    #expect(open.sent(from: base) == [1, 2, 6])
  }

  @Test("RFC 6675 what is first sent during recovery can be lost and sent again in it")
  func lossDuringRecovery() throws {
    let open = try Connection.withSACK()
    let base = try open.flight(10)
    open.acknowledge(base: base, upTo: 0, sack: [1..<10])
    _ = open.sent(from: base)
    try open.socket.send([UInt8](repeating: 2, count: 5 * 1460))
    #expect(open.sent(from: base).contains(10))
    open.acknowledge(base: base, upTo: 0, sack: [1..<10, 11..<14])
    #expect(open.info.congestionState == .recovery)
    #expect(open.sent(from: base).contains(10))
  }

  @Test("RFC 6937 the window shrinks by three of ten as segments are delivered, and ends at the threshold")
  func proportionalReduction() throws {
    let open = try Connection.withSACK(rtt: .milliseconds(100))
    open.inspect {
      $0.core.isSendBufferFixed = true
      $0.core.sendBuffer = 1 << 20
    }
    let base = try open.flight(40)
    try open.socket.send([UInt8](repeating: 2, count: 40 * 1460))
    _ = open.sent(from: base)
    open.peer.advance(.milliseconds(100))
    for end in 2...4 { open.acknowledge(base: base, upTo: 0, sack: [1..<end]) }
    #expect(open.info.slowStartThreshold == 28)
    var sent = open.sent(from: base).count
    // The fast retransmission goes whatever the reduction says.
    #expect(sent >= 1)
    for end in 5...40 {
      open.acknowledge(base: base, upTo: 0, sack: [1..<end])
      let count = open.sent(from: base).count
      #expect(count <= 1)
      sent += count
    }
    // 28 of 40 delivered segments.
    #expect((26...29).contains(sent))
    #expect(open.info.congestionWindow <= 29)
    let end = open.inspect { $0.sender.recovery.highSeq.rawValue }
    open.acknowledge(end)
    #expect(open.info.congestionState == .open)
    #expect((28...29).contains(open.info.congestionWindow))
  }

  @Test("RFC 6937 below the threshold: one more than was delivered for each ACK that advances without a loss")
  func slowStartReduction() throws {
    let open = try Connection.withSACK()
    try open.flight(4)
    open.inspect {
      $0.sender.recovery.priorWindow = 40
      $0.sender.window.threshold = 28
      $0.sender.recovery.prrDelivered = 0
      $0.sender.recovery.prrOut = 3
      $0.sender.reduceWindow(newlyDelivered: 2, newlyLost: 0, flags: .unaAdvanced)
    }
    #expect(open.info.congestionWindow == 4 + 3)
    open.inspect {
      $0.sender.recovery.prrDelivered = 0
      $0.sender.reduceWindow(newlyDelivered: 2, newlyLost: 1, flags: .unaAdvanced)
    }
    #expect(open.info.congestionWindow == 4 + 2)
  }

  @Test("RFC 6582 NewReno: state and window stay until something above the episode is acknowledged")
  func newReno() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let base = try open.flight(10)
    for _ in 0..<3 { open.acknowledge() }
    #expect(open.sent(from: base) == [0])
    #expect(open.counter(.TcpExtTCPRenoRecovery) == 1)
    open.acknowledge(base: base, upTo: 4)
    #expect(open.sent(from: base).first == 4)
    open.acknowledge(base: base, upTo: 10)
    #expect(open.info.congestionState == .recovery)
    try open.socket.send([1])
    _ = open.peer.all()
    open.acknowledge(base &+ 14601)
    #expect(open.info.congestionState == .open)
    #expect(open.info.congestionWindow == 7)
  }

  @Test("RFC 6582 more duplicate ACKs than segments outstanding: the network reorders")
  func renoReordering() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.flight(4)
    for _ in 0..<6 { open.acknowledge() }
    #expect(open.info.reordering == 4)
    #expect(open.info.sacked == 3)
    #expect(open.counter(.TcpExtTCPRenoReorder) > 0)
  }

  @Test("RFC 5681 data, and a new window, are no duplicate ACKs")
  func notDuplicates() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 60000)
    let base = try open.flight(10)
    for _ in 0..<4 { open.send([1]) }
    for _ in 0..<4 {
      open.window += 1
      open.acknowledge()
    }
    #expect(open.sent(from: base).isEmpty)
    #expect(open.info.sacked == 0)
  }

  @Test("RFC 2018 8 a SACKed head: not at once, but after half a round trip everything is sent again")
  func reneging() throws {
    let open = try Connection.withSACK(rtt: .milliseconds(100))
    let base = try open.flight(6)
    open.peer.advance(.milliseconds(100))
    open.inspect { $0.sender.recovery.reordering = 100 }
    open.acknowledge(base: base, upTo: 0, sack: [1..<6])
    open.acknowledge(base: base, upTo: 1)
    #expect(open.sent(from: base).isEmpty)
    #expect(open.counter(.TcpExtTCPSACKReneging) == 0)
    // Half a round trip, and 10 ms at least.
    open.peer.advance(.milliseconds(49))
    #expect(open.counter(.TcpExtTCPSACKReneging) == 0)
    open.peer.advance(.milliseconds(2))
    #expect(open.counter(.TcpExtTCPSACKReneging) == 1)
    #expect(open.sent(from: base) == [1])
    #expect(open.info.sacked == 0 && open.info.lost == 5)
  }

  @Test("RFC 6298 5.1 a FIN alone in flight is sent again")
  func finAlone() throws {
    let open = try Connection.withSACK()
    try open.socket.shutdown(write: true)
    let fin = try #require(open.peer.all().last)
    #expect(fin.isFin)
    open.peer.advance(.milliseconds(1500))
    #expect(open.peer.all().contains { $0.isFin && $0.sequence == fin.sequence })
  }

  @Test("RFC 9293 3.10.7.4 after a timeout a pure ACK still carries SND.NXT")
  func pureAckAfterTimeout() throws {
    let open = try Connection.withSACK()
    let base = try open.flight(5)
    open.peer.advance(.milliseconds(1100))
    #expect(open.info.congestionState == .loss)
    _ = open.peer.all()
    open.send([1])
    open.send([2])
    open.peer.advance(.milliseconds(50))
    let acks = open.peer.all().filter { $0.payload.isEmpty }
    #expect(!acks.isEmpty)
    #expect(acks.allSatisfy { $0.sequence == base &+ 5 * 1460 })
  }

  @Test("RFC 9293 3.8.6 the timer sends no byte beyond a window that has shrunk")
  func shrunkWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let base = try open.flight(3)
    open.window = 100
    open.acknowledge()
    open.peer.advance(.milliseconds(1500))
    let again = open.peer.all()
    #expect(!again.isEmpty)
    #expect(again.allSatisfy { $0.sequence == base && $0.payload.count == 100 })
  }

  @Test("T13 SACKs of single small segments do not blow up the queue")
  func splitLimit() throws {
    let open = try ScriptedConnection(
      peer: ScriptedPeer(), window: 65535, options: [2, 4, 0, 48, 1, 1, 4, 2, 1, 3, 3, 7]
    )
    open.inspect {
      $0.sender.window.segments = 20000
      $0.core.isSendBufferFixed = true
      $0.core.sendBuffer = 1 << 19
    }
    for _ in 0..<8 { _ = try? open.socket.send([UInt8](repeating: 1, count: 65536)) }
    open.acknowledge()
    let base = open.acknowledgment
    let sent = open.peer.all().map(\.payload.count).reduce(0, +)
    #expect(sent > 300_000)
    open.inspect { $0.sender.recovery.reordering = 300 }
    var segment = 2
    while (segment + 8) * 48 < sent {
      open.acknowledge(
        sack: (0..<3).map {
          (base &+ UInt32((segment + 2 * $0) * 48), base &+ UInt32((segment + 2 * $0 + 1) * 48))
        })
      _ = open.peer.all()
      segment += 6
    }
    #expect(open.counter(.TcpExtTCPWqueueTooBig) > 0)
    let limit = open.inspect { 2 * ($0.core.sendBuffer + 2 * 70000) }
    #expect(open.inspect { $0.sender.writeQueuedMemory } < limit + 10000)
    #expect(open.inspect { $0.brokenInvariant() } == nil)
  }

  @Test("T12 a full queue makes the sender reduce, and nothing is lost")
  func localCongestion() throws {
    let open = try Connection.withSACK()
    open.inspect { $0.sender.enterCongestionWindowReduced() }
    #expect(open.info.congestionState == .congestionWindowReduced)
    #expect(open.info.slowStartThreshold == 7)
    let base = try open.flight(10)
    open.acknowledge(base: base, upTo: 10)
    #expect(open.info.congestionState == .open)
    #expect((7...8).contains(open.info.congestionWindow))
  }

  @Test("TCPSpuriousRtxHostQueues what still waits in the ring is not sent twice")
  func stillQueued() throws {
    let open = try Connection.withSACK()
    var faults = FaultInjection()
    faults.isTransmitStalled = true
    open.peer.host.setFaults(faults)
    try open.socket.send([UInt8](repeating: 1, count: 1460))
    open.peer.advance(.milliseconds(1500))
    #expect(open.counter(.TcpExtTCPSpuriousRtxHostQueues) > 0)
    #expect(open.counter(.TcpRetransSegs) == 0)
    faults.isTransmitStalled = false
    open.peer.host.setFaults(faults)
    open.peer.advance(.milliseconds(5000))
    #expect(open.peer.all().contains { $0.payload.count == 1460 })
  }
}
