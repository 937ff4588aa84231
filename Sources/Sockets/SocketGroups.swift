import IPv4
import InetSocket
import Internet
import NetNamespace
import Wire

/// The groups of a socket, and the sources that it wants of them. Linux: `net/ipv4/igmp.c`.
extension SocketLayer {
  /// `IP_ADD_MEMBERSHIP`: on each interface once. Linux: `ip_mc_join_group()`.
  ///
  /// - Parameter excluding: all sources, until some are blocked; else none, until some are asked for.
  /// - Throws: EINVAL for an address that is no group; ENODEV for an interface that is not there, and when none is named and
  ///   no route leads to the group; EADDRINUSE when the socket is in it there; ENOBUFS for too many.
  mutating func joinGroup(
    _ id: SocketID, _ request: GroupRequest, excluding: Bool = true, _ host: inout Host
  ) throws(Errno) {
    let group = request.group
    let interface = try groupInterface(request, &host)
    let most = host.net.settings.maximumMemberships
    try withCore(id) { (core) throws(Errno) in
      guard !core.memberships.contains(where: { $0.group == group && $0.interface == interface }) else {
        throw .EADDRINUSE
      }
      guard core.memberships.count < most else { throw .ENOBUFS }
      core.memberships.append(
        GroupMembership(group, on: interface, named: request.address, excluding: excluding))
    }
    host.joinGroup(group, on: interface, excluding: excluding)
  }

  private mutating func groupInterface(
    _ request: GroupRequest, _ host: inout Host
  ) throws(Errno) -> InterfaceIndex {
    guard request.group.isMulticast else { throw .EINVAL }
    guard let interface = request.interface(&host) else { throw .ENODEV }
    return interface
  }

  /// `IP_DROP_MEMBERSHIP`. Linux: `ip_mc_leave_group()`.
  ///
  /// - Throws: EADDRNOTAVAIL when the socket is not in it, or not on that interface; ENODEV when none is named and no route
  ///   leads to the group.
  mutating func leaveGroup(_ id: SocketID, _ request: GroupRequest, _ host: inout Host) throws(Errno) {
    let interface = request.interface(&host)
    if interface == nil && request.isAnywhere { throw .ENODEV }
    let left = try withCore(id) { (core) throws(Errno) in
      let place = core.memberships.firstIndex {
        guard $0.group == request.group else { return false }
        // An address that is ours no more names what it named.
        return if let interface { $0.interface == interface } else {
          request.index == 0 && $0.address == request.address
        }
      }
      guard let place else { throw .EADDRNOTAVAIL }
      return core.memberships.remove(at: place)
    }
    Self.leave(left, &host)
  }

  private static func leave(_ membership: GroupMembership, _ host: inout Host) {
    host.leaveGroup(
      membership.group, on: membership.interface, excluding: membership.isExcluding,
      sources: membership.sources ?? [])
  }

  /// Linux: `ip_mc_drop_socket()`.
  mutating func leaveGroups(_ id: SocketID, _ host: inout Host) throws(Errno) {
    let memberships = try withCore(id) { (core) throws(Errno) in
      let memberships = core.memberships
      if !memberships.isEmpty { core.memberships = [] }
      return memberships
    }
    for membership in memberships.reversed() { Self.leave(membership, &host) }
  }

  // MARK: Sources

  /// Asks for one source more (`IP_ADD_SOURCE_MEMBERSHIP`, which joins as well) or less, or blocks one more or less.
  /// Linux: `ip_mc_source()`.
  ///
  /// - Throws: EINVAL when the socket is not in the group there, or has named sources the other way round; EADDRNOTAVAIL for
  ///   a source that is named already, or that is not; ENOBUFS for too many; and as `joinGroup`.
  mutating func changeSource(_ id: SocketID, _ request: SourceRequest, _ host: inout Host) throws(Errno) {
    let (group, excluding) = (request.group, request.verb.isExcluding)
    if request.verb == .join {
      do throws(Errno) { try joinGroup(id, group, excluding: false, &host) } catch {
        guard error == .EADDRINUSE else { throw error }
      }
    }
    let interface = try groupInterface(group, &host)
    var membership = try membership(id, of: group.group, on: interface)
    if membership.isExcluding != excluding {
      guard membership.sources == nil else { throw .EINVAL }
      host.addSources([], of: group.group, on: interface, excluding: excluding, isSocket: true)
      host.removeSources([], of: group.group, on: interface, excluding: !excluding, isSocket: true)
      membership.isExcluding = excluding
      try keep(membership, id)
    }
    var sources = membership.sources ?? []
    let place = sources.firstIndex(of: request.source)
    if request.verb.isAdding {
      guard sources.count < host.net.settings.maximumSources else { throw .ENOBUFS }
      guard place == nil else { throw .EADDRNOTAVAIL }
      sources.append(request.source)
      host.addSources([request.source], of: group.group, on: interface, excluding: excluding)
    } else {
      guard let place else { throw .EADDRNOTAVAIL }
      // Only these, of which none is left: that is to be in it no more.
      if !excluding && sources.count == 1 { return try leaveGroup(id, group, &host) }
      sources.remove(at: place)
      host.removeSources([request.source], of: group.group, on: interface, excluding: excluding)
    }
    membership.sources = sources
    try keep(membership, id)
  }

  /// `IP_MSFILTER`: names all sources at once. Linux: `ip_mc_msfilter()`.
  ///
  /// - Throws: EINVAL when the socket is not in the group there; and as `leaveGroup` for "only these, and none".
  mutating func setFilter(_ id: SocketID, _ filter: FilterRequest, _ host: inout Host) throws(Errno) {
    guard filter.byteCount <= host.net.settings.maximumOptionMemory,
      filter.count <= host.net.settings.maximumSources
    else { throw .ENOBUFS }
    guard filter.isWhole else { throw .EINVAL }
    guard let sources = filter.sources else { throw .EADDRNOTAVAIL }
    let group = filter.group.group
    guard group.isMulticast, filter.mode <= 1 else { throw .EINVAL }
    let interface = try groupInterface(filter.group, &host)
    let excluding = filter.mode == 0
    if !excluding && sources.isEmpty { return try leaveGroup(id, filter.group, &host) }
    var membership = try membership(id, of: group, on: interface)
    host.addSources(sources, of: group, on: interface, excluding: excluding, isSocket: true)
    host.removeSources(
      membership.sources ?? [], of: group, on: interface, excluding: membership.isExcluding, isSocket: true)
    membership.isExcluding = excluding
    membership.sources = sources.isEmpty ? nil : sources
    try keep(membership, id)
  }

  /// `IP_MSFILTER` and `MCAST_MSFILTER` as they are read. Linux: `ip_mc_msfget()`, `ip_mc_gsfget()`.
  ///
  /// - Parameter isOld: the interface is found as for a join; else it is the one of that number, and no other.
  /// - Throws: ENODEV for an interface that is not there; EADDRNOTAVAIL when the socket is not in the group there.
  mutating func filter(
    _ id: SocketID, _ asked: FilterRequest, isOld: Bool, _ host: inout Host
  ) throws(Errno) -> FilterAnswer {
    let (group, index) = (asked.group.group, asked.group.index)
    let interface = isOld ? try groupInterface(asked.group, &host) : nil
    return try withCore(id) { (core) throws(Errno) in
      let found = core.memberships.first {
        guard $0.group == group else { return false }
        return if let interface { $0.interface == interface } else { Int32($0.interface.rawValue) == index }
      }
      guard let found else { throw .EADDRNOTAVAIL }
      return FilterAnswer(mode: found.isExcluding ? 0 : 1, sources: found.sources ?? [])
    }
  }

  private mutating func membership(
    _ id: SocketID, of group: IPv4Address, on interface: InterfaceIndex
  ) throws(Errno) -> GroupMembership {
    try withCore(id) { (core) throws(Errno) in
      let found = core.memberships.first { $0.group == group && $0.interface == interface }
      guard let found else { throw .EINVAL }
      return found
    }
  }

  private mutating func keep(_ membership: GroupMembership, _ id: SocketID) throws(Errno) {
    try withCore(id) { (core) throws(Errno) in
      let place = core.memberships.firstIndex {
        $0.group == membership.group && $0.interface == membership.interface
      }
      if let place { core.memberships[place] = membership }
    }
  }

  // MARK: IP_MULTICAST_IF

  /// The device, and the address, that what goes to groups leaves by. Linux: `IP_MULTICAST_IF` in `do_ip_setsockopt()`.
  ///
  /// - Throws: EADDRNOTAVAIL for a device that is not there; EINVAL for another one than the socket is bound to.
  mutating func setMulticastInterface(
    _ id: SocketID, _ address: IPv4Address, index: Int32, _ host: inout Host
  ) throws(Errno) {
    var interface = InterfaceIndex.none
    if index != 0 {
      guard let number = UInt16(exactly: index) else { throw .EADDRNOTAVAIL }
      interface = InterfaceIndex(rawValue: number)
      guard host.link.devices.contains(interface) else { throw .EADDRNOTAVAIL }
    } else if !address.isAny {
      let own =
        address.isLoopback ? .loopback : host.internet.addresses.first { $0.address == address }?.interface
      guard let own else { throw .EADDRNOTAVAIL }
      interface = own
    }
    try withCore(id) { (core) throws(Errno) in
      let bound = core.options.boundIndex
      guard interface == .none || bound == 0 || bound == Int32(interface.rawValue) else { throw .EINVAL }
      core.multicast.interface = interface
      core.multicast.address = address
    }
  }
}
