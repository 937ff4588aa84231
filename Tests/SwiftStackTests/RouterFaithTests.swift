import IPv4
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket

/// A router's corners, where a comparison with Linux 6.18 on two links once found differences.
@Suite struct RouterFaithTests {
  private static let from = SocketAddress(RouterBench.client, port: 5000)
  private static let to = SocketAddress(RouterBench.server, port: 6000)

  @Test(
    "P4 RFC 792 an ICMP error about a forwarded packet quotes the transport checksum that was sent",
    arguments: [6, 17])
  func quotedSum(number: Int) throws {
    let bench = try RouterBench()
    try bench.change("route add 10.9.0.0/16 via 10.1.0.9")
    let far = SocketAddress(IPv4Address(10, 9, 0, 1), port: 80)
    let packet = number == 6 ? Hand.tcp(Self.from, far, 2) : Hand.udp(Self.from, far, [1, 2, 3])
    let field = number == 6 ? 36 : 26
    try bench.receive(packet, on: "sim0")
    let redirect = try #require(try bench.packets("sim0").first { $0[9] == 1 })
    #expect(redirect[20] == 5)
    #expect(redirect[28 + field..<30 + field].elementsEqual(packet[field..<field + 2]))
    // Nobody is there: the packet waits, and fails.
    let lost = SocketAddress(IPv4Address(10, 2, 0, 77), port: 80)
    let next = number == 6 ? Hand.tcp(Self.from, lost, 2) : Hand.udp(Self.from, lost, [1, 2, 3])
    try bench.receive(next, on: "sim0")
    for _ in 0..<8 { bench.advance(.seconds(1)) }
    let unreachable = try #require(try bench.packets("sim0").first { $0[9] == 1 && $0[47] == 77 })
    #expect(unreachable[21] == 1)
    #expect(unreachable[28 + field..<30 + field].elementsEqual(next[field..<field + 2]))
  }

  @Test(
    "P1 rp_filter holds for groups, too", arguments: [("0", 1), ("1", 0), ("2", 1)] as [(String, UInt64)])
  func groups(mode: String, delivered: UInt64) throws {
    let bench = try RouterBench()
    try bench.stack.set("net.ipv4.conf.all.rp_filter", to: mode)
    let all = SocketAddress(IPv4Address(224, 0, 0, 1), port: 6000)
    try bench.receive(Hand.udp(Self.from, all, [1]), on: "sim0")
    #expect(bench.count("IpInDelivers") == 1 && bench.count("IpExtInMcastPkts") == 1)
    try bench.receive(Hand.udp(Self.from, all, [1]), on: "sim1")
    #expect(bench.count("IpInDelivers") == 1 + delivered)
    #expect(bench.count("IpExtInMcastPkts") == 1 + delivered)
    #expect(bench.count("TcpExtIPReversePathFilter") == 1 - delivered)
  }

  @Test("Q1 qdisc dev: the interface that it names, and no other; lo has none") func qdisc() throws {
    let bench = try RouterBench()
    try bench.change("qdisc replace dev sim1 root netem delay 50ms")
    #expect(try bench.forward(Hand.udp(Self.from, Self.to, [1])).isEmpty)
    #expect(try bench.forward(Hand.udp(Self.to, Self.from, [1]), from: "sim1").count == 1)
    bench.advance(.milliseconds(60))
    #expect(try bench.packets("sim1").count == 1)
    try bench.change("qdisc del dev sim1 root")
    #expect(try bench.forward(Hand.udp(Self.from, Self.to, [1])).count == 1)
    let noQdisc = #expect(throws: StackError.self) { try bench.stack.resetQdisc(on: "lo") }
    #expect(noQdisc?.code == .EOPNOTSUPP)
    let nobody = #expect(throws: StackError.self) {
      try bench.stack.setQdisc(.pfifoFast, on: "sim9")
    }
    #expect(nobody?.code == .ENODEV)
  }

  @Test("U7 RFC 791 nothing stands behind the end of the options of what is passed on") func options() throws
  {
    let bench = try RouterBench()
    let packet = Hand.udp(Self.from, Self.to, options: [1, 0, 0xAA, 0xBB, 7, 7, 4, 9], [1])
    let passed = try #require(try bench.forward(packet).first)
    #expect(passed[20..<28].elementsEqual([1, 0, 0, 0, 0, 0, 0, 0]))
    #expect(Hand.isIntact(passed))
  }

  @Test(
    "P1 with the first address of a network its others go, as promote_secondaries is 0; those of others stay")
  func secondaries() throws {
    let bench = try RouterBench()
    for more in ["10.1.0.5/24", "10.1.0.6/25", "10.1.0.7/24"] {
      try bench.change("addr add \(more) dev sim0")
    }
    try bench.change("addr del 10.1.0.7/24 dev sim0")
    func own() -> Set<String> { Set(bench.stack.interfaceReport.addresses) }
    #expect(own() == ["10.1.0.2/24", "10.1.0.5/24", "10.1.0.6/25"])
    try bench.change("addr del 10.1.0.2/24 dev sim0")
    #expect(own() == ["10.1.0.6/25"])
  }
}
