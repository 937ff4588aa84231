import IPv4
import Shard

/// The addresses of a running stack.
extension Stack {
  /// Gives the stack another address, and tells the neighbours if the stack announces itself. Linux: `ip addr add`.
  ///
  /// - Parameters:
  ///   - device: the interface to have it: `lo`, or `nil` for the stack's. On `lo` the whole of its network is local.
  ///   - probing: ask first whether another station has it (RFC 5227 section 2.1). The call returns at once; the address is
  ///     there, and announced, 4 to 7 seconds later, or `takeAddressConflicts()` tells who has it.
  /// - Throws: `StackError` with EINVAL for an address that no host may have, EEXIST when it is there already or being asked
  ///   for; ENODEV, also for `lo`, where nobody can be asked; ENOBUFS for more than 64 probes at a time.
  public func addAddress(
    _ prefix: IPv4Prefix, on device: String? = nil, probing: Bool = false
  ) throws(StackError) {
    let device = try known(device)
    if device != .loopback || !prefix.address.isLoopback {
      do throws(StackError) { try StackConfiguration.checkHost(prefix, "address") } catch {
        throw StackError(error.description, code: .EINVAL)
      }
    }
    if probing {
      // The first shard asks; what it finds out is the stack's.
      return try change("addr add \(prefix)") { (state) throws(Errno) in
        if state.queue == 0 { try state.host.probeAddress(prefix, on: device ?? state.ethernet) }
      }
    }
    try add(prefix, on: device, announcing: configuration.announcesAddress && device != .loopback)
  }

  private func add(
    _ prefix: IPv4Prefix, on device: InterfaceIndex?, announcing: Bool
  ) throws(StackError) {
    try change("addr add \(prefix)") { (state) throws(Errno) in
      try state.host.addAddress(prefix, on: device ?? state.ethernet)
      if announcing && state.queue == 0 { state.host.announceAddress(prefix.address) }
    }
  }

  /// Nobody else has an address that was asked for. It is announced in any case (RFC 5227 section 2.3).
  func take(claimed prefix: IPv4Prefix) {
    guard (try? add(prefix, on: nil, announcing: true)) != nil else { return }
    if prefix == configuration.address, let gateway = configuration.gateway,
      let anywhere = IPv4Prefix(.any, length: 0)
    {
      // The route that the stack would have begun with; one that was made meanwhile is as good.
      try? addRoute(RouteEntry(anywhere, gateway: gateway))
    }
  }

  /// Takes an address away, with the routes that have it as their source; with the last one, all that lead over the
  /// interface. Sockets that use it find no route any more. Linux: `ip addr del`.
  ///
  /// - Parameter device: the interface that has it; `nil`: the stack's.
  /// - Throws: `StackError` with EADDRNOTAVAIL when there is no such address with this length; ENODEV.
  public func removeAddress(_ prefix: IPv4Prefix, on device: String? = nil) throws(StackError) {
    let device = try known(device)
    // One that the first shard asks for is not there yet, and will not be.
    let isStopped = Guarded(false)
    try change("addr del \(prefix)") { (state) throws(Errno) in
      let interface = device ?? state.ethernet
      if state.queue == 0 && state.host.internet.stopProbing(prefix.address) {
        isStopped.withLock { $0 = true }
      }
      if isStopped.withLock({ $0 }) { return }
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
}
