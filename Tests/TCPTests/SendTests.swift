import SwiftStack
import TestSupport
import Testing

@Suite("T rows: sending", .everyVariation)
struct SendTests {
  private func text(_ string: String) -> [UInt8] { Array(string.utf8) }

  @Test("T9 Nagle holds a partial segment while a small one is not acknowledged (RFC 896, Minshall)")
  func nagle() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(text("a"))
    #expect(open.takeData() == text("a"))
    try open.socket.send(text("b"))
    try open.socket.send(text("c"))
    #expect(open.peer.all().isEmpty)
    open.acknowledge()
    let next = open.peer.all()
    #expect(next.map(\.payload) == [text("bc")])
    #expect(next[0].isPush)
  }

  @Test("T9 TCP_NODELAY sends small segments at once")
  func noDelay() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.setNoDelay(true) }
    for letter in ["a", "b", "c"] { try open.socket.send(text(letter)) }
    #expect(open.peer.all().map(\.payload) == [text("a"), text("b"), text("c")])
  }

  @Test("T9 a full segment does not wait for the acknowledgment of a small one")
  func fullSegment() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(text("a"))
    try open.socket.send([UInt8](repeating: 7, count: 1460))
    #expect(open.peer.all().map(\.payload.count) == [1, 1460])
  }

  @Test("T8 MSG_MORE holds a partial segment, at most about 200 ms")
  func more() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(text("a"), flags: .more)
    #expect(open.peer.all().isEmpty)
    open.peer.advance(.milliseconds(190))
    #expect(open.peer.all().isEmpty)
    open.peer.advance(.milliseconds(60))
    #expect(open.peer.all().map(\.payload) == [text("a")])
  }

  @Test("T8 MSG_MORE then a plain send: one segment")
  func moreThenSend() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(text("head"), flags: .more)
    try open.socket.send(text("body"))
    #expect(open.peer.all().map(\.payload) == [text("headbody")])
  }

  @Test("T8 MSG_EOR: nothing is appended behind it")
  func endOfRecord() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(text("a"))
    _ = open.peer.all()
    try open.socket.send(text("one"), flags: .endOfRecord)
    try open.socket.send(text("two"))
    open.acknowledge(open.acknowledgment &+ 1)
    let segments = open.peer.all()
    #expect(segments.first?.payload == text("one"))
  }

  @Test("RFC 6928 the first flight is ten segments; each ACK lets two more go in slow start")
  func initialWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    let sent = try open.socket.send([UInt8](repeating: 1, count: 40 * 1460))
    #expect(sent > 10 * 1460)
    let flight = open.peer.all()
    #expect(flight.map(\.payload.count).reduce(0, +) == 10 * 1460)
    #expect(flight.allSatisfy { $0.payload.count == 1460 })
    open.acknowledge(open.acknowledgment &+ 2 * 1460)
    #expect(open.peer.all().map(\.payload.count).reduce(0, +) == 4 * 1460)
  }

  @Test("T10 send window: no byte beyond it, and a window of less than a segment is not filled with crumbs")
  func sendWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 4000)
    try open.socket.send([UInt8](repeating: 1, count: 20000))
    #expect(open.peer.all().map(\.payload.count) == [1460, 1460])
    open.window = 500
    open.acknowledge(open.acknowledgment &+ 2 * 1460)
    #expect(open.peer.all().isEmpty)
    open.window = 3000
    open.acknowledge()
    // With no small segment outstanding, to the window's last byte. Linux: `tcp_mss_split_point()`.
    #expect(open.peer.all().map(\.payload.count) == [1460, 1460, 80])
  }

  @Test("T10 zero window: probes with back-off, though nothing was in flight; data goes on when it opens")
  func zeroWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 1460)
    try open.socket.send([UInt8](repeating: 1, count: 1460))
    #expect(open.takeData().count == 1460)
    open.window = 0
    open.acknowledge()
    try open.socket.send([UInt8](repeating: 2, count: 1000))
    #expect(open.peer.all().isEmpty)
    var probes = 0
    for _ in 0..<20 where probes < 3 {
      open.peer.advance(.milliseconds(200))
      for probe in open.peer.all() {
        probes += 1
        #expect(probe.payload.isEmpty)
        #expect(probe.sequence == open.acknowledgment &- 1)
        open.acknowledge()
      }
    }
    #expect(probes == 3)
    open.window = 65535
    open.acknowledge()
    // Cut to half of the largest window seen while that was 1460 bytes.
    var got = open.takeData()
    open.acknowledge()
    got += open.takeData()
    #expect(got == [UInt8](repeating: 2, count: 1000))
  }

  @Test("RFC 9293 3.8.6 a peer that takes its window back gets no new data, loses none, and goes on later")
  func shrinkingWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 14600)
    let data = (0..<14600).map { UInt8(truncatingIfNeeded: $0 / 7) }
    try open.socket.send(data)
    #expect(open.peer.all().map(\.payload.count).reduce(0, +) == 14600)
    // Takes 1460 and shrinks to nothing: what is in flight lies beyond the window.
    let start = open.acknowledgment
    open.window = 0
    open.acknowledge(start &+ 1460)
    open.peer.advance(.seconds(2))
    for segment in open.peer.all() { #expect(segment.sequence &- start <= 1460 + 1460) }
    open.window = 65535
    open.acknowledge()
    var got: [Int: [UInt8]] = [:]
    for _ in 0..<40 {
      open.peer.advance(.milliseconds(500))
      for segment in open.peer.all() { got[Int(segment.sequence &- start)] = segment.payload }
      var next = 1460
      while let bytes = got[next], !bytes.isEmpty { next += bytes.count }
      open.acknowledge(start &+ UInt32(next))
      if next == 14600 { break }
    }
    #expect(open.acknowledgment == start &+ 14600)
  }

  @Test("T3 memory: a writer that is not read from gets EAGAIN, and is told when a third is free")
  func sendBuffer() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    var total = 0
    while total < 10_000_000 {
      do { total += try open.socket.send([UInt8](repeating: 1, count: 65536)) } catch {
        #expect(error.errno == .EAGAIN)
        break
      }
    }
    #expect(total < 1_000_000)
    #expect(!open.socket.readiness.contains(.writable))
    for _ in 0..<200 where !open.socket.readiness.contains(.writable) {
      let bytes = open.takeData()
      if bytes.isEmpty { open.peer.advance(.milliseconds(1)) }
      open.acknowledge()
    }
    #expect(open.socket.readiness.contains(.writable))
  }

  @Test("T2 EPIPE after shutdown; what was written still goes out, then FIN")
  func shutdown() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(text("last"))
    try open.socket.shutdown(write: true)
    #expect(throws: SocketError.self) { try open.socket.send(text("x")) }
    let segments = open.peer.all()
    #expect(segments.map(\.payload) == [text("last"), []])
    #expect(segments[1].isFin)
    // The other direction is still open.
    open.acknowledge(open.acknowledgment &+ 5)
    open.send(text("reply"))
    #expect(try open.socket.receive(upTo: 100) == text("reply"))
  }

  @Test("T8 MSG_OOB: URG with the pointer behind the urgent byte; far from it 0xFFFF, never underflow")
  func urgent() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(text("ab!"), flags: .outOfBand)
    let segment = try #require(open.peer.next())
    #expect(segment.flags & 0x20 != 0)
    #expect(segment.urgentPointer == 3)
    open.acknowledge(open.acknowledgment &+ 3)
    try open.socket.send(text("plain"))
    #expect(try #require(open.peer.next()).flags & 0x20 == 0)
  }
}
