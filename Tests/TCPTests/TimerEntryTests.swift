import SwiftStack
import TestSupport
import Testing
import Timers

@Suite("T12 timers", .everyVariation)
struct TimerEntryTests {
  private static func keepAlive(_ socket: Socket) throws {
    try socket.setsockopt(level: 1, name: 9, 1)
  }

  @Test("T12 an exchange a second with SO_KEEPALIVE keeps one timer for the connection, not one each")
  func exchanges() throws {
    let peer = try ScriptedPeer()
    let open = try ScriptedConnection(peer: peer, configure: Self.keepAlive)
    peer.advance(.seconds(1))
    let before = peer.host.timerCount
    for _ in 0..<300 {
      open.send([1, 2, 3])
      _ = try open.socket.receive(upTo: 16)
      _ = try open.socket.send([4, 5])
      _ = open.takeData()
      open.acknowledge()
      peer.advance(.seconds(1))
    }
    #expect(peer.host.timerCount <= before + 1)
    #expect(peer.host.timerCount <= 6)
  }

  @Test("T12 a connection that was reset has no timer though its socket is still open")
  func resetAndOpen() throws {
    let peer = try ScriptedPeer()
    peer.advance(.seconds(1))
    let before = peer.host.timerCount
    var sockets: [Socket] = []
    for _ in 0..<50 {
      let open = try ScriptedConnection(peer: peer, configure: Self.keepAlive)
      // The SYN's timer has fired; what stands in the queue now is keep-alive's, two hours ahead.
      peer.advance(.seconds(2))
      open.send([], flags: 0x14)
      sockets.append(open.socket)
    }
    peer.advance(.seconds(60))
    #expect(peer.host.timerCount <= before + 1)
    #expect(sockets.count == 50)
  }

  @Test("T12 connections that are reset take their timers along, keep-alive's two hours too")
  func reset() throws {
    let peer = try ScriptedPeer()
    peer.advance(.seconds(1))
    let before = peer.host.timerCount
    for _ in 0..<50 {
      let open = try ScriptedConnection(peer: peer, configure: Self.keepAlive)
      // The SYN's timer has fired; what stands in the queue now is keep-alive's, two hours ahead.
      peer.advance(.seconds(2))
      open.send([], flags: 0x14)
      open.socket.close()
    }
    peer.advance(.seconds(60))
    #expect(peer.host.timerCount <= before + 1)
  }

  @Test("T12 requests that are reset before they are connections take their timers along")
  func requests() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let server = try peer.host.stack.socket(.tcp)
    try server.bind(to: SocketAddress(.any, port: 80))
    try server.listen()
    peer.advance(.seconds(1))
    let before = peer.host.timerCount
    for number in 0..<50 {
      peer.port = UInt16(8000 + number)
      peer.send(0x02, sequence: Variation.current.peerSequence)
      #expect(try #require(peer.next()).isSyn)
      peer.send(0x04, sequence: Variation.current.peerSequence &+ 1)
    }
    #expect(peer.host.timerCount <= before + 8)
    withExtendedLifetime(server) {}
  }
}
