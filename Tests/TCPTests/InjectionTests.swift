import SwiftStack
import TestSupport
import Testing

/// What somebody who sees nothing of a connection can do to it by guessing (RFC 5961, CVE-2004-0230, CVE-2016-5696).
///
/// Elsewhere: options of every kind, length and place (WireTests' `TCPOptionsTests`, and against a kernel NetnsTests'
/// `PortScans`); the exact rules, one number beside another, in `SegmentAcceptanceTests`, `ReceiveTests` and `HalfOpenTests`
/// (resets, SYNs and ACKs of RFC 5961, one challenge ACK in 500 ms, ICMP errors of RFC 5927); `SegmentCornerTests` has what
/// lies at the edges of a window, `MinimumTTLTests` RFC 5082, `SignatureTests` and `AuthenticationTests` what is signed.
@Suite("RFC 5961 blind injection")
struct InjectionTests {
  /// A connection on which we have sent and received a little, with a window of 64 KiB towards us.
  private func open() throws -> ScriptedConnection {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.send([1, 2, 3])
    #expect(try open.socket.receive(upTo: 10) == [1, 2, 3])
    try open.socket.send([4, 5])
    _ = open.takeData()
    open.acknowledge()
    open.peer.advance(.seconds(1))
    _ = open.peer.all()
    return open
  }

  /// Distances from the right number all around the sequence space, two in the window among them.
  private static let guesses = [10] + (0..<16384).map { UInt32($0) << 18 | 0x8000 }

  @Test(
    "RFC 5961 3 4 resets and SYNs at 16,385 places of the sequence space end nothing, and one answer goes",
    arguments: [0x04, 0x14, 0x02, 0x12, 0x06] as [UInt8])
  func sweep(flags: UInt8) throws {
    let open = try open()
    for guess in Self.guesses {
      open.peer.send(flags, sequence: open.sequence &+ guess, acknowledgment: open.acknowledgment)
    }
    let answers = open.peer.all().count
    #expect(answers <= 1)
    #expect(open.peer.host.counter("TcpExtTCPChallengeACK") == answers)
    // It goes on, both ways.
    open.send([6])
    #expect(try open.socket.receive(upTo: 10) == [6])
    try open.socket.send([7])
    #expect(open.peer.all().last?.payload == [7])
  }

  @Test("RFC 5961 5 data in order with ACKs at 16,385 places of the sequence space: none is taken")
  func data() throws {
    let open = try open()
    for guess in Self.guesses {
      // Of what was never sent, or of what was acknowledged more than a window ago or before there was a connection.
      open.peer.send(
        0x18, sequence: open.sequence, acknowledgment: open.acknowledgment &+ guess, payload: [0xBA])
    }
    let answers = open.peer.all()
    #expect(answers.count <= 1)
    #expect(throws: SocketError("receive", .EAGAIN)) { _ = try open.socket.receive(upTo: 1) }
    open.send([6])
    #expect(try open.socket.receive(upTo: 10) == [6])
  }

  @Test("RFC 5961 7 CVE-2016-5696: what others were answered does not tell on one's own connection")
  func sideChannel() throws {
    let peer = try ScriptedPeer()
    var all: [ScriptedConnection] = []
    for _ in 0..<300 { all.append(try ScriptedConnection(peer: peer)) }
    func provoke(_ connection: ScriptedConnection) throws -> Int {
      var reset = ScriptedSegment(0x04, sequence: connection.sequence &+ 10)
      reset.destinationPort = try connection.socket.localAddress.port
      peer.send(reset)
      return peer.all().count
    }
    peer.advance(.seconds(1))
    _ = peer.all()
    // The victims', in the same instant and more than any number that all could share.
    var answers = 0
    for victim in all.dropLast() { answers += try provoke(victim) }
    #expect(answers == 299)
    // The attacker's own is answered as if there were no others.
    #expect(try provoke(all[299]) == 1)
    #expect(try provoke(all[299]) == 0)
  }

  @Test("land: a SYN in the name of the listener itself is a martian: no answer, nothing kept")
  func land() throws {
    let listening = try ListeningPeer()
    let peer = listening.peer
    let before = peer.host.buffersInUse
    for own in [
      [10, 0, 0, 2], [127, 0, 0, 1], [0, 0, 0, 0], [255, 255, 255, 255], [224, 0, 0, 1], [10, 0, 0, 255],
    ]
      as [[UInt8]]
    {
      var syn = FramePeer.tcp(2, from: 80, to: 80, sequence: 1)
      syn[16...17] = [0, 0]
      let sum = ScriptedPeer.checksum(
        own + [10, 0, 0, 2, 0, 6] + ScriptedPeer.bytes(UInt16(syn.count)) + syn)
      syn[16...17] = ScriptedPeer.bytes(sum)[...]
      peer.host.receive(ScriptedPeer.frame(protocol: 6, syn, source: own))
      peer.advance(.seconds(5))
      #expect(peer.all().isEmpty && peer.otherFrames.isEmpty, "\(own)")
    }
    #expect(peer.host.buffersInUse == before)
    #expect(peer.host.counter("TcpExtListenDrops") + peer.host.counter("TcpPassiveOpens") == 0)
    // The listener listens.
    peer.complete(try listening.open())
    _ = try listening.server.accept()
  }

  @Test("ACK storm: two connections that each believe the other wrong end at two ACKs a second")
  func storm() throws {
    // An attacker has injected different bytes into both directions: each end acknowledges what the other has not sent, so
    // that each ACK is answered by one, for ever, where nothing limits them.
    let one = try ScriptedConnection(peer: ScriptedPeer(seed: 1))
    let two = try ScriptedConnection(peer: ScriptedPeer(seed: 2))
    one.send([UInt8](repeating: 1, count: 100))
    two.send([UInt8](repeating: 1, count: 100))
    _ = (one.peer.all(), two.peer.all())
    var count = 0
    // What one says is put to the other in its own numbers, ahead of and behind what that one knows.
    func reflect(_ from: ScriptedConnection, _ to: ScriptedConnection) -> Int {
      let segments = from.peer.all()
      for segment in segments where segment.isAck {
        to.peer.send(
          0x10, sequence: to.sequence &- 100 &+ (segment.sequence &- from.acknowledgment),
          acknowledgment: to.acknowledgment &+ 50)
      }
      return segments.count
    }
    one.peer.send(0x10, sequence: one.sequence &- 100, acknowledgment: one.acknowledgment &+ 50)
    for _ in 0..<100 {
      for _ in 0..<10 { count += reflect(one, two) + reflect(two, one) }
      one.peer.advance(.milliseconds(100))
      two.peer.advance(.milliseconds(100))
      // Lest it should die of itself.
      one.peer.send(0x10, sequence: one.sequence &- 100, acknowledgment: one.acknowledgment &+ 50)
    }
    #expect(count > 5)
    #expect(count <= 2 * 2 * 10 + 2)
  }

  @Test("R a segment whose options cannot be read gets no answer, be its port open, closed or a connection's")
  func malformedOptions() throws {
    let listening = try ListeningPeer()
    let peer = listening.peer
    // A length of 0 where a signature could still follow, and where none could.
    let early: [UInt8] = [2, 0] + [UInt8](repeating: 1, count: 18)
    let late: [UInt8] = [UInt8](repeating: 1, count: 6) + [2, 0]
    func answers(_ flags: UInt8, to port: UInt16, _ options: [UInt8], sequence: UInt32 = 7) -> [UInt8] {
      var segment = ScriptedSegment(flags, sequence: sequence)
      segment.options = options
      segment.destinationPort = port
      peer.send(segment)
      return peer.all().map(\.flags)
    }
    #expect(answers(2, to: 80, early).isEmpty && answers(2, to: 81, early).isEmpty)
    #expect(peer.host.counter("TcpInSegs") == 2 && peer.host.counter("TcpInErrs") == 0)
    #expect(answers(2, to: 81, late) == [0x14] && answers(2, to: 80, late) == [0x12])
    // Nor does it reset what there is.
    #expect(answers(4, to: 80, early, sequence: 8).isEmpty)
    #expect(answers(2, to: 80, late) == [0x12])
  }
}
