import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Tables
import Timers
import Wire

/// One of our addresses, and the device it belongs to. Linux: `struct in_ifaddr`.
public struct InterfaceAddress: Hashable, Sendable {
  public var prefix: IPv4Prefix
  public var interface: InterfaceIndex

  public var address: IPv4Address { prefix.address }
  /// Of use inside this host only. Linux: `RT_SCOPE_HOST`.
  public var isHostScope: Bool { address.isLoopback }
}

/// IPv4, ARP and ICMP of one shard, above the devices and the neighbours of its link layer. Linux: `net/ipv4/`.
public struct IPv4Layer: ~Copyable {
  private let addressOnly = AddressOnly()
  /// Our addresses, in the order they were added.
  public private(set) var addresses: [InterfaceAddress]
  /// The first address that others know: the one most packets are for.
  var primary = IPv4Address.any
  /// Linux: the `main` table, and the `local` one before it.
  public private(set) var routes = RouteTable()
  var local = RouteTable()

  /// Routes made before the last change are looked up again. Linux: `rt_genid`.
  public private(set) var generation: UInt32 = 1
  var pathMTUs = PathMTUTable()
  var pathMTUTimer = TimerSlot()
  var identifications: IdentificationSource
  var reassembly = ReassemblyTable()
  var rateLimit: ICMPRateLimit
  var conflicts = AddressConflictDetection()
  var groups: [IPv4Address] = []
  /// The source that was last found to be no address of ours: most packets come from the same few.
  var lastPlainSource = IPv4Address.any
  var errors: [TransportError] = []
  /// Who looks at packets on their way in and out.
  public var hooks = Hooks()

  /// Timer slots that belong to no datagram or neighbour.
  static let pathMTUTimerID = UInt32.max
  static let conflictTimerID = UInt32.max - 1
  /// Most addresses, 127.0.0.1 among them, and routes, so that a change stays quick.
  static let addressLimit = 1025
  static let routeLimit = 65536
  /// Most errors kept for `takeTransportError()`; later ones are lost, as ICMP may be.
  static let errorLimit = 256

  public init(net: inout Net) {
    identifications = IdentificationSource(net: &net)
    rateLimit = ICMPRateLimit(net: &net)
    errors.reserveCapacity(Self.errorLimit)
    // Linux: `inetdev_event()` gives it to the loopback device.
    addresses =
      IPv4Prefix(.loopback, length: 8).map { [InterfaceAddress(prefix: $0, interface: .loopback)] } ?? []
    rebuildLocal()
  }

  private mutating func addLocal(
    _ address: IPv4Address, _ length: Int, _ kind: RouteEntry.Kind, _ interface: InterfaceIndex
  ) {
    guard let prefix = IPv4Prefix(address, length: length) else { return }
    // An entry that is there already serves as well.
    try? local.insert(RouteEntry(prefix, kind: kind, interface: interface, source: nil))
  }

  // MARK: Addresses and routes

  /// Makes an address ours, with a route to its prefix. Linux: `inet_insert_ifa()`, `fib_add_ifaddr()`.
  ///
  /// - Throws: EINVAL for an address that no host may have, EEXIST when it is ours already, ENOBUFS for too many.
  public mutating func addAddress(
    _ prefix: IPv4Prefix, on interface: InterfaceIndex, link: borrowing LinkLayer
  ) throws(Errno) {
    let address = prefix.address
    guard !address.isZeroNet, !address.isMulticast, !address.isBroadcast, prefix.broadcast != address,
      prefix.length > 0
    else { throw .EINVAL }
    guard !addresses.contains(where: { $0.address == address }) else { throw .EEXIST }
    guard addresses.count < Self.addressLimit else { throw .ENOBUFS }
    addresses.append(InterfaceAddress(prefix: prefix, interface: interface))
    choosePrimary()
    rebuildLocal()
    addNetwork(of: InterfaceAddress(prefix: prefix, interface: interface), isUp: link.isUp(interface))
    routesChanged()
  }

  /// Routes with this source go with it; with the last address, all that lead over the link.
  /// Linux: `inet_del_ifa()`, `fib_del_ifaddr()`, `fib_disable_ip()`.
  ///
  /// - Throws: EADDRNOTAVAIL when the address is not ours.
  public mutating func removeAddress(_ address: IPv4Address, link: borrowing LinkLayer) throws(Errno) {
    guard let index = addresses.firstIndex(where: { $0.address == address }) else { throw .EADDRNOTAVAIL }
    let gone = addresses.remove(at: index)
    let prefix = gone.prefix
    choosePrimary()
    conflicts.forget(address)
    rebuildLocal()
    let isLast = !addresses.contains { $0.interface == gone.interface }
    routes.remove {
      $0.source == address || isLast && $0.kind == .unicast && $0.interface == gone.interface
    }
    let heir = addresses.first {
      $0.prefix.length == prefix.length && $0.prefix.network == prefix.network
    }
    if let heir { addNetwork(of: heir, isUp: link.isUp(heir.interface)) }
    routesChanged()
  }

  private mutating func choosePrimary() {
    primary = addresses.first { !$0.isHostScope }?.address ?? .any
  }

  private mutating func rebuildLocal() {
    lastPlainSource = .any
    local.remove { _ in true }
    addLocal(.broadcast, 32, .broadcast, .none)
    for own in addresses {
      addLocal(own.address, 32, .local, own.interface)
      // All of a loopback's network is at hand. Linux: `fib_add_ifaddr()`.
      if own.interface == .loopback { addLocal(own.prefix.network, own.prefix.length, .local, .loopback) }
    }
    for own in addresses {
      if let broadcast = own.prefix.broadcast { addLocal(broadcast, 32, .broadcast, own.interface) }
    }
  }

  /// Adds a route. Linux: `fib_table_insert()`, `fib_check_nh()`.
  ///
  /// - Throws: EINVAL when the gateway is one of our addresses or no host's, ENETUNREACH when it is not on the link,
  ///   ENODEV, ENETDOWN while the link is down, EEXIST when a route with this prefix and metric is there, ENOBUFS for too
  ///   many.
  public mutating func addRoute(_ entry: RouteEntry, link: borrowing LinkLayer) throws(Errno) {
    let entry = try checked(entry, link: link)
    guard routes.count < Self.routeLimit else { throw .ENOBUFS }
    try routes.insert(entry)
    routesChanged()
  }

  /// Adds a route in the place of the one with its prefix and metric, if there is one. Linux: `NLM_F_REPLACE`.
  ///
  /// - Throws: as `addRoute`, without EEXIST.
  public mutating func replaceRoute(_ entry: RouteEntry, link: borrowing LinkLayer) throws(Errno) {
    let entry = try checked(entry, link: link)
    let old = RouteSelector(entry.prefix, metric: entry.metric)
    if routes.remove(where: { old.fits($0) }) == 0 {
      guard routes.count < Self.routeLimit else { throw .ENOBUFS }
    }
    try routes.insert(entry)
    routesChanged()
  }

  /// The route with its device. Linux: `fib_check_nh()`.
  private func checked(_ entry: RouteEntry, link: borrowing LinkLayer) throws(Errno) -> RouteEntry {
    var entry = entry
    let way = entry.gateway.flatMap { routes.lookup($0) }
    if entry.kind == .unicast {
      if entry.interface == .none { entry.interface = way?.interface ?? .none }
      if entry.interface == .none { entry.interface = usualInterface(link) }
      guard link.devices.contains(entry.interface) else { throw .ENODEV }
      guard link.isUp(entry.interface) else { throw .ENETDOWN }
    }
    if let gateway = entry.gateway {
      guard !gateway.isZeroNet, !gateway.isMulticast, local.lookup(gateway) == nil else { throw .EINVAL }
      guard let way, way.scope == .link, way.kind == .unicast, way.interface == entry.interface else {
        throw .ENETUNREACH
      }
    }
    if let source = entry.source, !isLocal(source) { throw .EINVAL }
    if let mtu = entry.mtu, mtu < 68 { throw .EINVAL }
    return entry
  }

  /// The device that is meant where none is said: that of the first address, else the first.
  private func usualInterface(_ link: borrowing LinkLayer) -> InterfaceIndex {
    addresses.first { $0.interface != .loopback }?.interface
      ?? link.devices.indices.first { $0 != .loopback } ?? .none
  }

  /// The device that one of our addresses belongs to; `nil` for another's.
  func interface(of address: IPv4Address) -> InterfaceIndex? {
    addresses.first { $0.address == address }?.interface
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
  public mutating func removeRoute(_ selector: RouteSelector) throws(Errno) {
    // Of one prefix no two have the same metric.
    guard let found = routes.entries.first(where: { selector.fits($0) }) else { throw .ESRCH }
    routes.remove { $0 == found }
    routesChanged()
  }

  /// Changes the link's MTU. Linux: `dev_set_mtu()`, `fib_sync_mtu()`.
  public mutating func setMTU(_ mtu: Int, of interface: InterfaceIndex, link: inout LinkLayer) throws(Errno) {
    try link.devices[interface].setMTU(mtu)
    routesChanged()
  }

  /// Changes the link-layer address. What was learned of neighbours goes, as frames to them carry the old one.
  /// Linux: `NETDEV_CHANGEADDR` in `arp_netdev_event()`.
  ///
  /// - Throws: EADDRNOTAVAIL for zero and group addresses.
  public mutating func setMACAddress(
    _ address: MACAddress, of interface: InterfaceIndex, link: inout LinkLayer, net: inout Net
  ) throws(Errno) {
    try link.devices[interface].setMACAddress(address)
    link.neighbours.flush(interface, keepingPermanent: false, net: &net)
    routesChanged()
  }

  /// Brings a link up or takes it down. Down: the routes over it go, its neighbours are forgotten, and only our own addresses
  /// can be reached. Up: the routes to the addresses' networks come back; others have to be added again.
  /// Linux: `fib_netdev_event()`, `neigh_ifdown()`.
  public mutating func setLink(
    _ interface: InterfaceIndex, up: Bool, link: inout LinkLayer, net: inout Net
  ) {
    guard up != link.isUp(interface) else { return }
    link.devices[interface].setLink(up: up, now: net.now)
    if up {
      for own in addresses where own.interface == interface { addNetwork(of: own, isUp: true) }
    } else {
      routes.remove { $0.kind == .unicast && $0.interface == interface }
      link.neighbours.flush(interface, keepingPermanent: false, net: &net)
    }
    routesChanged()
  }

  /// The route to an address's network. A second address of the same network finds it there.
  private mutating func addNetwork(of own: InterfaceAddress, isUp: Bool) {
    guard isUp, own.prefix.length < 32, own.interface != .loopback else { return }
    try? routes.insert(RouteEntry(own.prefix, interface: own.interface, source: own.address))
  }

  /// The device's MTU or another input of routing changed: cached routes are looked up again.
  /// Linux: `rt_cache_flush()`.
  public mutating func routesChanged() { generation &+= 1 }

  /// Whether an address is one of ours (or 127.0.0.0/8). Linux: `inet_addr_type() == RTN_LOCAL`.
  public func isLocal(_ address: IPv4Address) -> Bool {
    if address == primary && !address.isAny { return true }
    return local.lookup(address)?.kind == .local
  }

  /// Whether an address is a group's, or a broadcast address of ours. Linux: `RTCF_MULTICAST | RTCF_BROADCAST`.
  public func isForMany(_ address: IPv4Address) -> Bool {
    if address == primary { return false }
    return address.isMulticast || local.lookup(address)?.kind == .broadcast
  }

  // MARK: Route look-up

  @inlinable public func isCurrent(_ route: Route) -> Bool { route.generation == generation }

  /// Finds the way to a destination. Linux: `ip_route_output_key()`.
  ///
  /// - Parameters:
  ///   - from: the source address the sender insists on.
  ///   - onLink: gateways are not used (`MSG_DONTROUTE`, `SO_DONTROUTE`). Linux: `RT_SCOPE_LINK`.
  /// - Throws: ENETUNREACH, EHOSTUNREACH (unreachable route), EACCES (prohibit), EINVAL (blackhole, or `from` is not
  ///   ours).
  public mutating func route(
    to: IPv4Address, from: IPv4Address?, onLink: Bool = false, link: borrowing LinkLayer, net: inout Net
  ) throws(Errno) -> Route {
    let wanted = from.flatMap { $0.isAny ? nil : $0 }
    if let wanted, !isLocal(wanted) { throw .EINVAL }
    // Linux: a destination of 0.0.0.0 is this host.
    let destination = to.isAny ? wanted ?? .loopback : to
    let own = local.lookup(destination)
    if let own, own.kind == .local {
      let source = wanted ?? (destination.isLoopback ? .loopback : destination)
      return makeRoute(
        destination, source: source, nextHop: destination, kind: .local, interface: .loopback,
        addressInterface: own.interface, mtu: link.mtu(of: .loopback), link: link, net: &net)
    }
    // 127.0.0.0/8 never leaves this host (RFC 1122 section 3.2.1.3). Linux: `__mkroute_output()`.
    if let wanted, wanted.isLoopback { throw .EINVAL }
    if destination.isMulticast || own != nil {
      return try routeToMany(destination, source: wanted, own: own, link: link, net: &net)
    }
    guard let entry = routes.lookup(destination) else { throw noRoute(.ENETUNREACH, net: &net) }
    switch entry.kind {
    case .unreachable: throw noRoute(.EHOSTUNREACH, net: &net)
    case .prohibit: throw noRoute(.EACCES, net: &net)
    case .blackhole: throw noRoute(.EINVAL, net: &net)
    case .unicast, .local, .broadcast: break
    }
    if onLink && entry.gateway != nil { throw noRoute(.ENETUNREACH, net: &net) }
    let nextHop = entry.gateway ?? destination
    let source = wanted ?? entry.source ?? selectSource(for: nextHop, on: entry.interface)
    guard !source.isAny else { throw noRoute(.ENETUNREACH, net: &net) }
    let mtu = link.mtu(of: entry.interface)
    var route = makeRoute(
      destination, source: source, nextHop: nextHop, kind: .unicast, interface: entry.interface,
      mtu: min(mtu, entry.mtu ?? mtu), link: link, net: &net)
    if !pathMTUs.isEmpty, let exception = pathMTUs.find(destination, now: net.now) {
      route.mtu = min(route.mtu, exception.mtu)
      route.isMTULocked = exception.isLocked
    }
    return route
  }

  /// To a group or a broadcast address: by the device it belongs to, or that the source or a route names.
  private mutating func routeToMany(
    _ destination: IPv4Address, source wanted: IPv4Address?, own: RouteEntry?, link: borrowing LinkLayer,
    net: inout Net
  ) throws(Errno) -> Route {
    let way = routes.lookup(destination)
    var interface = own?.interface ?? .none
    if interface == .none {
      interface =
        wanted.flatMap { self.interface(of: $0) } ?? way.flatMap { $0.kind == .unicast ? $0.interface : nil }
        ?? usualInterface(link)
    }
    guard link.isUp(interface) else { throw noRoute(.ENETUNREACH, net: &net) }
    var source = wanted ?? .any
    if destination.isMulticast {
      if wanted == nil { source = way?.source ?? selectSource(for: destination, on: interface) }
      guard !source.isAny else { throw noRoute(.ENETUNREACH, net: &net) }
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

  /// The device's address whose network has the next hop in it, else its first, else anybody's first.
  /// Linux: `inet_select_addr()`.
  func selectSource(for nextHop: IPv4Address, on interface: InterfaceIndex) -> IPv4Address {
    let own = addresses.first { $0.interface == interface && $0.prefix.contains(nextHop) }
    return (own ?? addresses.first { $0.interface == interface })?.address ?? primary
  }

  // MARK: Path MTU

  /// A transport has checked that a router's "fragmentation needed" was about a packet of its own.
  /// Linux: `__ip_rt_update_pmtu()`.
  ///
  /// - Parameter mtu: what the router said; below `min_pmtu` (552) the MTU is locked there and DF no longer set.
  public mutating func learnPathMTU(
    destination: IPv4Address, mtu: Int, link: borrowing LinkLayer, net: inout Net
  ) {
    guard let route = try? route(to: destination, from: nil, link: link, net: &net), route.kind == .unicast
    else {
      return
    }
    // Only ever lowered: raising is left to expiry (RFC 1191 section 6.3).
    guard mtu < route.mtu else { return }
    let least = net.settings.leastPathMTU
    let isLocked = mtu < least
    let learned = isLocked ? min(route.mtu, least) : mtu
    let expires = net.now + net.settings.pathMTUExpires
    pathMTUs.insert(destination, .init(mtu: learned, isLocked: isLocked, expires: expires))
    armPathMTUTimer(at: expires, net: &net)
    routesChanged()
  }

  /// Forgets what was learned: another time of expiry would break the order in which it expires.
  public mutating func forgetPathMTUs() {
    pathMTUs = PathMTUTable()
    routesChanged()
  }

  private mutating func armPathMTUTimer(at deadline: Instant, net: inout Net) {
    pathMTUTimer.arm(
      TimerKey(kind: .reassembly, id: Self.pathMTUTimerID), at: deadline, in: &net.timers)
  }

  mutating func expirePathMTUs(due: Instant, net: inout Net) {
    guard pathMTUTimer.expire(at: due) else { return }
    let (changed, next) = pathMTUs.expire(now: net.now)
    if changed { routesChanged() }
    if let next { armPathMTUTimer(at: next, net: &net) }
  }

  // MARK: Groups

  /// Accepts packets to a multicast group until it has been left as often as it was joined. Linux: `ip_mc_inc_group()`.
  public mutating func joinGroup(_ group: IPv4Address) throws(Errno) {
    guard group.isMulticast else { throw .EINVAL }
    groups.append(group)
  }
  public mutating func leaveGroup(_ group: IPv4Address) throws(Errno) {
    guard let index = groups.firstIndex(of: group) else { throw .EADDRNOTAVAIL }
    groups.remove(at: index)
  }
  /// Whether packets to a group are for us; all hosts (224.0.0.1) always is. Linux: `ip_check_mc_rcu()`.
  func isMember(of group: IPv4Address) -> Bool {
    group == IPv4Address(224, 0, 0, 1) || groups.contains(group)
  }

  // MARK: Errors

  public var hasTransportErrors: Bool { !errors.isEmpty }

  /// An error for a transport that IP found by itself; `nil` when there is none.
  public mutating func takeTransportError() -> TransportError? {
    errors.isEmpty ? nil : errors.removeFirst()
  }

  /// "Destination unreachable" about a packet of ours (data at its IP header), found by ourselves.
  static func localError(
    about skb: borrowing SkBuff, code: UInt8, mtu: Int?, offender: IPv4Address
  ) -> TransportError? {
    TransportError(
      about: skb.linear, kind: .destinationUnreachable, code: code, mtu: mtu, offender: offender,
      isLocal: true)
  }

  mutating func post(_ error: TransportError?) {
    if let error, errors.count < Self.errorLimit { errors.append(error) }
  }

  // MARK: End

  /// Lets go of every packet, before the packet pool ends.
  public mutating func close(net: inout Net) {
    reassembly.removeAll(net: &net)
  }

  // MARK: Timers

  /// A timer of kind `.neighbour` or `.reassembly` is due.
  public mutating func timerExpired(_ key: TimerKey, due: Instant, link: inout LinkLayer, net: inout Net) {
    switch key.kind {
    case .neighbour:
      if key.id == Self.conflictTimerID {
        announcementTimer(due: due, link: &link, net: &net)
        return
      }
      link.neighbours.timerExpired(key, due: due, net: &net)
      serveNeighbours(link: &link, net: &net)
    default:
      if key.id == Self.pathMTUTimerID {
        expirePathMTUs(due: due, net: &net)
      } else {
        reassemblyTimer(key, due: due, link: &link, net: &net)
      }
    }
  }
}
