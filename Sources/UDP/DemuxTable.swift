import InetSocket
import NetNamespace
import Tables
import Wire

/// Which socket a datagram is for: a hash of chains, one entry for each bound socket's slot.
/// Linux: `struct udp_table` with its port, address and four-tuple hashes.
///
/// A datagram costs three probes at most, however many sockets there are: the connected four-tuple, the address it was
/// sent to, any address. Sockets that share one key (SO_REUSEPORT) are a group; the flow's hash picks the member. One that
/// is bound to a device is found by what comes in there only, and before those with its key that are bound to none. One that is
/// connected to port 0 hears every port of its peer.
struct DemuxTable: ~Copyable {
  private struct Entry {
    var local: SocketAddress
    var remote: SocketAddress?
    var next: Int32 = -1
    var device = InterfaceIndex.none
    var isReusePort = false
    var isBound = false
  }
  private var heads: [Int32]
  private var entries: [Entry] = []
  private var bound = 0
  /// How many are bound to a device.
  private var deviceCount = 0
  /// How many are connected to port 0 of a host.
  private var portlessCount = 0
  /// What other shards are told; `nil`: there is one shard.
  var shared: DirectoryEntries?
  /// Keys the hash: a peer chooses ports and must not choose chains.
  private let keyed: SipHash

  init(secret: (UInt64, UInt64)) {
    keyed = SipHash(key: secret)
    heads = Array(repeating: -1, count: 256)
  }

  private func hash(_ local: SocketAddress, _ remote: SocketAddress?) -> UInt64 {
    keyed.tableHash(
      local: local, remote: remote ?? SocketAddress(IPAddress.any(local.address.family), port: 0))
  }
  private func bucket(_ local: SocketAddress, _ remote: SocketAddress?) -> Int {
    Int(truncatingIfNeeded: hash(local, remote)) & (heads.count - 1)
  }

  /// Puts a slot under its key; the latest comer is found first.
  mutating func insert(
    _ slot: Int, local: SocketAddress, remote: SocketAddress?, device: InterfaceIndex = .none, reusePort: Bool
  ) {
    // Before the old key goes: other shards look at any time.
    shared?.add(DatagramKey(local, remote, device), reusePort: reusePort)
    remove(slot)
    if bound >= heads.count { grow() }
    let nowhere = SocketAddress(.any, port: 0)
    while entries.count <= slot { entries.append(Entry(local: nowhere)) }
    let place = bucket(local, remote)
    entries[slot] = Entry(
      local: local, remote: remote, next: heads[place], device: device, isReusePort: reusePort, isBound: true)
    if device != .none { deviceCount += 1 }
    if remote?.port == 0 { portlessCount += 1 }
    heads[place] = Int32(slot)
    bound += 1
  }

  mutating func remove(_ slot: Int) {
    guard slot < entries.count, entries[slot].isBound else { return }
    let place = bucket(entries[slot].local, entries[slot].remote)
    var previous = -1
    var current = Int(heads[place])
    while current != slot && current >= 0 {
      previous = current
      current = Int(entries[current].next)
    }
    precondition(current == slot, "a bound slot is on its chain")
    if previous < 0 {
      heads[place] = entries[slot].next
    } else {
      entries[previous].next = entries[slot].next
    }
    entries[slot].isBound = false
    bound -= 1
    if entries[slot].device != .none { deviceCount -= 1 }
    if entries[slot].remote?.port == 0 { portlessCount -= 1 }
    shared?.remove(
      DatagramKey(entries[slot].local, entries[slot].remote, entries[slot].device),
      reusePort: entries[slot].isReusePort)
  }

  private mutating func grow() {
    heads = Array(repeating: -1, count: heads.count * 2)
    for slot in entries.indices where entries[slot].isBound {
      let place = bucket(entries[slot].local, entries[slot].remote)
      entries[slot].next = heads[place]
      heads[place] = Int32(slot)
    }
  }

  /// The next slot at or after `slot` on its chain that has exactly this key and a device that `isMeant`; -1: none.
  @inline(__always)
  private func match(
    _ slot: Int, _ local: SocketAddress, _ remote: SocketAddress?, _ isMeant: (InterfaceIndex) -> Bool
  ) -> Int {
    var current = slot
    while current >= 0 {
      if entries[current].local == local && entries[current].remote == remote
        && isMeant(entries[current].device)
      {
        return current
      }
      current = Int(entries[current].next)
    }
    return -1
  }

  /// The socket with a key, of those that are bound to the device, else of those that are bound to none.
  private func probe(
    _ local: SocketAddress, _ remote: SocketAddress?, flow: SocketAddress, by interface: InterfaceIndex
  ) -> Int? {
    if deviceCount > 0, let slot = probe(local, remote, flow: flow, device: interface) { return slot }
    return probe(local, remote, flow: flow, device: .none)
  }

  private func probe(
    _ local: SocketAddress, _ remote: SocketAddress?, flow: SocketAddress, device: InterfaceIndex
  ) -> Int? {
    let first = match(Int(heads[bucket(local, remote)]), local, remote) { $0 == device }
    guard first >= 0 else { return nil }
    guard entries[first].isReusePort else { return first }
    // Linux: reuseport_select_sock().
    var members: UInt64 = 0
    var current = first
    while current >= 0 {
      if entries[current].isReusePort { members += 1 }
      current = match(Int(entries[current].next), local, remote) { $0 == device }
    }
    var turn = hash(local, flow).multipliedFullWidth(by: members).high
    current = first
    while current >= 0 {
      if entries[current].isReusePort {
        if turn == 0 { return current }
        turn -= 1
      }
      current = match(Int(entries[current].next), local, remote) { $0 == device }
    }
    return first
  }

  /// The socket for a datagram from `remote` to `local` that came in by a device: the most exact key wins.
  /// Linux: `__udp4_lib_lookup()`.
  func lookup(local: SocketAddress, remote: SocketAddress, by interface: InterfaceIndex) -> Int? {
    // Of those that are connected alike the latest is the first. Linux: `udp4_lib_lookup4()`.
    if deviceCount > 0 {
      if let slot = exact(local: local, remote: remote, by: interface) { return slot }
    } else if let slot = probe(local, remote, flow: remote, device: .none) {
      return slot
    }
    // Linux: `compute_score()`, which asks for the peer's port only if there is one.
    if portlessCount > 0,
      let slot = probe(local, remote.withoutPort, flow: remote, by: interface)
    {
      return slot
    }
    if let slot = probe(local, nil, flow: remote, by: interface) { return slot }
    let anywhere = SocketAddress(.any(local.address.family), port: local.port)
    return probe(anywhere, nil, flow: remote, by: interface)
  }

  /// The latest slot with exactly this key that takes what comes in by the device; `nil`: none. Ping sockets have no peers
  /// in their keys. Linux: `ping_lookup()`.
  func exact(local: SocketAddress, remote: SocketAddress?, by interface: InterfaceIndex) -> Int? {
    let slot = match(Int(heads[bucket(local, remote)]), local, remote) { $0.takes(interface) }
    return slot < 0 ? nil : slot
  }

  /// Whether a slot has exactly this key.
  func has(_ key: DatagramKey) -> Bool {
    match(Int(heads[bucket(key.local, key.remote)]), key.local, key.remote) { $0 == key.device } >= 0
  }

  /// Every socket that a broadcast or multicast datagram is for, one after the other: `nil` begins, `nil` ends.
  /// Linux: `__udp4_lib_mcast_deliver()`.
  func next(
    after slot: Int?, local: SocketAddress, remote: SocketAddress, by interface: InterfaceIndex
  ) -> Int? {
    let anywhere = SocketAddress(.any(local.address.family), port: local.port)
    var started = slot == nil
    let isPortlessOfUse = portlessCount > 0 && remote.port != 0
    for step in 0..<6 {
      let peer: SocketAddress?
      switch step % 3 {
      case 0: peer = remote
      case 1: peer = nil
      default:
        guard isPortlessOfUse else { continue }
        peer = remote.withoutPort
      }
      let key = step < 3 ? local : anywhere
      var from = Int(heads[bucket(key, peer)])
      if !started, let slot {
        guard entries[slot].local == key, entries[slot].remote == peer else { continue }
        from = Int(entries[slot].next)
        started = true
      }
      let found = match(from, key, peer) { $0.takes(interface) }
      if found >= 0 { return found }
    }
    return nil
  }
}
