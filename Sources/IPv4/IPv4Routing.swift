import Neighbour
import NetDevice
import NetNamespace
import Timers
import Wire

/// The way to a destination. Linux: `net/ipv4/route.c`, `fib_semantics.c`.
extension IPv4Layer {
  /// The device's MTU or another input of routing changed: cached routes are looked up again.
  /// Linux: `rt_cache_flush()`.
  public mutating func routesChanged() { generation &+= 1 }

  @inlinable public func isCurrent(_ route: Route) -> Bool { route.generation == generation }

  /// Finds the way to a destination. Linux: `ip_route_output_key()`.
  ///
  /// - Parameters:
  ///   - from: the source address the sender insists on.
  ///   - onLink: gateways are not used (`MSG_DONTROUTE`, `SO_DONTROUTE`). Linux: `RT_SCOPE_LINK`.
  ///   - asked: the device to send by, whatever the routes say: without one over it the destination is taken to be on its
  ///     link. `.none`: any. Linux: `flowi4_oif`.
  ///   - flow: what rules about routing tables may ask for.
  /// - Throws: ENETUNREACH, EHOSTUNREACH (unreachable route), EACCES (prohibit), EINVAL (blackhole); ENETUNREACH, too,
  ///   when `from` is not ours; ENODEV when `asked` is no device's.
  public mutating func route(
    to: IPv4Address, from: IPv4Address?, onLink: Bool = false, by asked: InterfaceIndex = .none,
    flow: RoutingFlow = RoutingFlow(), link: borrowing LinkLayer, net: inout Net
  ) throws(Errno) -> Route {
    if asked != .none {
      guard link.devices.contains(asked) else { throw .ENODEV }
      guard link.isUp(asked) else { throw noRoute(.ENETUNREACH, net: &net) }
    }
    let wanted = from.flatMap { $0.isAny ? nil : $0 }
    if let wanted, !isLocal(wanted) {
      // No host's address, or one that was ours once. Linux: `ip_route_output_key_hash_rcu()`.
      if wanted.isMulticast || wanted.isBroadcast { throw .EINVAL }
      throw noRoute(.ENETUNREACH, net: &net)
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
      return try routeToMany(key, source: wanted, own: own, link: link, net: &net)
    }
    guard let entry = findRoute(key) else {
      guard asked != .none else { throw noRoute(.ENETUNREACH, net: &net) }
      return try routeOnLink(destination, source: wanted, by: asked, link: link, net: &net)
    }
    try check(entry, net: &net)
    if onLink && entry.gateway != nil { throw noRoute(.ENETUNREACH, net: &net) }
    let nextHop = entry.gateway ?? destination
    // A host that has no address yet sends from 0.0.0.0.
    let source = wanted ?? entry.source ?? selectSource(for: nextHop, on: entry.interface)
    let mtu = link.mtu(of: entry.interface)
    var route = makeRoute(
      destination, source: source, nextHop: nextHop,
      kind: entry.interface == .loopback ? .local : .unicast, interface: entry.interface,
      addressInterface: entry.interface, mtu: min(mtu, entry.mtu ?? mtu), link: link, net: &net)
    if !pathMTUs.isEmpty, let exception = pathMTUs.find(destination, now: net.now) {
      route.mtu = min(route.mtu, exception.mtu)
      route.isMTULocked = exception.isLocked
    }
    return route
  }

  /// Whether a route leads somewhere. Linux: `fib_props`.
  private func check(_ way: RouteEntry, net: inout Net) throws(Errno) {
    switch way.kind {
    case .unreachable: throw noRoute(.EHOSTUNREACH, net: &net)
    case .prohibit: throw noRoute(.EACCES, net: &net)
    case .blackhole: throw noRoute(.EINVAL, net: &net)
    case .unicast, .local, .broadcast: break
    }
  }

  /// By a device that no route leads over.
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
    _ key: RouteKey, source wanted: IPv4Address?, own: RouteEntry?, link: borrowing LinkLayer, net: inout Net
  ) throws(Errno) -> Route {
    let (destination, asked) = (key.destination, key.asked)
    let way = findRoute(key)
    var interface = asked == .none ? own?.interface ?? .none : asked
    if interface == .none, let wanted { interface = self.interface(of: wanted) ?? .none }
    if interface == .none {
      guard let way else { throw noRoute(.ENETUNREACH, net: &net) }
      try check(way, net: &net)
      interface = way.interface
    }
    guard link.isUp(interface) else { throw noRoute(.ENETUNREACH, net: &net) }
    var source = wanted ?? .any
    if destination.isMulticast {
      if wanted == nil { source = way?.source ?? selectSource(for: destination, on: interface) }
    } else if wanted == nil {
      source = selectSource(for: destination, on: interface)
    }
    return makeRoute(
      destination, source: source, nextHop: destination,
      kind: destination.isMulticast ? .multicast : .broadcast, interface: interface,
      mtu: link.mtu(of: interface), link: link, net: &net)
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
      linkMTU: min(link.mtu(of: interface), Self.maximumMTU),
      generation: generation, neighbour: .none,
      identification: UInt16(truncatingIfNeeded: net.random.next()), addressInterface: addressInterface)
  }

  private func noRoute(_ errno: Errno, net: inout Net) -> Errno {
    if errno == .ENETUNREACH { net.counters.count(.IpOutNoRoutes) }
    return errno
  }

  // MARK: Changes

  /// Adds a route. Linux: `fib_table_insert()`, `fib_check_nh()`.
  ///
  /// - Throws: EINVAL when the gateway is one of our addresses or no host's, ENETUNREACH when it is not on the link,
  ///   ENODEV, ENETDOWN while the link is down, EEXIST when a route with this prefix and metric is there, ENOBUFS for too
  ///   many.
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
    guard table == RoutingTableName.main else {
      guard table != RoutingTableName.local else { throw .EINVAL }
      policy.removeRoutes(of: table) { old.fits($0) }
      try policy.insert(entry, in: table, limit: Self.routeLimit)
      return routesChanged()
    }
    if routes.remove(where: { old.fits($0) }) == 0 {
      guard routes.count < Self.routeLimit else { throw .ENOBUFS }
    }
    try routes.insert(entry)
    routesChanged()
  }

  /// The route with its device. Linux: `fib_check_nh()`.
  private func checked(_ entry: RouteEntry, link: borrowing LinkLayer) throws(Errno) -> RouteEntry {
    var entry = entry
    let way = entry.gateway.flatMap { routes.lookup($0, by: entry.interface) }
    if entry.kind == .unicast {
      if entry.interface == .none { entry.interface = way?.interface ?? .none }
      if entry.interface == .none { entry.interface = usualInterface(link) }
      guard link.devices.contains(entry.interface) else { throw .ENODEV }
    }
    // All that is local is on a loopback's link.
    let isAtHand = entry.gateway.map { local.lookup($0, by: .loopback)?.kind == .local } ?? false
    if let gateway = entry.gateway, entry.interface != .loopback || !isAtHand {
      guard !gateway.isAny, !gateway.isMulticast, local.lookup(gateway) == nil else { throw .EINVAL }
      guard let way, way.scope == .link, way.kind == .unicast, way.interface == entry.interface else {
        throw .ENETUNREACH
      }
    }
    // The gateway is looked at before: with the link went the route to its network.
    if entry.kind == .unicast && !link.isUp(entry.interface) { throw .ENETDOWN }
    if let source = entry.source, !isLocal(source) { throw .EINVAL }
    if let mtu = entry.mtu, mtu < 68 { throw .EINVAL }
    return entry
  }

  /// Removes a route; with `metric` `nil`, all for the prefix.
  ///
  /// - Throws: ESRCH when there is none.
  public mutating func removeRoute(_ prefix: IPv4Prefix, metric: UInt32? = nil) throws(Errno) {
    let doomed = RouteSelector(prefix, metric: metric)
    if routes.remove(where: { doomed.fits($0) }) == 0 { throw .ESRCH }
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
      return routesChanged()
    }
    // Of one prefix no two have the same metric.
    guard let found = routes.entries.first(where: { selector.fits($0) }) else { throw .ESRCH }
    routes.remove { $0 == found }
    routesChanged()
  }
}
