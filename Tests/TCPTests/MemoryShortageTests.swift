import SwiftStack
import TestSupport
import Testing
import Timers

/// A stack whose packet memory is used up by datagrams that nobody reads.
private final class ShortOfMemory {
  let attacker: MemoryAttacker
  private var hoarders: [Socket] = []
  private let listener: Socket
  var host: SimulatedStack { attacker.peer.host }

  init(settings: NetSettings = NetSettings()) throws {
    attacker = try MemoryAttacker(settings: settings)
    listener = try attacker.peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 9000))
    try listener.listen()
  }

  func accept() throws -> (victim: MemoryAttacker.Victim, socket: Socket) {
    let victim = try #require(attacker.open(to: 9000))
    let socket = try listener.accept()
    socket.isNonBlocking = true
    return (victim, socket)
  }

  /// Fills the pool up to its high level, then well over it with what each socket always gets.
  func useUp() throws {
    let before = attacker.peer.count("UdpMemErrors")
    while attacker.peer.count("UdpMemErrors") == before { try hoard(180) }
    for _ in 0..<60 { try hoard(3) }
  }

  /// Fills the pool to less than a chunk below its high level.
  func fill() throws {
    while host.packetMemory.used + 8 * 32768 <= 3 << 20 { try hoard(50) }
    while host.packetMemory.used + 32768 <= 3 << 20 { try hoard(1) }
  }

  private func hoard(_ count: Int) throws {
    let port = UInt16(10_000 + hoarders.count)
    let socket = try host.stack.socket(.udp)
    try socket.bind(to: SocketAddress(.any, port: port))
    hoarders.append(socket)
    let datagram = FramePeer.ip(17, FramePeer.udp([UInt8](repeating: 3, count: 100), to: port))
    for _ in 0..<count { attacker.peer.receive(datagram) }
  }

  func giveBack() {
    for socket in hoarders { socket.close() }
    hoarders = []
  }

  var abortCount: UInt64 { attacker.peer.count("TcpExtTCPAbortOnMemory") }
}

@Suite("B4 shortage of memory", .everyVariation)
struct MemoryShortageTests {
  @Test("B4 clause 22: a connection with nothing queued gets its first segment; more waits, in line")
  func firstSegment() throws {
    let short = try ShortOfMemory()
    let first = try short.accept()
    let second = try short.accept()
    try short.useUp()
    let block = [UInt8](repeating: 5, count: 40_000)
    for (_, socket) in [first, second] {
      try socket.setsockopt(level: 1, name: 7, 1_000_000)
      #expect(socket.readiness.contains(.writable))
      // What is left of a chunk that is in use anyway, or of a small page; then no more.
      let taken = try socket.send(block)
      #expect(taken > 0 && taken < block.count)
      #expect(throws: SocketError.self) { for _ in 0..<10 { _ = try socket.send(block) } }
      #expect(!socket.readiness.contains(.writable))
    }
    short.attacker.peer.advance(.milliseconds(1))
    #expect(!first.socket.readiness.contains(.writable))
    short.giveBack()
    // Memory is back: whoever waited is ready again without any segment of its peer's.
    #expect(first.socket.readiness.contains(.writable) && second.socket.readiness.contains(.writable))
    #expect(try first.socket.send(block) > 10_000)
  }

  @Test("B4 a writer that waited for room, and has it when there is no memory, is woken when there is")
  func roomWithoutMemory() throws {
    let short = try ShortOfMemory()
    var (victim, socket) = try short.accept()
    try socket.setsockopt(level: 1, name: 7, 16384)
    while (try? socket.send([UInt8](repeating: 5, count: 4096))) != nil {}
    #expect(!socket.readiness.contains(.writable))
    let poller = Poller(short.host.stack)
    try poller.add(socket, for: .writable, .edge, token: 1)
    _ = try poller.wait(timeout: .zero)
    try short.useUp()
    for _ in 0..<2 {
      let sent = short.attacker.peer.takePackets().filter { $0[9] == 6 }.map { $0.count - 40 }.reduce(0, +)
      victim.acknowledgment &+= UInt32(sent)
      short.attacker.send(victim, to: 9000, sequence: 1000)
    }
    #expect(try poller.wait(timeout: .zero).isEmpty)
    short.giveBack()
    #expect(try poller.wait(timeout: .zero).map(\.readiness) == [.writable])
  }

  @Test("B4 tcp_rmem[0]: a connection takes its first 4 KiB though ordinary memory has run out, and no more")
  func receiveLeast() throws {
    let short = try ShortOfMemory()
    let (victim, socket) = try short.accept()
    try short.useUp()
    for index in 0..<8 {
      short.attacker.send(
        victim, to: 9000, sequence: victim.next &+ UInt32(index * 1000), [UInt8](repeating: 7, count: 1000))
    }
    let received = try socket.receive(upTo: 20_000).count
    #expect(received >= 1000 && received < 8000)
  }

  @Test("T20 orphans: tcp_max_orphans may close in order, one beyond is reset; one that ends makes room")
  func number() throws {
    var settings = NetSettings()
    settings.maximumOrphans = 3
    let short = try ShortOfMemory(settings: settings)
    var victims: [MemoryAttacker.Victim] = []
    for index in 1...4 {
      let (victim, socket) = try short.accept()
      _ = short.attacker.peer.takePackets()
      socket.close()
      let answers = short.attacker.peer.takePackets()
      #expect(answers.contains { $0[33] & 4 != 0 } == (index == 4))
      #expect(short.abortCount == (index == 4 ? 1 : 0))
      victims.append(victim)
    }
    short.attacker.send(victims[0], to: 9000, flags: 0x14, sequence: victims[0].next)
    let (_, socket) = try short.accept()
    socket.close()
    #expect(short.abortCount == 1)
  }

  @Test("T20 an orphan that holds memory is reset when memory is short: as it closes, and at its timer")
  func memory() throws {
    let short = try ShortOfMemory()
    let early = try short.accept()
    let late = try short.accept()
    let small = try short.accept()
    for socket in [early.socket, late.socket] { _ = try socket.send([UInt8](repeating: 5, count: 20_000)) }
    early.socket.close()
    try short.useUp()
    #expect(short.abortCount == 0)
    late.socket.close()
    #expect(short.abortCount == 1)
    // One that holds next to nothing closes in order.
    small.socket.close()
    #expect(short.abortCount == 1)
    short.attacker.peer.advance(.seconds(2))
    #expect(short.abortCount == 2)
  }

  @Test("B4 a segment in order that finds no ordinary memory takes that of its own out-of-order queue")
  func ownQueue() throws {
    let short = try ShortOfMemory()
    let (victim, socket) = try short.accept()
    let payload = [UInt8](repeating: 7, count: 1000)
    for index in 0..<90 {
      short.attacker.send(
        victim, to: 9000, sequence: victim.next &+ 40_001 &+ UInt32(index * 101), Array(payload[..<100]))
    }
    try short.fill()
    let before = short.attacker.peer.count("TcpExtOfoPruned")
    #expect(before == 0)
    var next = victim.next
    for _ in 0..<30 where short.attacker.peer.count("TcpExtOfoPruned") == before {
      short.attacker.send(victim, to: 9000, sequence: next, payload)
      next &+= 1000
    }
    #expect(short.attacker.peer.count("TcpExtOfoPruned") == 1)
    #expect(short.attacker.peer.count("TcpExtTCPRcvQDrop") == 0)
    #expect(try socket.receive(upTo: 60_000).count == Int(next &- victim.next))
  }

  @Test("B4 an out-of-order segment is never among the least that a socket may keep")
  func outOfOrder() throws {
    let short = try ShortOfMemory()
    let (victim, socket) = try short.accept()
    try short.useUp()
    let drops = short.attacker.peer.count("TcpExtTCPOFODrop")
    short.attacker.send(victim, to: 9000, sequence: victim.next &+ 100, [1, 2, 3])
    #expect(short.attacker.peer.count("TcpExtTCPOFODrop") == drops + 1)
    short.attacker.send(victim, to: 9000, sequence: victim.next, [9])
    #expect(try socket.receive(upTo: 10) == [9])
  }
}
