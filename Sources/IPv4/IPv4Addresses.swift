import Neighbour
import NetDevice
import NetNamespace
import Wire

/// Our addresses, what they make local, and what becomes of them with their devices. Linux: `net/ipv4/devinet.c`, `fib_frontend.c`.
extension IPv4Layer {
  private mutating func addLocal(
    _ address: IPv4Address, _ length: Int, _ kind: RouteEntry.Kind, _ interface: InterfaceIndex,
    source: IPv4Address? = nil
  ) {
    guard let prefix = IPv4Prefix(address, length: length) else { return }
    // An entry that is there already serves as well.
    try? local.insert(RouteEntry(prefix, kind: kind, interface: interface, source: source))
  }

  /// Makes an address ours, with a route to its prefix. Linux: `inet_insert_ifa()`, `fib_add_ifaddr()`.
  ///
  /// - Throws: EINVAL for an address that no host may have, EEXIST when it is ours already, ENOBUFS for too many.
  public mutating func addAddress(
    _ prefix: IPv4Prefix, on interface: InterfaceIndex, link: borrowing LinkLayer
  ) throws(Errno) {
    let address = prefix.address
    try checkHost(prefix)
    guard !addresses.contains(where: { $0.address == address && $0.interface == interface }) else {
      throw .EEXIST
    }
    guard addresses.count < Self.addressLimit else { throw .ENOBUFS }
    addresses.append(InterfaceAddress(prefix: prefix, interface: interface))
    choosePrimary()
    rebuildLocal()
    addNetwork(of: InterfaceAddress(prefix: prefix, interface: interface), isUp: link.isUp(interface))
    if link.isUp(interface) { setRoutes(over: interface, areUp: true) }
    routesChanged()
  }

  /// - Throws: EINVAL for an address that no host may have.
  func checkHost(_ prefix: IPv4Prefix) throws(Errno) {
    let address = prefix.address
    guard !address.isAny, !address.isMulticast, !address.isBroadcast, prefix.broadcast != address,
      prefix.length > 0
    else { throw .EINVAL }
  }

  /// Routes with this source go with it; with the first address of a network on the device, the others of that network; with
  /// the last address, all that lead over the link.
  /// Linux: `inet_del_ifa()`, `fib_del_ifaddr()`, `fib_disable_ip()`.
  ///
  /// - Parameter interface: the device that has it; `nil`: the first that does.
  /// - Throws: EADDRNOTAVAIL when the address is not ours.
  public mutating func removeAddress(
    _ address: IPv4Address, on interface: InterfaceIndex? = nil, link: borrowing LinkLayer
  ) throws(Errno) {
    let place = addresses.firstIndex {
      $0.address == address && (interface == nil || $0.interface == interface)
    }
    guard let index = place else { throw .EADDRNOTAVAIL }
    let first = addresses[index]
    let isFirst = !addresses[..<index].contains { $0.isSecondary(to: first) }
    remove(at: index, link: link)
    // Linux: `promote_secondaries` 0.
    while isFirst, let other = addresses.firstIndex(where: { $0.isSecondary(to: first) }) {
      remove(at: other, link: link)
    }
    routesChanged()
  }

  private mutating func remove(at index: Int, link: borrowing LinkLayer) {
    let gone = addresses.remove(at: index)
    let (prefix, address) = (gone.prefix, gone.address)
    choosePrimary()
    // Another device may have it still.
    let isGone = !addresses.contains { $0.address == address }
    if isGone { conflicts.forget(address) }
    rebuildLocal()
    let isLast = !addresses.contains { $0.interface == gone.interface }
    if isGone {
      routes.remove { $0.source == address }
      policy.removeRoutes { $0.source == address }
    }
    if isLast { setRoutes(over: gone.interface, areUp: false) }
    let heir = addresses.first {
      $0.prefix.length == prefix.length && $0.prefix.network == prefix.network
    }
    if let heir { addNetwork(of: heir, isUp: link.isUp(heir.interface)) }
  }

  private mutating func choosePrimary() {
    primary = addresses.first { !$0.isHostScope }?.address ?? .any
  }

  mutating func rebuildLocal() {
    lastPlainSource = .any
    let last = Int(addresses.map(\.interface.rawValue).max() ?? 0)
    hooks.setAddresses(
      (0...last).map { index in
        addresses.filter { Int($0.interface.rawValue) == index && !$0.isHostScope }.map(\.prefix)
      })
    local.remove { _ in true }
    addLocal(.broadcast, 32, .broadcast, .none)
    for own in addresses {
      addLocal(own.address, 32, .local, own.interface, source: own.address)
      // All of a loopback's network is at hand. Linux: `fib_add_ifaddr()`.
      if own.interface == .loopback {
        addLocal(own.prefix.network, own.prefix.length, .local, .loopback, source: own.address)
      }
    }
    for own in addresses {
      if let broadcast = own.prefix.broadcast { addLocal(broadcast, 32, .broadcast, own.interface) }
    }
  }

  /// The device that is meant where none is said: that of the first address, else the first.
  func usualInterface(_ link: borrowing LinkLayer) -> InterfaceIndex {
    addresses.first { $0.interface != .loopback }?.interface
      ?? link.devices.indices.first { $0 != .loopback } ?? .none
  }

  /// The device that one of our addresses belongs to; `nil` for another's.
  func interface(of address: IPv4Address) -> InterfaceIndex? {
    addresses.first { $0.address == address }?.interface
  }

  /// The device's address whose network has the next hop in it, else its first, else anybody's first.
  /// Linux: `inet_select_addr()`.
  func selectSource(for nextHop: IPv4Address, on interface: InterfaceIndex) -> IPv4Address {
    let own = addresses.filter { $0.interface == interface && (!$0.isHostScope || nextHop.isLoopback) }
    return (own.first { $0.prefix.contains(nextHop) } ?? own.first)?.address ?? primary
  }

  /// What a destination of 0.0.0.0 means: this host, by the source that the sender insists on, else by an address of the
  /// device that it asks for. Linux: `ip_route_output_key_hash_rcu()`.
  public func ownAddress(_ source: IPv4Address, by asked: InterfaceIndex) -> IPv4Address {
    if !source.isAny { return source }
    if asked == .none { return .loopback }
    return addresses.first { $0.interface == asked }?.address ?? .loopback
  }

  /// What a received packet for many was for, of our own: the source that an answer would have.
  /// Linux: `fib_compute_spec_dst()`.
  public func specificDestination(of source: IPv4Address, by interface: InterfaceIndex) -> IPv4Address {
    if !source.isAny {
      if let own = local.lookup(source), own.kind == .local { return own.source ?? source }
      if let way = findRoute(RouteKey(destination: source)), way.kind == .unicast {
        return way.source ?? selectSource(for: way.gateway ?? source, on: way.interface)
      }
    }
    return selectSource(for: source, on: interface)
  }

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

  // MARK: Devices

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

  /// Has neighbours of a device asked for their station addresses, or not: what was known of them goes. Linux: `IFF_NOARP` in
  /// `arp_netdev_event()`.
  public mutating func setResolving(
    _ isOn: Bool, of interface: InterfaceIndex, link: inout LinkLayer, net: inout Net
  ) {
    guard link.devices[interface].resolvesAddresses != isOn else { return }
    link.devices[interface].setResolving(isOn)
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
    setRoutes(over: interface, areUp: up)
    if up {
      for own in addresses where own.interface == interface { addNetwork(of: own, isUp: true) }
    } else {
      hooks.forgetMasquerade(of: interface, net: &net)
      link.neighbours.flush(interface, keepingPermanent: false, net: &net)
    }
    routesChanged()
    groupsLinkChanged(interface, up: up, link: &link, net: &net)
  }

  /// Routes over a device go with it, or with its last address; of several next hops those over it are passed over until it
  /// is back. Linux: `fib_sync_down_dev()`, `fib_sync_up()`.
  private mutating func setRoutes(over interface: InterfaceIndex, areUp: Bool) {
    if areUp { routes.enable(interface) } else { routes.disable(interface) }
    policy.setDevice(interface, isUp: areUp)
  }

  /// The route to an address's network. A second address of the same network finds it there.
  mutating func addNetwork(of own: InterfaceAddress, isUp: Bool) {
    guard isUp, own.prefix.length < 32, own.interface != .loopback else { return }
    try? routes.insert(RouteEntry(own.prefix, interface: own.interface, source: own.address))
  }
}
