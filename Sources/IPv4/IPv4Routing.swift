import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import Timers
import Wire

/// The way to a destination. Linux: `net/ipv4/route.c`, `fib_semantics.c`.
extension IPv4Layer {
  /// The device's MTU or another input of routing changed: cached routes are looked up again.
  /// Linux: `rt_cache_flush()`.
  public mutating func routesChanged() {
    generation &+= 1
    routesByFlow = !policy.isDefault || routes.hasMultipath
  }

  @inlinable public func isCurrent(_ route: Route) -> Bool { route.generation == generation }

  /// Finds the way to a destination. Linux: `ip_route_output_key()`.
  ///
  /// - Parameters:
  ///   - from: the source address the sender insists on.
  ///   - onLink: gateways are not used (`MSG_DONTROUTE`, `SO_DONTROUTE`). Linux: `RT_SCOPE_LINK`.
  ///   - asked: the device to send by, whatever the routes say: without one over it the destination is taken to be on its
  ///     link. `.none`: any. Linux: `flowi4_oif`.
  ///   - flow: what rules about routing tables may ask for.
  ///   - hash: of several next hops the one for this hash, which is another packet's.
  ///   - counts: want of a route counts as `IpOutNoRoutes`: for transports, not for answers that no socket sends.
  /// - Throws: ENETUNREACH, EHOSTUNREACH (unreachable route), EACCES (prohibit), EINVAL (blackhole); ENETUNREACH, too,
  ///   when `from` is not ours; ENODEV when `asked` is no device's.
  public mutating func route(
    to: IPv4Address, from: IPv4Address?, onLink: Bool = false, by asked: InterfaceIndex = .none,
    flow: RoutingFlow = RoutingFlow(), hash: Int32? = nil, counts: Bool = true, link: borrowing LinkLayer,
    net: inout Net
  ) throws(Errno) -> Route {
    if asked != .none {
      guard link.devices.contains(asked) else { throw .ENODEV }
      guard link.isUp(asked) else { throw unreachable(counts, net: &net) }
    }
    let wanted = from.flatMap { $0.isAny ? nil : $0 }
    if let wanted, !isLocal(wanted) {
      // No host's address, or one that was ours once. Linux: `ip_route_output_key_hash_rcu()`.
      if wanted.isMulticast || wanted.isBroadcast { throw .EINVAL }
      throw unreachable(counts, net: &net)
    }
    // Linux: a destination of 0.0.0.0 is this host.
    let destination = to.isAny ? ownAddress(wanted ?? .any, by: asked) : to
    let own = local.lookup(destination, by: asked)
    if let own, own.kind == .local {
      let source = wanted ?? own.source ?? destination
      return makeRoute(
        destination, source: source, nextHop: destination, kind: .local, interface: .loopback,
        addressInterface: own.interface, mtu: link.mtu(of: .loopback), link: link, net: &net)
    }
    // 127.0.0.0/8 never leaves this host (RFC 1122 section 3.2.1.3). Linux: `__mkroute_output()`.
    if let wanted, wanted.isLoopback, asked != .loopback, own?.interface != .loopback { throw .EINVAL }
    let key = RouteKey(destination: destination, source: wanted ?? .any, asked: asked, flow: flow)
    if destination.isMulticast || destination.isBroadcast || own != nil {
      return try routeToMany(key, source: wanted, own: own, counts: counts, link: link, net: &net)
    }
    let found = findPath(key, hash: hash, link: link, net: net)
    // A device that is asked for counts for more than routes that refuse, too. Linux: `ip_route_output_key_hash_rcu()`.
    if asked != .none, found?.refuses ?? true {
      return try routeOnLink(destination, source: wanted, by: asked, link: link, net: &net)
    }
    guard let entry = found else { throw unreachable(counts, net: &net) }
    try check(entry)
    if onLink && entry.gateway != nil { throw unreachable(counts, net: &net) }
    // A host that has no address yet sends from 0.0.0.0.
    let source =
      wanted ?? entry.source ?? selectSource(for: entry.gateway ?? destination, on: entry.interface)
    let mtu = link.mtu(of: entry.interface)
    var route = makeRoute(
      destination, source: source, nextHop: nextHop(to: destination, by: entry, now: net.now),
      kind: entry.interface == .loopback ? .local : .unicast, interface: entry.interface,
      addressInterface: entry.interface, mtu: min(mtu, entry.mtu ?? mtu), link: link, net: &net)
    if !pathMTUs.isEmpty, let exception = pathMTUs.find(destination, by: entry.name, now: net.now) {
      route.mtu = min(route.mtu, exception.mtu)
      route.isMTULocked = exception.isLocked
    }
    if entry.tunnel != .none { lead(&route, through: entry.tunnel) }
    return route
  }

  /// Whether a route leads somewhere. Linux: `fib_props`.
  private func check(_ way: RouteResult) throws(Errno) {
    switch way.kind {
    case .unreachable: throw .EHOSTUNREACH
    case .prohibit: throw .EACCES
    case .blackhole: throw .EINVAL
    case .unicast, .local, .broadcast: break
    }
  }

  /// By a device that no route leads over, or one that refuses.
  private func routeOnLink(
    _ destination: IPv4Address, source wanted: IPv4Address?, by interface: InterfaceIndex,
    link: borrowing LinkLayer, net: inout Net
  ) throws(Errno) -> Route {
    let source = wanted ?? selectSource(for: destination, on: interface)
    let isLoopback = interface == .loopback
    return makeRoute(
      destination, source: source, nextHop: destination, kind: isLoopback ? .local : .unicast,
      interface: interface, addressInterface: interface, mtu: link.mtu(of: interface), link: link, net: &net)
  }

  /// To a group or a broadcast address: by the device that is asked for, else by the device it belongs to, or that the
  /// source or a route names; without any of them it cannot be reached.
  private mutating func routeToMany(
    _ key: RouteKey, source wanted: IPv4Address?, own: RouteResult?, counts: Bool, link: borrowing LinkLayer,
    net: inout Net
  ) throws(Errno) -> Route {
    let (destination, asked) = (key.destination, key.asked)
    let way = findPath(key, link: link, net: net)
    var interface = asked == .none ? own?.interface ?? .none : asked
    if interface == .none, let wanted { interface = self.interface(of: wanted) ?? .none }
    if interface == .none {
      guard let way else { throw unreachable(counts, net: &net) }
      try check(way)
      interface = way.interface
    }
    guard link.isUp(interface) else { throw unreachable(counts, net: &net) }
    var source = wanted ?? .any
    if destination.isMulticast {
      if wanted == nil { source = way?.source ?? selectSource(for: destination, on: interface) }
    } else if wanted == nil {
      source = selectSource(for: destination, on: interface)
    }
    var route = makeRoute(
      destination, source: source, nextHop: destination,
      kind: destination.isMulticast ? .multicast : .broadcast, interface: interface,
      mtu: link.mtu(of: interface), link: link, net: &net)
    // A default route is not one to groups. Linux: `__mkroute_output()`.
    if destination.isMulticast, let way, way.tunnel != .none, way.prefixLength >= 4 {
      lead(&route, through: way.tunnel)
    }
    return route
  }

  /// What a program puts in front of packets, less is left for them. Linux: `lwtunnel_headroom()`.
  func lead(_ route: inout Route, through tunnel: TunnelID) {
    route.tunnel = tunnel
    route.mtu -= hooks.headroom(of: tunnel, mtu: route.mtu)
  }

  /// No packet is larger, whatever the device takes. Linux: `IP_MAX_MTU`.
  static let maximumMTU = 65535

  private func makeRoute(
    _ destination: IPv4Address, source: IPv4Address, nextHop: IPv4Address, kind: Route.Kind,
    interface: InterfaceIndex, addressInterface: InterfaceIndex = .none, mtu: Int, link: borrowing LinkLayer,
    net: inout Net
  ) -> Route {
    Route(
      destination: destination, source: source, nextHop: nextHop, kind: kind, isMTULocked: false,
      interface: interface, mtu: min(mtu, Self.maximumMTU),
      linkMTU: min(link.mtu(of: interface), Self.maximumMTU), tunnel: .none,
      generation: generation, neighbour: .none,
      identification: UInt16(truncatingIfNeeded: net.random.next()), addressInterface: addressInterface)
  }

  private func unreachable(_ counts: Bool, net: inout Net) -> Errno {
    if counts { net.counters.count(.IpOutNoRoutes) }
    return .ENETUNREACH
  }

  // MARK: Changes

  /// Adds a route. Linux: `fib_table_insert()`, `fib_check_nh()`.
  ///
  /// - Throws: EINVAL when the gateway is one of our addresses or no host's, ENETUNREACH when it is not on the link,
  ///   ENODEV, ENETDOWN while the link is down, EEXIST when a route with this prefix and metric is there, ENOBUFS for too
  ///   many; of several next hops each has to be possible, with a weight of 1 to 256.
  ///
  /// - Parameter table: its number; `main` when none is said.
  public mutating func addRoute(
    _ entry: RouteEntry, table: UInt32 = RoutingTableName.main, link: borrowing LinkLayer
  ) throws(Errno) {
    let entry = try checked(entry, link: link)
    guard table == RoutingTableName.main else {
      guard table != RoutingTableName.local else { throw .EINVAL }
      try policy.insert(entry, in: table, limit: Self.routeLimit)
      return routesChanged()
    }
    guard routes.count < Self.routeLimit else { throw .ENOBUFS }
    try routes.insert(entry)
    routesChanged()
  }

  /// Adds a route in the place of the one with its prefix and metric, if there is one. Linux: `NLM_F_REPLACE`.
  ///
  /// - Throws: as `addRoute`, without EEXIST.
  public mutating func replaceRoute(
    _ entry: RouteEntry, table: UInt32 = RoutingTableName.main, link: borrowing LinkLayer
  ) throws(Errno) {
    let entry = try checked(entry, link: link)
    let old = RouteSelector(entry.prefix, metric: entry.metric)
    // Linux: equal ones share their `struct fib_info`.
    var isSame = false
    func isFormer(_ other: RouteEntry) -> Bool {
      let isFormer = old.fits(other)
      if isFormer { isSame = other == entry }
      return isFormer
    }
    guard table == RoutingTableName.main else {
      guard table != RoutingTableName.local else { throw .EINVAL }
      policy.removeRoutes(of: table, where: isFormer)
      try policy.insert(entry, in: table, limit: Self.routeLimit)
      if !isSame { forgetLearned(of: entry.prefix, metric: entry.metric, table: table) }
      return routesChanged()
    }
    if routes.remove(where: isFormer) == 0 {
      guard routes.count < Self.routeLimit else { throw .ENOBUFS }
    }
    try routes.insert(entry)
    if !isSame { forgetLearned(of: entry.prefix, metric: entry.metric, table: table) }
    routesChanged()
  }

  /// Most next hops of one route, so that a choice stays quick.
  static let nextHopLimit = 256

  /// The route with its devices. Linux: `fib_create_info()`.
  private func checked(_ entry: RouteEntry, link: borrowing LinkLayer) throws(Errno) -> RouteEntry {
    var entry = entry
    if !entry.nextHops.isEmpty {
      guard entry.kind == .unicast, entry.gateway == nil, entry.interface == .none else { throw .EINVAL }
      guard entry.nextHops.count <= Self.nextHopLimit else { throw .ENOBUFS }
      for index in entry.nextHops.indices {
        guard (1...256).contains(entry.nextHops[index].weight) else { throw .EINVAL }
        entry.nextHops[index].isDead = false
        try check(&entry.nextHops[index], link: link)
      }
      (entry.gateway, entry.interface) = (entry.nextHops[0].gateway, entry.nextHops[0].interface)
      // One alone is nothing to choose from.
      if entry.nextHops.count == 1 {
        entry.tunnel = entry.nextHops[0].tunnel
        entry.nextHops = []
      }
    } else if entry.kind == .unicast || entry.gateway != nil {
      var hop = NextHop(gateway: entry.gateway, interface: entry.interface)
      try check(&hop, link: link)
      entry.interface = hop.interface
    }
    guard isThere(entry.tunnel), entry.nextHops.allSatisfy({ isThere($0.tunnel) }) else { throw .EINVAL }
    if let source = entry.source, !isLocal(source) { throw .EINVAL }
    if let mtu = entry.mtu, mtu < 68 { throw .EINVAL }
    return entry
  }

  private func isThere(_ tunnel: TunnelID) -> Bool { tunnel == .none || hooks.contains(tunnel: tunnel) }

  /// A next hop with its device. Linux: `fib_check_nh()`.
  private func check(_ hop: inout NextHop, link: borrowing LinkLayer) throws(Errno) {
    let way = hop.gateway.flatMap { routes.lookup($0, by: hop.interface) }
    if hop.interface == .none { hop.interface = way?.interface ?? .none }
    if hop.interface == .none { hop.interface = usualInterface(link) }
    guard link.devices.contains(hop.interface) else { throw .ENODEV }
    // All that is local is on a loopback's link.
    let isAtHand = hop.gateway.map { local.lookup($0, by: .loopback)?.kind == .local } ?? false
    if let gateway = hop.gateway, hop.interface != .loopback || !isAtHand {
      guard !gateway.isAny, !gateway.isMulticast, local.lookup(gateway) == nil else { throw .EINVAL }
      guard let way, way.scope == .link, way.kind == .unicast, way.interface == hop.interface else {
        throw .ENETUNREACH
      }
    }
    // The gateway is looked at before: with the link went the route to its network.
    if !link.isUp(hop.interface) { throw .ENETDOWN }
  }

  /// Removes a route; with `metric` `nil`, all for the prefix.
  ///
  /// - Throws: ESRCH when there is none.
  public mutating func removeRoute(_ prefix: IPv4Prefix, metric: UInt32? = nil) throws(Errno) {
    let doomed = RouteSelector(prefix, metric: metric)
    if routes.remove(where: { doomed.fits($0) }) == 0 { throw .ESRCH }
    forgetLearned(of: prefix, metric: metric, table: RoutingTableName.main)
    routesChanged()
  }

  /// Removes one route. Linux: `fib_table_delete()`.
  ///
  /// - Throws: ESRCH when none fits.
  public mutating func removeRoute(
    _ selector: RouteSelector, table: UInt32 = RoutingTableName.main
  ) throws(Errno) {
    guard table == RoutingTableName.main else {
      guard let found = policy.entries(of: table)?.first(where: { selector.fits($0) }) else { throw .ESRCH }
      policy.removeRoutes(of: table) { $0 == found }
      forgetLearned(of: found.prefix, metric: found.metric, table: table)
      return routesChanged()
    }
    // Of one prefix no two have the same metric.
    guard let found = routes.entries.first(where: { selector.fits($0) }) else { throw .ESRCH }
    routes.remove { $0 == found }
    forgetLearned(of: found.prefix, metric: found.metric, table: table)
    routesChanged()
  }
}
