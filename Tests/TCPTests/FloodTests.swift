import SwiftStack
import TestSupport
import Testing

@testable import TCP

/// Many who ask and do not go on. In virtual time; what a flood costs is counted in frames, buffers and bytes.
///
/// Elsewhere: how many requests a listener keeps and what a cookie says (`SynCookieTests`, `HalfOpenTests`, `BoundTests`);
/// the same flood against the program in a namespace (NetnsTests' `HostileFrameTests`); what connections may hold
/// (`MemoryAttackTests`, `MemoryLevelTests`); ARP floods, sweeps and spoofed answers (NeighbourTests'
/// `NeighbourCollectionTests` and `NeighbourStateTests`, IPv4Tests' `ARPTests`); fragments that flood, overlap and never end
/// (IPv4Tests' `ReassemblyLimitTests`, `ReassemblyTests`, `FragmentRunTests`, `ReassemblyMemoryTests`); answers of ICMP
/// (IPv4Tests' `ICMPTests`: none to many, errors by limits).
@Suite("R floods")
struct FloodTests {
  /// SYNs to port 5000 of 10.0.0.2 in the name of everybody else on its link.
  private struct Flood {
    var count = 0

    mutating func next() -> [UInt8] {
      count += 1
      let source = UInt8(3 + count % 250)
      let syn = FramePeer.tcp(
        2, from: UInt16(truncatingIfNeeded: 1024 + count / 7 % 60000), to: 5000,
        sequence: UInt32(truncatingIfNeeded: count &* 2_654_435_761), options: [2, 4, 5, 0xB4], source: source
      )
      return FramePeer.hostMAC + FramePeer.mac(source) + [8, 0] + FramePeer.ip(6, syn, source: source)
    }
  }

  /// What a connection moves in 200 ms at 1 Gbit/s, with 2 ms of round trip, and how long a new client of the same port
  /// takes that comes in between.
  ///
  /// - Parameter rate: SYNs each millisecond.
  private func run(rate: Int) throws -> (goodput: Int, handshake: Nanoseconds?, wire: SimulatedWire) {
    let wire = try SimulatedWire()
    (wire.leftToRight.delay, wire.rightToLeft.delay) = (.milliseconds(1), .milliseconds(1))
    (wire.leftToRight.rate, wire.rightToLeft.rate) = (100_000_000, 100_000_000)
    let listener = try wire.right.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 5000))
    try listener.listen(backlog: 128)
    listener.isNonBlocking = true
    func connect() throws -> Socket {
      let client = try wire.left.stack.socket(.tcp)
      client.isNonBlocking = true
      try? client.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 5000))
      return client
    }
    let client = try connect()
    var served: Socket?
    _ = wire.run(for: .seconds(5)) {
      served = try? listener.accept()
      return served != nil
    }
    let pump = StreamPump(from: try #require(served), to: client, byteCount: 1 << 30)
    var flood = Flood()
    let start = wire.now
    var (second, asked, handshake): (Socket?, Instant?, Nanoseconds?) = (nil, nil, nil)
    while wire.now < start + .milliseconds(200) {
      for _ in 0..<rate { wire.right.receive(flood.next()) }
      if second == nil && wire.now >= start + .milliseconds(60) {
        (second, asked) = (try connect(), wire.now)
      }
      _ = try pump.step()
      _ = wire.run(for: .milliseconds(1)) { false }
      _ = try pump.step()
      if handshake == nil, let asked, second?.tcpInfo?.state == .established, (try? listener.accept()) != nil
      {
        handshake = wire.now - asked
      }
    }
    return (pump.received, handshake, wire)
  }

  @Test(
    "RFC 4987 100,000 SYNs a second to the very port: a connection keeps 90 % of its goodput, a client gets in within 200 ms"
  )
  func flood() throws {
    let quiet = try run(rate: 0)
    let flooded = try run(rate: 100)
    #expect(quiet.goodput > 1 << 20)
    #expect(flooded.goodput * 10 >= quiet.goodput * 9)
    #expect(try #require(flooded.handshake) <= .milliseconds(200))
    // It was a flood, it was answered by cookies, and of it no more is kept than the backlog.
    let host = flooded.wire.right
    #expect(host.counter("TcpExtSyncookiesSent") == 20_001 - 129)
    #expect(host.counter("TcpExtListenDrops") == 0)
  }

  @Test(
    "R 100,000 half-open connections hold a request and a timer each, until their time is over; one more gets in"
  )
  func halfOpen() throws {
    let peer = try FramePeer {
      $0.settings.maximumBacklog = 100_000
      $0.settings.maximumSynBacklog = 100_000
      $0.settings.tcpSynackRetries = 0
    }
    let sources: [UInt8] = [1, 3, 4, 5]
    for station in sources { peer.stations[station] = station }
    let listener = try peer.host.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 5000))
    try listener.listen(backlog: 100_000)
    listener.isNonBlocking = true
    let (timers, buffers) = (peer.host.timerCount, peer.host.buffersInUse)
    func syn(_ number: Int) {
      let source = sources[number / 25_000]
      let segment = FramePeer.tcp(
        2, from: UInt16(1024 + number % 25_000), to: 5000, sequence: UInt32(number), source: source)
      peer.receive(FramePeer.ip(6, segment, source: source))
    }
    for number in 0..<100_000 {
      syn(number)
      if number % 1000 == 0 { _ = peer.takePackets() }
    }
    #expect(peer.count("TcpExtSyncookiesSent") == 0 && peer.count("TcpExtListenDrops") == 0)
    #expect(MemoryLayout<RequestSocket>.stride <= 288)
    #expect(peer.host.timerCount <= timers + 100_000 + 16)
    #expect(peer.host.buffersInUse <= buffers + 8)
    // The last of them goes on; it is found among all.
    let answer = try #require(peer.takePackets().last { $0[33] == 0x12 })
    func acknowledge() {
      let ack = FramePeer.tcp(
        0x10, from: 1024 + 24_999, to: 5000, sequence: 100_000,
        acknowledgment: MemoryAttacker.word(answer, 24) &+ 1, source: 5)
      peer.receive(FramePeer.ip(6, ack, source: 5))
    }
    acknowledge()
    let client = try listener.accept()
    #expect(client.tcpInfo?.state == .established)
    peer.advance(.seconds(2))
    #expect(peer.count("TcpExtTCPTimeouts") == 99_999)
    #expect(peer.host.timerCount <= timers + 16)
  }

  @Test("R ten thousand readers that do not read: what waits for them is bounded, and others are served")
  func slowReaders() throws {
    let attacker = try MemoryAttacker(memory: 384 << 20)
    let host = attacker.peer.host
    var (opened, used) = (0, [host.packetMemory.used])
    for number in 0..<10_000 {
      // Chargen would send for ever; the window takes one segment.
      if attacker.open(to: 19, window: 1460) != nil { opened += 1 }
      if number % 1000 == 999 {
        #expect(host.packetMemory.allocated <= 384 << 20)
        used.append(host.packetMemory.used)
        #expect(attacker.ping(), "\(number)")
        #expect(attacker.daytime(), "\(number)")
      }
    }
    #expect(opened == 10_000)
    // First a send buffer each; from three quarters of the memory on the least that every socket may have.
    #expect(zip(used, used.dropFirst()).allSatisfy { $1 - $0 <= 1000 * 65536 })
    #expect(used[10] - used[8] <= 2000 * 8192)
  }

  @Test("R ten thousand writers of a byte now and then: the bytes are taken, and hold nothing")
  func slowWriters() throws {
    let attacker = try MemoryAttacker(memory: 16 << 20)
    let host = attacker.peer.host
    for _ in 0..<10_000 {
      if let victim = attacker.open(to: 9) { attacker.victims.append(victim) }
    }
    #expect(attacker.victims.count == 10_000)
    _ = attacker.peer.takePackets()
    let before = host.packetMemory.used
    for round in UInt32(0)..<3 {
      for victim in attacker.victims { attacker.send(victim, to: 9, sequence: victim.next &+ round, [7]) }
      attacker.peer.advance(.seconds(1))
      _ = attacker.peer.takePackets()
      #expect(host.packetMemory.used <= before + 1 << 20)
      #expect(attacker.ping() && attacker.daytime())
    }
  }
}
