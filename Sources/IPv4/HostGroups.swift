import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Timers
import Wire

/// The multicast groups that this host is in, on each of its links.
public struct HostGroups: Sendable {
  private var links: [InterfaceIndex: LinkGroups] = [:]

  public init() {}

  subscript(interface: InterfaceIndex) -> LinkGroups {
    get { links[interface] ?? LinkGroups() }
    set { links[interface] = newValue }
  }

  /// All hosts are in 224.0.0.1, on every link.
  func accepts(
    _ group: IPv4Address, from source: IPv4Address?, by interface: InterfaceIndex, isIGMP: Bool = false
  ) -> Bool {
    if group == LinkGroups.allHosts { return true }
    return links[interface]?.accepts(group, from: source, isIGMP: isIGMP) ?? false
  }

  /// What is due, and when there is more.
  mutating func expire(_ terms: GroupTerms) {
    for interface in links.keys { links[interface]?.expire(terms) }
  }

  struct Output: Sendable {
    var messages: [(interface: InterfaceIndex, message: GroupMessage)] = []
    var due: Instant?
  }

  mutating func takeOutput() -> Output {
    var output = Output()
    for interface in links.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
      guard let made = links[interface]?.takeOutbox() else { continue }
      output.messages += made.map { (interface, $0) }
      if let due = links[interface]?.due, due < output.due ?? .distantFuture { output.due = due }
    }
    return output
  }
}

/// The multicast groups that sockets of any shard of a stack are in. Who makes the shards brings it, and its lock.
public protocol SharedGroups: AnyObject, Sendable {
  func withGroups<Result>(_ body: (inout HostGroups) -> Result) -> Result
}

extension IPv4Layer {
  /// Makes the layer one of several behind one address.
  ///
  /// - Parameter shard: which of them.
  public mutating func share(
    _ identifications: IdentificationTable, _ groups: any SharedGroups, _ connections: any SharedConnections,
    shard: Int
  ) {
    self.identifications = identifications
    sharedGroups = groups
    hooks.share(connections, shard: shard)
  }

  private mutating func withGroups<Result>(_ body: (inout HostGroups) -> Result) -> Result {
    if let sharedGroups { return sharedGroups.withGroups(body) }
    return body(&groups)
  }

  /// Changes the groups of a link, and sends what is to be said of it.
  private mutating func change(
    _ interface: InterfaceIndex, link: inout LinkLayer, net: inout Net,
    _ body: (inout LinkGroups, GroupTerms) -> Void
  ) {
    let terms = GroupTerms(net: &net)
    withGroups { body(&$0[interface], terms) }
    serveGroups(link: &link, net: &net)
  }

  // MARK: Membership

  /// Whether packets to a group that come in by a device are for us, or a copy of those that leave by it.
  /// Linux: `ip_check_mc_rcu()`.
  func isMember(
    of group: IPv4Address, from source: IPv4Address?, by interface: InterfaceIndex, isIGMP: Bool = false
  ) -> Bool {
    if let sharedGroups {
      return sharedGroups.withGroups { $0.accepts(group, from: source, by: interface, isIGMP: isIGMP) }
    }
    return groups.accepts(group, from: source, by: interface, isIGMP: isIGMP)
  }

  /// A socket is in a group, until `leaveGroup` has been told as often. Linux: `ip_mc_inc_group()`.
  ///
  /// - Parameter excluding: it wants all sources but some, none yet; else only some, none yet.
  public mutating func joinGroup(
    _ group: IPv4Address, on interface: InterfaceIndex, excluding: Bool = true, link: inout LinkLayer,
    net: inout Net
  ) {
    let room = Self.reportRoom(link.mtu(of: interface))
    change(interface, link: &link, net: &net) { (groups, terms) in
      groups.room = room
      groups.join(group, excluding: excluding, terms)
    }
  }

  /// - Parameters:
  ///   - excluding: the mode that the socket was in.
  ///   - sources: those that it had named.
  public mutating func leaveGroup(
    _ group: IPv4Address, on interface: InterfaceIndex, excluding: Bool = true, sources: [IPv4Address] = [],
    link: inout LinkLayer, net: inout Net
  ) {
    change(interface, link: &link, net: &net) { (groups, terms) in
      groups.leave(group, excluding: excluding, sources: sources, terms)
    }
  }

  /// A socket in a group wants more sources, or blocks more. Linux: `ip_mc_add_src()`.
  ///
  /// - Parameter isSocket: the mode is new for the socket.
  public mutating func addSources(
    _ sources: [IPv4Address], of group: IPv4Address, on interface: InterfaceIndex, excluding: Bool,
    isSocket: Bool, link: inout LinkLayer, net: inout Net
  ) {
    change(interface, link: &link, net: &net) { (groups, terms) in
      groups.add(sources, to: group, excluding: excluding, isSocket: isSocket, terms)
    }
  }

  /// The opposite of `addSources`. Linux: `ip_mc_del_src()`.
  public mutating func removeSources(
    _ sources: [IPv4Address], of group: IPv4Address, on interface: InterfaceIndex, excluding: Bool,
    isSocket: Bool, link: inout LinkLayer, net: inout Net
  ) {
    change(interface, link: &link, net: &net) { (groups, terms) in
      groups.remove(sources, of: group, excluding: excluding, isSocket: isSocket, terms)
    }
  }

  mutating func groupsLinkChanged(
    _ interface: InterfaceIndex, up: Bool, link: inout LinkLayer, net: inout Net
  ) {
    change(interface, link: &link, net: &net) { (groups, terms) in groups.setLink(up: up, terms) }
  }

  // MARK: IGMP

  private static func reportRoom(_ mtu: Int) -> Int { mtu - IPv4Header.minimumByteCount - routerAlert.count }

  /// RFC 2113: every router on the way looks at it.
  private static let routerAlert: [UInt8] = [148, 4, 0, 0]

  mutating func groupTimer(due: Instant, link: inout LinkLayer, net: inout Net) {
    guard groupTimer.expire(at: due) else { return }
    let terms = GroupTerms(net: &net)
    withGroups { $0.expire(terms) }
    serveGroups(link: &link, net: &net)
  }

  /// Sends what is to be said, and sees to the next time.
  private mutating func serveGroups(link: inout LinkLayer, net: inout Net) {
    let output = withGroups { $0.takeOutput() }
    for (interface, message) in output.messages {
      send(message, by: interface, link: &link, net: &net)
    }
    if let due = output.due {
      groupTimer.arm(
        TimerKey(kind: .neighbour, id: Self.groupTimerID), at: max(due, net.now), in: &net.timers)
    }
  }

  /// Linux: `igmpv3_newpack()`, `igmp_send_report()`.
  private mutating func send(
    _ message: GroupMessage, by interface: InterfaceIndex, link: inout LinkLayer, net: inout Net
  ) {
    guard
      var route = try? route(
        to: message.destination, from: nil, by: interface, flow: RoutingFlow(.igmp, typeOfService: 0xC0),
        link: link, net: &net)
    else { return }
    let headerByteCount = IPv4Header.minimumByteCount + Self.routerAlert.count
    let total = headerByteCount + message.bytes.count
    let headroom = NetDevice.neededHeadroom
    guard var skb = net.pool.allocate(headroom: headroom, linear: total, use: .transit) else { return }
    skb.put(total)
    skb.setNetworkHeader()
    skb.etherType = .ipv4
    // Linux: `TC_PRIO_CONTROL`.
    skb.priority = 7
    let header = IPv4Header(
      headerByteCount: headerByteCount, typeOfService: 0xC0, totalByteCount: total, dontFragment: true,
      timeToLive: 1, protocol: .igmp, source: route.source,
      destination: route.destination)
    guard Self.write(message.bytes, behind: header, to: &skb) else {
      skb.drop(.noMemory)
      return
    }
    leaves(skb, route: route, byteCount: total, protocol: .igmp, net: &net)
    guard !hooks.isIdleOut else {
      _ = finishOutput(hooks.pass(skb), route: &route, link: &link, net: &net)
      return
    }
    switch ask(skb, route: route, by: .none, byteCount: total, link: link, net: &net) {
    case .passed(let packet, let other, _):
      if let other { route = other }
      _ = finishOutput(packet, route: &route, link: &link, net: &net)
    case .stopped(let skb, let verdict):
      _ = refuse(skb, verdict: verdict, by: interface, link: &link, net: &net)
    case .ended: break
    }
  }

  private static func write(_ bytes: [UInt8], behind header: IPv4Header, to skb: inout SkBuff) -> Bool {
    guard var space = skb.writable() else { return false }
    for (offset, byte) in (routerAlert + bytes).enumerated() {
      space.store8(byte, IPv4Header.minimumByteCount + offset)
    }
    header.write(to: &space)
    return true
  }

  /// Data at the IGMP header. Linux: `igmp_rcv()`.
  mutating func receiveIGMP(_ skb: consuming SkBuff, link: inout LinkLayer, net: inout Net) {
    let interface = skb.interface
    guard skb.mayPull(skb.length), skb.length >= 8, skb.checksum(from: 0, count: skb.length).isValid else {
      skb.drop(.packetTooSmall)
      return
    }
    let terms = GroupTerms(net: &net)
    switch skb.linear.load8(0) {
    case IGMPMessage.Kind.query:
      if let query = IGMPQuery(skb.linear.extracting(0..<skb.length)) {
        withGroups { $0[interface].hear(query, terms) }
      }
    case IGMPMessage.Kind.report1, IGMPMessage.Kind.report2:
      // One that only we got tells nobody else, and our own copy is no news.
      let group = skb.linear.loadIPv4(4)
      if skb.packetType == .multicast || skb.packetType == .broadcast {
        withGroups { $0[interface].hear(report: group, terms) }
      }
    default: break
    }
    _ = consume skb
    serveGroups(link: &link, net: &net)
  }
}
