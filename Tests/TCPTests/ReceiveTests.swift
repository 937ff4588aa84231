import SwiftStack
import TestSupport
import Testing

@Suite("R rows: receiving", .everyVariation)
struct ReceiveTests {
  private func text(_ string: String) -> [UInt8] { Array(string.utf8) }
  private let sackOptions: [UInt8] = [2, 4, 5, 0xB4, 1, 1, 4, 2]

  @Test(
    "RFC 2018 out of order: duplicate ACKs with the newest block first; in order again, all is acknowledged")
  func outOfOrder() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions)
    let base = open.sequence
    let ack = open.acknowledgment
    func segment(_ at: UInt32, _ count: Int) {
      open.peer.send(
        0x10, sequence: base &+ at, acknowledgment: ack,
        payload: [UInt8](repeating: UInt8(at / 10), count: count))
    }
    segment(10, 10)
    var reply = try #require(open.peer.next())
    #expect(reply.acknowledgment == base)
    #expect(reply.sackBlocks.map(\.0) == [base &+ 10])
    segment(40, 10)
    reply = try #require(open.peer.next())
    #expect(reply.sackBlocks.map(\.0) == [base &+ 40, base &+ 10])
    segment(20, 10)
    reply = try #require(open.peer.next())
    #expect(reply.sackBlocks.map(\.0) == [base &+ 10, base &+ 40])
    #expect(reply.sackBlocks.map(\.1) == [base &+ 30, base &+ 50])
    segment(0, 10)
    reply = try #require(open.peer.next())
    #expect(reply.acknowledgment == base &+ 30)
    #expect(try open.socket.receive(upTo: 100).count == 30)
    segment(30, 10)
    reply = try #require(open.peer.next())
    #expect(reply.acknowledgment == base &+ 50)
    #expect(reply.sackBlocks.isEmpty)
    let rest = try open.socket.receive(upTo: 100)
    #expect(rest == [UInt8](repeating: 3, count: 10) + [UInt8](repeating: 4, count: 10))
  }

  @Test("RFC 2883 a duplicate is reported once, first in the list")
  func duplicateSACK() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions)
    let base = open.sequence
    open.send([UInt8](repeating: 1, count: 10))
    _ = open.peer.all()
    open.peer.send(
      0x10, sequence: base, acknowledgment: open.acknowledgment, payload: [UInt8](repeating: 1, count: 10))
    let reply = try #require(open.peer.next())
    #expect(reply.acknowledgment == base &+ 10)
    #expect(reply.sackBlocks.map(\.0) == [base])
    #expect(reply.sackBlocks.map(\.1) == [base &+ 10])
    #expect(try open.socket.receive(upTo: 100).count == 10)
  }

  @Test("Overlapping segments give each byte once")
  func overlap() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions)
    let base = open.sequence
    let data = text("0123456789abcdefghij")
    for (start, end) in [(5, 12), (8, 15), (2, 9), (14, 20), (0, 4)] {
      open.peer.send(
        0x10, sequence: base &+ UInt32(start), acknowledgment: open.acknowledgment,
        payload: Array(data[start..<end]))
    }
    #expect(try open.socket.receive(upTo: 100) == data)
  }

  @Test("RFC 9293 3.4 data across the wrap of the sequence space")
  func wrap() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), initial: 0xFFFF_FF00)
    var sent: [UInt8] = []
    for round in 0..<10 {
      let piece = [UInt8](repeating: UInt8(round), count: 100)
      open.send(piece)
      sent += piece
    }
    #expect(try open.socket.receive(upTo: 2000) == sent)
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
  }

  @Test("RFC 7323 5.3 PAWS: an old timestamp is answered with an ACK and not taken")
  func paws() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions, timestamps: true)
    open.timestamp &+= 1000
    open.send(text("new"))
    _ = open.peer.all()
    open.timestamp &-= 500
    open.send(text("old"))
    #expect(open.peer.next()?.acknowledgment == open.sequence &- 3)
    #expect(try open.socket.receive(upTo: 100) == text("new"))
  }

  @Test("RFC 5961 3.2 only an exact reset ends the connection; one elsewhere in the window is challenged")
  func reset() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.peer.send(0x04, sequence: open.sequence &+ 100)
    let challenge = try #require(open.peer.next())
    #expect(challenge.flags == 0x10)
    #expect(challenge.acknowledgment == open.sequence)
    open.peer.send(0x04, sequence: open.sequence &+ 1_000_000)
    #expect(open.peer.next() == nil)
    open.peer.send(0x04, sequence: open.sequence)
    #expect(open.socket.readiness.contains(.hangup))
    #expect(throws: SocketError("receive", .ECONNRESET)) { try open.socket.receive(upTo: 1) }
  }

  @Test("RFC 5961 4.2 a SYN in the window is challenged")
  func synInWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.peer.send(0x02, sequence: open.sequence &+ 10)
    #expect(open.peer.next()?.flags == 0x10)
    open.send(text("still here"))
    #expect(try open.socket.receive(upTo: 100) == text("still here"))
  }

  @Test("RFC 9293 3.10.7.4 an ACK of what was not sent is answered, not believed")
  func futureAck() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment &+ 5000)
    let reply = try #require(open.peer.next())
    #expect(reply.sequence == open.acknowledgment)
  }

  @Test("RFC 1122 4.2.3.2 delayed ACK: at most 500 ms, and at least every second full segment")
  func delayedAck() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    // Use up the quick ACKs of a fresh connection.
    for _ in 0..<60 {
      open.send([UInt8](repeating: 1, count: 1460))
      _ = try open.socket.receive(upTo: 1 << 20)
      _ = open.peer.all()
      open.peer.advance(.milliseconds(1))
    }
    open.peer.advance(.milliseconds(500))
    _ = open.peer.all()
    open.send([UInt8](repeating: 1, count: 1460))
    let first = open.peer.all().count
    open.send([UInt8](repeating: 1, count: 1460))
    #expect(first + open.peer.all().count >= 1)
    open.send([UInt8](repeating: 1, count: 100))
    open.peer.advance(.milliseconds(500))
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
  }

  @Test("RFC 9293 3.8.6.2.2 a reader that stops closes the window; reading again announces it")
  func windowReopens() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    var window: UInt16 = 65535
    for _ in 0..<400 where window > 0 {
      open.send([UInt8](repeating: 1, count: min(1460, Int(window))))
      open.peer.advance(.milliseconds(50))
      if let last = open.peer.all().last { window = last.window }
    }
    #expect(window == 0)
    // A probe into the closed window is answered with the same number and no data taken.
    open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment, payload: [9])
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
    while let bytes = try? open.socket.receive(upTo: 65536), !bytes.isEmpty {}
    let update = open.peer.all().last
    #expect((update?.window ?? 0) > 10000)
    #expect(update?.acknowledgment == open.sequence)
  }

  @Test("T8 urgent data from the peer: out of the stream, read with MSG_OOB")
  func urgent() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    var segment = ScriptedSegment(0x30, sequence: open.sequence, acknowledgment: open.acknowledgment)
    segment.payload = text("ab!cd")
    segment.urgentPointer = 3
    open.peer.send(segment)
    #expect(try open.socket.receive(upTo: 1, flags: .outOfBand) == text("!"))
    #expect(try open.socket.receive(upTo: 10) == text("ab"))
    #expect(try open.socket.receive(upTo: 10) == text("cd"))
  }
}

@Suite("R rows: receiving at length")
struct LongReceiveTests {
  @Test("A byte a segment does not cost a buffer each: 20,000 of them fit the receive buffer")
  func crumbs() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    var sent = 0
    for index in 0..<20000 {
      open.send([UInt8(truncatingIfNeeded: index)])
      sent += 1
      if index % 512 == 0 { open.peer.advance(.milliseconds(1)) }
    }
    open.peer.advance(.seconds(1))
    let acknowledged = open.peer.all().last?.acknowledgment ?? 0
    #expect(acknowledged == open.sequence)
    var got = 0
    while let bytes = try? open.socket.receive(upTo: 65536), !bytes.isEmpty { got += bytes.count }
    #expect(got == sent)
  }
}
