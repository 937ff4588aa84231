import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket
private let client = RouterBench.client
private let server = RouterBench.server

/// What a router on the way to others is sent by people who mean it ill, and by networks that are merely odd.
@Suite struct TrackingFaultTests {
  private let near = SocketAddress(client, port: 4000)
  private let web = SocketAddress(server, port: 80)

  /// The source or destination of a packet, with the port of TCP and UDP.
  private func end(_ packet: [UInt8], source: Bool) -> SocketAddress {
    let place = source ? 12 : 16
    let address = IPv4Address(packet[place], packet[place + 1], packet[place + 2], packet[place + 3])
    let port = source ? 20 : 22
    return SocketAddress(address, port: UInt16(packet[port]) << 8 | UInt16(packet[port + 1]))
  }

  @Test(
    "P4 a UDP packet that is shorter than its header is invalid, and one that says it is longer",
    arguments: 0...8)
  func shortDatagram(count: Int) throws {
    let bench = try RouterBench()
    try bench.filter("forward ct state invalid drop")
    let packet = Hand.ip(client, server, protocol: 17, [15, 160, 0, 53, 0, 9, 0, 0].prefix(count) + [])
    #expect(try bench.forward(packet).isEmpty)
    #expect(bench.stack.hooks.connectionStatistics.invalid == 1)
  }

  @Test("P4 a datagram that ends before its packet does keeps the sum of what it is, and what follows it")
  func surplus() throws {
    let bench = try RouterBench()
    var whole = Hand.udp(near, SocketAddress(server, port: 53), [1, 2, 3, 4])
    let datagram = Array(whole[20...])
    whole = Hand.ip(client, server, protocol: 17, datagram + [9, 9, 9, 9, 9])
    let left = try #require(try bench.forward(whole).first)
    #expect(Array(left[20...]) == datagram + [9, 9, 9, 9, 9])
  }

  @Test("P4 a connection that is met in its middle is believed: nobody knows how its windows are scaled")
  func middle() throws {
    let bench = try RouterBench()
    try bench.filter("forward ct state invalid drop")
    #expect(
      try bench.forward(Hand.tcp(near, web, 0x10, sequence: 101, acknowledgment: 501, window: 10)).count == 1)
    func data(_ sequence: UInt32) -> [UInt8] {
      Hand.tcp(web, near, 0x10, sequence: sequence, acknowledgment: 101, window: 10, [1, 2, 3])
    }
    #expect(try bench.forward(data(501), from: "sim1").count == 1)
    #expect(try bench.forward(data(9501), from: "sim1").count == 1)
  }

  @Test("P4 a late copy of a segment passes, translated, and says nothing")
  func late() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    let outside = SocketAddress(RouterBench.far, port: 4000)
    _ = try bench.forward(Hand.tcp(near, web, 2, sequence: 100))
    _ = try bench.forward(Hand.tcp(web, outside, 0x12, sequence: 500, acknowledgment: 101), from: "sim1")
    for sequence in stride(from: UInt32(501), to: 300_000, by: 1000) {
      let data = Hand.tcp(
        web, outside, 0x10, sequence: sequence, acknowledgment: 101, [UInt8](repeating: 1, count: 1000))
      #expect(try bench.forward(data, from: "sim1").count == 1)
      _ = try bench.forward(Hand.tcp(near, web, 0x10, sequence: 101, acknowledgment: sequence + 1000))
    }
    let copy = Hand.tcp(
      web, outside, 0x10, sequence: 501, acknowledgment: 101, [UInt8](repeating: 1, count: 1000))
    let passed = try #require(try bench.forward(copy, from: "sim1").first)
    #expect(end(passed, source: false) == near)
    // Our own TCP has not answered it with a reset.
    #expect(try bench.packets("sim1").isEmpty)
  }

  @Test("P4 an ICMP error is related only for the sender of what it quotes")
  func forgedError() throws {
    let bench = try RouterBench()
    let other = IPv4Address(10, 1, 0, 77)
    try bench.stack.replaceNeighbour(other, hardwareAddress: MACAddress("02:00:00:00:00:77")!)
    try bench.filter("forward iifname sim0 accept")
    try bench.filter("forward ct state established,related accept")
    try bench.filter("forward drop")
    let asked = Hand.udp(near, SocketAddress(server, port: 53), [1])
    #expect(try bench.forward(asked).count == 1)
    func error(to destination: IPv4Address) -> [UInt8] {
      Hand.icmp(server, destination, 3, 3, rest: [0, 0, 0, 0], Array(asked.prefix(28)))
    }
    #expect(try bench.forward(error(to: other), from: "sim1").isEmpty)
    #expect(try bench.forward(error(to: client), from: "sim1").count == 1)
  }

  @Test("P4 snat and dnat to several addresses: senders are spread over them, and each keeps its own")
  func spread() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 snat to 10.2.0.50-10.2.0.59")
    var chosen: Set<SocketAddress> = []
    for host in UInt8(1)...40 {
      var addresses: Set<SocketAddress> = []
      for port in UInt16(53)...54 {
        let packet = Hand.udp(
          SocketAddress(IPv4Address(10, 1, 0, host &+ 100), port: 4000), SocketAddress(server, port: port),
          [1])
        let left = try #require(try bench.forward(packet).first)
        addresses.insert(SocketAddress(end(left, source: true).address, port: 0))
      }
      #expect(addresses.count == 1)
      chosen.formUnion(addresses)
    }
    #expect(chosen.count > 5)
  }

  @Test("P4 nf_conntrack_max 0 is no limit")
  func noLimit() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    try bench.stack.set("net.netfilter.nf_conntrack_max", to: "0")
    for port in UInt16(1000)..<1100 {
      let packet = Hand.udp(SocketAddress(client, port: port), SocketAddress(server, port: 53), [1])
      #expect(try bench.forward(packet).count == 1)
    }
    #expect(bench.stack.hooks.connections.count == 100)
  }

  @Test("P4 a redirected connection that is refused is refused by whom it was meant for")
  func refusedRedirect() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting tcp dport 80 redirect to :8080")
    try bench.filter("input tcp dport 8080 reject with tcp reset")
    try bench.receive(Hand.tcp(near, web, 2, sequence: 100), on: "sim0")
    let reset = try #require(try bench.packets("sim0").first)
    #expect(end(reset, source: true) == web && end(reset, source: false) == near)
    #expect(Hand.isIntact(reset))
  }

  @Test("P4 an error about the first packet of a translated connection quotes what its sender sent")
  func refusedTranslation() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting udp dport 53 dnat to 10.2.0.1:5353")
    try bench.filter("forward udp dport 5353 reject")
    let asked = Hand.udp(near, SocketAddress(RouterBench.near, port: 53), [1, 2])
    try bench.receive(asked, on: "sim0")
    let error = try #require(try bench.packets("sim0").first)
    #expect(error[9] == 1 && error[20] == 3)
    let quoted = Array(error[28...])
    #expect(end(quoted, source: true) == near)
    #expect(end(quoted, source: false) == SocketAddress(RouterBench.near, port: 53))
  }

  @Test("P8 a masqueraded packet whose next hop is dead: its sender is told, not we")
  func deadNextHop() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    let asked = Hand.udp(near, SocketAddress(IPv4Address(10, 2, 0, 99), port: 53), [1, 2])
    try bench.receive(asked, on: "sim0")
    bench.advance(.seconds(4))
    let error = try #require(try bench.packets("sim0").first)
    #expect(error[9] == 1 && error[20] == 3 && error[21] == 1)
    #expect(end(Array(error[28...]), source: true) == near)
  }

  @Test("N5 two interfaces of one host on one link are no conflict (RFC 5227 section 2.4)")
  func ownOtherInterface() throws {
    let bench = try RouterBench()
    _ = try bench.host.takeFrames(on: "sim1")
    let mac = bench.stack.configuration.macAddress
    let octets = (0..<6).map { UInt8(truncatingIfNeeded: mac.rawValue >> UInt64(40 - 8 * $0)) }
    // The other interface's address, and the one that hears it has itself: Linux answers for either on both.
    for address in [RouterBench.near, RouterBench.far] {
      var frame = [UInt8](repeating: 0xFF, count: 6) + octets
      frame += [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]
      frame += octets + Hand.octets(address)
      frame += [0, 0, 0, 0, 0, 0] + Hand.octets(client)
      frame += [UInt8](repeating: 0, count: 18)
      bench.advance(.milliseconds(1))
      try bench.host.receive(SimulatedFrame(bytes: frame), on: "sim1")
      bench.advance(.seconds(1))
      #expect(try bench.host.takeFrames(on: "sim1").isEmpty)
      #expect(!bench.stack.counterReports.contains { $0.name == "ArpConflicts" && $0.value > 0 })
    }
    #expect(try bench.host.takeFrames(on: "sim0").isEmpty)
  }
}
