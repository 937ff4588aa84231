import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.6 closing", .everyVariation)
struct ClosingTests {
  private func text(_ string: String) -> [UInt8] { Array(string.utf8) }

  @Test("RFC 9293 3.6 our FIN first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT; a repeated FIN is acknowledged")
  func activeClose() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let port = open.peer.hostPort
    open.socket.close()
    let fin = try #require(open.peer.next())
    #expect(fin.isFin)
    open.acknowledge(fin.sequence &+ 1)
    open.send([], flags: 0x11)
    let last = try #require(open.peer.next())
    #expect(last.acknowledgment == open.sequence)
    // Our FIN again: the answer was lost.
    open.peer.send(0x11, sequence: open.sequence &- 1, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.acknowledgment == open.sequence)
    open.peer.advance(.seconds(61))
    open.peer.hostPort = port
    open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.isRst == true)
  }

  @Test("RFC 9293 3.6 the peer's FIN first: end of stream for the reader, LAST-ACK after close")
  func passiveClose() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.send(text("bye"), flags: 0x19)
    #expect(try open.socket.receive(upTo: 10) == text("bye"))
    #expect(try open.socket.receive(upTo: 10).isEmpty)
    // Linux lets this ACK wait for data to ride on, 40 ms at most.
    open.peer.advance(.milliseconds(50))
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
    // Half closed: we may still send.
    try open.socket.send(text("more"))
    #expect(open.takeData() == text("more"))
    open.acknowledge()
    open.socket.close()
    let fin = try #require(open.peer.next())
    #expect(fin.isFin)
    open.acknowledge(fin.sequence &+ 1)
    open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.isRst == true)
  }

  @Test("RFC 9293 3.6 figure 13: simultaneous close")
  func simultaneousClose() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.socket.close()
    let fin = try #require(open.peer.next())
    // Their FIN does not acknowledge ours.
    open.peer.send(0x11, sequence: open.sequence, acknowledgment: fin.sequence)
    open.sequence &+= 1
    #expect(open.peer.next()?.acknowledgment == open.sequence)
    open.acknowledge(fin.sequence &+ 1)
    // TIME-WAIT answers a repeated FIN.
    open.peer.send(0x11, sequence: open.sequence &- 1, acknowledgment: fin.sequence &+ 1)
    #expect(open.peer.next()?.acknowledgment == open.sequence)
  }

  @Test("RFC 2525 2.17 closing with unread data resets")
  func unreadData() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.send(text("unread"))
    _ = open.peer.all()
    open.socket.close()
    #expect(open.peer.all().last?.isRst == true)
  }

  @Test("RFC 1122 4.2.2.13 data after close resets")
  func dataAfterClose() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.socket.close()
    _ = open.peer.all()
    open.send(text("too late"))
    #expect(open.peer.all().last?.isRst == true)
  }

  @Test("SO_LINGER of zero: close resets")
  func linger() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.setLinger(.zero) }
    open.socket.close()
    #expect(open.peer.next()?.isRst == true)
  }

  @Test("A lost FIN is sent again")
  func lostFin() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.shutdown(write: true)
    let fin = try #require(open.peer.next())
    #expect(fin.isFin)
    open.peer.advance(.seconds(1))
    let again = open.peer.all()
    #expect(!again.isEmpty)
    #expect(again.allSatisfy { $0.isFin && $0.sequence == fin.sequence })
  }

  @Test("An orphan does not stay in FIN-WAIT-2 for ever")
  func orphan() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.socket.close()
    let fin = try #require(open.peer.next())
    open.acknowledge(fin.sequence &+ 1)
    open.peer.advance(.seconds(61))
    open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.isRst == true)
    #expect(open.peer.host.buffersInUse <= 1024)
  }

  @Test("Nothing leaks: every packet buffer beyond the posted ones is free after a connection's life")
  func noLeak() throws {
    let peer = try ScriptedPeer()
    let before = peer.host.buffersInUse
    let open = try ScriptedConnection(peer: peer)
    try open.socket.send([UInt8](repeating: 1, count: 20000))
    _ = open.peer.all()
    open.send([UInt8](repeating: 1, count: 5000).map { $0 })
    open.socket.close()
    open.peer.send(0x04, sequence: open.sequence)
    peer.advance(.seconds(300))
    #expect(peer.host.buffersInUse == before)
  }

  @Test("Keep-alive: probes after the idle time, ETIMEDOUT when none is answered")
  func keepAlive() throws {
    var settings = NetSettings()
    settings.tcpKeepaliveTime = .seconds(10)
    settings.tcpKeepaliveInterval = .seconds(2)
    settings.tcpKeepaliveProbes = 3
    let open = try ScriptedConnection(peer: ScriptedPeer(settings: settings)) {
      try $0.setsockopt(level: 1, name: 9, 1)
    }
    open.peer.advance(.milliseconds(9900))
    #expect(open.peer.all().isEmpty)
    open.peer.advance(.milliseconds(200))
    let probe = try #require(open.peer.next())
    #expect(probe.sequence == open.acknowledgment &- 1)
    #expect(probe.payload.isEmpty)
    // Answered: quiet for another idle time.
    open.acknowledge()
    open.peer.advance(.milliseconds(9000))
    #expect(open.peer.all().isEmpty)
    open.peer.advance(.seconds(12))
    #expect(open.socket.takeError() == .ETIMEDOUT)
  }
}
