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
    return Sysctl.all.map {
      let entry = $0.of(interface: configuration.name)
      return SettingReport(name: entry.name, value: entry.value(in: settings))
    }
  }

  /// The value of a setting, as `sysctl -n NAME`.
  ///
  /// - Throws: `StackError` with ENOENT for a name that is none.
  public func setting(_ name: String) throws(StackError) -> String {
    let entry = try sysctl(name)
    return entry.value(in: administered.withLock { $0 })
  }

  /// Changes a setting, as `sysctl NAME=VALUE`: for sockets made, packets received and timers started from now on.
  ///
  /// - Throws: `StackError` naming the value and its range: ENOENT for a name, or a congestion control, that does not
  ///   exist; EINVAL for a value that cannot be, or local ports that are fewer than the stack's queues.
  public func set(_ name: String, to value: String) throws(StackError) {
    let entry = try sysctl(name)
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
          let old = state.host.net.settings
          if old.pathMTUExpires != own.pathMTUExpires || old.redirectExpires != own.redirectExpires {
            state.host.internet.forgetPathMTUs()
          }
          state.host.net.apply(own)
          state.host.settingsChanged()
        }
      }
      settings = new
    }
  }

  /// Forgets the Fast Open cookies of all servers (RFC 7413), as `ip tcp_metrics flush`.
  public func forgetFastOpenCookies() {
    for shard in shards { shard.inspect { $0.sockets.tcp.forgetFastOpenCookies() } }
  }

  private func sysctl(_ name: String) throws(StackError) -> Sysctl {
    guard let entry = Sysctl.named(name, interface: configuration.name) else {
      throw StackError("\"\(name)\" is an unknown key", code: .ENOENT)
    }
    return entry
  }

  // MARK: Routes

  /// Adds a route. Linux: `ip route add`.
  ///
  /// - Parameters:
  ///   - device: the interface it leads over; `nil`: what the entry says.
  ///   - nextHops: several next hops instead, 256 at most, of which each flow gets one: always the same, as often as its weight
  ///     says. Linux: `ip route add ... nexthop`.
  ///   - table: where it is looked up; a rule has to say when, but for the main one.
  /// - Throws: `StackError` with EINVAL for a gateway, source or weight that cannot be, ENETUNREACH for a gateway that is not on
  ///   the link, EEXIST for a prefix that has a route with this metric, ENOBUFS beyond 65,536 routes; ENODEV, ENETDOWN for
  ///   the interface.
  public func addRoute(
    _ entry: RouteEntry, on device: String? = nil, over nextHops: [NamedNextHop] = [],
    table: UInt32 = RoutingTableName.main
  ) throws(StackError) {
    try change("route add \(entry)", entry, on: device, over: nextHops) { (entry, state) throws(Errno) in
      try state.host.addRoute(entry, table: table)
    }
  }

  /// As `addRoute`, in the place of the one with this prefix and metric, if any. Linux: `ip route replace`.
  public func replaceRoute(
    _ entry: RouteEntry, on device: String? = nil, over nextHops: [NamedNextHop] = [],
    table: UInt32 = RoutingTableName.main
  ) throws(StackError) {
    try change("route replace \(entry)", entry, on: device, over: nextHops) { (entry, state) throws(Errno) in
      try state.host.replaceRoute(entry, table: table)
    }
  }

  private func change(
    _ what: @autoclosure () -> String, _ entry: RouteEntry, on device: String?, over nextHops: [NamedNextHop],
    _ body: (RouteEntry, inout Shard) throws(Errno) -> Void
  ) throws(StackError) {
    let isNamed = device != nil
    let device = try known(device)
    let hops = try resolved(nextHops)
    try change(what()) { (state) throws(Errno) in
      var entry = entry
      if !hops.isEmpty {
        entry.nextHops = hops.map { $0.hop(ethernet: state.ethernet) }
        entry.scope = .universe
      }
      if isNamed { entry.interface = device ?? state.ethernet }
      try body(entry, &state)
    }
  }

  /// Removes one route: of those that fit the one with the least metric. Linux: `ip route del`.
  ///
  /// - Parameters:
  ///   - device: the interface it leads over; `nil`: any.
  ///   - nextHops: all of several next hops, in their order; what one does not say is not asked.
  /// - Throws: `StackError` with ESRCH when none fits; ENODEV.
  public func removeRoute(
    _ selector: RouteSelector, on device: String? = nil, over nextHops: [NamedNextHop] = [],
    table: UInt32 = RoutingTableName.main
  ) throws(StackError) {
    let isNamed = device != nil
    let device = try known(device)
    let hops = try resolved(nextHops)
    try change("route del \(selector.prefix)") { (state) throws(Errno) in
      var selector = selector
      if !hops.isEmpty { selector.nextHops = hops.map { $0.hop(ethernet: state.ethernet) } }
      if isNamed { selector.interface = device ?? state.ethernet }
      try state.host.internet.removeRoute(selector, table: table)
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
    case .addAddress(let prefix, let device, let probing):
      try addAddress(prefix, on: device, probing: probing)
    case .removeAddress(let prefix, let device): try removeAddress(prefix, on: device)
    case .addRoute(let entry, let device, let hops, let table):
      try addRoute(entry, on: device, over: hops, table: table)
    case .replaceRoute(let entry, let device, let hops, let table):
      try replaceRoute(entry, on: device, over: hops, table: table)
    case .removeRoute(let selector, let device, let hops, let table):
      try removeRoute(selector, on: device, over: hops, table: table)
    case .addRoutingRule(let rule): try addRule(rule)
    case .removeRoutingRule(let rule): try removeRule(rule)
    case .forgetConnections: try hooks.forgetConnections()
    case .addProxy(let address, let device): try addProxy(for: address, on: device)
    case .removeProxy(let address, let device): try removeProxy(for: address, on: device)
    case .addNeighbour(let address, let station, let state, let device):
      try addNeighbour(address, hardwareAddress: station, state: state, on: device)
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
    case .replaceQdisc(let place, let configuration, let device):
      try setQdisc(configuration, at: place, on: device)
    case .removeQdisc(let place, let device): try resetQdisc(at: place, on: device)
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
