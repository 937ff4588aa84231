import NetNamespace
import Tables
import Timers
import Wire

/// A socket's place in a `PortTable`: whether it owns a port there, and what it allows others on it. Kept by the socket.
public struct PortBinding: Sendable, Equatable {
  var sharing: PortTable.Sharing = []
  /// The device whose packets alone are the owner's; `.none`: any.
  var device = InterfaceIndex.none

  public init() {}

  /// Whether a port is owned.
  public var isHeld: Bool { sharing.contains(.present) }
}

/// The ports in use for one protocol. Linux: `struct inet_bind_bucket`, `inet_csk_get_port()`, `udp_lib_get_port()`.
///
/// Nothing here walks a list of sockets: for each port, and for each address on it, only the number of owners that
/// would stand in a newcomer's way is kept, so every operation is O(1) in sockets. A socket owns one port at most, and
/// keeps its `PortBinding` itself. Owners of different devices are not in each other's way; those that have a device, which
/// are few, are counted by it once more.
public struct PortTable: ~Copyable {
  /// What an owner allows others on its port.
  struct Sharing: OptionSet, Sendable {
    var rawValue: UInt8
    init(rawValue: UInt8) { self.rawValue = rawValue }
    init(_ reuseAddress: Bool, _ reusePort: Bool) {
      self = []
      if reuseAddress { insert(.reuseAddress) }
      if reusePort { insert(.reusePort) }
    }
    static let reuseAddress = Sharing(rawValue: 1)
    static let reusePort = Sharing(rawValue: 2)
    static let listening = Sharing(rawValue: 4)
    /// Taken by `connect()`: other connects may share it when their peers differ.
    static let connected = Sharing(rawValue: 8)
    static let present = Sharing(rawValue: 16)
  }

  /// How many owners there are, and how many refuse each way of sharing.
  struct Owners {
    var count: Int32 = 0
    var listening: Int32 = 0
    /// Owners that `bind()` put there. Linux: `tb->fastreuse >= 0`.
    var bound: Int32 = 0
    var refusingAddressReuse: Int32 = 0
    var refusingPortReuse: Int32 = 0
    var refusingBoth: Int32 = 0
    mutating func subtract(_ others: Owners) {
      count -= others.count
      refusingAddressReuse -= others.refusingAddressReuse
      refusingPortReuse -= others.refusingPortReuse
      refusingBoth -= others.refusingBoth
    }

    mutating func add(_ sharing: Sharing, _ one: Int32) {
      let refusesAddress = !sharing.contains(.reuseAddress) || sharing.contains(.listening)
      let refusesPort = !sharing.contains(.reusePort)
      count += one
      if sharing.contains(.listening) { listening += one }
      if !sharing.contains(.connected) { bound += one }
      if refusesAddress { refusingAddressReuse += one }
      if refusesPort { refusingPortReuse += one }
      if refusesAddress && refusesPort { refusingBoth += one }
    }

    /// Linux: `inet_csk_bind_conflict()`, `udp_lib_lport_inuse()`.
    func conflict(with sharing: Sharing) -> Bool {
      switch (sharing.contains(.reuseAddress), sharing.contains(.reusePort)) {
      case (false, false): count > 0
      case (true, false): refusingAddressReuse > 0
      case (false, true): refusingPortReuse > 0
      case (true, true): refusingBoth > 0
      }
    }
  }

  private var ports: [UInt32: Owners] = [:]
  private var endpoints: [SocketAddress: Owners] = [:]
  /// Owners that have a device, on a port and on an address of it.
  private struct DevicePlace: Hashable {
    var device: InterfaceIndex
    var endpoint: SocketAddress
    var isWholePort: Bool
  }
  private var devicePlaces: [DevicePlace: Owners] = [:]
  /// How many owners have a device.
  private var deviceOwners: [InterfaceIndex: Int] = [:]
  /// Keys the ephemeral port's offset; taken from the shard's entropy at first use.
  private var keyed: SipHash?
  /// How far each group of destinations has gone through the range; empty before the first connection. With few groups a
  /// server would know a client again by how far it has moved its own (CVE-2022-32296). Linux: `table_perturb`.
  private var perturbations: [UInt16] = []
  private static let groupCount = 65536
  /// How long a destination's place in the range stays. Linux: `EPHEMERAL_PORT_SHUFFLE_PERIOD`.
  private static let shufflePeriod: Int64 = 10_000_000_000
  private var shuffled = Instant.origin

  public init() {}

  /// How many sockets own a port.
  public private(set) var count = 0

  /// What the shards of a stack know of each other's ports; `nil`: there is one shard.
  public var shared: SharedPorts?

  /// Whether another shard's sockets have a port.
  private func isElsewhere(_ port: UInt16) -> Bool {
    guard let shared else { return false }
    return shared.others(on: port) != 0
  }

  /// Takes a port.
  ///
  /// - Parameters:
  ///   - port: 0 asks for an ephemeral one, at random from `ip_local_port_range` (RFC 6056 section 3.3.1).
  ///   - reuseAddress: SO_REUSEADDR: shares with owners that set it too and do not listen.
  ///   - reusePort: SO_REUSEPORT: shares with owners that set it too.
  ///   - device: SO_BINDTODEVICE: shares with owners that have another one.
  ///   - range: of ephemeral ports, when the socket has its own; see `BindingOptions.localPorts`.
  ///   - isForced: takes a port by its number whoever has it. Linux: `SK_FORCE_REUSE`.
  /// - Returns: the port.
  /// - Throws: EADDRINUSE when the port is taken, or no ephemeral port is left; EINVAL when the socket owns one.
  public mutating func bind(
    _ owner: inout PortBinding, address: IPAddress, port: UInt16, reuseAddress: Bool, reusePort: Bool,
    device: InterfaceIndex = .none, range: ClosedRange<UInt16>? = nil, isForced: Bool = false, net: inout Net
  ) throws(Errno) -> UInt16 {
    guard !owner.isHeld else { throw .EINVAL }
    let sharing = Sharing(reuseAddress, reusePort)
    owner.device = device
    if port != 0 {
      guard isForced || !conflicts(address, port, sharing, device) else { throw .EADDRINUSE }
      add(&owner, address, port, sharing)
      return port
    }
    let range = range ?? net.settings.localPorts
    let span = UInt32(range.upperBound - range.lowerBound) + 1
    let start = Self.ephemeralStart(in: range, net: &net)
    // Linux gives bind() the ports that connect() tries last: the other half by parity.
    for parity in [UInt32(1), 0] {
      var step: UInt32 = 0
      while step < span {
        let offset = (UInt32(start - range.lowerBound) &+ step) % span
        let candidate = range.lowerBound + UInt16(offset)
        step += 1
        guard offset & 1 == parity, !conflicts(address, candidate, [], device),
          !isElsewhere(candidate)
        else { continue }
        add(&owner, address, candidate, sharing)
        // Another shard's socket may have come to it meanwhile.
        guard isElsewhere(candidate) else { return candidate }
        release(&owner, address: address, port: candidate)
      }
    }
    throw .EADDRINUSE
  }

  /// A random port of a range.
  private static func ephemeralStart(in range: ClosedRange<UInt16>, net: inout Net) -> UInt16 {
    range.lowerBound + UInt16(net.random.next(below: UInt32(range.upperBound - range.lowerBound) + 1))
  }

  /// Puts an accepted child on its listener's port, with the listener's terms; or what is left of a connection, in TIME-WAIT,
  /// on the port of its socket, with the socket's: a port that `connect()` chose stays one that other connects may share.
  /// Linux: `__inet_inherit_port()`, `inet_twsk_hashdance_schedule()`.
  public mutating func share(
    _ owner: inout PortBinding, with socket: PortBinding, address: IPAddress, port: UInt16,
    device: InterfaceIndex = .none
  ) {
    precondition(!owner.isHeld, "neither owns a port before it is shared")
    owner.device = device
    add(&owner, address, port, socket.sharing.subtracting(.listening))
  }

  /// Gives the port back; nothing happens when the socket owns none. Address and port are those it was taken with.
  public mutating func release(_ owner: inout PortBinding, address: IPAddress, port: UInt16) {
    let sharing = owner.sharing
    guard sharing.contains(.present) else { return }
    owner.sharing = []
    count -= 1
    record(sharing, owner.device, address, port, -1)
  }

  /// Marks the owner as listening.
  ///
  /// - Throws: EADDRINUSE when another socket listens on the address and port and the two do not both have
  ///   SO_REUSEPORT. Linux: `inet_csk_listen_start()`, which asks for the port a second time.
  public mutating func listen(_ owner: inout PortBinding, address: IPAddress, port: UInt16) throws(Errno) {
    let sharing = owner.sharing
    guard sharing.contains(.present) else { throw .EINVAL }
    if sharing.contains(.listening) { return }
    record(sharing, owner.device, address, port, -1)
    guard !conflicts(address, port, sharing, owner.device) else {
      record(sharing, owner.device, address, port, 1)
      throw .EADDRINUSE
    }
    owner.sharing = sharing.union(.listening)
    record(owner.sharing, owner.device, address, port, 1)
  }

  /// The owner keeps its port and listens no more.
  public mutating func stopListening(_ owner: inout PortBinding, address: IPAddress, port: UInt16) {
    let sharing = owner.sharing
    guard sharing.contains(.listening) else { return }
    record(sharing, owner.device, address, port, -1)
    owner.sharing = sharing.subtracting(.listening)
    record(owner.sharing, owner.device, address, port, 1)
  }

  /// Changes what a bound socket allows others; nobody who is there already is asked. Linux: SO_REUSEADDR, SO_REUSEPORT
  /// and SO_BINDTODEVICE set after `bind()`.
  public mutating func setTerms(
    _ owner: inout PortBinding, address: IPAddress, port: UInt16, reuseAddress: Bool, reusePort: Bool,
    device: InterfaceIndex
  ) {
    var sharing = owner.sharing
    guard sharing.contains(.present) else { return }
    record(sharing, owner.device, address, port, -1)
    sharing.subtract([.reuseAddress, .reusePort])
    sharing.formUnion(Sharing(reuseAddress, reusePort))
    owner.sharing = sharing
    owner.device = device
    record(sharing, device, address, port, 1)
  }

  /// Moves an owner to another address on its port: `connect()` fixes the source of a socket bound to any.
  public mutating func move(
    _ owner: PortBinding, from old: IPAddress, to new: IPAddress, port: UInt16
  ) {
    let sharing = owner.sharing
    guard sharing.contains(.present), old != new else { return }
    record(sharing, owner.device, old, port, -1)
    record(sharing, owner.device, new, port, 1)
  }

  /// Whether the owners of the port on this address, or on any address, refuse one that would share it so.
  public func refuses(
    address: IPAddress, port: UInt16, reuseAddress: Bool, reusePort: Bool, device: InterfaceIndex
  ) -> Bool {
    conflicts(address, port, Sharing(reuseAddress, reusePort), device)
  }

  // MARK: Ports for connect()

  /// One walk through the ephemeral ports for one connection.
  public struct Search {
    let address: IPAddress
    let range: ClosedRange<UInt16>
    let start: UInt32
    let group: Int
    var step: UInt32 = 0
    /// What the next walk begins at is one further than it had to be.
    var isNoisy = false
  }

  /// Begins the walk for a connection from `address` to `remote` (RFC 6056 section 3.3.4, double-hash selection). Linux:
  /// `secure_ipv4_port_ephemeral()`, `__inet_hash_connect()`.
  ///
  /// - Parameter range: of ports, when the socket has its own.
  public mutating func search(
    address: IPAddress, remote: SocketAddress, range: ClosedRange<UInt16>? = nil, net: inout Net
  ) -> Search {
    if self.keyed == nil {
      perturbations = Array(repeating: 0, count: Self.groupCount)
      shuffled = net.now
    }
    let keyed = self.keyed ?? net.random.nextKey()
    self.keyed = keyed
    let range = range ?? net.settings.localPorts
    let period = UInt64((net.now - shuffled).rawValue / Self.shufflePeriod)
    let hash = keyed.hash(local: SocketAddress(address, port: 0), remote: remote, purpose: period)
    let group = Int(truncatingIfNeeded: hash) & (Self.groupCount - 1)
    let offset = UInt32(truncatingIfNeeded: hash >> 32) &+ UInt32(perturbations[group])
    // An even first step: connect() takes one half of the range before it takes from bind()'s.
    var search = Search(address: address, range: range, start: offset & ~1, group: group)
    // Now and then the first is left out, so that nobody can count the connections to others by their own.
    search.isNoisy = net.random.next(below: 16) == 0
    return search
  }

  /// The next port that a connection could use, and whether other connections are on it, so that the caller must see
  /// if its own four-tuple is free; `nil` when the range is used up.
  public mutating func next(_ search: inout Search) -> (port: UInt16, isShared: Bool)? {
    let span = UInt32(search.range.upperBound - search.range.lowerBound) + 1
    let even = (span + 1) / 2
    while search.step < span {
      // Even offsets first, then odd ones.
      let position =
        search.step < even
        ? (search.start / 2 &+ search.step) % even * 2
        : span == 1 ? 0 : (search.start / 2 &+ search.step) % (span / 2) * 2 + 1
      search.step += 1
      let port = search.range.lowerBound + UInt16(position)
      let owners = ports[Self.key(search.address.family, port)]
      guard let owners, owners.count > 0 else {
        if isElsewhere(port) { continue }
        return (port, false)
      }
      if owners.bound == 0 { return (port, true) }
    }
    return nil
  }

  /// Takes the port that `next` gave; `reuseAddress` and `reusePort` are what the owner lets `bind()` do with it later.
  public mutating func claim(
    _ owner: inout PortBinding, port: UInt16, search: Search, reuseAddress: Bool, reusePort: Bool,
    device: InterfaceIndex = .none
  ) {
    owner.device = device
    add(&owner, search.address, port, Sharing(reuseAddress, reusePort).union(.connected))
    let steps = search.step + (search.isNoisy && search.step == 1 ? 1 : 0)
    perturbations[search.group] &+= UInt16(truncatingIfNeeded: steps * 2)
  }

  // MARK: Counting

  private static func key(_ family: AddressFamily, _ port: UInt16) -> UInt32 {
    UInt32(family.rawValue) << 16 | UInt32(port)
  }

  /// An address meets itself and "any"; "any" meets every address. So do devices.
  private func conflicts(
    _ address: IPAddress, _ port: UInt16, _ sharing: Sharing, _ device: InterfaceIndex
  ) -> Bool {
    guard let owners = ports[Self.key(address.family, port)] else { return false }
    let anywhere = SocketAddress(.any(address.family), port: port)
    if address.isAny {
      return met(owners, at: anywhere, isWholePort: true, by: device).conflict(with: sharing)
    }
    for endpoint in [SocketAddress(address, port: port), anywhere] {
      if let owners = endpoints[endpoint],
        met(owners, at: endpoint, isWholePort: false, by: device).conflict(with: sharing)
      {
        return true
      }
    }
    return false
  }

  /// Of the owners of a place those that an owner with such a device meets.
  private func met(
    _ owners: Owners, at endpoint: SocketAddress, isWholePort: Bool, by device: InterfaceIndex
  ) -> Owners {
    guard device != .none else { return owners }
    var met = owners
    for other in deviceOwners.keys where other != device {
      let place = DevicePlace(device: other, endpoint: endpoint, isWholePort: isWholePort)
      if let apart = devicePlaces[place] { met.subtract(apart) }
    }
    return met
  }

  private mutating func add(
    _ owner: inout PortBinding, _ address: IPAddress, _ port: UInt16, _ sharing: Sharing
  ) {
    let sharing = sharing.union(.present)
    owner.sharing = sharing
    count += 1
    record(sharing, owner.device, address, port, 1)
  }

  private mutating func record(
    _ sharing: Sharing, _ device: InterfaceIndex, _ address: IPAddress, _ port: UInt16, _ one: Int32
  ) {
    let key = Self.key(address.family, port)
    ports[key, default: Owners()].add(sharing, one)
    let owners = ports[key] ?? Owners()
    if owners.count == 0 { ports[key] = nil }
    let isFirstOrLast = { (count: Int32) in count == 0 || count == 1 && one > 0 }
    if let shared,
      isFirstOrLast(owners.count) || sharing.contains(.listening) && isFirstOrLast(owners.listening)
    {
      shared.set(port, isInUse: owners.count > 0, isListenedOn: owners.listening > 0)
    }
    let endpoint = SocketAddress(address, port: port)
    endpoints[endpoint, default: Owners()].add(sharing, one)
    if endpoints[endpoint]?.count == 0 { endpoints[endpoint] = nil }
    if device != .none { record(sharing, device, endpoint, one) }
  }

  private mutating func record(
    _ sharing: Sharing, _ device: InterfaceIndex, _ endpoint: SocketAddress, _ one: Int32
  ) {
    let left = deviceOwners[device, default: 0] + Int(one)
    deviceOwners[device] = left == 0 ? nil : left
    let anywhere = SocketAddress(.any(endpoint.address.family), port: endpoint.port)
    for place in [
      DevicePlace(device: device, endpoint: endpoint, isWholePort: false),
      DevicePlace(device: device, endpoint: anywhere, isWholePort: true),
    ] {
      devicePlaces[place, default: Owners()].add(sharing, one)
      if devicePlaces[place]?.count == 0 { devicePlaces[place] = nil }
    }
  }
}
