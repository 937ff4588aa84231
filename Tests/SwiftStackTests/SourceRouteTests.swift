import SwiftStack
import TestSupport
import Testing
import Wire

private typealias Hand = HandmadePacket
private let (client, server) = (RouterBench.client, RouterBench.server)

/// Source routes that lead on from here. What is expected is what the kernel (6.18) did with the same packets.
@Suite struct SourceRouteTests {
  private func bench(forwards: Bool = true) throws -> RouterBench {
    let bench = try RouterBench(forwards: forwards)
    try bench.stack.set("net.ipv4.conf.all.accept_source_route", to: "1")
    try bench.stack.set("net.ipv4.icmp_ratelimit", to: "0")
    return bench
  }

  /// A source route whose pointer is `pointer`.
  private func route(pointer: UInt8 = 4, strict: Bool = false, _ hops: IPv4Address...) -> [UInt8] {
    [strict ? 137 : 131, UInt8(3 + 4 * hops.count), pointer] + hops.flatMap(Hand.octets) + [0]
  }

  private func datagram(_ options: [UInt8], ttl: UInt8 = 64) -> [UInt8] {
    Hand.udp(
      SocketAddress(client, port: 7), SocketAddress(RouterBench.near, port: 9), ttl: ttl, options: options,
      [1])
  }

  /// Destination and options of the one packet that went on.
  private func sent(_ packets: [[UInt8]]) -> [UInt8]? {
    guard packets.count == 1 else { return nil }
    return Array(packets[0][16..<Int(packets[0][0] & 15) * 4])
  }

  private let far: [UInt8] = [10, 2, 0, 2]
  private let other = IPv4Address(10, 5, 5, 5)

  @Test(
    "U7 RFC 791 3.1 a source route leads on over us: to its next hop, our address on that way in its place")
  func forwarded() throws {
    for strict in [false, true] {
      let kind: UInt8 = strict ? 137 : 131
      let bench = try bench()
      let one = try bench.forward(datagram(route(strict: strict, server)))
      #expect(sent(one) == [10, 2, 0, 1, kind, 7, 8] + far + [0])
      #expect(one.first?[8] == 63)
      #expect(one.first.map { Hand.sum($0[..<28]) } == 0xFFFF)
      let two = try bench.forward(datagram(route(strict: strict, server, other)))
      #expect(sent(two) == [10, 2, 0, 1, kind, 11, 8] + far + [10, 5, 5, 5, 0])
      // Over two addresses of ours.
      let ours = try bench.forward(datagram(route(strict: strict, RouterBench.far, server)))
      #expect(sent(ours) == [10, 2, 0, 1, kind, 11, 12] + far + far + [0])
      // A byte behind the last whole address is left alone.
      let long = try bench.forward(datagram([kind, 8, 4, 10, 2, 0, 1, 0]))
      #expect(sent(long) == [10, 2, 0, 1, kind, 8, 8] + far + [0])
      #expect(bench.count("IpForwDatagrams") == 4)
    }
  }

  @Test("U7 a recorded route goes on beside a source route")
  func recorded() throws {
    let bench = try bench()
    let record: [UInt8] = [7, 7, 4, 0, 0, 0, 0, 0, 0]
    let out = try bench.forward(datagram(Array(route(server).dropLast()) + record.prefix(7) + [0, 0]))
    #expect(sent(out) == [10, 2, 0, 1, 131, 7, 8] + far + [7, 7, 8] + far + [0, 0])
  }

  @Test("U7 a source route ends here where its last hop is ours as well")
  func delivered() throws {
    for forwards in [false, true] {
      let bench = try bench(forwards: forwards)
      let socket = try bench.stack.socket(.udp)
      socket.isNonBlocking = true
      try socket.bind(to: SocketAddress(RouterBench.far, port: 9))
      // The sum is that of the last hop's address.
      let packet = Hand.udp(
        SocketAddress(client, port: 7), SocketAddress(RouterBench.near, port: 9),
        options: route(RouterBench.far), hasChecksum: false, [5])
      try bench.receive(packet, on: "sim0")
      #expect(try socket.receive(upTo: 4) == [5])
    }
  }

  @Test("U7 RFC 1812 5.2.7.1 a strict source route whose next hop is not at hand: source route failed")
  func strict() throws {
    let bench = try bench()
    try bench.change("route add 10.5.0.0/16 via 10.2.0.1")
    #expect(try bench.forward(datagram(route(strict: true, other))).isEmpty)
    let error = try #require(try bench.packets("sim0").first)
    #expect([error[20], error[21]] == [3, 5])
    // The packet is quoted as it came.
    #expect(Array(error[44..<56]) == [10, 1, 0, 2, 137, 7, 4, 10, 5, 5, 5, 0])
    #expect(bench.count("IpForwDatagrams") == 0)
    let loose = try bench.forward(datagram(route(other)))
    #expect(sent(loose) == [10, 5, 5, 5, 131, 7, 8] + far + [0])
  }

  @Test("U7 a source route that leads nowhere is dropped, and so is every one where this is no router")
  func refused() throws {
    let bench = try bench()
    for next in [
      IPv4Address(10, 77, 0, 1), IPv4Address(10, 2, 0, 255), IPv4Address(224, 0, 0, 1), .broadcast, .any,
      .loopback,
    ] {
      #expect(try bench.forward(datagram(route(next))).isEmpty, "\(next)")
      #expect(try bench.packets("sim0").isEmpty, "\(next)")
    }
    try bench.change("route add unreachable 10.77.0.0/16")
    #expect(try bench.forward(datagram(route(IPv4Address(10, 77, 0, 1)))).isEmpty)
    let all = [UInt8](repeating: 0xFF, count: 6) + [2, 0, 0, 0, 0, 0x11, 8, 0] + datagram(route(server))
    try bench.host.receive(SimulatedFrame(bytes: all), on: "sim0")
    #expect(try bench.packets("sim1").isEmpty && bench.packets("sim0").isEmpty)
    let host = try self.bench(forwards: false)
    for strict in [false, true] { #expect(try host.forward(datagram(route(strict: strict, server))).isEmpty) }
    #expect(try host.packets("sim0").isEmpty)
    try bench.stack.set("net.ipv4.conf.all.accept_source_route", to: "0")
    #expect(try bench.forward(datagram(route(server))).isEmpty && bench.packets("sim0").isEmpty)
    #expect(bench.count("IpForwDatagrams") == 0 && bench.count("IpInHdrErrors") == 0)
  }

  @Test("U7 a source route whose pointer leaves no whole address is a parameter problem at its pointer")
  func malformed() throws {
    for forwards in [false, true] {
      let bench = try bench(forwards: forwards)
      #expect(try bench.forward(datagram(route(pointer: 5, server))).isEmpty)
      let error = try #require(try bench.packets("sim0").first)
      #expect([error[20], error[21], error[24]] == [12, 0, 22])
    }
  }

  @Test("U7 the last hop of a source route is told of; nobody is redirected from one")
  func told() throws {
    let bench = try bench()
    #expect(try bench.forward(datagram(route(server), ttl: 1)).isEmpty)
    let error = try #require(try bench.packets("sim0").first)
    #expect([error[20], error[21]] == [11, 0] && Array(error[44..<48]) == [10, 1, 0, 2])
    // Back out by the link that it came in by.
    let neighbour = IPv4Address(10, 1, 0, 9)
    try bench.stack.replaceNeighbour(neighbour, hardwareAddress: MACAddress("02:00:00:00:00:99")!)
    try bench.receive(datagram(route(neighbour)), on: "sim0")
    let back = try bench.packets("sim0")
    #expect(sent(back) == [10, 1, 0, 9, 131, 7, 8, 10, 1, 0, 2, 0])
  }
}
