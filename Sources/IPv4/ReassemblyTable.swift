import NetNamespace
import Neighbour
import SkBuff
import Tables
import Timers
import Wire

/// Who collects fragments, each those of its own: a packet for us is put together once more where it is not whole.
/// Linux: `enum ip_defrag_users`.
enum ReassemblyUser: Hashable {
  case delivery
  /// Before prerouting, for whom connections are tracked.
  case tracking(isLooped: Bool)
}

/// Names a datagram whose fragments are being collected (RFC 791 section 3.2).
struct ReassemblyKey: Equatable {
  var source: IPv4Address
  var destination: IPv4Address
  var identification: UInt16
  var `protocol`: IPProtocol
  var user: ReassemblyUser

  init(_ header: IPv4Header, _ user: ReassemblyUser) {
    self.user = user
    source = header.source
    destination = header.destination
    identification = header.identification
    self.protocol = header.protocol
  }
}

/// One datagram's fragments. Linux: `struct ipq`.
struct ReassemblyQueue: ~Copyable {
  var key: ReassemblyKey
  var generation: UInt32
  var isInUse = true
  var next: Int32 = -1
  /// In order of offsets, no two overlapping; data at the IP header.
  var fragments = SkBuffQueue()
  /// Payload bytes that have come, and bytes that there are when the last fragment is known.
  var received = 0
  var total: Int?
  /// End of what is known to belong to the datagram.
  var end = 0
  /// Which ECN code points were seen, a bit for each.
  var ecn: UInt8 = 0
  /// Packet bytes of the largest fragment.
  var largestFragment = 0
  /// Of those that must not be cut. Linux: `max_df_size`.
  var largestUncut = 0
  var memory = 0
  /// The number of its latest fragment among all of its sender's. Linux: `rid`.
  var arrival: UInt32 = 0
  var timer = TimerSlot()
  var deadline: Instant

  init(key: ReassemblyKey, generation: UInt32, deadline: Instant) {
    self.key = key
    self.generation = generation
    self.deadline = deadline
  }
}

/// All datagrams being put together. Linux: `net/ipv4/ip_fragment.c`, `inet_fragment.c`.
struct ReassemblyTable: ~Copyable {
  /// Fragments of one datagram: enough for 64 KiB over links of 296 bytes.
  static let maximumFragments = 256
  private static let bucketCount = 256
  var queues = UniqueArray<ReassemblyQueue>(capacity: 16)
  private var buckets: [Int32] = Array(repeating: -1, count: bucketCount)
  private var freeSlots: Int32 = -1
  /// Truesize of everything that waits.
  var memory = 0
  private(set) var count = 0
  private var keyed: SipHash?
  /// Those from whom fragments wait: how many datagrams, and how many fragments have come from them. Linux: `struct inet_peer`.
  private var peers: [IPv4Address: (queues: Int, fragments: UInt32)] = [:]

  /// Whether the fragments that wait of a datagram are too old: more of other datagrams than this have come from its sender
  /// since the last of it, so that the identification may be another's by now. Counts the fragment. Linux:
  /// `ip_frag_too_far()`.
  mutating func isTooFar(_ slot: Int, most: Int) -> Bool {
    let source = queues[slot].key.source
    guard most > 0, var peer = peers[source] else { return false }
    peer.fragments &+= 1
    peers[source] = peer
    let before = queues[slot].arrival
    queues[slot].arrival = peer.fragments
    return !queues[slot].fragments.isEmpty && peer.fragments &- before > UInt32(clamping: most)
  }

  /// Begins a datagram anew: what has come of it is dropped. Linux: `ip_frag_reinit()`.
  mutating func restart(_ slot: Int, net: inout Net) {
    while let skb = queues[slot].fragments.popFirst() { skb.drop(.fragmentTooFar) }
    memory -= queues[slot].memory
    let deadline = net.now + net.settings.reassemblyTime
    var fresh = ReassemblyQueue(
      key: queues[slot].key, generation: queues[slot].generation, deadline: deadline)
    fresh.next = queues[slot].next
    fresh.arrival = queues[slot].arrival
    queues[slot].timer.cancel(in: &net.timers)
    queues[slot] = fresh
    queues[slot].timer.arm(
      TimerKey(kind: .reassembly, id: UInt32(slot), generation: queues[slot].generation), at: deadline,
      in: &net.timers)
  }

  private mutating func bucket(_ key: ReassemblyKey, net: inout Net) -> Int {
    let keyed = self.keyed ?? net.random.nextKey()
    self.keyed = keyed
    let hash = keyed.tableHash(
      UInt64(key.source.rawValue) << 32 | UInt64(key.destination.rawValue),
      UInt64(key.identification) << 8 | UInt64(key.protocol.rawValue))
    return Int(truncatingIfNeeded: hash) & (Self.bucketCount - 1)
  }

  /// The datagram's queue, made when there is none.
  mutating func find(_ key: ReassemblyKey, net: inout Net) -> Int {
    let bucket = bucket(key, net: &net)
    var index = buckets[bucket]
    while index >= 0 {
      if queues[Int(index)].key == key { return Int(index) }
      index = queues[Int(index)].next
    }
    let deadline = net.now + net.settings.reassemblyTime
    let slot: Int
    if freeSlots >= 0 {
      slot = Int(freeSlots)
      freeSlots = queues[slot].next
      let generation = queues[slot].generation
      queues[slot] = ReassemblyQueue(key: key, generation: generation, deadline: deadline)
    } else {
      slot = queues.append(ReassemblyQueue(key: key, generation: 1, deadline: deadline))
    }
    queues[slot].next = buckets[bucket]
    buckets[bucket] = Int32(slot)
    count += 1
    var peer = peers[key.source] ?? (0, 0)
    peer.queues += 1
    peers[key.source] = peer
    queues[slot].arrival = peer.fragments
    queues[slot].timer.arm(
      TimerKey(kind: .reassembly, id: UInt32(slot), generation: queues[slot].generation), at: deadline,
      in: &net.timers)
    return slot
  }

  /// Forgets a datagram; its fragments are dropped for `reason`.
  mutating func remove(_ slot: Int, reason: DropReason, net: inout Net) {
    while let skb = queues[slot].fragments.popFirst() { skb.drop(reason) }
    remove(slot, net: &net)
  }

  /// Forgets a datagram whose fragments have gone into the whole.
  mutating func remove(_ slot: Int, net: inout Net) {
    queues[slot].timer.cancel(in: &net.timers)
    memory -= queues[slot].memory
    queues[slot].memory = 0
    let source = queues[slot].key.source
    if var peer = peers[source] {
      peer.queues -= 1
      peers[source] = peer.queues == 0 ? nil : peer
    }
    let bucket = bucket(queues[slot].key, net: &net)
    if buckets[bucket] == Int32(slot) {
      buckets[bucket] = queues[slot].next
    } else {
      var previous = Int(buckets[bucket])
      while queues[previous].next != Int32(slot) { previous = Int(queues[previous].next) }
      queues[previous].next = queues[slot].next
    }
    queues[slot].isInUse = false
    queues[slot].generation &+= 1
    queues[slot].next = freeSlots
    freeSlots = Int32(slot)
    count -= 1
  }

  mutating func removeAll(net: inout Net) {
    for slot in 0..<queues.count where queues[slot].isInUse {
      remove(slot, reason: .fragmentTimeout, net: &net)
    }
  }
}
