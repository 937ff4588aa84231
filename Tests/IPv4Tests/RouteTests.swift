import NetNamespace
import Testing
import Timers
import Wire

@testable import IPv4

@Suite struct RouteTests {
  private func prefix(_ text: String) -> IPv4Prefix { IPv4Prefix(text)! }

  @Test("P1 the trie agrees with a search over all prefixes") func longestPrefix() throws {
    var random = RandomSource(seed: 7)
    var table = RouteTable()
    var list: [RouteEntry] = []
    for index in 0..<600 {
      // Few distinct upper bits, so that prefixes nest.
      let address = IPv4Address(UInt32(truncatingIfNeeded: random.next()) & 0x0F0F_FF3F)
      let entry = RouteEntry(
        IPv4Prefix(address, length: Int(random.next(below: 33)))!, metric: UInt32(index % 3),
        mtu: 1000 + index)
      do {
        try table.insert(entry)
        list.append(entry)
      } catch { #expect(error.rawValue == 17) }
    }
    #expect(list.count > 300)
    func check() {
      for _ in 0..<4000 {
        let address = IPv4Address(UInt32(truncatingIfNeeded: random.next()) & 0x0F0F_FF3F)
        let expected = list.filter { $0.prefix.contains(address) }.min {
          ($1.prefix.length, $0.metric) < ($0.prefix.length, $1.metric)
        }
        let found = table.lookup(address)
        #expect(found.map { table.entry(of: $0) } == expected)
      }
    }
    check()
    let removed = table.remove { $0.prefix.length % 2 == 0 }
    list.removeAll { $0.prefix.length % 2 == 0 }
    let count = table.count
    #expect(removed > 0 && count == list.count)
    check()
  }

  @Test("P1 on-link destinations, the gateway for the rest, metrics, refusals") func kinds() throws {
    let bench = IPv4Bench()
    #expect(bench.route(to: IPv4Address(10, 0, 0, 77)).nextHop == IPv4Address(10, 0, 0, 77))
    let far = bench.route(to: IPv4Address(192, 0, 2, 1))
    #expect(far.nextHop == IPv4Bench.peer && far.source == IPv4Bench.own && far.kind == .unicast)
    for (text, kind) in [
      ("192.0.2.0/24", RouteEntry.Kind.unreachable), ("198.51.100.0/24", .prohibit),
      ("203.0.113.0/24", .blackhole),
    ] { try bench.ip.addRoute(RouteEntry(prefix(text), kind: kind), link: bench.link) }
    #expect(bench.routeError(to: IPv4Address(192, 0, 2, 1)) == .EHOSTUNREACH)
    #expect(bench.routeError(to: IPv4Address(198, 51, 100, 1)) == .EACCES)
    #expect(bench.routeError(to: IPv4Address(203, 0, 113, 1)) == .EINVAL)
    // A better metric for the same prefix wins over the refusal.
    try bench.ip.removeRoute(prefix("192.0.2.0/24"))
    #expect(bench.routeError(to: IPv4Address(192, 0, 2, 1)) == nil)
    try bench.ip.removeRoute(prefix("0.0.0.0/0"))
    #expect(bench.routeError(to: IPv4Address(192, 0, 2, 1)) == .ENETUNREACH)
    // As Linux: the others have a route, one that refuses.
    #expect(bench.count(.IpOutNoRoutes) == 1)
  }

  @Test("P1 a route change makes cached routes obsolete") func generation() throws {
    let bench = IPv4Bench()
    let route = bench.route(to: IPv4Address(192, 0, 2, 1))
    #expect(bench.isCurrent(route))
    try bench.ip.addRoute(
      RouteEntry(prefix("192.0.2.0/24"), gateway: IPv4Address(10, 0, 0, 9)), link: bench.link)
    #expect(!bench.isCurrent(route))
    #expect(bench.route(to: IPv4Address(192, 0, 2, 1)).nextHop == IPv4Address(10, 0, 0, 9))
  }

  @Test("P1 source selection takes the address in the next hop's network, or what was asked for")
  func source() throws {
    let bench = IPv4Bench()
    try bench.ip.addAddress(prefix("172.16.5.1/16"), on: bench.ethernet, link: bench.link)
    #expect(bench.route(to: IPv4Address(172, 16, 9, 9)).source == IPv4Address(172, 16, 5, 1))
    #expect(bench.route(to: IPv4Address(10, 0, 0, 9)).source == IPv4Bench.own)
    let asked = try bench.ip.route(
      to: IPv4Address(10, 0, 0, 9), from: IPv4Address(172, 16, 5, 1), link: bench.link, net: &bench.net)
    #expect(asked.source == IPv4Address(172, 16, 5, 1))
    // Tried on Linux 6.18, whose documentation says EINVAL.
    #expect(bench.routeError(to: IPv4Bench.peer, from: IPv4Address(8, 8, 8, 8)) == .ENETUNREACH)
    try bench.ip.removeAddress(IPv4Address(172, 16, 5, 1), link: bench.link)
    #expect(bench.route(to: IPv4Address(172, 16, 9, 9)).nextHop == IPv4Bench.peer)
  }

  @Test("P1 a gateway must be on the link and not be ourselves") func gateway() {
    let bench = IPv4Bench()
    let target = prefix("192.0.2.0/24")
    #expect(throws: Errno.ENETUNREACH) {
      try bench.ip.addRoute(RouteEntry(target, gateway: IPv4Address(9, 9, 9, 9)), link: bench.link)
    }
    #expect(throws: Errno.EINVAL) {
      try bench.ip.addRoute(RouteEntry(target, gateway: IPv4Bench.own), link: bench.link)
    }
  }

  @Test("P1 kinds of destination: own, loopback, broadcast, directed broadcast, group") func destinations() {
    let bench = IPv4Bench()
    #expect(bench.route(to: IPv4Bench.own).kind == .local)
    #expect(bench.route(to: IPv4Address(127, 1, 2, 3)).source == .loopback)
    #expect(bench.route(to: .broadcast).kind == .broadcast)
    #expect(bench.route(to: IPv4Address(10, 0, 0, 255)).kind == .broadcast)
    #expect(bench.route(to: IPv4Address(224, 0, 0, 251)).kind == .multicast)
    #expect(bench.route(to: .any).kind == .local)
  }

  @Test("P3 a learned path MTU holds for ten minutes and is only ever lowered") func pathMTU() {
    let bench = IPv4Bench()
    let far = IPv4Address(192, 0, 2, 1)
    let before = bench.route(to: far)
    bench.ip.learnPathMTU(destination: far, mtu: 1400, link: bench.link, net: &bench.net)
    #expect(!bench.isCurrent(before))
    #expect(bench.route(to: far).mtu == 1400)
    #expect(bench.route(to: far).linkMTU == 1500)
    #expect(bench.route(to: IPv4Address(192, 0, 2, 2)).mtu == 1500)
    bench.ip.learnPathMTU(destination: far, mtu: 1450, link: bench.link, net: &bench.net)
    #expect(bench.route(to: far).mtu == 1400)
    bench.advance(.seconds(599))
    let cached = bench.route(to: far)
    #expect(cached.mtu == 1400)
    bench.advance(.seconds(2))
    #expect(!bench.isCurrent(cached))
    #expect(bench.route(to: far).mtu == 1500)
  }

  @Test("P3 a path MTU is the route's that it was learned by: one of another metric has its own")
  func metrics() throws {
    // As Linux 6.18 answered IP_MTU.
    let bench = IPv4Bench()
    let far = IPv4Address(10, 9, 0, 5)
    func add(_ metric: UInt32) throws {
      let prefix = try #require(IPv4Prefix("10.9.0.0/16"))
      let entry = RouteEntry(prefix, gateway: IPv4Bench.peer, metric: metric)
      try bench.ip.addRoute(entry, link: bench.link)
    }
    func remove(_ metric: UInt32) throws {
      try bench.ip.removeRoute(try #require(IPv4Prefix("10.9.0.0/16")), metric: metric)
    }
    func learn(_ mtu: Int) {
      bench.ip.learnPathMTU(destination: far, mtu: mtu, link: bench.link, net: &bench.net)
    }
    try add(100)
    learn(1300)
    #expect(bench.route(to: far).mtu == 1300)
    try add(200)
    #expect(bench.route(to: far).mtu == 1300)
    try add(50)
    #expect(bench.route(to: far).mtu == 1500)
    learn(1400)
    #expect(bench.route(to: far).mtu == 1400)
    try remove(50)
    #expect(bench.route(to: far).mtu == 1300)
    // What was learned went with the route.
    try add(50)
    #expect(bench.route(to: far).mtu == 1500)
    try remove(50)
    try remove(100)
    try add(100)
    #expect(bench.route(to: far).mtu == 1500)
    bench.advance(.seconds(601))
  }

  @Test("P3 below min_pmtu the MTU is locked at 552 and DF is not set") func lockedMTU() {
    let bench = IPv4Bench()
    let far = IPv4Address(192, 0, 2, 1)
    bench.ip.learnPathMTU(destination: far, mtu: 0, link: bench.link, net: &bench.net)
    let route = bench.route(to: far)
    #expect(route.mtu == 552 && route.isMTULocked)
    bench.send(IPv4Bench.pattern(100), to: far)
    #expect(bench.packets().first?[6] == 0)
  }

  @Test("U3 without gateways a far destination is unreachable") func onLink() throws {
    let bench = IPv4Bench()
    _ = try bench.ip.route(to: IPv4Bench.peer, from: nil, onLink: true, link: bench.link, net: &bench.net)
    #expect(throws: Errno.ENETUNREACH) {
      try bench.ip.route(
        to: IPv4Address(192, 0, 2, 1), from: nil, onLink: true, link: bench.link, net: &bench.net)
    }
  }

  @Test("P1 a link that is down leaves only our own addresses; a new MTU makes routes obsolete") func link()
    throws
  {
    let bench = IPv4Bench()
    let route = bench.route()
    try bench.ip.setMTU(1280, of: bench.ethernet, link: &bench.link)
    #expect(!bench.isCurrent(route))
    #expect(bench.route().mtu == 1280)
    bench.ip.setLink(bench.ethernet, up: false, link: &bench.link, net: &bench.net)
    #expect(bench.routeError(to: IPv4Bench.peer) == .ENETUNREACH)
    #expect(bench.routeError(to: IPv4Bench.own) == nil)
    bench.ip.setLink(bench.ethernet, up: true, link: &bench.link, net: &bench.net)
    #expect(bench.routeError(to: IPv4Bench.peer) == nil)
  }

  @Test("P1 several next hops: a dead one has no share, and the living ones have all of it (RFC 2992)")
  func sharesOfTheLiving() {
    var hops = [NextHop(weight: 1), NextHop(weight: 6), NextHop(weight: 3)]
    hops[1].isDead = true
    #expect(FIBShares(hops).bounds == [(1 << 29) - 1, -1, Int32.max])
  }
}
