import IPv4
import Shard
import Sockets

/// Changes to a running stack. Each is made in all its shards, one change after the other; a shard is held for its own part
/// only, so that packets go on meanwhile. What is refused has changed nothing.
extension Stack {
  // MARK: Settings

  /// All settings with their values, as `sysctl -a`.
  public var settingReports: [SettingReport] {
    let settings = administered.withLock { $0 }
    return Sysctl.all.map { SettingReport(name: $0.name, value: $0.value(in: settings)) }
  }

  /// The value of a setting, as `sysctl -n NAME`.
  ///
  /// - Throws: `StackError` with ENOENT for a name that is none.
  public func setting(_ name: String) throws(StackError) -> String {
    let entry = try Self.sysctl(name)
    return entry.value(in: administered.withLock { $0 })
  }

  /// Changes a setting, as `sysctl NAME=VALUE`: for sockets made, packets received and timers started from now on.
  ///
  /// - Throws: `StackError` naming the value and its range: ENOENT for a name, or a congestion control, that does not
  ///   exist; EINVAL for a value that cannot be, or local ports that are fewer than the stack's queues.
  public func set(_ name: String, to value: String) throws(StackError) {
    let entry = try Self.sysctl(name)
    try administered.withLock { (settings) throws(StackError) in
      var new = settings
      do throws(SysctlError) { try entry.set(value, in: &new) } catch {
        throw StackError(error.description, code: error.errno)
      }
      guard new.localPorts.count >= queueCount else {
        throw StackError(
          "setting key \"\(name)\" to \"\(value)\": \(Errno.EINVAL): each of \(queueCount) queues needs a port of its own",
          code: .EINVAL)
      }
      for (index, shard) in shards.enumerated() {
        var own = new
        own.localPorts = Self.part(index, of: shards.count, of: new.localPorts)
        shard.inspect { state in
          if state.host.net.settings.pathMTUExpires != own.pathMTUExpires {
            state.host.internet.forgetPathMTUs()
          }
          state.host.net.settings = own
        }
      }
      settings = new
    }
  }

  /// Forgets the Fast Open cookies of all servers (RFC 7413), as `ip tcp_metrics flush`.
  public func forgetFastOpenCookies() {
    for shard in shards { shard.inspect { $0.sockets.tcp.forgetFastOpenCookies() } }
  }

  private static func sysctl(_ name: String) throws(StackError) -> Sysctl {
    guard let entry = Sysctl.named(name) else {
      throw StackError("\"\(name)\" is an unknown key", code: .ENOENT)
    }
    return entry
  }

  // MARK: Addresses

  /// Gives the stack another address, and tells the neighbours if the stack announces itself. Linux: `ip addr add`.
  ///
  /// - Parameter device: the interface to have it: `lo`, or `nil` for the stack's. On `lo` the whole of its network is local.
  /// - Throws: `StackError` with EINVAL for an address that no host may have, EEXIST when it is there already; ENODEV.
  public func addAddress(_ prefix: IPv4Prefix, on device: String? = nil) throws(StackError) {
    let device = try known(device)
    if device != .loopback || !prefix.address.isLoopback {
      do throws(StackError) { try StackConfiguration.checkHost(prefix, "address") } catch {
        throw StackError(error.description, code: .EINVAL)
      }
    }
    let announces = configuration.announcesAddress && device != .loopback
    try change("addr add \(prefix)") { (state) throws(Errno) in
      try state.host.addAddress(prefix, on: device ?? state.ethernet)
      if announces && state.queue == 0 {
        state.host.announceAddress(prefix.address)
      }
    }
  }

  /// Takes an address away, with the routes that have it as their source; with the last one, all that lead over the
  /// interface. Sockets that use it find no route any more. Linux: `ip addr del`.
  ///
  /// - Parameter device: the interface that has it; `nil`: the stack's.
  /// - Throws: `StackError` with EADDRNOTAVAIL when there is no such address with this length; ENODEV.
  public func removeAddress(_ prefix: IPv4Prefix, on device: String? = nil) throws(StackError) {
    let device = try known(device)
    try change("addr del \(prefix)") { (state) throws(Errno) in
      let interface = device ?? state.ethernet
      guard
        state.host.internet.addresses.contains(where: { $0.prefix == prefix && $0.interface == interface })
      else { throw .EADDRNOTAVAIL }
      try state.host.removeAddress(prefix.address, on: interface)
    }
  }

  /// Tells the neighbours who has the stack's addresses: twice each, 2 s apart (RFC 5227 section 2.3). Linux: `arp_notify`.
  ///
  /// - Throws: `StackError` with ENETDOWN after `close()`.
  public func announceAddresses() throws(StackError) {
    try change("arp announce") { (state) throws(Errno) in
      if state.queue == 0 { state.host.announceAddresses() }
    }
  }

  // MARK: Routes

  /// Adds a route. Linux: `ip route add`.
  ///
  /// - Parameters:
  ///   - device: the interface it leads over; `nil`: what the entry says.
  ///   - table: where it is looked up; a rule has to say when, but for the main one.
  /// - Throws: `StackError` with EINVAL for a gateway or source that cannot be, ENETUNREACH for a gateway that is not on
  ///   the link, EEXIST for a prefix that has a route with this metric, ENOBUFS beyond 65,536 routes; ENODEV, ENETDOWN for
  ///   the interface.
  public func addRoute(
    _ entry: RouteEntry, on device: String? = nil, table: UInt32 = RoutingTableName.main
  ) throws(StackError) {
    try change("route add \(entry)", entry, on: device) { (entry, state) throws(Errno) in
      try state.host.addRoute(entry, table: table)
    }
  }

  /// As `addRoute`, in the place of the one with this prefix and metric, if any. Linux: `ip route replace`.
  public func replaceRoute(
    _ entry: RouteEntry, on device: String? = nil, table: UInt32 = RoutingTableName.main
  ) throws(StackError) {
    try change("route replace \(entry)", entry, on: device) { (entry, state) throws(Errno) in
      try state.host.replaceRoute(entry, table: table)
    }
  }

  private func change(
    _ what: @autoclosure () -> String, _ entry: RouteEntry, on device: String?,
    _ body: (RouteEntry, inout Shard) throws(Errno) -> Void
  ) throws(StackError) {
    let isNamed = device != nil
    let device = try known(device)
    try change(what()) { (state) throws(Errno) in
      var entry = entry
      if isNamed { entry.interface = device ?? state.ethernet }
      try body(entry, &state)
    }
  }

  /// Removes one route: of those that fit the one with the least metric. Linux: `ip route del`.
  ///
  /// - Parameter device: the interface it leads over; `nil`: any.
  /// - Throws: `StackError` with ESRCH when none fits; ENODEV.
  public func removeRoute(
    _ selector: RouteSelector, on device: String? = nil, table: UInt32 = RoutingTableName.main
  ) throws(StackError) {
    let isNamed = device != nil
    let device = try known(device)
    try change("route del \(selector.prefix)") { (state) throws(Errno) in
      var selector = selector
      if isNamed { selector.interface = device ?? state.ethernet }
      try state.host.internet.removeRoute(selector, table: table)
    }
  }

  // MARK: Neighbours

  /// Sets a neighbour by hand, whatever was known of it; packets that wait for it go out. Linux: `ip neigh replace`.
  ///
  /// - Parameter device: the interface it is on; `nil`: the stack's. All that `lo` has is one, 0.0.0.0, as in Linux, which
  ///   nothing asks for.
  /// - Throws: `StackError` with EINVAL for a group address, on the link or above it, and for a state that is found out
  ///   and not set; ENOBUFS when the table is full; ENODEV.
  public func replaceNeighbour(
    _ address: IPv4Address, hardwareAddress: MACAddress, state: NeighbourState = .permanent,
    on device: String? = nil
  ) throws(StackError) {
    let device = try known(device)
    try change("neigh replace \(address) lladdr \(hardwareAddress)") { (shard) throws(Errno) in
      guard !address.isZeroNet, !address.isMulticast, !address.isBroadcast, !address.isLoopback,
        state.isConnected || state == .stale
      else { throw .EINVAL }
      try shard.host.setNeighbour(
        device == .loopback ? .any : address, on: device ?? shard.ethernet,
        hardwareAddress: hardwareAddress, state: state)
    }
  }

  /// Forgets a neighbour; the next packet for it asks anew. Linux: `ip neigh del`.
  ///
  /// - Parameter device: the interface it is on; `nil`: the stack's.
  /// - Throws: `StackError` with ENOENT when no shard knows it; ENODEV.
  public func removeNeighbour(_ address: IPv4Address, on device: String? = nil) throws(StackError) {
    let device = try known(device)
    let found = Guarded(false)
    try change("neigh del \(address)") { (state) throws(Errno) in
      let wasThere = state.host.deleteNeighbour(address, on: device ?? state.ethernet)
      found.withLock { $0 = $0 || wasThere }
    }
    guard found.withLock({ $0 }) else {
      throw StackError("neigh del \(address): \(Errno.ENOENT)", code: .ENOENT)
    }
  }

  /// Forgets all neighbours but those that need no resolution: PERMANENT and NOARP. Linux: `ip neigh flush all`.
  ///
  /// - Parameter device: of this interface only; `nil`: of all.
  /// - Throws: `StackError` with ENETDOWN after `close()`; ENODEV.
  public func flushNeighbours(on device: String? = nil) throws(StackError) {
    let isNamed = device != nil
    let device = try known(device)
    try change("neigh flush") { (state) throws(Errno) in
      state.host.flushNeighbours(on: isNamed ? device ?? state.ethernet : nil)
    }
  }

  // MARK: Interfaces

  /// The name of every stack's loopback.
  static let loopbackName = "lo"

  /// The loopback for `lo`, a further interface by its name, `nil` for the stack's own, named or not.
  ///
  /// - Throws: `StackError` with ENODEV for any other name.
  func known(_ device: String?) throws(StackError) -> InterfaceIndex? {
    guard let device, device != configuration.name else { return nil }
    if device == Self.loopbackName { return .loopback }
    guard let place = configuration.links.firstIndex(where: { $0.name == device }) else {
      throw StackError("Cannot find device \"\(device)\"", code: .ENODEV)
    }
    // Behind the loopback and the stack's own, in every shard.
    return InterfaceIndex(rawValue: InterfaceIndex.loopback.rawValue + 2 + UInt16(place))
  }

  // MARK: All of them

  /// Makes a change that was read from words.
  public func apply(_ change: StackChange) throws(StackError) {
    switch change {
    case .setting(let name, let value): try set(name, to: value)
    case .addAddress(let prefix, let device): try addAddress(prefix, on: device)
    case .removeAddress(let prefix, let device): try removeAddress(prefix, on: device)
    case .addRoute(let entry, let device, let table): try addRoute(entry, on: device, table: table)
    case .replaceRoute(let entry, let device, let table): try replaceRoute(entry, on: device, table: table)
    case .removeRoute(let selector, let device, let table):
      try removeRoute(selector, on: device, table: table)
    case .addRoutingRule(let rule): try addRule(rule)
    case .removeRoutingRule(let rule): try removeRule(rule)
    case .forgetConnections: try hooks.forgetConnections()
    case .replaceNeighbour(let address, let station, let state, let device):
      try replaceNeighbour(address, hardwareAddress: station, state: state, on: device)
    case .removeNeighbour(let address, let device): try removeNeighbour(address, on: device)
    case .flushNeighbours: try flushNeighbours()
    case .flushNeighboursOf(let device): try flushNeighbours(on: device)
    case .announceAddresses: try announceAddresses()
    case .setLink(let link, let device): try setLink(link, on: device)
    case .setFeature(let feature, let isOn): try setFeature(feature, on: isOn)
    case .setRings(let receive, let transmit): try setRings(receive: receive, transmit: transmit)
    case .commit(let fault): try commit(fault)
    case .replaceQdisc(let place, let configuration): try setQdisc(configuration, at: place)
    case .removeQdisc(let place): try resetQdisc(at: place)
    case .addRule(let rule): try hooks.add(rule)
    case .addSendRule(let rule): try hooks.add(rule)
    case .removeRule(let hook?, let handle): try hooks.remove(hook, handle: handle)
    case .removeRule(nil, let handle): try hooks.removeSendRule(handle: handle)
    }
  }

  /// Makes a change in every shard, so that all are alike whoever else changes something; then has each do what follows.
  ///
  /// - Parameters:
  ///   - what: for the sentence when it is refused.
  ///   - body: refuses in the first shard already, if at all, since all have the same tables.
  func change(
    _ what: @autoclosure () -> String, _ body: (inout Shard) throws(Errno) -> Void
  ) throws(StackError) {
    let refusal: Errno? = administered.withLock { _ in
      for shard in shards {
        let refusal = shard.inspectTimed { state -> Errno? in
          guard !state.isClosed else { return .ENETDOWN }
          do throws(Errno) {
            try body(&state)
            return nil
          } catch {
            return error
          }
        }
        if let refusal { return refusal }
      }
      return nil
    }
    // Outside the lock: whoever is woken may want a change, too.
    for shard in shards { shard.enter { _ in } }
    if let refusal { throw StackError("\(what()): \(refusal)", code: refusal) }
  }
}
