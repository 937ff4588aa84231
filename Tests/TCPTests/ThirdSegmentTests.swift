import SwiftStack
import TestSupport
import Testing

/// What a handshake leaves: when its third segment goes, and what the receiver starts with. As a kernel (6.18) has it.
@Suite("R the end of a handshake", .everyVariation)
struct ThirdSegmentTests {
  private func connecting(_ name: Int32, _ value: Int32) throws -> (ScriptedPeer, Socket, ScriptedSegment) {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.setsockopt(level: 6, name: name, value)
    try? socket.connect(to: ScriptedPeer.address)
    let syn = try #require(peer.next())
    peer.hostPort = syn.sourcePort
    peer.send(
      0x12, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &+ 1,
      options: [2, 4, 5, 0xB4])
    return (peer, socket, syn)
  }

  @Test(
    "T11 who sets TCP_DEFER_ACCEPT or takes TCP_QUICKACK away sends data with the handshake's third segment",
    arguments: [(TCPOptionName.deferAccept, 1), (TCPOptionName.quickAck, 0)] as [(Int32, Int32)])
  func withData(_ name: Int32, _ value: Int32) throws {
    let (peer, socket, syn) = try connecting(name, value)
    #expect(peer.next() == nil)
    #expect(socket.readiness.contains(.writable))
    peer.advance(.milliseconds(150))
    #expect(peer.next() == nil)
    try socket.send([1, 2, 3])
    let sent = peer.all()
    #expect(sent.count == 1 && sent[0].payload == [1, 2, 3] && sent[0].sequence == syn.sequence &+ 1)
    #expect(sent[0].acknowledgment == Variation.current.peerSequence &+ 1)
    peer.advance(.milliseconds(100))
    #expect(peer.next() == nil)
  }

  @Test(
    "T11 the third segment goes after 200 ms when there is nothing to go with",
    arguments: [(TCPOptionName.deferAccept, 1), (TCPOptionName.quickAck, 0)] as [(Int32, Int32)])
  func withoutData(_ name: Int32, _ value: Int32) throws {
    let (peer, socket, _) = try connecting(name, value)
    // What comes next is acknowledged at once: the socket is in no conversation any more.
    #expect(try socket.getsockopt(level: 6, name: TCPOptionName.quickAck) == [1, 0, 0, 0])
    peer.advance(.milliseconds(199))
    #expect(peer.next() == nil)
    peer.advance(.milliseconds(2))
    let ack = try #require(peer.next())
    #expect(ack.isAck && ack.payload.isEmpty && ack.acknowledgment == Variation.current.peerSequence &+ 1)
    #expect(try socket.getsockopt(level: 6, name: TCPOptionName.quickAck) == [1, 0, 0, 0])
  }

  @Test("R the window stays a segment below the buffer, and time stamps are no payload")
  func initialSpace() throws {
    let plain = try ScriptedConnection(peer: ScriptedPeer())
    func clamp(_ socket: Socket) throws -> Int {
      let bytes = try socket.getsockopt(level: 6, name: TCPOptionName.windowClamp)
      return bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    // Half of 131,072 bytes. Without a scale the field's 16 bits are all there is.
    #expect(try clamp(plain.socket) == 65536 - 1460)
    #expect(plain.socket.tcpInfo?.advertisedMSS == 1460 && plain.socket.tcpInfo?.receiveMSS == 536)
    let stamped = try ScriptedConnection(peer: ScriptedPeer(), timestamps: true)
    #expect(try clamp(stamped.socket) == 65536 - 1448)
    #expect(stamped.socket.tcpInfo?.advertisedMSS == 1448)
    let small = try ScriptedConnection(peer: ScriptedPeer()) {
      try $0.setsockopt(level: 1, name: SocketOptionName.receiveBuffer, 3000)
    }
    #expect(try clamp(small.socket) == 2 * 1460)
  }

  @Test("R the peer's segments are taken for 88 bytes before it has answered, and for 536 whatever its scale")
  func initialSegment() throws {
    let peer = try ScriptedPeer()
    let (opening, _) = try peer.connecting()
    #expect(opening.tcpInfo?.receiveMSS == 88)
    let other = try ScriptedPeer()
    let listener = try other.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 7777))
    try listener.listen()
    other.hostPort = 7777
    let answer = try other.open(options: [2, 4, 5, 0xB4, 3, 3, 7])
    // 64,128 bytes, in units of 128.
    other.send(
      0x10, sequence: answer.acknowledgment, acknowledgment: answer.sequence &+ 1, window: 501)
    #expect(try listener.accept().tcpInfo?.receiveMSS == 536)
  }
}
