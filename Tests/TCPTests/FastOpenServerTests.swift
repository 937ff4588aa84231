import SwiftStack
import TestSupport
import Testing

/// A listener of the stack with `TCP_FASTOPEN`, and a scripted client.
struct FastOpenListener {
  let listening: ListeningPeer
  var peer: ScriptedPeer { listening.peer }
  /// What the kernel makes of 10.0.0.1 and 10.0.0.2 with the key below.
  static let cookie: [UInt8] = [0x7F, 0x93, 0x60, 0x8E, 0xA0, 0x64, 0xAC, 0xFA]
  static let key = FastOpenKeys("00010203-04050607-08090a0b-0c0d0e0f")
  let initial = Variation.current.peerSequence

  init(queue: Int32 = 5, use: FastOpenUse = [.client, .server], backlog: Int = 16) throws {
    var settings = NetSettings()
    settings.tcpFastOpen = use
    settings.tcpFastOpenKeys = Self.key
    listening = try ListeningPeer(backlog: backlog, settings: settings) { socket in
      try socket.setsockopt(level: 6, name: 23, queue)
    }
  }

  static func option(_ cookie: [UInt8]) -> [UInt8] {
    [2, 4, 5, 0xB4, 34, UInt8(2 + cookie.count)] + cookie
  }

  /// A SYN with data; the SYN-ACK that answers it.
  func open(_ data: [UInt8] = [1, 2, 3], cookie: [UInt8] = cookie) throws -> ScriptedSegment {
    peer.send(0x02, sequence: initial, options: Self.option(cookie), payload: data)
    let answer = try #require(peer.next())
    #expect(answer.flags == 0x12)
    return answer
  }

  func counter(_ name: String) -> Int { peer.host.counter("TcpExtTCPFastOpen" + name) }
}

@Suite("RFC 7413 a server's Fast Open", .everyVariation)
struct FastOpenServerTests {
  @Test("T6 a cookie is Linux's, for who asks, in the form of the question, in the first SYN-ACK only")
  func cookie() throws {
    let server = try FastOpenListener()
    let answer = try server.open([], cookie: [])
    #expect(answer.option(34) == FastOpenListener.cookie)
    #expect(server.counter("CookieReqd") == 1)
    server.peer.advance(.milliseconds(1001))
    #expect(server.peer.next()?.option(34) == nil)
    server.peer.port += 1
    server.peer.send(0x02, sequence: server.initial, options: [254, 4, 0xF9, 0x89])
    #expect(server.peer.next()?.option(254) == [0xF9, 0x89] + FastOpenListener.cookie)
  }

  @Test("T6 no cookie without the option, without the system's bit, or to who does not ask", arguments: 0...2)
  func noCookie(why: Int) throws {
    let server = try FastOpenListener(queue: why == 0 ? 0 : 5, use: why == 1 ? .client : .server)
    server.peer.send(
      0x02, sequence: server.initial, options: why == 2 ? [] : FastOpenListener.option([]), payload: [1])
    let answer = try #require(server.peer.next())
    #expect(answer.flags == 0x12 && answer.option(34) == nil)
    #expect(answer.acknowledgment == server.initial &+ 1)
  }

  @Test("T6 with its cookie data in a SYN is taken, read and answered before the handshake is over")
  func child() throws {
    let server = try FastOpenListener()
    let answer = try server.open()
    #expect(answer.acknowledgment == server.initial &+ 4)
    #expect(answer.option(34) == nil)
    let child = try server.listening.server.accept()
    child.isNonBlocking = true
    #expect(child.tcpInfo?.state == .synReceived)
    #expect(child.readiness == [.readable, .writable])
    #expect(try child.receive(upTo: 10) == [1, 2, 3])
    #expect(try child.send([9, 8]) == 2)
    let data = try #require(server.peer.next())
    #expect(data.payload == [9, 8] && data.sequence == answer.sequence &+ 1)
    server.peer.send(
      0x10, sequence: server.initial &+ 4, acknowledgment: answer.sequence &+ 3)
    let info = try #require(child.tcpInfo)
    #expect(info.state == .established && info.isSynDataAcknowledged && info.isFastOpenChild)
    #expect(info.unacknowledged == 0 && info.bytesReceived == 3)
    #expect(server.counter("Passive") == 1 && server.counter("PassiveFail") == 0)
    #expect(server.peer.host.counter("TcpPassiveOpens") == 1)
  }

  @Test("T6 the ACK of the SYN-ACK alone ends the handshake, and gives the round-trip time")
  func finished() throws {
    let server = try FastOpenListener()
    let answer = try server.open()
    server.peer.advance(.milliseconds(50))
    server.peer.send(0x10, sequence: server.initial &+ 4, acknowledgment: answer.sequence &+ 1)
    let child = try server.listening.server.accept()
    let info = try #require(child.tcpInfo)
    #expect(info.state == .established && info.smoothedRTT == .milliseconds(50))
    #expect(info.congestionWindow == 10)
    // The window is all the data's: the SYN-ACK is not on its way any more.
    child.isNonBlocking = true
    _ = try child.send([UInt8](repeating: 1, count: 40_000))
    #expect(server.peer.all().reduce(0) { $0 + $1.payload.count } == 10 * info.sendMSS)
  }

  @Test("T6 a wrong cookie: the data is not taken, and the right one comes back")
  func wrongCookie() throws {
    let server = try FastOpenListener()
    let answer = try server.open(cookie: [0, 1, 2, 3, 4, 5, 6, 7])
    #expect(answer.acknowledgment == server.initial &+ 1)
    #expect(answer.option(34) == FastOpenListener.cookie)
    #expect(server.counter("PassiveFail") == 1 && server.counter("Passive") == 0)
    #expect(throws: SocketError.self) { try server.listening.server.accept() }
  }

  @Test("T6 a cookie of the backup key lets the data in, and brings one of the new key")
  func backupKey() throws {
    let server = try FastOpenListener()
    let old = FastOpenListener.key?.bytes ?? []
    let keys = [UInt8](repeating: 7, count: 16) + old
    // Safe: a byte has no padding.
    try server.listening.server.setsockopt(level: 6, name: 33, value: unsafe keys.span.bytes)
    let answer = try server.open()
    #expect(answer.acknowledgment == server.initial &+ 4)
    let fresh = try #require(answer.option(34))
    #expect(fresh.count == 8 && fresh != FastOpenListener.cookie)
    #expect(server.counter("PassiveAltKey") == 1 && server.counter("Passive") == 1)
    server.peer.port += 1
    #expect(try server.open(cookie: fresh).option(34) == nil)
  }

  @Test("T6 no more children with an open handshake than the option says")
  func limit() throws {
    let server = try FastOpenListener(queue: 1)
    let first = try server.open()
    server.peer.port += 1
    #expect(try server.open().acknowledgment == server.initial &+ 1)
    #expect(server.counter("ListenOverflow") == 1)
    server.peer.port -= 1
    server.peer.send(0x10, sequence: server.initial &+ 4, acknowledgment: first.sequence &+ 1)
    server.peer.port += 2
    #expect(try server.open().acknowledgment == server.initial &+ 4)
  }

  @Test(
    "T6 a child that was accepted is told of an ICMP error as any connection is; one that waits ends",
    arguments: [true, false])
  func icmp(isAccepted: Bool) throws {
    let server = try FastOpenListener()
    let answer = try server.open()
    let accepted = isAccepted ? try server.listening.server.accept() : nil
    server.peer.sendICMP(type: 3, code: 1, about: answer)
    let child = try accepted ?? server.listening.server.accept()
    #expect(child.tcpInfo?.state == (isAccepted ? .synReceived : .close))
    #expect(child.takeError() == .EHOSTUNREACH)
  }

  @Test("T6 a child's reset wants the exact number; another SYN is reset, not the child") func exactReset()
    throws
  {
    let server = try FastOpenListener()
    _ = try server.open()
    let child = try server.listening.server.accept()
    server.peer.send(0x04, sequence: server.initial &+ 100)
    #expect(server.peer.next()?.flags == 0x10 && child.tcpInfo?.state == .synReceived)
    server.peer.send(0x02, sequence: server.initial &+ 4)
    let reset = try #require(server.peer.next())
    #expect(reset.flags == 0x14 && reset.sequence == 0 && reset.acknowledgment == server.initial &+ 5)
    #expect(child.tcpInfo?.state == .synReceived)
    server.peer.send(0x04, sequence: server.initial &+ 4)
    #expect(child.tcpInfo?.state == .close && child.takeError() == .ECONNRESET)
  }

  @Test("T6 a reset child that was accepted keeps its place for a minute", arguments: [true, false])
  func reset(isAccepted: Bool) throws {
    let server = try FastOpenListener(queue: 1)
    _ = try server.open()
    let child = isAccepted ? try server.listening.server.accept() : nil
    server.peer.send(0x04, sequence: server.initial &+ 4)
    if let child {
      #expect(child.takeError() == .ECONNRESET)
      #expect(child.tcpInfo?.state == .close)
    }
    server.peer.port += 1
    #expect(try server.open().acknowledgment == server.initial &+ (isAccepted ? 1 : 4))
    server.peer.advance(.seconds(59))
    _ = server.peer.all()
    server.peer.port += 1
    if isAccepted { #expect(try server.open().acknowledgment == server.initial &+ 1) }
    server.peer.advance(.milliseconds(1100))
    _ = server.peer.all()
    server.peer.port += 1
    if isAccepted { #expect(try server.open().acknowledgment == server.initial &+ 4) }
  }

  @Test("T6 only the SYN-ACK goes again before its ACK, after 1, 2, 4 s, once more than without Fast Open")
  func synAckTimer() throws {
    let server = try FastOpenListener()
    try server.peer.host.stack.set("net.ipv4.tcp_synack_retries", to: "2")
    let answer = try server.open()
    let child = try server.listening.server.accept()
    try child.send([1, 2, 3])
    _ = server.peer.all()
    for seconds: Int64 in [1, 2, 4] {
      server.peer.advance(.milliseconds(seconds * 1000 - 100))
      #expect(server.peer.next() == nil)
      server.peer.advance(.milliseconds(100))
      let again = server.peer.all()
      #expect(again.map(\.flags) == [0x12] && again.first?.sequence == answer.sequence)
      #expect(again.first?.acknowledgment == server.initial &+ 4)
    }
    server.peer.advance(.milliseconds(8100))
    #expect(server.peer.next() == nil)
    #expect(child.takeError() == .ETIMEDOUT)
  }

  @Test(
    "T6 the SYN-ACK takes nothing of the first window, sent once or again, and is none of the child's segments"
  )
  func firstWindow() throws {
    let server = try FastOpenListener()
    let answer = try server.open()
    let child = try server.listening.server.accept()
    child.isNonBlocking = true
    func send(_ segments: Int) throws -> Int {
      try child.send([UInt8](repeating: 1, count: segments * 1460))
      return server.peer.all().map(\.payload.count).reduce(0, +) / 1460
    }
    #expect(try #require(child.tcpInfo).unacknowledged == 0)
    #expect(try send(5) == 5)
    server.peer.advance(.milliseconds(1001))
    #expect(server.peer.all().map(\.flags) == [0x12])
    #expect(try send(20) == 5)
    var info = try #require(child.tcpInfo)
    #expect(info.unacknowledged == 10 && info.segmentsOut == 10 && info.delivered == 0)
    server.peer.send(0x10, sequence: server.initial &+ 4, acknowledgment: answer.sequence &+ 1)
    #expect(server.peer.all().isEmpty)
    info = try #require(child.tcpInfo)
    #expect(info.unacknowledged == 10 && info.segmentsOut == 10 && info.delivered == 1)
    #expect(info.bytesAcknowledged == 0)
    server.peer.send(0x10, sequence: server.initial &+ 4, acknowledgment: answer.sequence &+ 1461)
    #expect(try #require(child.tcpInfo).bytesAcknowledged == 1460)
    #expect(!server.peer.all().isEmpty)
  }

  @Test("T6 the SYN again brings the SYN-ACK again, and its data is not taken twice")
  func synAgain() throws {
    let server = try FastOpenListener()
    _ = try server.open()
    #expect(try server.open().acknowledgment == server.initial &+ 4)
    let child = try server.listening.server.accept()
    #expect(try child.receive(upTo: 10) == [1, 2, 3])
    child.isNonBlocking = true
    #expect(throws: SocketError.self) { try child.receive(upTo: 10) }
    #expect(throws: SocketError.self) { try server.listening.server.accept() }
  }

  @Test(
    "RFC 9293 3.10.7.4 SYN-RECEIVED: an ACK of what was never sent, or of nothing, is reset; the child lives on",
    arguments: [9, 0, -10, -100_000] as [Int32])
  func wrongAck(_ distance: Int32) throws {
    let server = try FastOpenListener()
    let answer = try server.open()
    let other = answer.sequence &+ UInt32(bitPattern: distance)
    server.peer.send(0x18, sequence: server.initial &+ 4, acknowledgment: other, payload: [4])
    let reset = try #require(server.peer.next())
    #expect(reset.flags == 0x04 && reset.sequence == other)
    let child = try server.listening.server.accept()
    #expect(child.tcpInfo?.state == .synReceived && child.tcpInfo?.receiveQueue == 3)
  }

  @Test("RFC 9293 3.6 shut down in SYN-RECEIVED: its FIN goes, too, where the handshake ends with the peer's")
  func finsCross() throws {
    let server = try FastOpenListener()
    let answer = try server.open()
    let child = try server.listening.server.accept()
    _ = try child.receive(upTo: 10)
    try child.shutdown(write: true)
    server.peer.send(0x11, sequence: server.initial &+ 4, acknowledgment: answer.sequence &+ 1)
    let fin = try #require(server.peer.all().first { $0.isFin })
    #expect(fin.sequence == answer.sequence &+ 1 && child.tcpInfo?.state == .lastAck)
    server.peer.send(0x10, sequence: server.initial &+ 5, acknowledgment: fin.sequence &+ 1)
    #expect(child.tcpInfo?.state == .close)
  }

  @Test("T6 a child that is closed before the handshake is over sends its FIN; shut down it waits with it")
  func closedEarly() throws {
    let server = try FastOpenListener()
    var answer = try server.open()
    var child = try server.listening.server.accept()
    _ = try child.receive(upTo: 10)
    child.close()
    #expect(server.peer.next()?.flags == 0x11)
    server.peer.send(0x10, sequence: server.initial &+ 4, acknowledgment: answer.sequence &+ 2)
    #expect(server.peer.host.stack.socketReports.contains { $0.state == "FIN-WAIT-2" })
    server.peer.port += 1
    answer = try server.open()
    child = try server.listening.server.accept()
    try child.shutdown(write: true)
    #expect(server.peer.next() == nil)
    server.peer.send(0x10, sequence: server.initial &+ 4, acknowledgment: answer.sequence &+ 1)
    #expect(server.peer.next()?.flags == 0x11)
    #expect(child.tcpInfo?.state == .finWait1)
  }

  @Test("T6 no cookie is needed where the system or the listener says so", arguments: [true, false])
  func withoutCookie(byOption: Bool) throws {
    let server = try FastOpenListener(use: byOption ? .server : [.server, .serverWithoutCookie])
    if byOption { try server.listening.server.setsockopt(level: 6, name: 34, 1) }
    server.peer.send(0x02, sequence: server.initial, payload: [5])
    #expect(server.peer.next()?.acknowledgment == server.initial &+ 2)
    #expect(try server.listening.server.accept().receive(upTo: 5) == [5])
  }

  @Test(
    "T6 a full backlog takes no data, and the limit of every listener is its backlog where the system says so"
  )
  func everyListener() throws {
    var settings = NetSettings()
    settings.tcpFastOpen = [.server, .everyListener]
    settings.tcpFastOpenKeys = FastOpenListener.key
    let listening = try ListeningPeer(backlog: 3, settings: settings)
    #expect(try listening.server.getsockopt(level: 6, name: 23, maximum: 4) == [3, 0, 0, 0])
    for port: UInt16 in 0..<5 {
      listening.peer.port = 7000 + port
      listening.peer.send(
        0x02, sequence: 50, options: FastOpenListener.option(FastOpenListener.cookie), payload: [1])
    }
    #expect(listening.peer.all().filter { $0.acknowledgment == 52 }.count == 3)
  }

  @Test("T6 a listener that closes resets the children that nobody has accepted")
  func listenerCloses() throws {
    let server = try FastOpenListener()
    let answer = try server.open()
    server.listening.server.close()
    let reset = try #require(server.peer.next())
    #expect(reset.isRst && reset.sequence == answer.sequence &+ 1)
    #expect(server.peer.host.stack.socketReports.isEmpty)
  }
}
