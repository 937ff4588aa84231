import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket
private let client = RouterBench.client
private let server = RouterBench.server

/// Which rules and tables are asked where a packet's or a question's source counts. What is expected is what Linux 6.18 did
/// with the same rules.
@Suite struct PolicyLookupTests {
  private let odd = IPv4Address(10, 9, 0, 1)

  private func bench(rule: String, route: String) throws -> RouterBench {
    let bench = try RouterBench()
    try bench.change("route add \(route) table 100")
    try bench.change("rule add \(rule) lookup 100")
    return bench
  }

  @Test(
    "P1 rp_filter asks the rules as for a packet that came in by where this one goes: by lo for one of ours",
    arguments: [("sim0", false, false), ("sim1", true, false), ("lo", false, true)])
  func reversePath(input: String, passes: Bool, isDelivered: Bool) throws {
    let bench = try bench(rule: "iif \(input)", route: "10.9.0.0/16 dev sim0")
    try bench.stack.set("net.ipv4.conf.all.rp_filter", to: "1")
    let source = SocketAddress(odd, port: 1)
    #expect(
      try bench.forward(Hand.udp(source, SocketAddress(server, port: 2), [1])).count == (passes ? 1 : 0))
    let before = bench.count("IpInDelivers")
    try bench.receive(Hand.udp(source, SocketAddress(RouterBench.near, port: 2), [1]), on: "sim0")
    #expect(bench.count("IpInDelivers") == before + (isDelivered ? 1 : 0))
    #expect(bench.count("TcpExtIPReversePathFilter") == (passes ? 0 : 1) + (isDelivered ? 0 : 1))
  }

  /// Whether a question on the wire of `sim0` is answered.
  private func answers(
    _ bench: RouterBench, _ sender: IPv4Address, asks target: IPv4Address
  ) throws -> Bool {
    let station: [UInt8] = [2, 0, 0, 0, 0, 0x11]
    var frame = [UInt8](repeating: 0xFF, count: 6) + station + [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]
    frame += station + Hand.octets(sender) + [0, 0, 0, 0, 0, 0] + Hand.octets(target)
    frame += [UInt8](repeating: 0, count: 18)
    bench.advance(.milliseconds(1))
    try bench.host.receive(SimulatedFrame(bytes: frame), on: "sim0")
    bench.advance(.seconds(2))
    return try bench.host.takeFrames(on: "sim0").contains {
      $0.bytes[12] == 8 && $0.bytes[13] == 6 && $0.bytes[21] == 2
        && Array($0.bytes[28..<32]) == Hand.octets(target)
    }
  }

  @Test(
    "N5 arp_filter asks for the way that an answer from us would take",
    arguments: [
      ("iif lo", true), ("iif sim0", false), ("from 10.1.0.2", true), ("from 10.9.0.1", false),
    ])
  func filter(rule: String, isAnswered: Bool) throws {
    let bench = try bench(rule: rule, route: "10.9.0.0/16 dev sim0")
    try bench.stack.set("net.ipv4.conf.all.arp_filter", to: "1")
    #expect(try answers(bench, odd, asks: RouterBench.near) == isAnswered)
  }

  @Test(
    "N5 proxy_arp asks for the way that the asker's packet would take",
    arguments: [
      ("iif lo", false), ("iif sim0", true), ("from 10.1.0.1", true), ("to 10.11.0.0/16", true),
    ])
  func proxy(rule: String, isAnswered: Bool) throws {
    let bench = try bench(rule: rule, route: "10.11.0.0/16 via 10.2.0.1 dev sim1")
    try bench.stack.set("net.ipv4.conf.all.proxy_arp", to: "1")
    #expect(try answers(bench, client, asks: IPv4Address(10, 11, 0, 5)) == isAnswered)
  }

  @Test("P4 a redirect is for whom any table finds on the link") func redirect() throws {
    let bench = try bench(rule: "to 10.9.0.0/16", route: "10.9.0.0/16 dev sim0")
    try bench.stack.replaceNeighbour(IPv4Address(10, 1, 0, 9), hardwareAddress: MACAddress(0x0200_0000_0099))
    try bench.stack.replaceNeighbour(odd, hardwareAddress: MACAddress(0x0200_0000_0011))
    try bench.change("route add 198.51.100.0/24 via 10.1.0.9")
    let far = SocketAddress(IPv4Address(198, 51, 100, 1), port: 2)
    try bench.receive(Hand.udp(SocketAddress(odd, port: 1), far, [1]), on: "sim0")
    #expect(try bench.packets("sim0").filter { $0[9] == 1 }.map { $0[20] } == [5])
  }

  @Test("U4 the way to a group is looked for in all tables") func group() throws {
    let bench = try bench(rule: "to 224.0.0.0/4", route: "224.0.0.0/4 dev sim1")
    let socket = try bench.stack.socket(.udp)
    _ = try socket.send([1], to: SocketAddress(IPv4Address(224, 1, 2, 3), port: 9))
    bench.advance(.milliseconds(10))
    #expect(try bench.packets("sim1").map { Array($0[16..<20]) } == [[224, 1, 2, 3]])
  }
}
