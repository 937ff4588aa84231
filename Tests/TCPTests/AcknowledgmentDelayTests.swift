import SwiftStack
import TestSupport
import Testing

@Suite("RFC 1122 4.2.3.2, RFC 5681 4.2 when the receiver acknowledges", .everyVariation)
struct AcknowledgmentDelayTests {
  /// A connection that has used up its quick ACKs, by small messages read at once; nothing is owed.
  private func quiet(_ options: [UInt8] = [2, 4, 5, 0xB4]) throws -> ScriptedConnection {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: options)
    for _ in 0..<40 {
      open.send([1], flags: 0x18)
      _ = try open.socket.receive(upTo: 10)
    }
    open.peer.advance(.milliseconds(100))
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
    return open
  }

  /// Milliseconds until an ACK of everything comes.
  private func wait(_ open: ScriptedConnection) -> Int? {
    for passed in 0...1000 {
      if open.peer.all().last?.acknowledgment == open.sequence { return passed }
      open.peer.advance(.milliseconds(1))
    }
    return nil
  }

  @Test("R a small message that nobody reads is acknowledged after 40 ms, not before and not later")
  func delayed() throws {
    let open = try quiet()
    let delayed = open.peer.host.counter("TcpExtDelayedACKs")
    open.send([1], flags: 0x18)
    open.peer.advance(.milliseconds(39))
    #expect(open.peer.all().isEmpty)
    open.peer.advance(.milliseconds(2))
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    #expect(open.peer.host.counter("TcpExtDelayedACKs") == delayed + 1)
  }

  @Test("T10 a small message that is read at once is acknowledged at once, however many came before")
  func readAtOnce() throws {
    let open = try quiet()
    for _ in 0..<100 {
      open.send([1, 2, 3, 4, 5], flags: 0x18)
      #expect(open.peer.all().isEmpty)
      #expect(try open.socket.receive(upTo: 10).count == 5)
      #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    }
    // Reading a part is no reason.
    open.send([1, 2, 3, 4, 5], flags: 0x18)
    _ = try open.socket.receive(upTo: 4)
    #expect(open.peer.all().isEmpty)
    _ = try open.socket.receive(upTo: 1)
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
  }

  @Test("T10 write-write to the discard service: the second write does not wait for a delayed ACK")
  func discard() throws {
    let wire = try SimulatedWire()
    let client = try wire.left.stack.socket(.tcp)
    client.isNonBlocking = true
    try? client.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9))
    wire.run(for: .seconds(1)) { client.readiness.contains(.writable) }
    for _ in 0..<60 {
      try client.send([1, 2, 3, 4, 5])
      try client.send([1, 2, 3, 4, 5])
      let isAcknowledged = wire.run(for: .milliseconds(2)) { client.tcpInfo?.sendQueue == 0 }
      #expect(isAcknowledged)
    }
  }

  @Test(
    "T10 in a conversation the first small message waits for its answer, a second one does not when both are read"
  )
  func conversation() throws {
    let open = try quiet()
    open.send([1], flags: 0x18)
    _ = try open.socket.receive(upTo: 10)
    try open.socket.send([9])
    let answer = try #require(open.peer.all().last)
    #expect(answer.acknowledgment == open.sequence)
    open.acknowledge(answer.sequence &+ 1)
    open.send([1], flags: 0x18)
    _ = try open.socket.receive(upTo: 10)
    #expect(open.peer.all().isEmpty)
    open.send([1], flags: 0x18)
    _ = try open.socket.receive(upTo: 10)
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
  }

  @Test("RFC 1122 4.2.3.2 every second full segment is acknowledged, not every one")
  func everySecond() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    var acknowledged: [Int] = []
    for _ in 0..<400 {
      open.send([UInt8](repeating: 1, count: 1460))
      _ = try open.socket.receive(upTo: 1460)
      acknowledged.append(open.peer.all().count)
    }
    // The window has stopped growing and the quick ACKs are used up.
    let last = acknowledged.suffix(100).reduce(0, +)
    #expect(last == 50)
    // A connection's first segments are acknowledged one by one: the sender is in slow start.
    #expect(acknowledged.prefix(16).allSatisfy { $0 >= 1 })
  }

  @Test(
    "RFC 1122 4.2.3.2 every second full segment is acknowledged, also when nobody reads, while the window keeps up"
  )
  func everySecondUnread() throws {
    // A window that does not grow, and a buffer that is far from full.
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.setsockopt(level: 6, name: 10, 64240) }
    try open.socket.setsockopt(level: 1, name: 8, 1 << 20)
    let segment = [UInt8](repeating: 1, count: 1460)
    for _ in 0..<100 {
      open.send(segment)
      _ = try open.socket.receive(upTo: 1460)
    }
    open.peer.advance(.milliseconds(100))
    _ = open.peer.all()
    for _ in 0..<10 {
      open.send(segment)
      #expect(open.peer.all().isEmpty)
      open.send(segment)
      #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    }
  }

  @Test("R a delayed ACK comes within 200 ms at any round-trip time (RFC 1122: 500 ms)")
  func longestDelay() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    defer { withExtendedLifetime(socket) {} }
    peer.advance(.milliseconds(450))
    var sequence = Variation.current.peerSequence
    peer.send(0x12, sequence: sequence, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
    sequence &+= 1
    func send() {
      peer.send(0x18, sequence: sequence, acknowledgment: syn.sequence &+ 1, payload: [1])
      sequence &+= 1
    }
    for _ in 0..<40 { send() }
    peer.advance(.milliseconds(200))
    _ = peer.all()
    var waits: [Int] = []
    for _ in 0..<5 {
      send()
      var passed = 0
      while peer.all().isEmpty && passed < 600 {
        peer.advance(.milliseconds(1))
        passed += 1
      }
      waits.append(passed)
    }
    // It grows with the gaps between messages, up to 200 ms.
    #expect(waits.allSatisfy { $0 >= 40 && $0 <= 200 })
    #expect(waits.last == 200)
  }

  @Test("R after the peer's MSS went down to 536, still one ACK for two segments")
  func smallerSegments() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    func send(_ length: Int, _ count: Int) throws -> Int {
      var acknowledgments = 0
      for _ in 0..<count {
        open.send([UInt8](repeating: 1, count: length))
        _ = try open.socket.receive(upTo: length)
        acknowledgments += open.peer.all().count
      }
      return acknowledgments
    }
    _ = try send(1460, 300)
    #expect(try #require(open.socket.tcpInfo).receiveMSS == 1460)
    _ = try send(536, 4)
    #expect(try #require(open.socket.tcpInfo).receiveMSS == 536)
    #expect(try send(536, 200) == 100)
    // Messages of equal length are not segments of a small MSS.
    for _ in 0..<6 { open.send([UInt8](repeating: 1, count: 200), flags: 0x18) }
    #expect(try #require(open.socket.tcpInfo).receiveMSS == 536)
  }

  @Test("R a FIN that is the first thing received is acknowledged at once, not after 40 ms")
  func firstFin() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.send([], flags: 0x11)
    open.peer.advance(.milliseconds(1))
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    #expect(try #require(open.socket.tcpInfo).dataSegmentsIn == 0)
  }

  @Test("RFC 5681 4.2 what fills a gap is acknowledged at once, and every segment while there is one")
  func gap() throws {
    let open = try quiet()
    for offset in [1, 2] as [UInt32] {
      open.peer.send(
        0x18, sequence: open.sequence &+ offset, acknowledgment: open.acknowledgment, payload: [2])
      #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    }
    open.send([1], flags: 0x18)
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence &+ 2])
    // That was for this one gap.
    open.sequence &+= 2
    open.send([1], flags: 0x18)
    #expect(open.peer.all().isEmpty)
  }

  @Test("An ACK that is nearly due is not delayed again: it goes with the next segment")
  func nearlyDue() throws {
    let open = try quiet()
    open.send([1], flags: 0x18)
    open.peer.advance(.milliseconds(25))
    open.send([1], flags: 0x18)
    #expect(open.peer.all().isEmpty)
    open.peer.advance(.milliseconds(10))
    open.send([1], flags: 0x18)
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
  }

  @Test("A sender that was idle for longer than the retransmission timeout is acknowledged quickly again")
  func afterIdle() throws {
    let open = try quiet()
    open.send([1], flags: 0x18)
    #expect(open.peer.all().isEmpty)
    open.peer.advance(.seconds(1))
    _ = open.peer.all()
    open.send([1], flags: 0x18)
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
  }

  @Test(
    "TCP_QUICKACK is a move, not a setting: each time it is set a conversation is left, each answer enters it"
  )
  func quickAck() throws {
    let open = try quiet()
    func isQuick() throws -> Bool { try open.socket.getsockopt(level: 6, name: 12)[0] == 1 }
    for round in 0..<3 {
      // A message and its answer: the next message waits for its own.
      open.send([1], flags: 0x18)
      _ = try open.socket.receive(upTo: 10)
      try open.socket.send([9])
      open.acknowledge(open.acknowledgment &+ 1)
      _ = open.peer.all()
      #expect(try !isQuick())
      open.send([1], flags: 0x18)
      _ = try open.socket.receive(upTo: 10)
      #expect(open.peer.all().isEmpty)
      try open.socket.setsockopt(level: 6, name: 12, round == 2 ? 2 : 1)
      #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
      // An even value was for that one ACK.
      #expect(try isQuick() == (round != 2))
    }
    try open.socket.setsockopt(level: 6, name: 12, 0)
    #expect(try !isQuick())
  }

  @Test("TCP_QUICKACK of a listener is not that of its connections, which begin with quick ACKs")
  func quickAckOfChildren() throws {
    for value in [0, 1] as [Int32] {
      let listening = try ListeningPeer { try $0.setsockopt(level: 6, name: 12, value) }
      let answer = try listening.open()
      listening.peer.send(0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1)
      #expect(try listening.server.accept().getsockopt(level: 6, name: 12)[0] == 1)
    }
  }
}
