import IPv4
import Neighbour
import NetDevice
import NetNamespace
import SkBuff
import Timers
import Wire

/// Everything below the transports, in one value with disjoint parts: what a TCP connection or a datagram socket sends
/// through and is told by. RFC 1122's host without its transport and application layers; Linux: `struct net` with the
/// devices and tables that hang from it.
///
/// Passed `inout` as one parameter; whoever needs only one part takes that part (`net: &host.net`). No part owns or
/// calls another one: what a part needs of its neighbours comes in as a parameter, and what needs several parts is a
/// function of the host.
public struct Host: ~Copyable {
  /// The time, the timers, packet memory, settings, counters, entropy.
  public var net: Net
  /// The devices by interface index, and the neighbours at their links.
  public var link: LinkLayer
  /// The internet layer: addresses, routes, output, input, ICMP.
  public var internet: IPv4Layer

  public init(net: consuming Net) {
    link = LinkLayer(net: &net)
    internet = IPv4Layer(net: &net)
    self.net = net
  }

  /// Gives back what timers and queues still hold. The transports were closed before.
  public mutating func close() {
    internet.close(net: &net)
    link.close(net: &net)
  }

  // MARK: Up

  /// Takes in what a device received, and gives back what it sent.
  ///
  /// - Parameter queue: where received packets are added.
  /// - Returns: whether there is more to do, without waiting for an interrupt.
  public mutating func poll(_ interface: InterfaceIndex, into queue: inout SkBuffQueue) -> Bool {
    link.devices[interface].poll(into: &queue, net: &net)
  }

  /// Packets of the backlog that one turn takes, so that others get theirs. Linux: `net.core.dev_weight`.
  static let backlogQuota = 64

  /// Takes in what we sent ourselves, and gives back what it sent: at most 64 packets. Linux: `process_backlog()`.
  public mutating func pollBacklog(into queue: inout SkBuffQueue) {
    var left = Self.backlogQuota
    while left > 0, let skb = net.takeBacklog() {
      queue.append(skb)
      left -= 1
    }
  }

  /// A packet that a device delivered, its data at the network header. Linux: `netif_receive_skb()`.
  ///
  /// - Returns: what the transports are to do with it.
  public mutating func receive(_ skb: consuming SkBuff) -> IPv4Layer.Input {
    internet.receive(skb, link: &link, net: &net)
  }

  /// A timer of the link or the internet layer is due.
  public mutating func timerExpired(_ key: TimerKey, due: Instant) {
    switch key.kind {
    case .qdisc, .watchdog:
      let interface = InterfaceIndex(rawValue: UInt16(truncatingIfNeeded: key.id))
      if link.devices.contains(interface) { link.devices[interface].timerExpired(key, due: due, net: &net) }
    default: internet.timerExpired(key, due: due, link: &link, net: &net)
    }
  }

  // MARK: Down

  /// Marks, users or ports of flows may decide on their way: `route(to:from:)` has to be told of them.
  public var routesByFlow: Bool { internet.routesByFlow }

  /// Finds the way to a destination. Linux: `ip_route_output_key()`.
  ///
  /// - Parameters:
  ///   - from: the source address the sender insists on.
  ///   - onLink: gateways are not used (`MSG_DONTROUTE`, `SO_DONTROUTE`). Linux: `RT_SCOPE_LINK`.
  ///   - asked: the device to send by, whatever the routes say; `.none`: any. Linux: `flowi4_oif`.
  ///   - flow: what rules about routing tables may ask for.
  /// - Throws: ENETUNREACH, EHOSTUNREACH (unreachable route), EACCES (prohibit), EINVAL (blackhole); ENETUNREACH, too,
  ///   when `from` is not ours; ENODEV when `asked` is no device's.
  public mutating func route(
    to: IPv4Address, from: IPv4Address?, onLink: Bool = false, by asked: InterfaceIndex = .none,
    flow: RoutingFlow = RoutingFlow(), counts: Bool = true
  ) throws(Errno) -> Route {
    try internet.route(
      to: to, from: from, onLink: onLink, by: asked, flow: flow, counts: counts, link: link, net: &net)
  }

  /// As the other, of any family.
  ///
  /// - Parameter from: any: the sender insists on none.
  /// - Throws: EAFNOSUPPORT for a family that the host does not have, and for ends of two.
  public mutating func route(
    to: IPAddress, from: IPAddress, onLink: Bool = false, by asked: InterfaceIndex = .none,
    flow: RoutingFlow = RoutingFlow()
  ) throws(Errno) -> Route {
    guard let to = to.v4, let from = from.v4 else { throw .EAFNOSUPPORT }
    return try route(to: to, from: from.isAny ? nil : from, onLink: onLink, by: asked, flow: flow)
  }

  /// Whether an address is one of ours. Linux: `inet_addr_type() == RTN_LOCAL`.
  public func isLocal(_ address: IPAddress) -> Bool { address.v4.map { internet.isLocal($0) } ?? false }

  /// Whether an address is a group's, or a broadcast address of ours.
  public func isForMany(_ address: IPAddress) -> Bool {
    address.v4.map { internet.isForMany($0) } ?? false
  }

  /// Sends a transport's packet, data at its transport header. Linux: `ip_queue_xmit()`.
  public mutating func output(
    _ skb: consuming SkBuff, route: inout Route, options: IPv4SendOptions
  ) -> XmitResult {
    internet.output(skb, route: &route, options: options, link: &link, net: &net)
  }

  /// Sends what `AppendData` collected. Linux: `ip_send_skb()`.
  ///
  /// - Parameter packets: emptied.
  public mutating func outputDatagram(
    _ packets: inout SkBuffQueue, priority: UInt32, route: inout Route, options: IPv4SendOptions
  ) -> XmitResult {
    internet.outputDatagram(
      &packets, priority: priority, route: &route, options: options, link: &link, net: &net)
  }

  /// Tells the sender of a received packet what was wrong with it. Linux: `__icmp_send()`.
  ///
  /// - Parameters:
  ///   - skb: data at its transport header, network header marked; it ends here.
  ///   - reason: why the packet is thrown away, whether its sender hears of it or not.
  ///   - info: the last four bytes of the ICMP header: the MTU, or the pointer in the upper byte.
  public mutating func sendICMPError(
    for skb: consuming SkBuff, reason: DropReason, kind: ICMPHeader.Kind, code: UInt8, info: UInt32
  ) {
    internet.sendICMPError(
      for: skb, reason: reason, kind: kind, code: code, info: info, link: &link, net: &net)
  }

  /// Sends what waits in a device's queueing discipline. Linux: `net_tx_action()`.
  public mutating func runQdisc(_ interface: InterfaceIndex) { link.devices[interface].runQdisc(net: &net) }

  /// The settings have changed: what keeps a part of them takes it over.
  public mutating func settingsChanged() { link.neighbours.apply(net.settings.neighbours, net: &net) }

  // MARK: What transports learn

  /// A router's "fragmentation needed" was about a packet of the transport's own. Linux: `__ip_rt_update_pmtu()`.
  ///
  /// - Parameters:
  ///   - source: of the packet, for rules about routing tables, as `flow`.
  public mutating func learnPathMTU(
    destination: IPAddress, from source: IPAddress? = nil, flow: RoutingFlow = RoutingFlow(), mtu: Int
  ) {
    guard let destination = destination.v4 else { return }
    internet.learnPathMTU(
      destination: destination, from: source?.v4, flow: flow, mtu: mtu, link: link, net: &net)
  }

  /// A router's redirect was about a packet of the transport's own. Linux: `ip_do_redirect()`.
  ///
  /// - Parameter flow: of what the socket sends.
  public mutating func learnNextHop(_ gateway: IPv4Address, from report: TransportError, flow: RoutingFlow) {
    // For a host or a network, with or without its type of service.
    guard report.code & 7 < 4, let destination = report.remote.address.v4,
      let source = report.local.address.v4
    else { return }
    internet.learnNextHop(
      gateway, insteadOf: report.offender, destination: destination, from: source, flow: flow, link: &link,
      net: &net)
  }

  /// TCP saw progress on a connection. Linux: `dst_confirm()`.
  public mutating func confirmNeighbour(_ route: Route) {
    link.neighbours.confirm(route.neighbour, net: net)
  }

  /// A sender knows that its packets arrive, and sends none now: `MSG_CONFIRM` with `MSG_PROBE`.
  /// Linux: `ipv4_confirm_neigh()`.
  public mutating func confirmNextHop(_ route: Route) {
    link.neighbours.confirm(IPAddress(route.nextHop), on: route.interface, net: net)
  }

  // MARK: Groups

  /// A socket is in a group, until `leaveGroup` has been told as often. Linux: `ip_mc_inc_group()`.
  ///
  /// - Parameter excluding: it wants all sources but some, none yet; else only some, none yet.
  public mutating func joinGroup(
    _ group: IPv4Address, on interface: InterfaceIndex, excluding: Bool = true
  ) {
    internet.joinGroup(group, on: interface, excluding: excluding, link: &link, net: &net)
  }

  /// - Parameters:
  ///   - excluding: the mode that the socket was in.
  ///   - sources: those that it had named.
  public mutating func leaveGroup(
    _ group: IPv4Address, on interface: InterfaceIndex, excluding: Bool = true, sources: [IPv4Address] = []
  ) {
    internet.leaveGroup(
      group, on: interface, excluding: excluding, sources: sources, link: &link, net: &net)
  }

  /// A socket in a group wants more sources, or blocks more. Linux: `ip_mc_add_src()`.
  ///
  /// - Parameter isSocket: the mode is new for the socket.
  public mutating func addSources(
    _ sources: [IPv4Address], of group: IPv4Address, on interface: InterfaceIndex, excluding: Bool,
    isSocket: Bool = false
  ) {
    internet.addSources(
      sources, of: group, on: interface, excluding: excluding, isSocket: isSocket, link: &link, net: &net)
  }

  /// The opposite of `addSources`. Linux: `ip_mc_del_src()`.
  public mutating func removeSources(
    _ sources: [IPv4Address], of group: IPv4Address, on interface: InterfaceIndex, excluding: Bool,
    isSocket: Bool = false
  ) {
    internet.removeSources(
      sources, of: group, on: interface, excluding: excluding, isSocket: isSocket, link: &link, net: &net)
  }

  // MARK: Administration

  /// Makes an address ours, with a route to its prefix. Linux: `inet_insert_ifa()`.
  ///
  /// - Throws: EINVAL for an address that no host may have, EEXIST when it is ours already, ENOBUFS for too many.
  public mutating func addAddress(_ prefix: IPv4Prefix, on interface: InterfaceIndex) throws(Errno) {
    try internet.addAddress(prefix, on: interface, link: link)
  }

  /// Linux: `inet_del_ifa()`.
  ///
  /// - Parameter interface: the device that has it; `nil`: the first that does.
  /// - Throws: EADDRNOTAVAIL when the address is not ours.
  public mutating func removeAddress(
    _ address: IPv4Address, on interface: InterfaceIndex? = nil
  ) throws(Errno) {
    try internet.removeAddress(address, on: interface, link: link)
    for device in link.devices.indices where interface == nil || interface == device {
      internet.hooks.forgetMasquerade(of: device, net: &net)
    }
  }

  /// Brings a link up or takes it down, with the routes over it. Linux: `dev_change_flags()`.
  public mutating func setLink(_ interface: InterfaceIndex, up: Bool) {
    internet.setLink(interface, up: up, link: &link, net: &net)
  }

  /// Linux: `dev_set_mtu()`.
  ///
  /// - Throws: EINVAL outside of what the device takes.
  public mutating func setMTU(_ mtu: Int, of interface: InterfaceIndex) throws(Errno) {
    try internet.setMTU(mtu, of: interface, link: &link)
  }

  /// Linux: `dev_set_mac_address()`.
  ///
  /// - Throws: EADDRNOTAVAIL for zero and group addresses.
  public mutating func setMACAddress(
    _ address: MACAddress, of interface: InterfaceIndex
  ) throws(Errno) {
    try internet.setMACAddress(address, of: interface, link: &link, net: &net)
  }

  /// Linux: `fib_table_insert()`.
  ///
  /// - Throws: EINVAL when the gateway is one of our addresses or no host's, ENETUNREACH when it is not on the link,
  ///   ENODEV, EEXIST when a route with this prefix and metric is there, ENOBUFS for too many.
  ///
  /// - Parameter table: its number; the main one when none is said.
  public mutating func addRoute(
    _ entry: RouteEntry, table: UInt32 = RoutingTableName.main
  ) throws(Errno) {
    try internet.addRoute(entry, table: table, link: link)
  }

  /// Adds a route in the place of the one with its prefix and metric, if there is one. Linux: `NLM_F_REPLACE`.
  ///
  /// - Throws: as `addRoute`, without EEXIST.
  public mutating func replaceRoute(
    _ entry: RouteEntry, table: UInt32 = RoutingTableName.main
  ) throws(Errno) {
    try internet.replaceRoute(entry, table: table, link: link)
  }

  /// Sets a neighbour by hand; packets that waited for it go out. Linux: `ip neigh replace`.
  ///
  /// - Throws: EINVAL for a state without an address or a group address.
  public mutating func setNeighbour(
    _ address: IPv4Address, on interface: InterfaceIndex, hardwareAddress: MACAddress,
    state: NeighbourState = .permanent
  ) throws(Errno) {
    try internet.setNeighbour(
      address, on: interface, hardwareAddress: hardwareAddress, state: state, link: &link, net: &net)
  }

  /// Linux: `ip neigh del`.
  ///
  /// - Returns: false when there is no such entry.
  public mutating func deleteNeighbour(_ address: IPv4Address, on interface: InterfaceIndex) -> Bool {
    link.neighbours.delete(IPAddress(address), on: interface, net: &net)
  }

  /// Forgets every neighbour but those that need no resolution. Linux: `ip neigh flush all`.
  ///
  /// - Parameter interface: of this device only; `nil`: of all.
  public mutating func flushNeighbours(on interface: InterfaceIndex? = nil) {
    internet.flushNeighbours(on: interface, link: &link, net: &net)
  }

  /// An ARP packet that another shard behind the same address has taken in and answered.
  public mutating func overhearARP(_ skb: consuming SkBuff) {
    internet.overhearARP(skb, link: &link, net: &net)
  }

  /// Announces all addresses, twice each, 2 s apart (RFC 5227 section 2.3).
  public mutating func announceAddresses() { internet.announceAddresses(link: &link, net: &net) }

  /// Asks whether anybody has an address, before it is made ours (RFC 5227 section 2.1).
  ///
  /// - Throws: EINVAL, EEXIST, ENODEV, ENOBUFS: see `IPv4Layer`.
  public mutating func probeAddress(_ prefix: IPv4Prefix, on interface: InterfaceIndex) throws(Errno) {
    try internet.probeAddress(prefix, on: interface, link: &link, net: &net)
  }

  /// Announces the addresses of an interface once. Linux: `NETDEV_NOTIFY_PEERS`.
  public mutating func notifyPeers(of interface: InterfaceIndex) {
    internet.notifyPeers(of: interface, link: &link, net: &net)
  }

  /// Linux: `IFF_NOARP`.
  public mutating func setResolving(_ isOn: Bool, of interface: InterfaceIndex) {
    internet.setResolving(isOn, of: interface, link: &link, net: &net)
  }

  /// As `announceAddresses`, one of them.
  public mutating func announceAddress(_ address: IPv4Address) {
    internet.announceAddress(address, link: &link, net: &net)
  }
}
