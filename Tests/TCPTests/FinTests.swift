import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.6 the FIN and what it shares a segment with", .everyVariation)
struct FinTests {
  private func data(_ count: Int) -> [UInt8] { [UInt8](repeating: 5, count: count) }

  @Test(
    "RFC 9293 3.6 data that exactly fills the window goes without its FIN, which follows when there is room")
  func finBeyondWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 536)
    try open.socket.send(data(1072))
    #expect(open.peer.next()?.payload.count == 536)
    try open.socket.shutdown(write: true)
    open.acknowledge(open.acknowledgment &+ 536)
    // The second half ends at the window's edge, its FIN one beyond: the probe timer sends it.
    let seen = open.peer.timeline(for: .seconds(4)) { _ in open.acknowledge(open.acknowledgment) }
    let first = try #require(seen.first)
    #expect(first.segment.payload.count == 536 && !first.segment.isFin && first.segment.isPush)
    #expect(first.milliseconds >= 190)
    open.acknowledge(open.acknowledgment &+ 536)
    let fin = try #require(open.peer.all().last)
    #expect(fin.isFin && fin.payload.isEmpty && fin.sequence == open.acknowledgment)
    open.acknowledge(open.acknowledgment &+ 1)
    #expect(open.socket.tcpInfo?.state == .finWait2)
  }

  @Test(
    "RFC 9293 3.6 the peer acknowledges the data and not the FIN: the FIN goes again, alone, and in the end gives up"
  )
  func finNotAcknowledged() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(1))
    try open.socket.send(data(1000))
    try open.socket.shutdown(write: true)
    let sent = open.peer.all()
    #expect(sent.map(\.payload.count) == [1, 1000])
    #expect(sent[1].isFin)
    open.acknowledge(open.acknowledgment &+ 1001)
    // What was acknowledged is not held any longer.
    #expect((open.socket.tcpInfo?.sendQueue ?? 0) == 1)
    let again = open.peer.timeline(for: .seconds(10))
    #expect(again.count >= 2)
    for seen in again {
      #expect(seen.segment.isFin && seen.segment.payload.isEmpty)
      #expect(seen.segment.sequence == open.acknowledgment)
    }
    open.peer.advance(.seconds(2000))
    #expect(open.socket.takeError() == .ETIMEDOUT)
  }

  @Test("RFC 9293 3.6 the same with more than one segment in the packet, and the FIN acknowledged at last")
  func finOfLargePacket() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(5 * 1460 + 10))
    try open.socket.shutdown(write: true)
    var end = open.acknowledgment
    for segment in open.peer.all() { end = segment.sequence &+ UInt32(segment.payload.count) }
    open.acknowledge(end)
    let fin = try #require(open.peer.timeline(for: .seconds(4)).last)
    #expect(fin.segment.isFin && fin.segment.payload.isEmpty && fin.segment.sequence == end)
    open.acknowledge(end &+ 1)
    #expect(open.socket.tcpInfo?.state == .finWait2)
  }

  @Test("RFC 9293 3.6 closed in SYN-RECEIVED of a simultaneous open: FIN-WAIT-1, and an end in order")
  func closeInSynReceived() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    peer.send(0x02, sequence: Variation.current.peerSequence, options: [2, 4, 5, 0xB4])
    #expect(peer.next()?.flags == 0x12)
    socket.close()
    let fin = try #require(peer.next())
    #expect(
      fin.isFin && fin.sequence == syn.sequence &+ 1
        && fin.acknowledgment == Variation.current.peerSequence &+ 1)
    peer.send(0x10, sequence: Variation.current.peerSequence &+ 1, acknowledgment: fin.sequence &+ 1)
    peer.send(0x11, sequence: Variation.current.peerSequence &+ 1, acknowledgment: fin.sequence &+ 1)
    #expect(peer.all().last?.acknowledgment == Variation.current.peerSequence &+ 2)
    peer.advance(.milliseconds(59_000))
    #expect(peer.all().isEmpty)
    // TIME-WAIT answers.
    peer.send(0x11, sequence: Variation.current.peerSequence &+ 1, acknowledgment: fin.sequence &+ 1)
    #expect(peer.next()?.acknowledgment == Variation.current.peerSequence &+ 2)
  }

  @Test(
    "RFC 9293 3.10.4 shut down in SYN-RECEIVED of a simultaneous open: the FIN waits until it is open",
    arguments: [0x12, 0x10] as [UInt8])
  func shutDownInSynReceived(_ flags: UInt8) throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    let own = Variation.current.peerSequence
    peer.send(0x02, sequence: own, options: [2, 4, 5, 0xB4])
    #expect(peer.next()?.flags == 0x12)
    try socket.shutdown(write: true)
    #expect(peer.next() == nil)
    #expect(socket.tcpInfo?.state == .synReceived && socket.readiness == [])
    // A SYN-ACK, as both have crossed, or an ACK.
    peer.send(flags, sequence: own &+ (flags == 0x10 ? 1 : 0), acknowledgment: syn.sequence &+ 1)
    let fin = try #require(peer.next())
    #expect(fin.isFin && fin.sequence == syn.sequence &+ 1 && fin.acknowledgment == own &+ 1)
    #expect(socket.tcpInfo?.state == .finWait1)
    _ = peer.all()
    peer.send(0x10, sequence: own &+ 1, acknowledgment: fin.sequence &+ 1)
    #expect(socket.tcpInfo?.state == .finWait2)
  }

  @Test("RFC 9293 3.6.1 TIME-WAIT lasts 60 s, and another 60 from each FIN that comes again")
  func timeWait() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.socket.close()
    open.acknowledge(open.acknowledgment &+ 1)
    open.send([], flags: 0x11)
    _ = open.peer.all()
    open.peer.advance(.seconds(59))
    open.peer.send(0x11, sequence: open.sequence &- 1, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.isRst == false)
    open.peer.advance(.seconds(59))
    open.peer.send(0x11, sequence: open.sequence &- 1, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.isRst == false)
    open.peer.advance(.milliseconds(60_100))
    open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.isRst == true)
  }

  @Test("RFC 9293 3.6 a half-closed socket with an owner waits in FIN-WAIT-2 as long as it likes")
  func finWait2WithOwner() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.shutdown(write: true)
    open.acknowledge(open.acknowledgment &+ 1)
    _ = open.peer.all()
    open.peer.advance(.seconds(7200))
    open.send([1, 2, 3])
    #expect(try open.socket.receive(upTo: 10) == [1, 2, 3])
    #expect(open.socket.tcpInfo?.state == .finWait2)
  }

  @Test("R TCP_LINGER2 is how long an orphan stays in FIN-WAIT-2", arguments: [5, -1])
  func linger2(_ seconds: Int32) throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.linger2, seconds) }
    open.socket.close()
    open.acknowledge(open.acknowledgment &+ 1)
    _ = open.peer.all()
    if seconds > 0 {
      open.peer.advance(.milliseconds(4900))
      open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment)
      #expect(open.peer.next()?.isRst != true)
      open.peer.advance(.milliseconds(200))
    } else {
      open.peer.advance(.milliseconds(1))
    }
    open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.isRst == true)
  }

  @Test("R TCP_LINGER2 below zero: close() in FIN-WAIT-2 resets")
  func linger2Reset() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.linger2, -1) }
    try open.socket.shutdown(write: true)
    open.acknowledge(open.acknowledgment &+ 1)
    _ = open.peer.all()
    open.socket.close()
    #expect(open.peer.next()?.isRst == true)
    #expect(open.peer.counter("TcpExtTCPAbortOnLinger") == 1)
  }
}
