import InetSocket
import NetNamespace
import Synchronization
import Tables
import Wire

/// What a datagram socket is found under: its ends, and the device that it is bound to.
struct DatagramKey: Equatable {
  var local: SocketAddress
  /// `nil`: it is not connected.
  var remote: SocketAddress?
  var device: InterfaceIndex

  init(_ local: SocketAddress, _ remote: SocketAddress?, _ device: InterfaceIndex) {
    self.local = local
    self.remote = remote
    self.device = device
  }
}

/// Which shards of a stack have which datagram sockets of one protocol: by port, and by the key that a socket is found
/// under. One for all shards, read without a lock. Linux: one `struct udp_table` for the host.
public final class DatagramDirectory: Sendable {
  private static let placeCount = 16384
  /// Shards with a socket on a port, by port.
  public let users = SharedMasks(count: 65536)
  /// Shards with a socket under a key, by a hash of the key: two keys may have one place.
  private let keys = SharedMasks(count: placeCount)
  /// Whose came last to a key: 1 plus the shard, or `group` for a member of a SO_REUSEPORT group. The latest that is still
  /// there gets everything.
  private let latest = SharedOrders(count: placeCount)
  private static let group: UInt8 = .max
  /// Members of SO_REUSEPORT groups.
  private let members: SharedCounts
  private let keyed: SipHash

  public init(hash: SipHash, shardCount: Int) {
    keyed = hash
    members = SharedCounts(count: Self.placeCount, shardCount: shardCount)
  }

  /// How many sockets are bound to a device.
  private let deviceOwners = Atomic<Int>(0)
  /// How many are connected to port 0 of a host.
  private let portlessOwners = Atomic<Int>(0)

  /// Whether any socket is bound to a device.
  fileprivate var hasDevices: Bool { deviceOwners.load(ordering: .acquiring) > 0 }
  fileprivate var hasPortless: Bool { portlessOwners.load(ordering: .acquiring) > 0 }
  fileprivate func count(_ key: DatagramKey, _ one: Int) {
    if key.device != .none { _ = deviceOwners.add(one, ordering: .acquiringAndReleasing) }
    if key.remote?.port == 0 { _ = portlessOwners.add(one, ordering: .acquiringAndReleasing) }
  }

  private func hash(_ local: SocketAddress, _ remote: SocketAddress?) -> UInt64 {
    keyed.tableHash(
      local: local, remote: remote ?? SocketAddress(IPAddress.any(local.address.family), port: 0))
  }

  fileprivate func place(_ key: DatagramKey) -> Int {
    let hash = hash(key.local, key.remote) &+ UInt64(key.device.rawValue)
    return Int(truncatingIfNeeded: hash) & (Self.placeCount - 1)
  }

  fileprivate func set(_ shard: Int, isFirst: Bool, reusePort: Bool, at place: Int) {
    latest.come(reusePort ? Self.group : UInt8(shard + 1), at: place)
    if reusePort { members.add(true, of: shard, at: place) }
    if isFirst { keys.set(shard, true, at: place) }
  }

  fileprivate func clear(_ shard: Int, isLast: Bool, reusePort: Bool, at place: Int) {
    if isLast { keys.set(shard, false, at: place) }
    if reusePort { members.add(false, of: shard, at: place) }
  }

  /// Shards that probably have a socket under a key, a bit for each.
  func shards(with key: DatagramKey) -> UInt64 { keys[place(key)] }

  /// Which of several shards with a key a flow goes to: the one of the latest comer, as within a shard, or in a group
  /// always the same, each member's shard as often as any other's. Linux: `reuseport_select_sock()`.
  fileprivate func choice(among shards: UInt64, with key: DatagramKey, for flow: FourTuple) -> Int {
    let place = place(key)
    let hash = hash(flow.local, flow.remote)
    var names = latest[place]
    while names != 0 {
      let name = UInt8(truncatingIfNeeded: names)
      if name == Self.group {
        if let shard = members.choice(among: shards, at: place, by: hash) { return shard }
      } else if shards >> UInt64(name - 1) & 1 == 1 {
        return Int(name) - 1
      }
      names >>= 8
    }
    return SharedMasks.choice(among: shards, by: hash)
  }
}

/// A shard's part in the directory: how many of its sockets stand at each place.
struct DirectoryEntries {
  let directory: DatagramDirectory
  let shard: Int
  private var counts: [Int: Int] = [:]

  init(_ directory: DatagramDirectory, shard: Int) {
    self.directory = directory
    self.shard = shard
  }

  mutating func add(_ key: DatagramKey, reusePort: Bool) {
    let place = directory.place(key)
    let count = counts[place, default: 0] + 1
    counts[place] = count
    directory.set(shard, isFirst: count == 1, reusePort: reusePort, at: place)
    directory.count(key, 1)
  }

  mutating func remove(_ key: DatagramKey, reusePort: Bool) {
    let place = directory.place(key)
    let count = counts[place, default: 1] - 1
    counts[place] = count > 0 ? count : nil
    directory.clear(shard, isLast: count == 0, reusePort: reusePort, at: place)
    directory.count(key, -1)
  }
}

/// How far the search for a datagram's socket has come among the shards.
public struct DatagramSearch: Sendable, Equatable {
  /// The kind of key that is asked for: connected to the sender, to any of its ports, bound to the address, bound to any; of
  /// each those that are bound to the device first.
  fileprivate var step = 0
  /// Shards that do not have the key of this step, a bit for each.
  fileprivate var asked: UInt64 = 0
  /// The datagram is not where it came in any more.
  fileprivate var hasMoved = false

  public init() {}
}

extension DatagramTable {
  /// Makes the table one of several.
  public mutating func share(_ directory: DatagramDirectory, shard: Int) {
    ports.shared = SharedPorts(users: directory.users, shard: shard)
    demux.shared = DirectoryEntries(directory, shard: shard)
  }

  /// The other shards that have a port, a bit for each, and whether this one has it.
  public func users(of port: UInt16) -> (others: UInt64, isOwn: Bool) {
    guard let shared = ports.shared else { return (0, true) }
    let others = shared.others(on: port)
    return (others, others != shared.users[Int(port)])
  }

  /// Which other shard a datagram that came in by a device is for; `nil`: it is this one's, or nobody's. The most exact key of all shards wins, as
  /// within one shard; where a shard turns out not to have it, the search goes on from there.
  public func shard(
    of flow: FourTuple, by interface: InterfaceIndex, _ search: inout DatagramSearch
  ) -> Int? {
    guard let shared = ports.shared, let directory = demux.shared?.directory else { return nil }
    let others = shared.others(on: flow.local.port)
    guard others != 0 else { return nil }
    let own = UInt64(1) << UInt64(shared.shard)
    let users = directory.users[Int(flow.local.port)]
    if !search.hasMoved && users.nonzeroBitCount == 1 {
      search.hasMoved = true
      return users.trailingZeroBitCount
    }
    let anywhere = SocketAddress(.any(flow.local.address.family), port: flow.local.port)
    let hasDevices = directory.hasDevices
    let hasPortless = directory.hasPortless && flow.remote.port != 0
    while search.step < 8 {
      let peer: SocketAddress? =
        switch search.step / 2 {
        case 0: flow.remote
        case 1: flow.remote.withoutPort
        default: nil
        }
      let key = DatagramKey(
        search.step >= 6 ? anywhere : flow.local, peer, search.step % 2 == 0 ? interface : .none)
      let isOfUse =
        (hasDevices || key.device == .none) && (hasPortless || search.step / 2 != 1)
      let shards = isOfUse ? directory.shards(with: key) & users & ~search.asked : 0
      if shards == 0 {
        search.step += 1
        search.asked = 0
        continue
      }
      let isHere = demux.has(key)
      if search.hasMoved && isHere { return nil }
      let shard = directory.choice(among: shards, with: key, for: flow)
      if shard != shared.shard {
        search.hasMoved = true
        return shard
      }
      if isHere { return nil }
      search.asked |= own
    }
    return nil
  }

  /// What a socket wants of other shards; `nil`: nothing. As `PortTable.wish(of:_:)`.
  public func portWish(_ id: SocketID, _ asked: SocketAddress?) throws(Errno) -> PortWish? {
    ports.wish(of: sockets[try slot(id)].core, asked)
  }

  /// Whether sockets here are in the way of another shard's.
  public func refuses(_ wish: PortWish) -> Bool { ports.refuses(wish) }
}
