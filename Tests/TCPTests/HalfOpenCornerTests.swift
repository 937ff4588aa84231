import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.10.7.4 what a half-open connection refuses", .everyVariation)
struct HalfOpenCornerTests {
  @Test(
    "RFC 9293 3.10.7.4 SYN-RECEIVED: a SYN inside the window is answered with a reset, and the request is gone"
  )
  func synInWindow() throws {
    let listening = try ListeningPeer()
    let peer = listening.peer
    let answer = try listening.open()
    peer.send(0x02, sequence: listening.sequence &+ 5)
    let reset = try #require(peer.next())
    #expect(reset.flags == 0x14 && reset.acknowledgment == listening.sequence &+ 6)
    peer.send(0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1)
    #expect(peer.next()?.flags == 0x04)
    #expect(throws: SocketError("accept", .EAGAIN)) { _ = try listening.server.accept() }
  }

  @Test("RFC 9293 3.10.7.4 SYN-RECEIVED: a segment without ACK is dropped, the next one opens")
  func noAcknowledgment() throws {
    let listening = try ListeningPeer()
    let peer = listening.peer
    let answer = try listening.open()
    peer.send(0x08, sequence: listening.sequence, payload: [1, 2, 3])
    #expect(peer.next() == nil)
    #expect(throws: SocketError("accept", .EAGAIN)) { _ = try listening.server.accept() }
    peer.send(0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1)
    _ = try listening.server.accept()
  }

  @Test("RFC 9293 3.10.7.4 SYN-RECEIVED: an ACK of what was not sent is reset and takes nothing away")
  func wrongAcknowledgment() throws {
    let listening = try ListeningPeer()
    let peer = listening.peer
    let answer = try listening.open()
    peer.send(0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 5)
    let reset = try #require(peer.next())
    #expect(reset.flags == 0x04 && reset.sequence == answer.sequence &+ 5)
    peer.send(0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1)
    _ = try listening.server.accept()
  }

  @Test("R accept: many that wait come out in the order in which they opened, however many were taken before")
  func acceptOrder() throws {
    let listening = try ListeningPeer(backlog: 64)
    let peer = listening.peer
    var opened: [UInt16] = []
    var accepted: [Socket] = []
    for turn in 0..<40 {
      peer.port = UInt16(20_000 + turn)
      let answer = try listening.open()
      peer.send(0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1)
      opened.append(peer.port)
      if turn % 3 == 2 { accepted.append(try listening.server.accept()) }
    }
    while let next = try? listening.server.accept() { accepted.append(next) }
    #expect(try accepted.map { try $0.remoteAddress.port } == opened)
  }

  @Test("RFC 5482 TCP_USER_TIMEOUT ends a connection whose peer has closed its window on data in flight")
  func closedWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.userTimeout, 3_000) }
    try open.socket.send([1, 2, 3])
    _ = open.takeData()
    open.acknowledgment &-= 3
    open.window = 0
    open.acknowledge()
    var error: Errno?
    var tenths = 0
    while error == nil && tenths < 100 {
      open.peer.advance(.milliseconds(100))
      tenths += 1
      open.acknowledge()
      error = open.socket.takeError()
    }
    #expect(error == .ETIMEDOUT)
    #expect(tenths >= 30 && tenths <= 35)
  }
}
