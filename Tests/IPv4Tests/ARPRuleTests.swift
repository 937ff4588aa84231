import IPv4
import NetNamespace
import Neighbour
import Testing
import Timers
import Wire

/// Which requests are answered, who asks in whose name, and who becomes a neighbour: what the kernel did with the same
/// addresses and `arping`.
@Suite struct ARPRuleTests {
  private static let stranger = IPv4Address(10, 0, 0, 7)

  /// The stack has 10.0.0.2/24 and 10.0.5.2/24 on its link, and 10.0.9.1/24 on `lo`.
  private func bench(_ configure: (inout NetSettings) -> Void = { _ in }) throws -> IPv4Bench {
    let bench = IPv4Bench(knowsPeer: false)
    configure(&bench.net.settings)
    try bench.ip.addAddress(try #require(IPv4Prefix("10.0.5.2/24")), on: bench.ethernet, link: bench.link)
    try bench.ip.addAddress(try #require(IPv4Prefix("10.0.9.1/24")), on: .loopback, link: bench.link)
    return bench
  }

  private func answers(
    _ bench: IPv4Bench, _ target: [UInt8], from sender: [UInt8] = [10, 0, 0, 1]
  ) -> Bool {
    bench.deliver(ARPTests.arp(1, ARPTests.peerMAC, sender, ARPTests.noMAC, target))
    return bench.frames().contains { $0[13] == 6 && $0[21] == 2 }
  }

  @Test(
    "N5 arp_ignore: every address; those of the interface; of the sender's network; none of this host alone; none",
    arguments: [
      (0, [true, true, true, true]), (1, [true, true, false, false]), (2, [true, false, false, false]),
      (3, [true, true, true, false]), (4, [true, true, true, true]), (8, [false, false, false, false]),
    ])
  func ignore(mode: Int, expected: [Bool]) throws {
    let bench = try bench { $0.interface.arpIgnore = mode }
    try bench.ip.addAddress(try #require(IPv4Prefix("127.8.0.1/32")), on: .loopback, link: bench.link)
    let targets: [[UInt8]] = [[10, 0, 0, 2], [10, 0, 5, 2], [10, 0, 9, 1]]
    #expect(targets.map { answers(bench, $0) } == Array(expected[..<3]))
    // A request that is ignored tells nothing about its sender.
    let quiet = try self.bench { $0.allInterfaces.arpIgnore = mode }
    _ = answers(quiet, [10, 0, 0, 2])
    #expect((quiet.neighbourState(IPv4Bench.peer) == .stale) == expected[0])
  }

  @Test("N5 arp_ignore 2 asks that sender and target be of one network; a probe has no sender") func subnet()
    throws
  {
    let bench = try bench { $0.interface.arpIgnore = 2 }
    #expect(answers(bench, [10, 0, 5, 2], from: [10, 0, 5, 1]))
    #expect(!answers(bench, [10, 0, 5, 2], from: [10, 0, 0, 1]))
    #expect(answers(bench, [10, 0, 5, 2], from: [0, 0, 0, 0]))
    let probe = try self.bench { $0.interface.arpIgnore = 8 }
    #expect(!answers(probe, [10, 0, 0, 2], from: [0, 0, 0, 0]))
  }

  @Test(
    "N5 arp_announce: the packet's source; only if the target is of its network; the best for the target",
    arguments: [
      (0, [10, 0, 9, 1], [10, 0, 5, 2], [10, 0, 0, 3]), (1, [10, 0, 0, 2], [10, 0, 0, 2], [10, 0, 0, 3]),
      (2, [10, 0, 0, 2], [10, 0, 0, 2], [10, 0, 0, 2]),
    ]
      as [(Int, [UInt8], [UInt8], [UInt8])])
  func announce(mode: Int, fromLoopback: [UInt8], fromOther: [UInt8], fromSecond: [UInt8]) throws {
    for (source, expected) in [
      (IPv4Address(10, 0, 9, 1), fromLoopback), (IPv4Address(10, 0, 5, 2), fromOther),
      (IPv4Address(10, 0, 0, 3), fromSecond), (IPv4Address(10, 0, 0, 2), [10, 0, 0, 2]),
    ] {
      let bench = try bench { $0.interface.arpAnnounce = mode }
      try bench.ip.addAddress(
        try #require(IPv4Prefix("10.0.0.3/24")), on: bench.ethernet, link: bench.link)
      var route = try bench.ip.route(to: IPv4Bench.peer, from: source, link: bench.link, net: &bench.net)
      _ = bench.ip.output(
        bench.transport([1, 2, 3, 4, 5, 6, 7, 8]), route: &route, options: IPv4SendOptions(protocol: .udp),
        link: &bench.link, net: &bench.net)
      let request = try #require(bench.frames().first)
      #expect(Array(request[28..<32]) == expected)
    }
  }

  @Test("N5 arp_filter: the way to the sender has to lead over the interface") func filter() throws {
    let bench = try bench { $0.allInterfaces.arpFilter = true }
    #expect(answers(bench, [10, 0, 9, 1]))
    try bench.ip.addRoute(
      RouteEntry(try #require(IPv4Prefix("10.0.0.1/32")), interface: .loopback), link: bench.link)
    #expect(!answers(bench, [10, 0, 9, 1]))
    #expect(bench.count(.TcpExtArpFilter) == 1)
    bench.net.settings.allInterfaces.arpFilter = false
    #expect(answers(bench, [10, 0, 9, 1]))
  }

  @Test(
    "N5 arp_accept: who announces himself, or answers unasked, becomes a neighbour: nobody, everybody, our networks",
    arguments: [(0, nil, nil), (1, .stale, .stale), (2, .stale, nil)]
      as [(Int, NeighbourState?, NeighbourState?)])
  func accept(mode: Int, near: NeighbourState?, far: NeighbourState?) throws {
    for operation in [UInt8(1), 2] {
      let bench = try bench { $0.interface.arpAccept = mode }
      for sender in [[10, 0, 0, 7], [10, 0, 77, 7]] as [[UInt8]] {
        bench.deliver(ARPTests.arp(operation, ARPTests.peerMAC, sender, ARPTests.peerMAC, sender))
      }
      #expect(bench.neighbourState(Self.stranger) == near)
      #expect(bench.neighbourState(IPv4Address(10, 0, 77, 7)) == far)
      // A question for somebody else announces nobody.
      bench.deliver(ARPTests.arp(1, ARPTests.peerMAC, [10, 0, 0, 8], ARPTests.noMAC, [10, 0, 0, 9]))
      #expect(bench.neighbourState(IPv4Address(10, 0, 0, 8)) == nil)
    }
  }

  @Test("N1 a question to who is known names no station either: its target's is zero") func unicastProbe()
    throws
  {
    let bench = IPv4Bench(knowsPeer: false)
    #expect(answers(bench, [10, 0, 0, 2]))
    bench.send([1, 2, 3, 4, 5, 6, 7, 8])
    _ = bench.frames()
    bench.advance(.seconds(6))
    let probe = try #require(bench.frames().first { $0[13] == 6 })
    #expect(Array(probe[..<6]) == ARPTests.peerMAC && probe[21] == 1)
    #expect(Array(probe[32..<38]) == ARPTests.noMAC && Array(probe[38..<42]) == [10, 0, 0, 1])
  }

  // MARK: Proxy

  /// 10.0.0.40/32 is behind `lo`.
  private func router(_ configure: (inout NetSettings) -> Void) throws -> IPv4Bench {
    let bench = try bench(configure)
    try bench.ip.addRoute(
      RouteEntry(try #require(IPv4Prefix("10.0.0.40/32")), interface: .loopback), link: bench.link)
    return bench
  }

  @Test("N5 proxy_arp: a router answers for what is behind another interface, within proxy_delay")
  func proxy() throws {
    let bench = try router {
      $0.forwards = true
      $0.interface.proxyARP = true
    }
    #expect(!answers(bench, [10, 0, 0, 40]))
    bench.advance(.milliseconds(800))
    let answer = try #require(bench.frames().first)
    #expect(answer[21] == 2 && Array(answer[28..<32]) == [10, 0, 0, 40])
    #expect(Array(answer[22..<28]) == ARPTests.ownMAC && Array(answer[38..<42]) == [10, 0, 0, 1])
    #expect(bench.neighbourState(IPv4Bench.peer) == .stale)
    // What is on the asker's own link answers for itself.
    #expect(!answers(bench, [10, 0, 0, 41]))
    bench.advance(.seconds(2))
    #expect(bench.frames().isEmpty)
  }

  @Test(
    "N5 proxy_arp: at once with proxy_delay 0 and to who asks us alone; not without forwarding",
    arguments: 0...2)
  func proxyAtOnce(why: Int) throws {
    let bench = try router {
      $0.forwards = why != 2
      $0.interface.proxyARP = true
      if why == 0 { $0.neighbours.proxyDelay = .zero }
    }
    bench.deliver(
      ARPTests.arp(
        1, ARPTests.peerMAC, [10, 0, 0, 1], ARPTests.noMAC, [10, 0, 0, 40],
        to: why == 1 ? ARPTests.ownMAC : [255, 255, 255, 255, 255, 255]))
    #expect(bench.frames().count == (why == 2 ? 0 : 1))
    bench.advance(.seconds(1))
    #expect(bench.frames().isEmpty)
  }

  @Test("N5 neigh add proxy: that address alone, until it is deleted; ENOENT for one that is not there")
  func proxyEntry() throws {
    let bench = try router {
      $0.forwards = true
      $0.neighbours.proxyDelay = .zero
    }
    #expect(!answers(bench, [10, 0, 0, 40]))
    try bench.ip.addProxy(for: IPv4Address(10, 0, 0, 40), on: bench.ethernet)
    #expect(answers(bench, [10, 0, 0, 40]))
    try bench.ip.removeProxy(for: IPv4Address(10, 0, 0, 40), on: bench.ethernet)
    #expect(!answers(bench, [10, 0, 0, 40]))
    #expect(throws: Errno.ENOENT) {
      try bench.ip.removeProxy(for: IPv4Address(10, 0, 0, 40), on: bench.ethernet)
    }
  }

  @Test("N5 no more answers wait than proxy_qlen says") func proxyQueue() throws {
    let bench = try router {
      $0.forwards = true
      $0.interface.proxyARP = true
      $0.neighbours.proxyQueueLength = 2
    }
    for _ in 0..<10 { _ = answers(bench, [10, 0, 0, 40]) }
    bench.advance(.seconds(1))
    #expect(bench.frames().count == 3)
  }

  // MARK: Routes to many

  @Test("U4 U10 without a route a group and 255.255.255.255 are ENETUNREACH, but by an address or a device")
  func many() throws {
    let bench = IPv4Bench()
    let (group, everybody) = (IPv4Address(224, 1, 2, 3), IPv4Address(255, 255, 255, 255))
    for destination in [group, everybody] {
      #expect(bench.routeError(to: destination) == nil)
      try bench.ip.removeRoute(try #require(IPv4Prefix("0.0.0.0/0")))
      let before = bench.count(.IpOutNoRoutes)
      #expect(bench.routeError(to: destination) == .ENETUNREACH)
      #expect(bench.count(.IpOutNoRoutes) == before + 1)
      #expect(bench.routeError(to: destination, from: IPv4Bench.own) == nil)
      let byDevice = try bench.ip.route(
        to: destination, from: nil, by: bench.ethernet, link: bench.link, net: &bench.net)
      #expect(byDevice.source == IPv4Bench.own)
      for (kind, errno) in [
        (RouteEntry.Kind.unreachable, Errno.EHOSTUNREACH), (.prohibit, .EACCES), (.blackhole, .EINVAL),
      ] {
        try bench.ip.addRoute(
          RouteEntry(try #require(IPv4Prefix("0.0.0.0/0")), kind: kind), link: bench.link)
        #expect(bench.routeError(to: destination) == errno)
        try bench.ip.removeRoute(try #require(IPv4Prefix("0.0.0.0/0")))
      }
      try bench.ip.addRoute(
        RouteEntry(try #require(IPv4Prefix("0.0.0.0/0")), gateway: IPv4Bench.peer), link: bench.link)
    }
  }
}
