import IPv4
import Shard
import Sockets

/// The neighbours of a running stack.
extension Stack {
  /// As `replaceNeighbour`, for one that is not known yet. Linux: `ip neigh add`.
  ///
  /// - Throws: `StackError` with EEXIST for one that is; and as `replaceNeighbour`.
  public func addNeighbour(
    _ address: IPv4Address, hardwareAddress: MACAddress, state: NeighbourState = .permanent,
    on device: String? = nil
  ) throws(StackError) {
    let interface = try known(device)
    let isKnown = shards.contains { shard in
      shard.inspect {
        $0.host.link.neighbours.state(of: IPAddress(address), on: interface ?? $0.ethernet) != nil
      }
    }
    guard !isKnown else { throw StackError("neigh add \(address): \(Errno.EEXIST)", code: .EEXIST) }
    try replaceNeighbour(address, hardwareAddress: hardwareAddress, state: state, on: device)
  }

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
      guard !address.isAny, !address.isMulticast, !address.isBroadcast, !address.isLoopback,
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

  /// The neighbours that a program is asked for since the last call, as `net.ipv4.neigh.default.app_solicit` has it: it
  /// answers with `replaceNeighbour`. Linux: RTM_GETNEIGH, which `arpd(8)` waits for.
  public func takeNeighbourQueries() -> [IPv4Address] {
    var seen: Set<IPv4Address> = []
    return shards.flatMap { $0.inspect { $0.host.link.neighbours.takeQueries() } }
      .compactMap { $0.address.v4 }.filter { seen.insert($0).inserted }
  }

  // MARK: In another's name

  /// Answers ARP requests for an address that is behind another interface, while the stack forwards. Linux: `ip neigh add
  /// proxy`, `pneigh_create()`.
  ///
  /// - Throws: `StackError` with ENODEV; ENOBUFS for more than 1024 of them.
  public func addProxy(for address: IPv4Address, on device: String? = nil) throws(StackError) {
    let device = try known(device)
    try change("neigh add proxy \(address)") { (state) throws(Errno) in
      try state.host.internet.addProxy(for: address, on: device ?? state.ethernet)
    }
  }

  /// The opposite of `addProxy`. Linux: `pneigh_delete()`.
  ///
  /// - Throws: `StackError` with ENOENT when there is none; ENODEV.
  public func removeProxy(for address: IPv4Address, on device: String? = nil) throws(StackError) {
    let device = try known(device)
    try change("neigh del proxy \(address)") { (state) throws(Errno) in
      try state.host.internet.removeProxy(for: address, on: device ?? state.ethernet)
    }
  }
}
