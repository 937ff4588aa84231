import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.10.7.4 which segments a connection takes", .everyVariation)
struct SegmentAcceptanceTests {
  private let sackOptions: [UInt8] = [2, 4, 5, 0xB4, 1, 1, 4, 2]
  private func text(_ string: String) -> [UInt8] { Array(string.utf8) }

  /// The stack's SYN, for a test that answers it.
  private func connecting(_ peer: ScriptedPeer) throws -> (Socket, ScriptedSegment) {
    let (socket, syn) = try peer.connecting()
    return (socket, syn)
  }

  @Test("RFC 7323 3.2 a SYN-ACK that echoes a time we never sent is refused", arguments: [1_000_000, -1])
  func foreignEcho(_ distance: Int32) throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try connecting(peer)
    let sent = try #require(syn.timestamps).value
    func answer(_ echo: UInt32) {
      peer.send(
        0x12, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &+ 1,
        options: [1, 1, 8, 10, 0, 0, 0, 9] + ScriptedPeer.bytes(echo))
    }
    answer(sent &+ UInt32(bitPattern: distance))
    let reset = try #require(peer.next())
    #expect(reset.flags == 0x04)
    #expect(reset.sequence == syn.sequence &+ 1)
    #expect(peer.host.counter("TcpExtPAWSActive") == 1)
    peer.advance(.milliseconds(5))
    answer(sent)
    #expect(peer.next()?.flags == 0x10)
    #expect(socket.readiness.contains(.writable))
  }

  @Test(
    "RFC 9293 3.10.7.3 SYN-SENT: an ACK of something else is reset, a reset without the right ACK ignored")
  func synSent() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try connecting(peer)
    peer.send(0x10, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence)
    #expect(peer.next()?.sequence == syn.sequence)
    peer.send(0x12, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &+ 2)
    let reset = try #require(peer.next())
    #expect(reset.flags == 0x04)
    #expect(reset.sequence == syn.sequence &+ 2)
    peer.send(0x04, sequence: Variation.current.peerSequence)
    peer.send(0x14, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &+ 2)
    #expect(peer.next() == nil)
    #expect(!socket.readiness.contains(.error))
    peer.send(0x14, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &+ 1)
    #expect(socket.takeError() == .ECONNREFUSED)
  }

  /// Leaves room for less than a segment. Returns how much that is, and what was sent.
  private func fill(_ open: ScriptedConnection) throws -> (room: Int, unread: Int) {
    var (room, unread) = (1460, 0)
    while room >= 1460 {
      open.send([UInt8](repeating: 1, count: 1000))
      unread += 1000
      open.peer.advance(.milliseconds(300))
      room = Int(try #require(open.peer.all().last).window)
    }
    return (room, unread)
  }

  @Test(
    "RFC 9293 3.10.7.4 what reaches beyond the window is not taken while the reader is behind, a FIN aside",
    arguments: [0x18, 0x19, 0x1C] as [UInt8])
  func beyondWindow(_ flags: UInt8) throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions) {
      try $0.setsockopt(level: 1, name: 8, 4600)
    }
    let (room, unread) = try fill(open)
    func send(_ count: Int, at place: UInt32 = 0) {
      open.peer.send(
        flags, sequence: open.sequence &+ place, acknowledgment: open.acknowledgment,
        payload: [UInt8](repeating: 2, count: count))
    }
    // Linux, the same: the ACK is the last one's, and none of the bytes are taken, in order or not.
    for (count, place) in [(room + 1, 0), (room - 9, 10)] {
      send(count, at: UInt32(place))
      let answer = open.peer.all()
      #expect(answer.map(\.acknowledgment) == (flags & 4 == 0 ? [open.sequence] : []))
      #expect(answer.allSatisfy { $0.sackBlocks.isEmpty })
    }
    #expect(open.peer.host.counter("TcpExtBeyondWindow") == (flags & 4 == 0 ? 2 : 0))
    #expect(open.socket.tcpInfo?.receiveQueue == unread)
    guard flags & 4 == 0 else { return }
    // One that ends at the edge is, and a FIN behind it takes no room.
    send(room)
    #expect(open.socket.tcpInfo?.receiveQueue == unread + room)
    #expect(open.socket.tcpInfo?.state == (flags & 1 == 1 ? .closeWait : .established))
  }

  @Test("RFC 9293 3.10.7.4 at a closed window an ACK counts that comes with data")
  func closedWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.setsockopt(level: 1, name: 8, 4600) }
    try open.socket.send([1, 2, 3])
    let (room, unread) = try fill(open)
    open.send([UInt8](repeating: 1, count: room))
    open.peer.advance(.milliseconds(300))
    #expect(open.peer.all().last?.window == 0)
    #expect(open.socket.tcpInfo?.sendQueue == 3)
    open.peer.send(
      0x18, sequence: open.sequence, acknowledgment: open.acknowledgment &+ 3, payload: [9])
    #expect(open.socket.tcpInfo?.sendQueue == 0)
    #expect(open.socket.tcpInfo?.receiveQueue == unread + room)
  }

  @Test("RFC 9293 3.10.7.4 who has read everything takes a segment that reaches beyond the window")
  func beyondWindowOfReader() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) {
      try $0.setsockopt(level: 6, name: 10, 1152)
    }
    let room = open.info.receiveWindow
    #expect(room < 1460)
    open.send([UInt8](repeating: 2, count: 1460))
    #expect(open.socket.tcpInfo?.receiveQueue == 1460)
  }

  @Test("R a SYN-ACK with FIN, with and without data: CLOSE-WAIT, end of stream, and our close ends it")
  func synAckWithFin() throws {
    for payload in [[], [7, 8]] as [[UInt8]] {
      let peer = try ScriptedPeer()
      let (socket, syn) = try connecting(peer)
      peer.send(
        0x13, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &+ 1, payload: payload)
      let next = Variation.current.peerSequence &+ 2 &+ UInt32(payload.count)
      #expect(peer.all().last?.acknowledgment == next)
      #expect(try #require(socket.tcpInfo).state.name == "CLOSE-WAIT")
      #expect(socket.readiness.contains(.readHangup))
      if !payload.isEmpty { #expect(try socket.receive(upTo: 10) == payload) }
      #expect(try socket.receive(upTo: 10).isEmpty)
      socket.close()
      let fin = try #require(peer.next())
      #expect(fin.isFin)
      peer.send(0x10, sequence: next, acknowledgment: fin.sequence &+ 1)
      peer.send(0x10, sequence: next, acknowledgment: fin.sequence &+ 1)
      #expect(peer.next()?.isRst == true)
    }
  }

  @Test(
    "RFC 1122 4.2.2.13 after close: data that was read and comes again with a FIN ends the connection in order"
  )
  func retransmissionAfterClose() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.send(text("old"))
    #expect(try open.socket.receive(upTo: 10) == text("old"))
    open.socket.close()
    let fin = try #require(open.peer.all().last)
    #expect(fin.isFin)
    open.peer.send(
      0x19, sequence: open.sequence &- 3, acknowledgment: fin.sequence &+ 1, payload: text("old"))
    let last = try #require(open.peer.all().last)
    #expect(!last.isRst)
    #expect(last.acknowledgment == open.sequence &+ 1)
  }

  @Test("RFC 1122 4.2.2.13 new data after close is reset with the number the peer expects, and counted")
  func newDataAfterClose() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.socket.close()
    let fin = try #require(open.peer.next())
    // The FIN has not arrived there yet.
    open.peer.send(0x18, sequence: open.sequence, acknowledgment: fin.sequence, payload: [1])
    let reset = try #require(open.peer.next())
    #expect(reset.isRst)
    #expect(reset.sequence == fin.sequence)
    #expect(open.peer.host.counter("TcpExtTCPAbortOnData") == 1)
  }

  @Test("R a reset with the number of the FIN before it ends CLOSE-WAIT, LAST-ACK and CLOSING")
  func resetBehindFin() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.send([], flags: 0x11)
    open.peer.send(0x04, sequence: open.sequence &- 1)
    #expect(open.socket.takeError() == .EPIPE)

    let lastAck = try ScriptedConnection(peer: ScriptedPeer())
    lastAck.send([], flags: 0x11)
    lastAck.socket.close()
    _ = lastAck.peer.all()
    lastAck.peer.send(0x04, sequence: lastAck.sequence &- 1)
    lastAck.peer.advance(.seconds(2))
    #expect(lastAck.peer.all().isEmpty)

    let closing = try ScriptedConnection(peer: ScriptedPeer())
    try closing.socket.shutdown(write: true)
    let fin = try #require(closing.peer.next())
    closing.peer.send(0x11, sequence: closing.sequence, acknowledgment: fin.sequence)
    _ = closing.peer.all()
    closing.peer.send(0x04, sequence: closing.sequence)
    #expect(closing.socket.takeError() == .ECONNRESET)

    // Without a FIN before it the number is merely old.
    let established = try ScriptedConnection(peer: ScriptedPeer())
    established.peer.send(0x04, sequence: established.sequence &- 1)
    #expect(established.peer.next() == nil)
    #expect(established.socket.takeError() == nil)
  }

  @Test("R a reset at the end of everything held out of order is exact, whichever block came last")
  func resetBehindHeldData() throws {
    for order in [[(0, 100), (200, 300)], [(200, 300), (0, 100)]] as [[(UInt32, UInt32)]] {
      let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions)
      let base = open.sequence &+ 100
      for (start, end) in order {
        open.peer.send(
          0x10, sequence: base &+ start, acknowledgment: open.acknowledgment,
          payload: [UInt8](repeating: 1, count: Int(end - start)))
      }
      _ = open.peer.all()
      open.peer.send(0x04, sequence: base &+ 100)
      #expect(open.socket.takeError() == nil)
      open.peer.send(0x04, sequence: base &+ 300)
      #expect(open.socket.takeError() == .ECONNRESET)
    }
  }

  @Test("RFC 5961 7 challenge ACKs are limited: one in 500 ms for a connection")
  func challengeLimit() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    for _ in 0..<50 { open.peer.send(0x02, sequence: open.sequence &+ 10) }
    #expect(open.peer.all().count == 1)
    open.peer.advance(.milliseconds(499))
    open.peer.send(0x04, sequence: open.sequence &+ 10)
    #expect(open.peer.all().isEmpty)
    open.peer.advance(.milliseconds(2))
    open.peer.send(0x04, sequence: open.sequence &+ 10)
    #expect(open.peer.all().count == 1)
    #expect(open.peer.host.counter("TcpExtTCPChallengeACK") == 2)
    #expect(open.peer.host.counter("TcpExtTCPSYNChallenge") == 50)
  }

  @Test(
    "RFC 9293 3.10.7.4 two ends that disagree do not answer each other for ever: 2 ACKs a second without data"
  )
  func ackLoop() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let old = open.sequence &- 1000
    for _ in 0..<20 { open.peer.send(0x10, sequence: old, acknowledgment: open.acknowledgment) }
    #expect(open.peer.all().count == 1)
    // Old data is another matter: each is answered, so that a sender whose ACKs were lost gets on.
    for _ in 0..<3 { open.peer.send(0x10, sequence: old, acknowledgment: open.acknowledgment, payload: [1]) }
    #expect(open.peer.all().count == 3)
  }

  @Test("RFC 5961 5.2 an ACK older than the largest window is challenged, a younger one may bring data")
  func oldAck() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 1000)
    // More than a window has been acknowledged.
    for _ in 0..<2 {
      try open.socket.send([UInt8](repeating: 1, count: 1000))
      #expect(open.takeData().count == 1000)
      open.acknowledge()
    }
    func data(_ acknowledgment: UInt32) {
      open.peer.send(
        0x18, sequence: open.sequence, acknowledgment: acknowledgment, window: 1000, payload: [5])
    }
    data(open.acknowledgment &- 1001)
    #expect(open.peer.next()?.acknowledgment == open.sequence)
    #expect(throws: SocketError("receive", .EAGAIN)) { _ = try open.socket.receive(upTo: 1) }
    data(open.acknowledgment &- 1000)
    #expect(try open.socket.receive(upTo: 1) == [5])
  }

  @Test("RFC 5961 5.2 an ACK of bytes from before the connection is challenged, however large the window")
  func ghostAck() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send([UInt8](repeating: 1, count: 100))
    #expect(open.takeData().count == 100)
    open.acknowledge()
    func data(_ acknowledgment: UInt32) {
      open.peer.send(0x18, sequence: open.sequence, acknowledgment: acknowledgment, payload: [5])
    }
    // The SYN and a hundred bytes.
    data(open.acknowledgment &- 102)
    #expect(open.peer.next()?.acknowledgment == open.sequence)
    #expect(throws: SocketError("receive", .EAGAIN)) { _ = try open.socket.receive(upTo: 1) }
    data(open.acknowledgment &- 101)
    #expect(try open.socket.receive(upTo: 1) == [5])
  }

  @Test("RFC 9293 3.10.7.4 an ACK of what was not sent: answered once, its data and window not believed")
  func futureAck() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.peer.send(
      0x18, sequence: open.sequence, acknowledgment: open.acknowledgment &+ 1, window: 0, payload: [5])
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    #expect(throws: SocketError("receive", .EAGAIN)) { _ = try open.socket.receive(upTo: 1) }
    try open.socket.send([9])
    #expect(open.peer.next()?.payload == [9])
  }

  @Test("RFC 9293 3.10.7.4 a segment without ACK is dropped in silence")
  func noAck() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.peer.send(0x08, sequence: open.sequence, payload: [5])
    #expect(open.peer.next() == nil)
    #expect(throws: SocketError("receive", .EAGAIN)) { _ = try open.socket.receive(upTo: 1) }
  }

  @Test("RFC 6633 RFC 1122 4.2.3.9 soft ICMP errors and Source Quench do not end or slow a connection")
  func softErrors() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send([UInt8](repeating: 1, count: 1000))
    let sent = try #require(open.peer.next())
    for (type, code) in [(4, 0), (3, 0), (3, 1), (3, 2), (3, 3), (3, 5), (11, 0), (12, 0)] as [(UInt8, UInt8)]
    {
      open.peer.sendICMP(type: type, code: code, quoting: sent, sequence: sent.sequence)
    }
    // SO_ERROR tells the latest, once; poll does not.
    #expect(!open.socket.readiness.contains(.error))
    #expect(open.socket.takeError() == .EPROTO && open.socket.takeError() == nil)
    let window = try #require(open.socket.tcpInfo).congestionWindow
    #expect(window == 10)
    open.acknowledge(sent.sequence &+ 1000)
    try open.socket.send([2])
    #expect(open.peer.next()?.payload == [2])
  }

  @Test("RFC 5927 4.1 an ICMP error is believed only if it quotes what is in flight")
  func icmpValidation() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try connecting(peer)
    peer.sendICMP(type: 3, code: 3, quoting: syn, sequence: syn.sequence &- 1)
    peer.sendICMP(type: 3, code: 3, quoting: syn, sequence: syn.sequence &+ 2)
    #expect(socket.takeError() == nil)
    peer.sendICMP(type: 3, code: 3, quoting: syn, sequence: syn.sequence)
    #expect(socket.takeError() == .ECONNREFUSED)

    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send([UInt8](repeating: 1, count: 1000))
    let sent = try #require(open.peer.next())
    open.peer.sendICMP(type: 3, code: 4, quoting: sent, sequence: sent.sequence &- 5000, rest: 600)
    open.peer.sendICMP(type: 3, code: 4, quoting: sent, sequence: sent.sequence &+ 5000, rest: 600)
    #expect(open.peer.next() == nil)
    open.peer.sendICMP(type: 3, code: 4, quoting: sent, sequence: sent.sequence, rest: 600)
    #expect(open.peer.next()?.payload.count == 560)
  }
}
