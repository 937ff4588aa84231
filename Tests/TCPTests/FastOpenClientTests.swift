import SwiftStack
import TestSupport
import Testing

/// A scripted server that gives cookies, and clients of the stack that use Fast Open.
struct FastOpenServerPeer {
  let peer: ScriptedPeer
  static let cookie: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
  let initial = Variation.current.peerSequence

  init(_ settings: NetSettings = NetSettings()) throws { peer = try ScriptedPeer(settings: settings) }

  /// A socket, and what a send that opens its connection says: bytes taken, or the error.
  func open(
    _ count: Int, to address: SocketAddress? = ScriptedPeer.address,
    configure: (Socket) throws -> Void = { _ in }
  ) throws -> (socket: Socket, sent: Int, error: Errno?) {
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try configure(socket)
    do throws(SocketError) {
      return (socket, try socket.send(Self.data(count), to: address, flags: .fastOpen), nil)
    } catch { return (socket, 0, error.errno) }
  }

  static func data(_ count: Int) -> [UInt8] { (0..<count).map { UInt8($0 % 251) } }

  /// Answers a SYN: acknowledges so many bytes of its data.
  func answer(_ syn: ScriptedSegment, data: Int, options: [UInt8] = [2, 4, 5, 0xB4]) {
    peer.hostPort = syn.sourcePort
    peer.send(
      0x12, sequence: initial, acknowledgment: syn.sequence &+ 1 &+ UInt32(data), options: options)
  }

  /// Has the stack learn the cookie, by a connection that it resets again.
  func teach(mss: UInt16 = 1460, _ cookie: [UInt8] = cookie) throws {
    let (socket, sent, error) = try open(10)
    #expect(sent == 0 && error == .EINPROGRESS)
    let syn = try #require(peer.next())
    #expect(syn.option(34) == [] && syn.payload.isEmpty)
    answer(
      syn, data: 0, options: [2, 4] + ScriptedPeer.bytes(mss) + [34, UInt8(2 + cookie.count)] + cookie)
    socket.close()
    peer.advance(.seconds(1))
    peer.send(0x04, sequence: initial &+ 1)
    _ = peer.all()
  }
}

@Suite("RFC 7413 a client's Fast Open", .everyVariation)
struct FastOpenClientTests {
  @Test("T6 a cookie is asked for and kept, and the next SYN has it and the data, which count as sent")
  func dataInSyn() throws {
    let server = try FastOpenServerPeer()
    try server.teach()
    let (socket, sent, _) = try server.open(100)
    #expect(sent == 100)
    let syn = try #require(server.peer.next())
    #expect(syn.flags == 0x02)
    #expect(syn.option(34) == FastOpenServerPeer.cookie)
    #expect(syn.payload == FastOpenServerPeer.data(100))
    server.answer(syn, data: 100)
    let ack = try #require(server.peer.next())
    #expect(ack.flags == 0x10 && ack.payload.isEmpty)
    #expect(ack.sequence == syn.sequence &+ 101)
    #expect(server.peer.host.counter("TcpExtTCPFastOpenActive") == 1)
    #expect(server.peer.host.counter("TcpExtTCPFastOpenActiveFail") == 0)
    let info = try #require(socket.tcpInfo)
    #expect(info.state == .established && info.isSynDataAcknowledged && info.delivered == 1)
    #expect(info.unacknowledged == 0)
    #expect(try socket.getsockopt(level: 6, name: 11, maximum: 8)[5] & 32 == 32)
    try socket.send([1])
    #expect(server.peer.next()?.sequence == syn.sequence &+ 101)
  }

  @Test(
    "T6 data that the SYN-ACK does not acknowledge goes again at once, and carries the ACK",
    arguments: [0, 40])
  func refused(taken: Int) throws {
    let server = try FastOpenServerPeer()
    try server.teach()
    let (socket, _, _) = try server.open(100)
    let syn = try #require(server.peer.next())
    server.answer(syn, data: taken)
    let again = server.peer.all()
    #expect(again.count == 1)
    #expect(again.first?.payload == Array(FastOpenServerPeer.data(100)[taken...]))
    #expect(again.first?.sequence == syn.sequence &+ 1 &+ UInt32(taken))
    #expect(again.first?.acknowledgment == server.initial &+ 1)
    #expect(server.peer.host.counter("TcpExtTCPFastOpenActiveFail") == 1)
    #expect(server.peer.host.counter("TcpExtTCPFastOpenActive") == 0)
    let info = try #require(socket.tcpInfo)
    #expect(info.fastOpenFailure == .dataNotAcknowledged && !info.isSynDataAcknowledged)
    // Not congestion: the window is whole.
    #expect(info.congestionWindow == 10)
    server.peer.send(0x10, sequence: server.initial &+ 1, acknowledgment: syn.sequence &+ 101)
    #expect(socket.tcpInfo?.unacknowledged == 0)
  }

  @Test("T6 a SYN that goes again has neither option nor data, which follow the handshake once")
  func retransmitted() throws {
    let server = try FastOpenServerPeer()
    try server.teach()
    let (socket, _, _) = try server.open(100)
    _ = server.peer.all()
    server.peer.advance(.milliseconds(1001))
    let syn = try #require(server.peer.next())
    #expect(syn.flags == 0x02 && syn.payload.isEmpty && syn.option(34) == nil)
    server.answer(syn, data: 0)
    let data = server.peer.all()
    #expect(data.map(\.payload) == [FastOpenServerPeer.data(100)])
    #expect(socket.tcpInfo?.fastOpenFailure == .synRetransmitted)
    server.peer.send(0x10, sequence: server.initial &+ 1, acknowledgment: syn.sequence &+ 101)
    #expect(socket.tcpInfo?.unacknowledged == 0)
  }

  @Test("T6 what the SYN does not hold is not taken; the MSS of the last connection bounds it")
  func bounded() throws {
    let server = try FastOpenServerPeer()
    try server.teach(mss: 600)
    let (_, sent, _) = try server.open(5000)
    #expect(sent == 600 - 40)
    #expect(server.peer.next()?.payload.count == 560)
    let plain = try FastOpenServerPeer()
    try plain.teach()
    #expect(try plain.open(5000).sent == 1420)
  }

  @Test("T6 errors of a send that opens the connection")
  func errors() throws {
    let server = try FastOpenServerPeer()
    #expect(try server.open(10, to: nil).error == .EINVAL)
    let (socket, _, error) = try server.open(10)
    #expect(error == .EINPROGRESS)
    #expect { try socket.send([1], to: ScriptedPeer.address, flags: .fastOpen) } throws: {
      ($0 as? SocketError)?.errno == .EALREADY
    }
    let syn = try #require(server.peer.next())
    server.answer(syn, data: 0)
    // As the second connect() would have: the outcome, once.
    #expect(try socket.send([1], to: ScriptedPeer.address, flags: .fastOpen) == 1)
    #expect { try socket.send([1], to: ScriptedPeer.address, flags: .fastOpen) } throws: {
      ($0 as? SocketError)?.errno == .EISCONN
    }
    let refused = try server.open(10).socket
    let second = try #require(server.peer.all().last)
    server.peer.hostPort = second.sourcePort
    server.peer.send(0x14, sequence: 0, acknowledgment: second.sequence &+ 1)
    #expect { try refused.send([1], to: ScriptedPeer.address, flags: .fastOpen) } throws: {
      ($0 as? SocketError)?.errno == .ECONNREFUSED
    }
    try server.peer.host.stack.set("net.ipv4.tcp_fastopen", to: "2")
    #expect(try server.open(10).error == .EOPNOTSUPP)
  }

  @Test("T6 TCP_FASTOPEN_CONNECT: with a cookie connect() succeeds at once, and the first send is the SYN")
  func deferred() throws {
    let server = try FastOpenServerPeer()
    try server.teach()
    let socket = try server.peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.setsockopt(level: 6, name: 30, 1)
    try socket.connect(to: ScriptedPeer.address)
    #expect(server.peer.next() == nil)
    #expect(socket.readiness == .writable)
    #expect { try socket.connect(to: ScriptedPeer.address) } throws: {
      ($0 as? SocketError)?.errno == .EISCONN
    }
    let opens = server.peer.host.counter("TcpActiveOpens")
    #expect(try socket.send(FastOpenServerPeer.data(30)) == 30)
    #expect(server.peer.host.counter("TcpActiveOpens") == opens + 1)
    let syn = try #require(server.peer.next())
    #expect(syn.payload == FastOpenServerPeer.data(30) && syn.option(34) == FastOpenServerPeer.cookie)
    #expect(socket.readiness == [])
    server.answer(syn, data: 30)
    #expect(socket.readiness == .writable)
  }

  @Test("T6 TCP_FASTOPEN_CONNECT: without a cookie connect() asks for one")
  func deferredWithoutCookie() throws {
    let server = try FastOpenServerPeer()
    let socket = try server.peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.setsockopt(level: 6, name: 30, 1)
    #expect { try socket.connect(to: ScriptedPeer.address) } throws: {
      ($0 as? SocketError)?.errno == .EINPROGRESS
    }
    #expect(server.peer.next()?.option(34) == [])
    #expect(socket.tcpInfo?.fastOpenFailure == .cookieUnavailable)
  }

  @Test("T6 a server that gives no cookie is asked in the experimental form next, and then as before")
  func experimental() throws {
    let server = try FastOpenServerPeer()
    var sockets: [Socket] = []
    for form: UInt8 in [34, 254, 34, 34] {
      sockets.append(try server.open(10).socket)
      let syn = try #require(server.peer.all().last)
      #expect(syn.option(34) == (form == 34 ? [] : nil))
      #expect(syn.option(254) == (form == 254 ? [0xF9, 0x89] : nil))
      server.answer(syn, data: 0)
    }
    // The answer in that form counts.
    let other = try FastOpenServerPeer()
    for _ in 0..<2 {
      sockets.append(try other.open(10).socket)
      let syn = try #require(other.peer.all().last)
      let isExperimental = syn.option(254) != nil
      other.answer(syn, data: 0, options: isExperimental ? [254, 8, 0xF9, 0x89, 9, 8, 7, 6] : [])
    }
    _ = try other.open(10)
    let syn = try #require(other.peer.all().last)
    #expect(syn.option(254) == [0xF9, 0x89, 9, 8, 7, 6] && syn.payload.count == 10)
  }

  @Test("T6 neither an odd cookie nor one that nobody asked for is kept; one of 16 bytes is")
  func cookieLengths() throws {
    for (length, isKept) in [(5, false), (2, false), (4, true), (16, true)] {
      let server = try FastOpenServerPeer()
      try server.teach(FastOpenServerPeer.data(length))
      #expect(try (server.open(10).sent == 10) == isKept, "\(length)")
    }
    let server = try FastOpenServerPeer()
    let (_, syn) = try server.peer.connecting()
    server.answer(syn, data: 0, options: [34, 10] + FastOpenServerPeer.cookie)
    _ = server.peer.all()
    #expect(try server.open(10).sent == 0)
  }

  @Test(
    "T6 TCP_FASTOPEN_NO_COOKIE and its system-wide bit: data goes without the option",
    arguments: [true, false])
  func withoutCookie(byOption: Bool) throws {
    let server = try FastOpenServerPeer()
    if !byOption { try server.peer.host.stack.set("net.ipv4.tcp_fastopen", to: "5") }
    let (_, sent, _) = try server.open(10) { socket in
      if byOption { try socket.setsockopt(level: 6, name: 34, 1) }
    }
    #expect(sent == 10)
    let syn = try #require(server.peer.next())
    #expect(syn.payload.count == 10 && syn.option(34) == nil)
  }

  @Test("T6 cookies are forgotten when asked")
  func forgotten() throws {
    let server = try FastOpenServerPeer()
    try server.teach()
    server.peer.host.stack.forgetFastOpenCookies()
    #expect(try server.open(10).sent == 0)
  }

  @Test("T6 black hole: the third timeout in a row pauses Fast Open, each time for twice as long")
  func blackhole() throws {
    let server = try FastOpenServerPeer()
    try server.peer.host.stack.set("net.ipv4.tcp_fastopen_blackhole_timeout_sec", to: "100")
    try server.teach()
    var pause: Int64 = 100
    for round in 1...2 {
      let socket = try server.open(10).socket
      server.peer.advance(.milliseconds(2500))
      #expect(server.peer.host.counter("TcpExtTCPFastOpenBlackhole") == round - 1)
      server.peer.advance(.milliseconds(600))
      #expect(server.peer.host.counter("TcpExtTCPFastOpenBlackhole") == round)
      #expect(server.peer.host.counter("TcpExtTCPFastOpenActiveFail") == round)
      socket.close()
      _ = server.peer.all()
      server.peer.advance(.seconds(pause - 1))
      #expect(try server.open(10).error == .EINPROGRESS)
      #expect(server.peer.all().first?.option(34) == nil)
      server.peer.advance(.seconds(2))
      _ = server.peer.all()
      pause *= 2
    }
    // A trial that brings data ends it.
    let socket = try server.open(10).socket
    let syn = try #require(server.peer.next())
    #expect(syn.payload.count == 10)
    server.answer(syn, data: 10)
    server.peer.send(
      0x18, sequence: server.initial &+ 1, acknowledgment: syn.sequence &+ 11, payload: [1])
    _ = try socket.receive(upTo: 10)
    socket.close()
    server.peer.advance(.seconds(1))
    server.peer.send(0x14, sequence: server.initial &+ 2, acknowledgment: syn.sequence &+ 12)
    _ = server.peer.all()
    let again = try server.open(10).socket
    server.peer.advance(.milliseconds(3100))
    again.close()
    _ = server.peer.all()
    server.peer.advance(.seconds(100))
    #expect(try server.open(10).sent == 10, "the pause is the first one's again")
  }

  @Test("T6 black hole: a connection that got nothing but a FIN behind a gap pauses Fast Open")
  func onlyFin() throws {
    let server = try FastOpenServerPeer()
    try server.peer.host.stack.set("net.ipv4.tcp_fastopen_blackhole_timeout_sec", to: "100")
    try server.teach()
    let socket = try server.open(10).socket
    let syn = try #require(server.peer.next())
    server.answer(syn, data: 10)
    server.peer.send(0x11, sequence: server.initial &+ 500, acknowledgment: syn.sequence &+ 11)
    socket.close()
    server.peer.send(0x04, sequence: server.initial &+ 1)
    #expect(server.peer.host.counter("TcpExtTCPFastOpenBlackhole") == 1)
  }
}
