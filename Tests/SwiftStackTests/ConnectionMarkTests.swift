import SwiftStack
import TestSupport
import Testing
import Wire

private typealias Hand = HandmadePacket
private let client = SocketAddress(RouterBench.client, port: 4000)
private let server = SocketAddress(RouterBench.server, port: 5000)

/// Marks of connections; the same rules and packets were tried with nft on Linux 6.18.
@Suite struct ConnectionMarkTests {
  private func counts(_ bench: RouterBench) -> [UInt64] { bench.stack.hooks.rules.map(\.packetCount) }
  private func marks(_ bench: RouterBench) -> [UInt32] { bench.stack.hooks.connections.map(\.mark).sorted() }

  @Test(
    "P4 ct mark: noted by the first packet, known of the answers and of errors about it; conntrack shows it")
  func restored() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting ct state new udp dport 5000 ct mark set 0x7")
    try bench.filter("prerouting meta mark set ct mark")
    try bench.filter("forward meta mark 0x7 accept")
    try bench.filter("forward drop")
    let question = Hand.udp(client, server, [1, 2, 3])
    #expect(try bench.forward(question).count == 1)
    #expect(bench.stack.hooks.connections.first?.line.hasSuffix(" mark=7") == true)
    #expect(try bench.forward(Hand.udp(server, client, [4]), from: "sim1").count == 1)
    let about = Array(question[..<28])
    let error = Hand.icmp(RouterBench.server, RouterBench.client, 3, 3, rest: [0, 0, 0, 0], about)
    #expect(try bench.forward(error, from: "sim1").count == 1)
    // Another connection has a mark of its own, and none yet.
    #expect(try bench.forward(Hand.udp(client, SocketAddress(RouterBench.server, port: 5001), [1])).isEmpty)
    #expect(counts(bench) == [1, 4, 3, 1])
    #expect(marks(bench) == [7])
  }

  @Test("P4 ct mark set meta mark: the packet's own is noted, and what comes back gets it")
  func saved() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting iifname sim0 meta mark set 0x21")
    try bench.filter("prerouting ct state new ct mark set meta mark")
    try bench.filter("prerouting iifname sim1 meta mark set ct mark")
    try bench.filter("forward iifname sim1 meta mark 0x21 accept")
    try bench.filter("forward iifname sim1 drop")
    #expect(try bench.forward(Hand.udp(client, server, [1])).count == 1)
    #expect(marks(bench) == [0x21])
    #expect(try bench.forward(Hand.udp(server, client, [2]), from: "sim1").count == 1)
    // What begins on the other side has no mark: nothing was set before it was noted.
    let stranger = SocketAddress(RouterBench.server, port: 6000)
    #expect(try bench.forward(Hand.udp(stranger, client, [2]), from: "sim1").isEmpty)
  }

  @Test("P4 ct mark: the bits of its mask are compared; a later rule sees what an earlier one has set")
  func masked() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting ct mark 0x1/0xf drop")
    try bench.filter("prerouting ct mark set 0x31")
    try bench.filter("prerouting ct mark 0x1/0xf accept")
    try bench.filter("prerouting ct mark 0x31 accept")
    #expect(try bench.forward(Hand.udp(client, server, [1])).count == 1)
    #expect(counts(bench) == [0, 1, 1, 0])
    #expect(try bench.forward(Hand.udp(client, server, [1])).isEmpty)
    #expect(counts(bench) == [1, 1, 1, 0])
  }

  @Test("P4 ct mark: a packet of no connection has none, which is not 0")
  func none() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting ct mark 0 drop")
    try bench.filter("prerouting meta mark set ct mark drop")
    try bench.filter("prerouting ct state invalid ct mark set 5")
    // A reset of no connection begins none.
    let stray = Hand.tcp(client, SocketAddress(RouterBench.server, port: 80), 0x04, sequence: 1)
    #expect(try bench.forward(stray).count == 1)
    #expect(counts(bench) == [0, 0, 1])
    #expect(try bench.forward(Hand.udp(client, server, [1])).isEmpty)
    #expect(counts(bench) == [1, 0, 1])
  }

  @Test("P4 ct mark: without translation and states a rule for it has connections tracked")
  func tracks() throws {
    for rule in ["prerouting ct mark 1 drop", "prerouting ct mark set 1", "prerouting meta mark set ct mark"]
    {
      let bench = try RouterBench()
      try bench.filter(rule)
      #expect(try bench.forward(Hand.udp(client, server, [1])).count == 1)
      #expect(bench.stack.hooks.connections.count == 1, "\(rule)")
    }
  }

  @Test("P4 ct mark: a program's client sees it and sets it")
  func program() throws {
    final class Noting: HookClient {
      var seen: [UInt32?] = []
      func verdict(on packet: borrowing HookPacket) -> HookVerdict {
        seen.append(packet.connectionMark)
        return HookVerdict(.accept, connectionMark: 9)
      }
    }
    let bench = try RouterBench()
    let registration = try bench.stack.hooks.register(at: .forward) { Noting() }
    _ = try bench.forward(Hand.udp(client, server, [1]))
    try bench.stack.hooks.trackConnections(true)
    for _ in 0..<2 { _ = try bench.forward(Hand.udp(client, server, [1])) }
    bench.stack.hooks.withClients(registration) { #expect(($0 as? Noting)?.seen == [nil, 0, 9]) }
    #expect(marks(bench) == [9])
  }

  // MARK: One source, several peers

  /// What a datagram from the client's side leaves with.
  private func mapped(_ bench: RouterBench, _ source: SocketAddress, to target: SocketAddress) throws
    -> SocketAddress?
  {
    try bench.forward(Hand.udp(source, target, [1])).first.map { packet in
      SocketAddress(
        IPv4Address(packet[12], packet[13], packet[14], packet[15]),
        port: UInt16(packet[20]) << 8 | UInt16(packet[21]))
    }
  }

  private func peers(_ bench: RouterBench) throws -> [SocketAddress] {
    try (1...12).map { number in
      let address = IPv4Address(10, 2, 0, UInt8(100 + number))
      try bench.stack.replaceNeighbour(
        address, hardwareAddress: MACAddress("02:00:00:00:00:22")!, on: "sim1")
      return SocketAddress(address, port: 53)
    }
  }

  @Test("P4 a source that got another port for one peer keeps it for all others (RFC 4787 section 4.1)")
  func samePort() throws {
    let bench = try RouterBench()
    let peers = try peers(bench)
    try bench.filter("postrouting oifname sim1 masquerade")
    let (first, second) = (client, SocketAddress(IPv4Address(10, 1, 0, 9), port: 4000))
    let out = SocketAddress(RouterBench.far, port: 4000)
    #expect(try mapped(bench, first, to: peers[0]) == out)
    let moved = try #require(try mapped(bench, second, to: peers[0]))
    #expect(moved.port != 4000 && moved.address == out.address)
    for peer in peers { #expect(try mapped(bench, second, to: peer) == moved) }
    for peer in peers { #expect(try mapped(bench, first, to: peer) == out) }
    // Another port of the same host is another source, and so is another protocol.
    let other = SocketAddress(IPv4Address(10, 1, 0, 9), port: 4001)
    #expect(try mapped(bench, other, to: peers[1])?.port == 4001)
    let syn = try #require(try bench.forward(Hand.tcp(second, peers[2], 2)).first)
    #expect(Int(syn[20]) << 8 | Int(syn[21]) == 4000)
  }

  @Test("P4 what one port of a host was given says nothing of its other ports, nor of another protocol's")
  func otherSources() throws {
    let bench = try RouterBench()
    let peers = try peers(bench)
    try bench.filter("postrouting oifname sim1 masquerade")
    let (first, second) = (client.address, IPAddress(IPv4Address(10, 1, 0, 9)))
    let ports = 2000..<2600 as Range<UInt16>
    for port in ports {
      #expect(try mapped(bench, SocketAddress(first, port: port), to: peers[0])?.port == port)
    }
    let moved = try ports.map { try mapped(bench, SocketAddress(second, port: $0), to: peers[0]) }
    #expect(Set(moved).count == ports.count && moved.allSatisfy { !ports.contains($0?.port ?? 2000) })
    for (port, known) in zip(ports, moved) {
      #expect(try mapped(bench, SocketAddress(second, port: port), to: peers[1]) == known)
      let syn = try #require(
        try bench.forward(Hand.tcp(SocketAddress(second, port: port), peers[2], 2)).first)
      #expect(UInt16(syn[20]) << 8 | UInt16(syn[21]) == port)
    }
  }

  @Test("P4 of a range of addresses and ports one source gets one of them for all its peers")
  func sameAddress() throws {
    let bench = try RouterBench()
    let peers = try peers(bench)
    try bench.filter("postrouting oifname sim1 ip protocol udp snat to 10.2.0.20-10.2.0.27:7000-7999")
    var seen = Set<SocketAddress>()
    for number in 1...12 {
      let source = SocketAddress(IPv4Address(10, 1, 0, UInt8(20 + number)), port: 4000)
      let all = try Set(peers.map { try mapped(bench, source, to: $0) })
      #expect(all.count == 1)
      seen.formUnion(all.compactMap { $0 })
    }
    #expect(seen.count == 12 && Set(seen.map(\.address)).count > 1)
  }

  @Test("P4 a source's port that is not to be had for a peer any more, or that no rule gives, is another one")
  func otherPort() throws {
    let bench = try RouterBench()
    let peers = try peers(bench)
    try bench.filter("postrouting oifname sim1 ip protocol udp snat to 10.2.0.20:7000-7001")
    let sources = (1...3).map { SocketAddress(IPv4Address(10, 1, 0, UInt8(10 + $0)), port: 4000) }
    let ends = try (0..<2).map { try #require(try mapped(bench, sources[$0], to: peers[0])) }
    #expect(Set(ends.map(\.port)) == [7000, 7001])
    // The third finds both taken towards this peer, and has one of them towards the next.
    #expect(try mapped(bench, sources[2], to: peers[0]) == nil)
    let third = try #require(try mapped(bench, sources[2], to: peers[1]))
    #expect([7000, 7001].contains(third.port))
    // What would be the third's own is one of the others' towards the third peer.
    let owner = try #require((0..<2).first { ends[$0].port == third.port })
    #expect(try mapped(bench, sources[owner], to: peers[2]) == ends[owner])
    let away = try #require(try mapped(bench, sources[2], to: peers[2]))
    #expect(away.port != third.port && [7000, 7001].contains(away.port))
    // Once its connections are forgotten so is what it was given.
    try bench.stack.hooks.forgetConnections()
    #expect(try mapped(bench, sources[2], to: peers[2]) != nil)
  }

  @Test("P4 a source that a rule would give anyway is kept, whatever else the rule gives")
  func ownSource() throws {
    let bench = try RouterBench()
    let peers = try peers(bench)
    try bench.filter("postrouting oifname sim1 ip protocol udp snat to 10.1.0.1-10.1.0.8")
    for peer in peers { #expect(try mapped(bench, client, to: peer) == client) }
  }
}
