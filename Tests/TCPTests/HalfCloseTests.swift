import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.6 one direction closed", .everyVariation)
struct HalfCloseTests {
  @Test("R data that comes after shutdown(read) is acknowledged and can be read, then the stream ends")
  func dataAfterShutdown() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.shutdown(read: true)
    #expect(try open.socket.receive(upTo: 10).isEmpty)
    open.send([1, 2, 3])
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
    #expect(try open.socket.receive(upTo: 10) == [1, 2, 3])
    #expect(try open.socket.receive(upTo: 10).isEmpty)
  }

  @Test("R shutdown(read) loses nothing that was unread when more comes")
  func unreadBefore() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.send([1, 2])
    try open.socket.shutdown(read: true)
    open.send([3, 4])
    open.send([5], flags: 0x11)
    var got: [UInt8] = []
    while let bytes = try? open.socket.receive(upTo: 3), !bytes.isEmpty { got += bytes }
    #expect(got == [1, 2, 3, 4, 5])
  }

  @Test("RFC 9293 3.6 after our FIN the peer may go on for as long as it likes, and its FIN ends it")
  func peerGoesOn() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.shutdown(write: true)
    let fin = try #require(open.peer.next())
    open.acknowledge(fin.sequence &+ 1)
    #expect(try #require(open.socket.tcpInfo).state.name == "FIN-WAIT-2")
    for round in 0..<5 as Range<UInt8> {
      open.peer.advance(.seconds(100))
      open.send([round])
      #expect(try open.socket.receive(upTo: 10) == [round])
    }
    #expect(throws: SocketError("send", .EPIPE)) { try open.socket.send([1]) }
    open.send([], flags: 0x11)
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
    #expect(open.peer.host.counter("TcpExtTW") == 1)
  }

  @Test("Both directions shut down, not closed: new data is reset as after close")
  func bothShutDown() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.shutdown(read: true, write: true)
    let fin = try #require(open.peer.next())
    open.acknowledge(fin.sequence &+ 1)
    open.send([1])
    #expect(open.peer.all().last?.isRst == true)
    #expect(open.peer.host.counter("TcpExtTCPAbortOnData") == 1)
  }
}
