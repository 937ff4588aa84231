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

  private static func sysctl(_ name: String) throws(StackError) -> Sysctl {
    guard let entry = Sysctl.named(name) else {
      throw StackError("\"\(name)\" is an unknown key", code: .ENOENT)
    }
    return entry
  }

  // MARK: Addresses

  /// Gives the stack another address, and tells the neighbours if the stack announces itself. Linux: `ip addr add`.
  ///
  /// - Throws: `StackError` with EINVAL for an address that no host may have, EEXIST when it is there already.
  public func addAddress(_ prefix: IPv4Prefix) throws(StackError) {
    do throws(StackError) { try StackConfiguration.checkHost(prefix, "address") } catch {
      throw StackError(error.description, code: .EINVAL)
    }
    let announces = configuration.announcesAddress
    try change("addr add \(prefix)") { (state) throws(Errno) in
      try state.host.addAddress(prefix, on: state.ethernet)
      if announces && state.queue == 0 {
        state.host.announceAddress(prefix.address)
      }
    }
  }

  /// Takes an address away, with the routes that have it as their source; with the last one, all that lead over the
  /// interface. Sockets that use it find no route any more. Linux: `ip addr del`.
  ///
  /// - Throws: `StackError` with EADDRNOTAVAIL when there is no such address with this length.
  public func removeAddress(_ prefix: IPv4Prefix) throws(StackError) {
    try change("addr del \(prefix)") { (state) throws(Errno) in
      guard state.host.internet.addresses.contains(where: { $0.prefix == prefix }) else {
        throw .EADDRNOTAVAIL
      }
      try state.host.removeAddress(prefix.address)
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
  /// - Throws: `StackError` with EINVAL for a gateway or source that cannot be, ENETUNREACH for a gateway that is not on
  ///   the link, EEXIST for a prefix that has a route with this metric, ENOBUFS beyond 65,536 routes.
  public func addRoute(_ entry: RouteEntry) throws(StackError) {
    try change("route add \(entry)") { (state) throws(Errno) in
      try state.host.addRoute(entry)
    }
  }

  /// As `addRoute`, in the place of the one with this prefix and metric, if any. Linux: `ip route replace`.
  public func replaceRoute(_ entry: RouteEntry) throws(StackError) {
    try change("route replace \(entry)") { (state) throws(Errno) in
      try state.host.replaceRoute(entry)
    }
  }

  /// Removes one route: of those that fit the one with the least metric. Linux: `ip route del`.
  ///
  /// - Throws: `StackError` with ESRCH when none fits.
  public func removeRoute(_ selector: RouteSelector) throws(StackError) {
    try change("route del \(selector.prefix)") { (state) throws(Errno) in
      try state.host.internet.removeRoute(selector)
    }
  }

  // MARK: Neighbours

  /// Sets a neighbour by hand, whatever was known of it; packets that wait for it go out. Linux: `ip neigh replace`.
  ///
  /// - Throws: `StackError` with EINVAL for a group address, on the link or above it, and for a state that is found out
  ///   and not set; ENOBUFS when the table is full.
  public func replaceNeighbour(
    _ address: IPv4Address, hardwareAddress: MACAddress, state: NeighbourState = .permanent
  ) throws(StackError) {
    try change("neigh replace \(address) lladdr \(hardwareAddress)") { (shard) throws(Errno) in
      guard !address.isZeroNet, !address.isMulticast, !address.isBroadcast, !address.isLoopback,
        state.isConnected || state == .stale
      else { throw .EINVAL }
      try shard.host.setNeighbour(
        address, on: shard.ethernet, hardwareAddress: hardwareAddress, state: state)
    }
  }

  /// Forgets a neighbour; the next packet for it asks anew. Linux: `ip neigh del`.
  ///
  /// - Throws: `StackError` with ENOENT when no shard knows it.
  public func removeNeighbour(_ address: IPv4Address) throws(StackError) {
    let found = Guarded(false)
    try change("neigh del \(address)") { (state) throws(Errno) in
      let wasThere = state.host.deleteNeighbour(address, on: state.ethernet)
      found.withLock { $0 = $0 || wasThere }
    }
    guard found.withLock({ $0 }) else {
      throw StackError("neigh del \(address): \(Errno.ENOENT)", code: .ENOENT)
    }
  }

  /// Forgets all neighbours but those that need no resolution: PERMANENT and NOARP. Linux: `ip neigh flush all`.
  ///
  /// - Throws: `StackError` with ENETDOWN after `close()`.
  public func flushNeighbours() throws(StackError) {
    try change("neigh flush") { (state) throws(Errno) in
      state.host.flushNeighbours()
    }
  }

  // MARK: All of them

  /// Makes a change that was read from words.
  public func apply(_ change: StackChange) throws(StackError) {
    switch change {
    case .setting(let name, let value): try set(name, to: value)
    case .addAddress(let prefix): try addAddress(prefix)
    case .removeAddress(let prefix): try removeAddress(prefix)
    case .addRoute(let entry): try addRoute(entry)
    case .replaceRoute(let entry): try replaceRoute(entry)
    case .removeRoute(let selector): try removeRoute(selector)
    case .replaceNeighbour(let address, let station, let state):
      try replaceNeighbour(address, hardwareAddress: station, state: state)
    case .removeNeighbour(let address): try removeNeighbour(address)
    case .flushNeighbours: try flushNeighbours()
    case .announceAddresses: try announceAddresses()
    case .setLink(let link): try setLink(link)
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
