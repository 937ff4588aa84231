import SwiftStack
import TestSupport
import Testing

@Suite("S options of a stream that act", .everyVariation)
struct OptionEffectTests {
  private func data(_ count: Int) -> [UInt8] { [UInt8](repeating: 7, count: count) }

  @Test("SO_RCVLOWAT: poll says readable only when that much is there, or nothing more can come")
  func receiveLowWater() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.setsockopt(level: 1, name: 18, 300)
    open.send(data(200))
    #expect(!open.socket.readiness.contains(.readable))
    open.send(data(99))
    #expect(!open.socket.readiness.contains(.readable))
    open.send(data(1))
    #expect(open.socket.readiness.contains(.readable))
    // A non-blocking read takes what is there all the same.
    #expect(try open.socket.receive(upTo: 250).count == 250)
    #expect(!open.socket.readiness.contains(.readable))
    #expect(try open.socket.receive(upTo: 250).count == 50)
  }

  @Test("SO_RCVLOWAT: the end of the stream is readable whatever the mark")
  func lowWaterAtEnd() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.setsockopt(level: 1, name: 18, 300)
    open.send(data(10), flags: 0x11)
    #expect(open.socket.readiness.contains(.readable))
  }

  @Test("IP_RECVERR on a stream: an ICMP error is reported at once, and the connection goes on")
  func receiveErrors() throws {
    for wants in [false, true] {
      let open = try ScriptedConnection(peer: ScriptedPeer())
      if wants { try open.socket.setsockopt(level: 0, name: 11, 1) }
      try open.socket.send(data(100))
      let segment = try #require(open.peer.next())
      open.peer.sendICMP(type: 3, code: 1, about: segment)
      // Without it the error is soft: SO_ERROR tells it to who asks, and nothing else does.
      #expect(open.socket.readiness.contains(.error) == wants)
      #expect(open.socket.takeError() == .EHOSTUNREACH)
      #expect(open.socket.takeError() == nil)
      open.acknowledge(open.acknowledgment &+ 100)
      try open.socket.send(data(50))
      #expect(open.peer.all().map(\.payload.count) == [50])
    }
  }

  @Test("TCP_DEFER_ACCEPT: a bare ACK is not enough, data is")
  func deferAcceptWaitsForData() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let listener = try deferring(peer, seconds: 3)
    let own = try peer.handshake().sequence
    #expect(throws: SocketError.self) { try listener.accept() }
    peer.send(0x18, sequence: Variation.current.peerSequence &+ 1, acknowledgment: own &+ 1, payload: data(5))
    let child = try listener.accept()
    child.isNonBlocking = true
    #expect(try child.receive(upTo: 10) == data(5))
  }

  @Test("TCP_DEFER_ACCEPT: an ACK behind data that was lost is enough, what was sent before the SYN is not")
  func deferAcceptTellsDataFromACK() throws {
    let listening = try ListeningPeer { try $0.setsockopt(level: 6, name: 9, 30) }
    let answer = try listening.open()
    listening.peer.send(
      0x18, sequence: listening.sequence &- 10, acknowledgment: answer.sequence &+ 1,
      payload: [UInt8](repeating: 1, count: 10))
    #expect(throws: SocketError.self) { _ = try listening.server.accept() }
    listening.peer.send(0x10, sequence: listening.sequence &+ 10, acknowledgment: answer.sequence &+ 1)
    #expect(throws: Never.self) { _ = try listening.server.accept() }
  }

  @Test("TCP_DEFER_ACCEPT: no SYN-ACK is sent while it waits, one at its end, and then a bare ACK is enough")
  func deferAcceptEnds() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    // Seven seconds are three retransmissions: after 1, 3 and 7 s.
    let listener = try deferring(peer, seconds: 7)
    let own = try peer.handshake().sequence
    peer.advance(.milliseconds(6500))
    #expect(peer.all().isEmpty)
    peer.advance(.milliseconds(1000))
    #expect(peer.all().map(\.flags) == [0x12])
    #expect(throws: SocketError.self) { try listener.accept() }
    peer.send(0x10, sequence: Variation.current.peerSequence &+ 1, acknowledgment: own &+ 1)
    _ = try listener.accept()
  }

  private func deferring(_ peer: ScriptedPeer, seconds: Int32) throws -> Socket {
    let listener = try peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.setsockopt(level: 6, name: 9, seconds)
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen()
    return listener
  }
}
