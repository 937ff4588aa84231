import SwiftStack
import TestSupport
import Testing

/// What Linux 6.18 does was seen on the wire: a listener takes one request more than its backlog; each SYN after that is
/// answered, counted and forgotten.
@Suite("RFC 4987 3.6 SYN cookies", .everyVariation)
struct SynCookieTests {
  private static let options: [UInt8] = [2, 4, 5, 0xB4, 1, 3, 3, 7, 4, 2]
  private func timestamps(_ value: UInt32, _ echo: UInt32 = 0) -> [UInt8] {
    [8, 10] + ScriptedPeer.bytes(value) + ScriptedPeer.bytes(echo)
  }

  /// A listener whose one request is taken, and then the SYN-ACK for a client at port 7001.
  private func cookie(
    _ options: [UInt8] = [2, 4, 5, 0xB4], flags: UInt8 = 0x02, settings: NetSettings = NetSettings()
  ) throws -> (listening: ListeningPeer, answer: ScriptedSegment) {
    let listening = try ListeningPeer(backlog: 0, settings: settings)
    let peer = listening.peer
    peer.port = 7000
    _ = try listening.open()
    peer.port = 7001
    peer.send(flags, sequence: Variation.current.peerSequence, options: options)
    let answer = try #require(peer.next())
    #expect(peer.host.counter("TcpExtSyncookiesSent") == 1)
    return (listening, answer)
  }

  private func complete(
    _ listening: ListeningPeer, _ answer: ScriptedSegment, off delta: UInt32 = 0, stamped: Bool = true
  ) {
    let echo = stamped ? answer.timestamps : nil
    listening.peer.send(
      0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1 &+ delta,
      options: echo.map { [1, 1] + timestamps(5001, $0.value) } ?? [])
  }

  @Test("SO_REUSEPORT: the ACK of a cookie opens the connection at whichever listener it finds")
  func sharedPort() throws {
    let listening = try ListeningPeer(backlog: 0) { try $0.setsockopt(level: 1, name: 15, 1) }
    let peer = listening.peer
    _ = try listening.open()
    var answers: [UInt16: ScriptedSegment] = [:]
    for port in 7001...7016 as ClosedRange<UInt16> {
      peer.port = port
      answers[port] = try listening.open()
    }
    #expect(peer.host.counter("TcpExtSyncookiesSent") == 16)
    let others = try (0..<2).map { _ in
      let other = try peer.host.stack.socket(.tcp)
      other.isNonBlocking = true
      try other.setsockopt(level: 1, name: 15, 1)
      try other.bind(to: SocketAddress(.any, port: 80))
      try other.listen(backlog: 16)
      return other
    }
    // Who gave them has gone.
    listening.server.close()
    for (port, answer) in answers {
      peer.port = port
      complete(listening, answer)
      #expect(peer.all().allSatisfy { !$0.isRst })
    }
    #expect(peer.host.counter("TcpExtSyncookiesRecv") == 16)
    for other in others { #expect(throws: Never.self) { _ = try other.accept() } }
  }

  @Test("RFC 4987 3.6 what the listeners of a port have given is not looked at by those who come after them")
  func nextListener() throws {
    let (listening, answer) = try cookie()
    listening.server.close()
    let next = try listening.peer.host.stack.socket(.tcp)
    try next.bind(to: SocketAddress(.any, port: 80))
    try next.listen(backlog: 16)
    complete(listening, answer)
    #expect(listening.peer.all().map(\.isRst) == [true])
    #expect(listening.peer.host.counter("TcpExtSyncookiesFailed") == 0)
    #expect(listening.peer.host.counter("TcpExtSyncookiesRecv") == 0)
  }

  @Test(
    "RFC 7323 3.2 an ACK of a cookie that echoes no time of ours tells no round trip", arguments: [1, -1])
  func foreignEcho(_ side: Int) throws {
    let (listening, answer) = try cookie([2, 4, 5, 0xB4] + timestamps(5000))
    let sent = try #require(answer.timestamps).value
    let distance: UInt32 = 1 << 30
    listening.peer.advance(.milliseconds(20))
    listening.peer.send(
      0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1,
      options: [1, 1] + timestamps(5001, side > 0 ? sent &+ distance : sent &- distance))
    // Linux: 3 s, as without time stamps.
    #expect(try listening.server.accept().tcpInfo?.retransmissionTimeout == .seconds(3))
  }

  @Test("a SYN that finds no room is answered and forgotten; the ACK opens the connection")
  func opens() throws {
    let (listening, answer) = try cookie()
    let peer = listening.peer
    #expect(answer.flags == 0x12)
    #expect(answer.acknowledgment == listening.sequence)
    #expect(peer.host.counter("TcpExtTCPReqQFullDoCookies") == 1)
    #expect(peer.host.counter("TcpExtListenDrops") == 0)
    // The other one is asked again, this one is not.
    peer.advance(.seconds(20))
    let again = peer.all()
    #expect(!again.isEmpty && again.allSatisfy { $0.destinationPort == 7000 })
    peer.port = 7001
    complete(listening, answer)
    #expect(peer.host.counter("TcpExtSyncookiesRecv") == 1)
    #expect(peer.host.counter("TcpPassiveOpens") == 1)
    let connection = try listening.server.accept()
    connection.isNonBlocking = true
    try connection.send([1, 2, 3])
    let data = try #require(peer.next())
    #expect(data.payload == [1, 2, 3])
    #expect(data.sequence == answer.sequence &+ 1)
    peer.send(0x18, sequence: listening.sequence, acknowledgment: answer.sequence &+ 4, payload: [9])
    #expect(try connection.receive(upTo: 10) == [9])
  }

  @Test("scale, SACK and the time stamp are those of the SYN: the SYN-ACK's time stamp has kept them")
  func keepsOptions() throws {
    let (listening, answer) = try cookie(Self.options + timestamps(5000))
    let before = try #require(answer.timestamps)
    #expect(before.echo == 5000)
    #expect(answer.option(3) != nil && answer.option(4) != nil)
    listening.peer.advance(.milliseconds(40))
    listening.peer.port = 7001
    complete(listening, answer)
    let connection = try listening.server.accept()
    let info = try #require(connection.tcpInfo)
    let scale = try #require(answer.option(3))[0]
    #expect(info.sendWindowScale == 7 && info.receiveWindowScale == Int(scale))
    #expect(info.hasSACK && info.hasTimestamps && info.sendMSS == 1448)
    #expect(info.sendWindow == 65535 << 7)
    // What was sampled is the age of the stamp: up to 64 ms older than the SYN-ACK.
    #expect(info.smoothedRTT >= .milliseconds(40) && info.smoothedRTT < .milliseconds(105))
    connection.isNonBlocking = true
    try connection.send([1])
    let data = try #require(listening.peer.next()?.timestamps)
    #expect(data.value &- before.value < 105 && data.value &- before.value >= 40 && data.echo == 5001)
  }

  @Test("a SYN without scale and SACK gets neither, with time stamps")
  func noneAsked() throws {
    let (listening, answer) = try cookie([2, 4, 5, 0xB4, 1, 1] + timestamps(5000))
    #expect(answer.option(3) == nil && answer.option(4) == nil)
    complete(listening, answer)
    let info = try #require(try listening.server.accept().tcpInfo)
    #expect(!info.hasSACK && !info.hasWindowScale && info.hasTimestamps)
  }

  @Test("without time stamps there is neither scale nor SACK, and the segment size is rounded down")
  func withoutTimestamps() throws {
    for (asked, kept) in [(1460, 1460), (1459, 1440), (1400, 1300), (1000, 536), (536, 536)] {
      let mss = ScriptedPeer.bytes(UInt16(asked))
      let (listening, answer) = try cookie([2, 4] + mss + [1, 3, 3, 7, 4, 2, 1, 1])
      #expect(answer.option(3) == nil && answer.option(4) == nil)
      complete(listening, answer)
      let info = try #require(try listening.server.accept().tcpInfo)
      #expect(!info.hasSACK && !info.hasWindowScale && !info.hasTimestamps)
      #expect(info.sendMSS == kept)
      #expect(info.smoothedRTT == .zero)
    }
  }

  @Test("ECN is kept by the time stamp, and without one it is not granted", arguments: [true, false])
  func ecn(isStamped: Bool) throws {
    let options = Self.options + (isStamped ? timestamps(5000) : [])
    var settings = NetSettings()
    settings.tcpECN = 1
    let (listening, answer) = try cookie(options, flags: 0xC2, settings: settings)
    #expect(answer.flags == (isStamped ? 0x52 : 0x12))
    complete(listening, answer)
    #expect(try #require(try listening.server.accept().tcpInfo).hasECN == isStamped)
  }

  @Test("a number that is none of ours, or another SYN's, is reset and counted")
  func forged() throws {
    let (listening, answer) = try cookie()
    let peer = listening.peer
    for delta in [1, UInt32.max - 3, 1 << 24, 3 << 24, 0xFF00_0000] {
      complete(listening, answer, off: delta)
      #expect(peer.next()?.flags == 0x04)
    }
    // Of another place of the client's stream, or another client.
    peer.send(0x10, sequence: listening.sequence &+ 100, acknowledgment: answer.sequence &+ 1)
    #expect(peer.next()?.flags == 0x04)
    peer.port = 7002
    complete(listening, answer)
    #expect(peer.next()?.flags == 0x04)
    #expect(peer.host.counter("TcpExtSyncookiesFailed") == 7)
    #expect(throws: (any Error).self) { try listening.server.accept() }
  }

  @Test("a cookie is good for the minute in which it was given and the next one")
  func age() throws {
    let (listening, answer) = try cookie()
    let peer = listening.peer
    // So that the age decides, and not that none was given lately.
    peer.advance(.seconds(110))
    _ = peer.all()
    peer.port = 7000
    _ = try listening.open()
    peer.port = 7005
    let late = try listening.open()
    #expect(peer.host.counter("TcpExtSyncookiesSent") == 2)
    peer.advance(.seconds(20))
    _ = peer.all()
    peer.port = 7001
    complete(listening, answer)
    #expect(peer.next()?.flags == 0x04)
    #expect(peer.host.counter("TcpExtSyncookiesFailed") == 1)
    peer.port = 7005
    complete(listening, late)
    #expect(peer.next() == nil)
    #expect(peer.host.counter("TcpExtSyncookiesRecv") == 1)
    #expect(peer.host.counter("TcpExtListenOverflows") == 0)
    _ = try listening.server.accept()
  }

  @Test("two minutes after the last cookie an ACK is not looked at: it is reset, and not counted")
  func noneLately() throws {
    let (listening, answer) = try cookie()
    listening.peer.advance(.seconds(121))
    _ = listening.peer.all()
    complete(listening, answer)
    #expect(listening.peer.next()?.flags == 0x04)
    #expect(listening.peer.host.counter("TcpExtSyncookiesFailed") == 0)
  }

  @Test("tcp_syncookies 2: every SYN; 0: none, and no ACK is taken for one")
  func setting() throws {
    var settings = NetSettings()
    settings.tcpSynCookies = 2
    let all = try ListeningPeer(settings: settings)
    let answer = try all.open()
    #expect(all.peer.host.counter("TcpExtSyncookiesSent") == 1)
    all.peer.advance(.seconds(20))
    #expect(all.peer.all().isEmpty)
    try all.peer.host.stack.set("net.ipv4.tcp_syncookies", to: "0")
    complete(all, answer)
    #expect(all.peer.next()?.flags == 0x04)
    try all.peer.host.stack.set("net.ipv4.tcp_syncookies", to: "1")
    complete(all, answer)
    _ = try all.server.accept()
  }

  @Test(
    "what was granted and is switched off since is not taken: the peer is reset",
    arguments: ["sack", "window_scaling", "timestamps"])
  func switchedOff(name: String) throws {
    let (listening, answer) = try cookie(Self.options + timestamps(5000))
    try listening.peer.host.stack.set("net.ipv4.tcp_\(name)", to: "0")
    complete(listening, answer)
    #expect(listening.peer.next()?.flags == 0x04)
  }

  @Test("an ACK that finds the accept queue full is lost, and the peer's data opens the connection later")
  func fullQueue() throws {
    let (listening, answer) = try cookie()
    let peer = listening.peer
    // Somebody else was faster.
    peer.port = 7002
    let other = try listening.open()
    complete(listening, other)
    peer.port = 7001
    complete(listening, answer)
    #expect(peer.host.counter("TcpExtListenOverflows") == 1 && peer.host.counter("TcpExtListenDrops") == 1)
    #expect(peer.next() == nil)
    _ = try listening.server.accept()
    peer.send(
      0x18, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1, payload: [1, 2, 3])
    // The number is looked at again: nothing was kept of the ACK that was lost.
    #expect(peer.host.counter("TcpExtSyncookiesRecv") == 3)
    let connection = try listening.server.accept()
    #expect(try connection.receive(upTo: 10) == [1, 2, 3])
  }

  @Test(
    "a flood of 2,000 SYNs on the port of a real client: it gets in at once, and nothing is kept of them")
  func flood() throws {
    let listening = try ListeningPeer(backlog: 16)
    let peer = listening.peer
    var client: Socket?
    for number in 0..<2_000 {
      peer.port = UInt16(10_000 + number)
      #expect(try listening.open(UInt32(number)).flags == 0x12)
      if number == 1_000 {
        peer.port = 7001
        complete(listening, try listening.open())
        client = try listening.server.accept()
      }
    }
    #expect(client?.tcpInfo?.state == .established)
    #expect(peer.host.counter("TcpExtSyncookiesSent") == 2_001 - 17)
    // Only those 17 are asked again.
    peer.advance(.milliseconds(1100))
    #expect(peer.all().count == 17)
  }
}
