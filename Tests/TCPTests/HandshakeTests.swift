import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.5 opening a connection", .everyVariation)
struct HandshakeTests {
  @Test("T11 SYN options: MSS 1460, SACK permitted, timestamps, window scale, in Linux's order")
  func synOptions() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    #expect(throws: SocketError.self) { try socket.connect(to: ScriptedPeer.address) }
    let syn = try #require(peer.next())
    #expect(syn.flags == 0x02)
    #expect(Array(syn.options[0..<8]) == [2, 4, 0x05, 0xB4, 4, 2, 8, 10])
    #expect(Array(syn.options[16..<19]) == [1, 3, 3])
    #expect(syn.options.count == 20)
    #expect(syn.timestamps?.echo == 0)
  }

  @Test("RFC 9293 3.10.7.1: a SYN to a closed port is reset; a reset is not answered")
  func closedPort() throws {
    let peer = try ScriptedPeer(hostPort: 81)
    peer.send(0x02, sequence: Variation.current.peerSequence)
    let reset = try #require(peer.next())
    #expect(reset.flags == 0x14)
    #expect(reset.sequence == 0)
    #expect(reset.acknowledgment == Variation.current.peerSequence &+ 1)
    peer.send(0x10, sequence: 1, acknowledgment: 77)
    let second = try #require(peer.next())
    #expect(second.flags == 0x04)
    #expect(second.sequence == 77)
    peer.send(0x04, sequence: Variation.current.peerSequence)
    #expect(peer.next() == nil)
  }

  private func listener(_ peer: ScriptedPeer, backlog: Int = 16) throws -> Socket {
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: peer.hostPort))
    try socket.listen(backlog: backlog)
    return socket
  }

  @Test("R passive open: SYN, SYN-ACK, ACK, then accept gives the connection")
  func passive() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let server = try listener(peer)
    let answer = try peer.open(options: [2, 4, 5, 0xB4])
    #expect(answer.flags == 0x12)
    #expect(answer.acknowledgment == Variation.current.peerSequence &+ 1)
    #expect(answer.options == [2, 4, 0x05, 0xB4])
    #expect(throws: SocketError("accept", .EAGAIN)) { _ = try server.accept() }
    peer.complete(answer)
    let connection = try server.accept()
    #expect(try connection.remoteAddress == SocketAddress(IPv4Address(10, 0, 0, 1), port: 7000))
  }

  @Test("R ECN SYN: a SYN with ECE and CWR gets a SYN-ACK that grants ECN, not a reset (RFC 3168 6.1.1)")
  func ecnSyn() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let server = try listener(peer)
    peer.send(0x02 | 0x40 | 0x80, sequence: Variation.current.peerSequence)
    #expect(try #require(peer.next()).flags == 0x52)
    withExtendedLifetime(server) {}
  }

  @Test("R a connection without timestamps after one with")
  func timestampsThenNone() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let server = try listener(peer)
    peer.send(0x02, sequence: Variation.current.peerSequence, options: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0])
    #expect(try #require(peer.next()).timestamps != nil)
    peer.port = 7001
    peer.send(0x02, sequence: Variation.current.peerSequence)
    let plain = try #require(peer.next())
    #expect(plain.option(8) == nil)
    peer.complete(plain)
    let connection = try server.accept()
    try connection.send(Array("x".utf8))
    #expect(try #require(peer.next()).option(8) == nil)
  }

  @Test("R SYN-ACK is sent again after 1, 2, 4 s and the request is forgotten in the end")
  func synAckRetransmission() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let server = try listener(peer)
    peer.send(0x02, sequence: Variation.current.peerSequence)
    _ = peer.next()
    peer.advance(.milliseconds(1100))
    #expect(peer.all().count == 1)
    peer.advance(.milliseconds(2000))
    #expect(peer.all().count == 1)
    peer.advance(.seconds(200))
    #expect(peer.all().count == 3)
    // The late ACK is for nobody.
    peer.send(0x10, sequence: Variation.current.peerSequence &+ 1, acknowledgment: 1)
    #expect(try #require(peer.next()).isRst)
    withExtendedLifetime(server) {}
  }

  @Test("R a SYN-ACK that goes again names the MSS of the way as it is then")
  func synAckAfterRouteChange() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let server = try listener(peer)
    peer.send(0x02, sequence: Variation.current.peerSequence)
    #expect(try #require(peer.next()).option(2) == [0x05, 0xB4])
    let way = try #require(IPv4Prefix("10.0.0.1/32"))
    try peer.host.stack.apply(.addRoute(RouteEntry(way, mtu: 1000)))
    peer.advance(.milliseconds(1100))
    #expect(try #require(peer.next()).option(2) == [0x03, 0xC0])
    withExtendedLifetime(server) {}
  }

  @Test("R listen backlog: connections beyond it get no SYN-ACK")
  func backlog() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let server = try listener(peer, backlog: 1)
    var opened = 0
    for index in 0..<4 {
      peer.port = UInt16(8000 + index)
      peer.send(0x02, sequence: Variation.current.peerSequence)
      guard let answer = peer.next() else { continue }
      peer.complete(answer)
      opened += 1
    }
    // Linux lets backlog + 1 wait.
    #expect(opened == 2)
    let accepted = try server.accept()
    peer.port = 8100
    peer.send(0x02, sequence: Variation.current.peerSequence)
    #expect(peer.next()?.isSyn == true)
    withExtendedLifetime(accepted) {}
  }

  @Test("RFC 9293 3.5 figure 7: simultaneous open")
  func simultaneous() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    peer.send(0x02, sequence: Variation.current.peerSequence)
    let answer = try #require(peer.next())
    #expect(answer.flags == 0x12)
    #expect(answer.sequence == syn.sequence)
    #expect(answer.acknowledgment == Variation.current.peerSequence &+ 1)
    peer.send(0x10, sequence: Variation.current.peerSequence &+ 1, acknowledgment: syn.sequence &+ 1)
    #expect(socket.readiness.contains(.writable))
    try socket.send(Array("hello".utf8))
    #expect(try #require(peer.next()).payload == Array("hello".utf8))
  }

  @Test(
    "RFC 9293 3.5 simultaneous open: the SYN-ACK offers what the SYN did, though the peer's SYN offers nothing"
  )
  func simultaneousOffer() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    peer.send(0x02, sequence: Variation.current.peerSequence)
    let answer = try #require(peer.next())
    for kind in [UInt8(2), 4, 8] {
      #expect((answer.option(kind) == nil) == (syn.option(kind) == nil) && syn.option(kind) != nil)
    }
    withExtendedLifetime(socket) {}
  }

  @Test("T2 a refused connection: ECONNREFUSED")
  func refused() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    peer.send(0x14, sequence: 0, acknowledgment: syn.sequence &+ 1)
    #expect(socket.readiness.contains(.error))
    #expect(socket.takeError() == .ECONNREFUSED)
  }

  @Test(
    "T2 nobody answers: SYN again after 1, 2, 3, 4, 5, 7, 11, 19, 35, 67 s, then ETIMEDOUT (tcp_syn_linear_timeouts)"
  )
  func timedOut() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try? socket.connect(to: ScriptedPeer.address)
    #expect(peer.next()?.isSyn == true)
    #expect(peer.timeline(for: .seconds(130)).map(\.second) == [1, 2, 3, 4, 5, 7, 11, 19, 35, 67])
    #expect(socket.takeError() == nil)
    peer.advance(.milliseconds(1100))
    #expect(socket.takeError() == .ETIMEDOUT)
  }

  @Test("N2 a host that does not exist: EHOSTUNREACH after three requests, about three seconds")
  func unreachable() throws {
    let peer = try ScriptedPeer()
    peer.answersARP = false
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try? socket.connect(to: ScriptedPeer.address)
    peer.advance(.milliseconds(2900))
    #expect(!socket.readiness.contains(.error))
    peer.advance(.milliseconds(300))
    #expect(socket.takeError() == .EHOSTUNREACH)
  }

  @Test("RFC 6298 5.7 after a lost SYN data is not held by the old timer")
  func slowHandshake() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try? socket.connect(to: ScriptedPeer.address)
    peer.advance(.milliseconds(1100))
    let syns = peer.all()
    #expect(syns.count == 2)
    peer.hostPort = syns[0].sourcePort
    peer.send(
      0x12, sequence: Variation.current.peerSequence, acknowledgment: syns[0].sequence &+ 1,
      options: [2, 4, 5, 0xB4])
    #expect(peer.next()?.isAck == true)
    try socket.send([UInt8](repeating: 1, count: 4000))
    #expect(peer.all().map(\.payload.count) == [1460, 1460, 1080])
    // Lost: sent again within the fallback of 3 s, not later.
    peer.advance(.milliseconds(3100))
    #expect(peer.all().map(\.payload.count) == [1460])
  }

  /// How often it was lost; which of those sent is answered, where time stamps tell.
  struct Loss: Sendable, CustomTestStringConvertible {
    var times: Int
    var answered: Int?
    var segments: Int
    var testDescription: String { "\(times) lost, \(answered.map { "\($0) answered" } ?? "no time stamps")" }
  }
  private static let losses = [
    Loss(times: 1, segments: 10), Loss(times: 2, segments: 1), Loss(times: 2, answered: 0, segments: 10),
    Loss(times: 2, answered: 2, segments: 1),
  ]

  private func stamps(_ loss: Loss, of segments: [ScriptedSegment]) throws -> [UInt8] {
    guard let answered = loss.answered else { return [] }
    let echo = try #require(segments[answered].timestamps?.value)
    return [1, 1, 8, 10] + ScriptedPeer.bytes(Variation.current.peerTimestamp) + ScriptedPeer.bytes(echo)
  }

  private func firstWindow(_ socket: Socket, _ peer: ScriptedPeer) throws -> Int {
    let info = try #require(socket.tcpInfo)
    #expect(info.slowStartThreshold == nil)
    try socket.send([UInt8](repeating: 1, count: 12 * info.sendMSS))
    return peer.all().map(\.payload.count).reduce(0, +) / info.sendMSS
  }

  @Test(
    "RFC 6928 2 a SYN that went again once leaves ten segments, twice one, unless the first is answered",
    arguments: losses)
  func slowSyn(loss: Loss) throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try? socket.connect(to: ScriptedPeer.address)
    peer.advance(.milliseconds(100 + 1000 * Int64(loss.times)))
    let syns = peer.all()
    #expect(syns.count == 1 + loss.times)
    peer.hostPort = syns[0].sourcePort
    try peer.send(
      0x12, sequence: Variation.current.peerSequence, acknowledgment: syns[0].sequence &+ 1,
      options: [2, 4, 5, 0xB4] + stamps(loss, of: syns))
    #expect(peer.next()?.isAck == true)
    #expect(try firstWindow(socket, peer) == loss.segments)
  }

  @Test(
    "RFC 6928 2 a SYN-ACK that went again once leaves ten segments, twice one, unless the first is answered",
    arguments: losses)
  func slowSynAck(loss: Loss) throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let server = try listener(peer)
    var options: [UInt8] = [2, 4, 5, 0xB4]
    if loss.answered != nil {
      options += [1, 1, 8, 10] + ScriptedPeer.bytes(Variation.current.peerTimestamp) + [0, 0, 0, 0]
    }
    let answer = try peer.open(options: options)
    peer.advance(loss.times == 1 ? .milliseconds(1100) : .milliseconds(3200))
    let answers = [answer] + peer.all()
    #expect(answers.count == 1 + loss.times)
    peer.complete(answer, options: try stamps(loss, of: answers))
    let connection = try server.accept()
    connection.isNonBlocking = true
    #expect(try firstWindow(connection, peer) == loss.segments)
  }
}
