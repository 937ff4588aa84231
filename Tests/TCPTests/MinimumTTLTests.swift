import InetSocket
import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers

/// `IP_MINTTL`, by which only neighbours are heard (RFC 5082). The peer sends with 64.
@Suite struct MinimumTTLTests {
  private static let minimum: (Int32, Int32) = (0, IPOptionName.minimumTimeToLive)

  @Test("RFC 5082 a listener does not hear who is too far away, and its connections have its minimum")
  func listener() throws {
    let peer = try ScriptedPeer()
    (peer.port, peer.hostPort) = (9000, 7000)
    let listener = try peer.host.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 7000))
    try listener.listen()
    try listener.set(Self.minimum, 65)
    peer.send(0x02, sequence: 100)
    // Nor is an ACK answered with a reset.
    peer.send(0x10, sequence: 100, acknowledgment: 5)
    #expect(peer.all().isEmpty)
    #expect(peer.host.counter("TcpExtTCPMinTTLDrop") == 2)
    try listener.set(Self.minimum, 64)
    peer.send(0x02, sequence: 100)
    let answer = try #require(peer.all().first)
    #expect(answer.flags == 0x12)
    peer.send(0x10, sequence: 101, acknowledgment: answer.sequence &+ 1)
    let child = try listener.accept()
    #expect(try child.getsockopt(level: 0, name: IPOptionName.minimumTimeToLive) == [64, 0, 0, 0])
  }

  @Test("RFC 5082 an open connection does not hear who is too far away, nor ICMP errors that say so")
  func connection() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.set(Self.minimum, 65)
    open.send([1, 2, 3])
    #expect(open.peer.all().isEmpty && open.peer.host.counter("TcpExtTCPMinTTLDrop") == 1)
    #expect(open.peer.host.stack.dropReports.contains { $0.name == "TCP_MINTTL" && $0.value == 1 })
    try open.socket.send([1])
    let segment = try #require(open.peer.all().first)
    try open.socket.setsockopt(level: 0, name: IPOptionName.receiveErrors, 1)
    open.peer.sendICMP(type: 3, code: 1, quoting: segment, sequence: segment.sequence)
    #expect(!open.socket.readiness.contains(.error))
    #expect(open.peer.host.counter("TcpExtTCPMinTTLDrop") == 2)
    try open.socket.set(Self.minimum, 64)
    open.peer.sendICMP(type: 3, code: 1, quoting: segment, sequence: segment.sequence)
    #expect(open.socket.readiness.contains(.error))
  }
}
