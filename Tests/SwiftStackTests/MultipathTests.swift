import IPv4
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket
private let (client, server) = (RouterBench.client, RouterBench.server)

/// Routes with several next hops; tried on Linux 6.18 with the same devices and routes.
@Suite struct MultipathTests {
  private static let both = "nexthop via 10.1.0.1 weight 2 nexthop via 10.2.0.1 weight 1"

  private func bench(_ hops: String = both) throws -> RouterBench {
    let bench = try RouterBench()
    try bench.change("sysctl net.ipv4.conf.all.send_redirects=0")
    try bench.change("route add 10.9.0.0/16 \(hops)")
    return bench
  }

  /// Which ways were taken: how many packets left by `sim0` and by `sim1`.
  private func counts(_ bench: RouterBench) throws -> [Int] {
    [try bench.packets("sim0").count, try bench.packets("sim1").count]
  }

  private func target(_ number: Int) -> IPv4Address {
    IPv4Address(10, 9, UInt8(number >> 8), UInt8(number & 0xFF))
  }

  private func datagram(
    _ number: Int, from: IPv4Address = client, port: UInt16 = 7, fragment: Int = 0
  ) -> [UInt8] {
    Hand.udp(
      SocketAddress(from, port: port), SocketAddress(target(number), port: 9), fragment: fragment,
      [UInt8](repeating: 1, count: 8))
  }

  /// How many of `count` flows leave by `sim0`; each is sent three times, and goes the same way each time.
  private func share(
    of count: Int, _ bench: RouterBench, _ send: (Int) throws -> Void
  ) throws -> Int {
    var near = 0
    for flow in 1...count {
      var ways: [[Int]] = []
      for _ in 0..<3 {
        try send(flow)
        ways.append(try counts(bench))
      }
      #expect(ways == [[1, 0], [1, 0], [1, 0]] || ways == [[0, 1], [0, 1], [0, 1]], "\(flow)")
      near += ways[0][0]
    }
    return near
  }

  @Test("P1 several next hops: destinations are divided by the weights, each always goes the same way")
  func weights() throws {
    for (weights, least, most) in [
      ((2, 1), 360, 440), ((1, 1), 255, 345), ((1, 9), 30, 95), ((256, 1), 585, 600),
    ] {
      let bench = try bench(
        "nexthop via 10.1.0.1 weight \(weights.0) nexthop via 10.2.0.1 weight \(weights.1)")
      let socket = try bench.stack.socket(.udp)
      let near = try share(of: 600, bench) {
        _ = try socket.send([1], to: SocketAddress(target($0), port: 9))
      }
      #expect((least...most).contains(near), "\(weights): \(near)")
    }
  }

  @Test(
    "P1 several next hops: the source is that of the device that was chosen; one that was asked for keeps its device"
  )
  func sources() throws {
    let bench = try bench()
    for (own, way) in [("10.1.0.2", [40, 0]), ("10.2.0.2", [0, 40])] {
      let socket = try bench.stack.socket(.udp)
      try socket.bind(to: SocketAddress(#require(IPv4Address(own)), port: 0))
      for number in 1...40 { _ = try socket.send([1], to: SocketAddress(target(number), port: 9)) }
      #expect(try counts(bench) == way, "\(own)")
    }
    let free = try bench.stack.socket(.udp)
    for number in 1...40 {
      _ = try free.send([1], to: SocketAddress(target(number), port: 9))
      let near = try bench.packets("sim0")
      let packet = try #require(try near.first ?? bench.packets("sim1").first)
      #expect(Array(packet[12..<16]) == [10, near.isEmpty ? 2 : 1, 0, 2])
    }
    // A source that no next hop's device has says nothing: the hash decides.
    try bench.stack.apply(.addAddress(#require(IPv4Prefix("10.7.7.7/32")), on: "lo"))
    let other = try bench.stack.socket(.udp)
    try other.bind(to: SocketAddress(IPv4Address(10, 7, 7, 7), port: 0))
    let near = try share(of: 300, bench) {
      _ = try other.send([1], to: SocketAddress(target($0), port: 9))
    }
    #expect((160...240).contains(near))
  }

  @Test("P1 several next hops: a device that is asked for decides, the first over it whatever the flow")
  func bound() throws {
    let bench = try bench("nexthop via 10.1.0.1 nexthop via 10.2.0.1 nexthop via 10.2.0.3")
    let socket = try bench.stack.socket(.udp)
    try socket.setsockopt(level: 1, name: 62, 3)
    for number in 1...40 { _ = try socket.send([1], to: SocketAddress(target(number), port: 9)) }
    // The second of them is no neighbour yet: not one packet waits for it.
    #expect(try counts(bench) == [0, 40])
  }

  @Test("P1 fib_multipath_hash_policy 1: the ports decide too, for connections and datagrams")
  func ports() throws {
    for (policy, isDivided) in [("0", false), ("1", true)] {
      let bench = try bench()
      try bench.change("sysctl net.ipv4.fib_multipath_hash_policy=\(policy)")
      let socket = try bench.stack.socket(.udp)
      var near = try share(of: 200, bench) {
        _ = try socket.send([1], to: SocketAddress(target(1), port: UInt16($0)))
      }
      #expect(isDivided ? (100...167).contains(near) : near % 200 == 0, "\(near)")
      // A connection keeps the source of its first look-up, and the device that has it, whatever its ports.
      near = 0
      for port in 1...60 {
        let socket = try bench.stack.socket(.tcp)
        socket.isNonBlocking = true
        _ = #expect(throws: SocketError.self) {
          try socket.connect(to: SocketAddress(target(1), port: UInt16(port)))
        }
        let (first, second) = (try bench.packets("sim0"), try bench.packets("sim1"))
        let packet = try #require((first + second).first)
        #expect(first.count + second.count == 1)
        #expect(Array(packet[12..<16]) == [10, first.isEmpty ? 2 : 1, 0, 2])
        near += first.count
      }
      #expect(isDivided ? (20...58).contains(near) : near % 60 == 0, "\(near)")
    }
  }

  @Test("P1 several next hops: forwarded packets are divided as well, whatever their source")
  func forwarded() throws {
    let bench = try bench("nexthop via 10.2.0.1 nexthop via 10.1.0.1")
    let far = try share(of: 300, bench) { try bench.receive(datagram($0), on: "sim0") }
    #expect((110...190).contains(far))
    // By ports with policy 1 only, and then not for fragments, which do not all have them.
    var near = 0
    for policy in 0...1 {
      try bench.change("sysctl net.ipv4.fib_multipath_hash_policy=\(policy)")
      near = try share(of: 120, bench) {
        try bench.receive(datagram(1, port: UInt16($0)), on: "sim0")
      }
      #expect(policy == 0 ? near % 120 == 0 : (35...85).contains(near), "\(policy): \(near)")
    }
    near = try share(of: 60, bench) {
      try bench.receive(datagram(1, port: UInt16($0), fragment: 0x2000), on: "sim0")
    }
    #expect(near % 60 == 0)
    #expect(bench.count("IpForwDatagrams") == 3 * (300 + 240 + 60))
  }

  @Test("P1 several next hops: an ICMP error goes the way of what it is about")
  func errors() throws {
    let bench = try bench("nexthop via 10.2.0.1 nexthop via 10.1.0.1")
    var ways = Set<[Int]>()
    for number in 1...60 {
      let about = Hand.udp(
        SocketAddress(target(number), port: 1), SocketAddress(IPv4Address(192, 0, 2, 1), port: 2), [1])
      // What its source and destination are does not matter: two errors about one packet go the same way.
      var taken = Set<[Int]>()
      for router in 1...4 {
        let error = Hand.icmp(
          IPv4Address(192, 0, 2, UInt8(router)), target(router), 11, 0, rest: [0, 0, 0, 0], about)
        try bench.receive(error, on: "sim0")
        taken.insert(try counts(bench))
      }
      #expect(taken.count == 1, "\(number)")
      ways.formUnion(taken)
    }
    #expect(ways == [[0, 1], [1, 0]])
  }

  @Test(
    "P1 several next hops: one whose link goes down is passed over until it is back; with the last the route goes"
  )
  func links() throws {
    let bench = try bench()
    let socket = try bench.stack.socket(.udp)
    func send() throws -> [Int] {
      for number in 1...60 { _ = try socket.send([1], to: SocketAddress(target(number), port: 9)) }
      return try counts(bench)
    }
    func flags() -> [Bool]? { bench.stack.routeReports.compactMap(\.nextHops).first?.map(\.isDead) }
    let before = try send()
    #expect(before[0] > 0 && before[1] > 0 && flags() == [false, false])
    try bench.change("link set sim1 down")
    #expect(try send() == [60, 0] && flags() == [false, true])
    try bench.change("link set sim1 up")
    #expect(flags() == [false, false])
    try bench.stack.replaceNeighbour(server, hardwareAddress: MACAddress("02:00:00:00:00:22")!, on: "sim1")
    #expect(try send() == before)
    // The last address of a device, and a new one.
    try bench.change("addr del 10.2.0.2/24 dev sim1")
    #expect(try send() == [60, 0] && flags() == [false, true])
    try bench.change("addr add 10.2.0.2/24 dev sim1")
    #expect(try send() == before && flags() == [false, false])
    try bench.change("link set sim0 down")
    #expect(try send() == [0, 60])
    try bench.change("link set sim1 down")
    #expect(flags() == nil)
    try bench.change("link set sim0 up")
    try bench.change("link set sim1 up")
    #expect(flags() == nil)
  }

  @Test(
    "P1 fib_multipath_use_neigh: a gateway that does not answer is passed over, one that nobody asked is not")
  func neighbours() throws {
    let bench = try bench("nexthop via 10.1.0.1 nexthop via 10.2.0.9")
    let socket = try bench.stack.socket(.udp)
    func send() throws -> Int {
      for number in 1...60 { _ = try socket.send([1], to: SocketAddress(target(number), port: 9)) }
      return try counts(bench)[0]
    }
    let half = try send()
    #expect((15...45).contains(half))
    bench.advance(.seconds(10))
    // Now it has failed.
    try bench.change("sysctl net.ipv4.fib_multipath_use_neigh=1")
    try bench.change("route replace 10.9.0.0/16 nexthop via 10.1.0.1 nexthop via 10.2.0.9")
    #expect(bench.stack.neighbourReports.contains { $0.address == "10.2.0.9" && $0.state == "FAILED" })
    #expect(try send() == 60)
    try bench.change("neigh del 10.2.0.9 dev sim1")
    try bench.change("route replace 10.9.0.0/16 nexthop via 10.1.0.1 nexthop via 10.2.0.9")
    #expect(try send() < 60)
  }

  @Test(
    "P3 what is said of a path's MTU holds for all next hops of its route, until the route is another one")
  func pathMTU() throws {
    let bench = try RouterBench(forwards: false)
    try bench.change("route add 10.9.0.0/16 \(Self.both)")
    func mtu(by device: Int32) throws -> [UInt8] {
      let socket = try bench.stack.socket(.udp)
      try socket.setsockopt(level: 1, name: 62, device)
      try socket.connect(to: SocketAddress(target(1), port: 9))
      return Array(try socket.getsockopt(level: 0, name: 14)[..<2])
    }
    func all() throws -> [[UInt8]] { [try mtu(by: 2), try mtu(by: 3)] }
    let (whole, less): ([UInt8], [UInt8]) = ([0xDC, 5], [0xE8, 3])
    #expect(try all() == [whole, whole])
    func learn() throws {
      let socket = try bench.stack.socket(.udp)
      try socket.connect(to: SocketAddress(target(1), port: 9))
      _ = try socket.send([UInt8](repeating: 1, count: 8))
      let near = try bench.packets("sim0")
      let packet = try #require(try near.first ?? bench.packets("sim1").first)
      let source = IPv4Address(packet[12], packet[13], packet[14], packet[15])
      let report = Hand.icmp(
        near.isEmpty ? server : client, source, 3, 4, rest: [0, 0] + Hand.word(1000), Array(packet.prefix(28))
      )
      try bench.receive(report, on: near.isEmpty ? "sim1" : "sim0")
    }
    try learn()
    #expect(try all() == [less, less])
    try bench.change("route add 10.20.0.0/16 via 10.1.0.1")
    #expect(try all() == [less, less])
    // Of a longer prefix nothing is known; when it has gone, what was known before is.
    try bench.change("route add 10.9.0.0/24 nexthop via 10.1.0.1 nexthop via 10.2.0.1")
    #expect(try all() == [whole, whole])
    try bench.change("route del 10.9.0.0/24")
    #expect(try all() == [less, less])
    try bench.change("route add 10.9.0.0/16 via 10.1.0.1 metric 5")
    try bench.change("route replace 10.9.0.0/16 \(Self.both)")
    #expect(try all() == [less, less])
    try bench.change("route replace 10.9.0.0/16 nexthop via 10.1.0.1 weight 7 nexthop via 10.2.0.1")
    #expect(try all() == [whole, whole])
    try learn()
    #expect(try all() == [less, less])
    try bench.change("route del 10.9.0.0/16 metric 0")
    try bench.change("route add 10.9.0.0/16 \(Self.both)")
    #expect(try all() == [whole, whole])
  }

  @Test("P1 rp_filter: a source may come in by any of the next hops to it")
  func reversePath() throws {
    let bench = try bench()
    try bench.change("sysctl net.ipv4.conf.all.rp_filter=1")
    let near = SocketAddress(RouterBench.near, port: 9)
    for name in ["sim0", "sim1"] {
      for number in 1...20 {
        try bench.receive(Hand.udp(SocketAddress(target(number), port: 7), near, [1]), on: name)
      }
    }
    #expect(bench.count("TcpExtIPReversePathFilter") == 0 && bench.count("UdpNoPorts") == 40)
    try bench.change("route replace 10.9.0.0/16 nexthop via 10.1.0.1 nexthop via 10.1.0.3")
    try bench.receive(Hand.udp(SocketAddress(target(1), port: 7), near, [1]), on: "sim1")
    #expect(bench.count("TcpExtIPReversePathFilter") == 1)
  }

  @Test("P1 several next hops in another table, which a rule leads to")
  func table() throws {
    let bench = try RouterBench()
    try bench.change("route add 10.9.0.0/16 table 100 \(Self.both)")
    try bench.change("rule add ipproto udp lookup 100")
    let socket = try bench.stack.socket(.udp)
    let near = try share(of: 300, bench) {
      _ = try socket.send([1], to: SocketAddress(target($0), port: 9))
    }
    #expect((165...235).contains(near))
    try bench.change("link set sim0 down")
    _ = try socket.send([1], to: SocketAddress(target(1), port: 9))
    #expect(try counts(bench) == [0, 1])
  }

  // MARK: Words

  @Test("P1 several next hops: read, reported and removed as ip route does")
  func words() throws {
    let bench = try RouterBench()
    func hops() -> [String] {
      bench.stack.routeReports.filter { $0.destination == "10.9.0.0/16" }.flatMap { route in
        ["\(route.gateway ?? "-") \(route.device ?? "-") \(route.scope)"]
          + (route.nextHops ?? []).map { "\($0.gateway ?? "-") \($0.device) \($0.weight)" }
      }
    }
    try bench.change(
      "route add 10.9.0.0/16 metric 5 mtu 1400 nexthop via 10.1.0.1 dev sim0 weight 2 nexthop via 10.2.0.1")
    #expect(hops() == ["- - global", "10.1.0.1 sim0 2", "10.2.0.1 sim1 1"])
    // One with this prefix and metric is there.
    #expect(throws: StackError.self) { try bench.change("route add 10.9.0.0/16 via 10.1.0.1 metric 5") }
    for absent in [
      "via 10.2.0.1", "dev sim1", "nexthop via 10.2.0.1 nexthop via 10.1.0.1",
      "nexthop via 10.1.0.1 weight 3 nexthop via 10.2.0.1", "nexthop via 10.1.0.1",
      "nexthop dev sim1 nexthop via 10.2.0.1",
    ] {
      let error = #expect(throws: StackError.self) { try bench.change("route del 10.9.0.0/16 \(absent)") }
      #expect(error?.code == .ESRCH, "\(absent)")
    }
    for present in [
      "", "via 10.1.0.1", "dev sim0", "nexthop via 10.1.0.1 nexthop via 10.2.0.1",
      "nexthop dev sim0 weight 2 nexthop dev sim1",
    ] {
      try bench.change("route del 10.9.0.0/16 \(present)")
      #expect(hops().isEmpty, "\(present)")
      try bench.change("route add 10.9.0.0/16 metric 5 nexthop via 10.1.0.1 weight 2 nexthop via 10.2.0.1")
    }
    // On the link, and one alone.
    try bench.change("route replace 10.9.0.0/16 metric 5 nexthop dev sim0 nexthop dev sim1 weight 256")
    #expect(hops() == ["- - global", "- sim0 1", "- sim1 256"])
    try bench.change("route replace 10.9.0.0/16 metric 5 nexthop via 10.2.0.1 weight 256")
    #expect(hops() == ["10.2.0.1 sim1 global"])
  }

  @Test("P1 several next hops: what is no route is refused with iproute2's sentences")
  func refusals() throws {
    let bench = try RouterBench()
    for (hops, sentence) in [
      ("nexthop via 10.1.0.1 weight 0", "argument \"0\" is wrong: \"weight\" is invalid"),
      ("nexthop via 10.1.0.1 weight 257", "argument \"257\" is wrong: \"weight\" is invalid"),
      ("nexthop via 10.1.0.1 weight x", "argument \"x\" is wrong: \"weight\" is invalid"),
      ("nexthop", "unexpected end of line after \"nexthop\""),
      ("nexthop via 10.1.0.1 foo", "\"nexthop\" or end of line is expected instead of \"foo\""),
      (
        "nexthop via 10.1.0.1 nexthop via 10.2.0.1 metric 5",
        "\"nexthop\" or end of line is expected instead of \"metric\""
      ),
      ("via 10.1.0.1 nexthop via 10.2.0.1", "Nexthop gateway does not match RTA_GATEWAY or RTA_VIA."),
      ("dev sim0 nexthop via 10.1.0.1", "Nexthop device index does not match RTA_OIF."),
      ("nexthop via 10.1.0.1 dev vx", "Cannot find device \"vx\""),
    ] {
      let error = #expect(throws: StackError.self) { try bench.change("route add 10.9.0.0/16 \(hops)") }
      #expect(error?.description == sentence)
    }
    for (route, errno) in [
      ("10.9.0.0/16 nexthop via 10.1.0.1 nexthop via 10.5.0.1", Errno.ENETUNREACH),
      ("10.9.0.0/16 nexthop via 10.1.0.1 dev sim1 nexthop via 10.2.0.1", .ENETUNREACH),
    ] {
      let error = #expect(throws: StackError.self) { try bench.change("route add \(route)") }
      #expect(error?.code == errno, "\(route)")
    }
    #expect(throws: StackError.self) {
      try bench.change("route add blackhole 10.9.0.0/16 nexthop via 10.1.0.1 nexthop via 10.2.0.1")
    }
    #expect(!bench.stack.routeReports.contains { $0.destination == "10.9.0.0/16" })
  }

  @Test("P1 several next hops: a program may give 256, with weights of 1 to 256")
  func limits() throws {
    let bench = try RouterBench()
    let entry = RouteEntry(try #require(IPv4Prefix("10.9.0.0/16")))
    func hops(_ count: Int, weight: Int = 1) -> [NamedNextHop] {
      (0..<count).map { _ in NamedNextHop(gateway: client, weight: weight) }
    }
    for (hops, errno) in [
      (hops(257), Errno.ENOBUFS), (hops(2, weight: 0), .EINVAL), (hops(2, weight: 257), .EINVAL),
      (hops(2, weight: -1), .EINVAL),
    ] {
      let error = #expect(throws: StackError.self) { try bench.stack.addRoute(entry, over: hops) }
      #expect(error?.code == errno)
    }
    try bench.stack.addRoute(entry, over: hops(256, weight: 256))
    let socket = try bench.stack.socket(.udp)
    for number in 1...20 { _ = try socket.send([1], to: SocketAddress(target(number), port: 9)) }
    #expect(try counts(bench) == [20, 0])
    // Down, up: every share is as it was.
    try bench.change("link set sim1 down")
    _ = try socket.send([1], to: SocketAddress(target(1), port: 9))
    #expect(try counts(bench) == [1, 0])
  }
}
