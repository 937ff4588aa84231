import SwiftStack
import TestSupport
import Testing

@Suite("R listen backlog, accept queue, listeners that go", .everyVariation)
struct ListenerTests {
  @Test("R accept queue: an ACK that finds it full waits for the SYN-ACK's timer; counted; nobody is lost")
  func fullQueue() throws {
    let listening = try ListeningPeer(backlog: 0)
    let peer = listening.peer
    var answers: [ScriptedSegment] = []
    for port in 0..<3 as Range<UInt16> {
      peer.port = 7000 + port
      answers.append(try listening.open())
    }
    func acknowledge(_ index: Int) {
      peer.port = 7000 + UInt16(index)
      peer.complete(answers[index])
    }
    for index in 0..<3 { acknowledge(index) }
    #expect(peer.all().isEmpty)
    #expect(peer.host.counter("TcpExtListenOverflows") == 2)
    #expect(peer.host.counter("TcpExtListenDrops") == 2)
    #expect(peer.host.counter("TcpPassiveOpens") == 1)
    // A fourth's SYN is not even answered.
    peer.port = 7003
    peer.send(0x02, sequence: Variation.current.peerSequence)
    #expect(peer.all().isEmpty)
    #expect(peer.host.counter("TcpExtListenOverflows") == 3)
    var accepted: [Socket] = [try listening.server.accept()]
    acknowledge(1)
    accepted.append(try listening.server.accept())
    acknowledge(2)
    accepted.append(try listening.server.accept())
    #expect(Set(try accepted.map { try $0.remoteAddress.port }) == [7000, 7001, 7002])
  }

  @Test(
    "A listener that closes resets what nobody accepted; the half-open ones find the next listener or a reset"
  )
  func closedUnderLoad() throws {
    let listening = try ListeningPeer()
    let peer = listening.peer
    var answers: [ScriptedSegment] = []
    for port in 0..<4 as Range<UInt16> {
      peer.port = 7000 + port
      answers.append(try listening.open())
    }
    peer.port = 7000
    peer.complete(answers[0])
    listening.server.close()
    let reset = try #require(peer.next())
    #expect(reset.isRst)
    #expect(reset.destinationPort == 7000)
    peer.port = 7001
    peer.complete(answers[1])
    #expect(peer.next()?.isRst == true)
    // Another listens now: a SYN that comes again is its.
    let next = try peer.host.stack.socket(.tcp)
    next.isNonBlocking = true
    try next.setsockopt(level: 1, name: 2, 1)
    try next.bind(to: SocketAddress(.any, port: 80))
    try next.listen()
    peer.port = 7002
    peer.send(0x02, sequence: Variation.current.peerSequence)
    let again = try #require(peer.next())
    #expect(again.flags == 0x12)
    peer.complete(again)
    let connection = try next.accept()
    #expect(try connection.remoteAddress.port == 7002)
    // The last ACK for the first listener is for nobody.
    peer.port = 7003
    _ = peer.all()
    peer.complete(answers[3])
    #expect(peer.next()?.isRst == true)
    peer.advance(.seconds(200))
    #expect(peer.all().isEmpty)
    withExtendedLifetime(connection) {}
  }

  @Test("Many listeners: each takes its own, a specific address before any, and all can go")
  func many() throws {
    let peer = try ScriptedPeer()
    var listeners: [Socket] = []
    func listen(_ address: IPv4Address, _ port: UInt16) throws {
      let socket = try peer.host.stack.socket(.tcp)
      socket.isNonBlocking = true
      try socket.setsockopt(level: 1, name: 15, 1)
      try socket.bind(to: SocketAddress(address, port: port))
      try socket.listen()
      listeners.append(socket)
    }
    for port in 1000..<2000 as Range<UInt16> { try listen(.any, port) }
    try listen(IPv4Address(10, 0, 0, 2), 1500)
    for port in [1000, 1500, 1999] as [UInt16] {
      peer.hostPort = port
      peer.send(0x02, sequence: Variation.current.peerSequence)
      let answer = try #require(peer.next())
      peer.complete(answer)
    }
    #expect(throws: SocketError("accept", .EAGAIN)) { _ = try listeners[500].accept() }
    let accepted = try [0, 1000, 999].map { try listeners[$0].accept() }
    #expect(try accepted.map { try $0.localAddress.port } == [1000, 1500, 1999])
    for socket in listeners { socket.close() }
    peer.port = 7001
    peer.hostPort = 1500
    _ = peer.all()
    peer.send(0x02, sequence: Variation.current.peerSequence)
    #expect(peer.next()?.isRst == true)
  }

  @Test("R an accepted connection that was reset before tells whom it was with")
  func resetBeforeAccept() throws {
    let listening = try ListeningPeer()
    let peer = listening.peer
    let answer = try listening.open()
    peer.complete(answer)
    peer.send(0x04, sequence: Variation.current.peerSequence &+ 1)
    let connection = try listening.server.accept()
    #expect(connection.acceptedFrom == SocketAddress(IPv4Address(10, 0, 0, 1), port: 7000))
    // Linux: getpeername() of a connection that is gone.
    #expect(throws: SocketError("getpeername", .ENOTCONN)) { _ = try connection.remoteAddress }
    #expect(listening.server.acceptedFrom == nil)
  }

  @Test("R half-open requests end with the listening: listen() again starts with none")
  func requestsEnd() throws {
    var settings = NetSettings()
    settings.maximumSynBacklog = 4
    settings.tcpSynCookies = 0
    let listening = try ListeningPeer(settings: settings)
    let peer = listening.peer
    func knock(_ first: UInt16, _ count: UInt16) throws {
      for port in first..<first + count {
        peer.port = port
        #expect(try listening.open().flags == 0x12)
      }
    }
    try knock(9000, 4)
    try listening.server.shutdown(read: true)
    try listening.server.listen()
    // Nobody asks the old ones again, and their resets are nobody's.
    peer.advance(.seconds(3))
    #expect(peer.all().isEmpty)
    for port in 9000..<9004 as Range<UInt16> {
      peer.port = port
      peer.send(0x04, sequence: listening.sequence)
    }
    try knock(9100, 4)
    #expect(peer.host.counter("TcpExtTCPReqQFullDrop") == 0)
    try knock(9200, 5)
    #expect(peer.host.counter("TcpExtTCPReqQFullDrop") == 5)
  }
}
