import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

/// The connections of a stack, found by the tuple of either direction. Linux: `nf_conntrack_hash`.
struct ConnectionTable: ~Copyable {
  private var slots = Slab<Connection>()
  /// Heads of the chains.
  private var buckets: [Int32] = []
  private var keyed: SipHash?
  /// Heads of the chains of those that got another source, by the one that they came with. Linux: `nf_nat_bysource`.
  private var sources: [Int32] = []
  private var sourceCount = 0
  /// Of each shard the connections whose first packet is on its way between the hooks there. One that was thrown away leaves
  /// its connection behind, which goes when its place here is wanted: no more than these are held for packets that did not
  /// get through.
  private var unconfirmed: [Unconfirmed] = []
  private struct Unconfirmed {
    var connections = [(slot: Int, generation: UInt32)](repeating: (-1, 0), count: 8)
    var next = 0

    mutating func replace(_ slot: Int, generation: UInt32) -> (slot: Int, generation: UInt32) {
      defer { next = (next + 1) % connections.count }
      defer { connections[next] = (slot, generation) }
      return connections[next]
    }
  }
  /// Whoever uses the table comes back for the next of them.
  private var timers = TimerQueue(capacity: 0)
  private(set) var confirmedCount = 0
  var statistics = ConnectionStatistics()

  private static let leastBuckets = 256
  private static let mostBuckets = 1 << 17
  /// Chains that are looked through for a connection to give up. Linux: `NF_CT_EVICTION_RANGE`.
  static let evictionRange = 8

  init() {}

  var count: Int { slots.count }

  subscript(slot: Int) -> Connection {
    _read { yield slots[slot] }
    _modify { yield &slots[slot] }
  }

  func generation(of slot: Int) -> UInt32 { slots.generation(slot) }
  /// Whether a packet's connection is there still.
  func holds(_ reference: ConnectionReference) -> Bool {
    slots.isLive(reference.slot) && slots.generation(reference.slot) & 0x1FF == reference.generation
  }

  private mutating func bucket(of tuple: ConnectionTuple, net: inout Net) -> Int {
    if buckets.isEmpty { buckets = Array(repeating: -1, count: Self.leastBuckets) }
    let keyed = self.keyed ?? net.random.nextKey()
    self.keyed = keyed
    let hash = keyed.tableHash(
      UInt64(tuple.source.rawValue) << 32 | UInt64(tuple.destination.rawValue),
      UInt64(tuple.sourcePort) << 32 | UInt64(tuple.destinationPort) << 16 | UInt64(tuple.protocol.rawValue))
    return Int(truncatingIfNeeded: hash) & (buckets.count - 1)
  }

  /// A number from a tuple that nobody outside can tell.
  mutating func hash(_ source: IPv4Address, _ destination: IPv4Address, net: inout Net) -> UInt64 {
    let keyed = self.keyed ?? net.random.nextKey()
    self.keyed = keyed
    return keyed.hash(UInt64(source.rawValue) << 32 | UInt64(destination.rawValue), 0)
  }

  private func next(after link: Int32) -> Int32 {
    let slot = Int(link >> 1)
    return link & 1 == 0 ? slots[slot].nextOriginal : slots[slot].nextReply
  }
  private mutating func setNext(after link: Int32, _ next: Int32) {
    let slot = Int(link >> 1)
    if link & 1 == 0 { slots[slot].nextOriginal = next } else { slots[slot].nextReply = next }
  }
  private func tuple(of link: Int32) -> ConnectionTuple {
    let slot = Int(link >> 1)
    return link & 1 == 0 ? slots[slot].original : slots[slot].reply
  }

  /// Linux: `nf_conntrack_find_get()`.
  mutating func find(_ tuple: ConnectionTuple, net: inout Net) -> (slot: Int, direction: ConnectionDirection)?
  {
    var link = buckets.isEmpty ? -1 : buckets[bucket(of: tuple, net: &net)]
    while link >= 0 {
      let slot = Int(link >> 1)
      let following = next(after: link)
      if slots[slot].deadline <= net.now {
        remove(slot, net: &net)
        // The chain may have lost more than this link.
        link = buckets[bucket(of: tuple, net: &net)]
        continue
      }
      if self.tuple(of: link) == tuple { return (slot, link & 1 == 0 ? .original : .reply) }
      link = following
    }
    return nil
  }

  /// Whether a packet with this tuple would be another connection's. Linux: `nf_conntrack_tuple_taken()`.
  mutating func isTaken(_ tuple: ConnectionTuple, besides slot: Int, net: inout Net) -> Bool {
    guard let found = find(tuple, net: &net) else { return false }
    return found.slot != slot
  }

  // MARK: Coming and going

  /// Makes a connection for a packet that has not got through yet. Linux: `__nf_conntrack_alloc()`.
  ///
  /// - Parameter shard: who has the packet.
  /// - Returns: `nil` when there are too many and none can be given up.
  mutating func make(
    _ original: ConnectionTuple, _ reply: ConnectionTuple, by shard: Int, net: inout Net
  ) -> Int? {
    let limit = min(net.settings.connections.limit, ConnectionReference.slotLimit)
    if confirmedCount >= limit && !giveUpOne(near: original, net: &net) {
      statistics.dropped &+= 1
      return nil
    }
    let slot = slots.insert(Connection(original: original, reply: reply, deadline: .distantFuture))
    while unconfirmed.count <= shard { unconfirmed.append(Unconfirmed()) }
    let last = unconfirmed[shard].replace(slot, generation: slots.generation(slot))
    if slots.isCurrent(last.slot, generation: last.generation), !slots[last.slot].status.contains(.confirmed)
    {
      forget(last.slot, net: &net)
    }
    return slot
  }

  /// Makes room by giving up a connection that has not shown that both ends want it. Linux: `early_drop()`.
  private mutating func giveUpOne(near tuple: ConnectionTuple, net: inout Net) -> Bool {
    guard !buckets.isEmpty else { return false }
    var bucket = bucket(of: tuple, net: &net)
    for _ in 0..<Self.evictionRange {
      var link = buckets[bucket]
      while link >= 0 {
        let slot = Int(link >> 1)
        if slots[slot].deadline <= net.now || !slots[slot].status.contains(.assured) {
          statistics.earlyDropped &+= 1
          remove(slot, net: &net)
          return true
        }
        link = next(after: link)
      }
      bucket = (bucket + 1) & (buckets.count - 1)
    }
    return false
  }

  /// The first packet has got through. Linux: `__nf_conntrack_confirm()`.
  ///
  /// - Returns: false when another connection has one of its tuples.
  mutating func confirm(_ slot: Int, net: inout Net) -> Bool {
    guard !slots[slot].status.contains(.confirmed) else { return true }
    let (original, reply) = (slots[slot].original, slots[slot].reply)
    guard find(original, net: &net) == nil, find(reply, net: &net) == nil else {
      statistics.insertFailed &+= 1
      forget(slot, net: &net)
      return false
    }
    if confirmedCount >= buckets.count && buckets.count < Self.mostBuckets { grow(net: &net) }
    slots[slot].status.insert(.confirmed)
    confirmedCount += 1
    link(slot, net: &net)
    arm(slot)
    return true
  }

  private mutating func link(_ slot: Int, net: inout Net) {
    let first = bucket(of: slots[slot].original, net: &net)
    slots[slot].nextOriginal = buckets[first]
    buckets[first] = Int32(slot) << 1
    let second = bucket(of: slots[slot].reply, net: &net)
    slots[slot].nextReply = buckets[second]
    buckets[second] = Int32(slot) << 1 | 1
  }

  private mutating func grow(net: inout Net) {
    buckets = Array(repeating: -1, count: max(Self.leastBuckets, buckets.count * 2))
    for slot in 0..<slots.capacity where slots.isLive(slot) && slots[slot].status.contains(.confirmed) {
      link(slot, net: &net)
    }
  }

  private mutating func unlink(_ link: Int32, net: inout Net) {
    let bucket = bucket(of: tuple(of: link), net: &net)
    if buckets[bucket] == link {
      buckets[bucket] = next(after: link)
      return
    }
    var before = buckets[bucket]
    while next(after: before) != link { before = next(after: before) }
    setNext(after: before, next(after: link))
  }

  /// Linux: `nf_ct_delete()`.
  mutating func remove(_ slot: Int, net: inout Net) {
    if slots[slot].status.contains(.confirmed) {
      unlink(Int32(slot) << 1, net: &net)
      unlink(Int32(slot) << 1 | 1, net: &net)
      confirmedCount -= 1
    }
    forget(slot, net: &net)
  }

  private mutating func forget(_ slot: Int, net: inout Net) {
    if slots[slot].status.contains(.sourceTranslated) { unlinkSource(slot, net: &net) }
    slots[slot].timer.cancel(in: &timers)
    _ = slots.remove(slot)
  }

  mutating func removeAll(net: inout Net, where isDoomed: (Connection) -> Bool = { _ in true }) {
    for slot in 0..<slots.capacity where slots.isLive(slot) && isDoomed(slots[slot]) {
      remove(slot, net: &net)
    }
  }

  // MARK: Sources

  /// How many mappings of one source are looked at, the newest first.
  private static let sourceRange = 64

  private mutating func sourceBucket(_ tuple: ConnectionTuple, net: inout Net) -> Int {
    let keyed = self.keyed ?? net.random.nextKey()
    self.keyed = keyed
    let hash = keyed.tableHash(
      UInt64(tuple.source.rawValue), UInt64(tuple.sourcePort) << 8 | UInt64(tuple.protocol.rawValue))
    return Int(truncatingIfNeeded: hash) & (sources.count - 1)
  }

  /// A connection's packets get another source from now on. Linux: `nf_nat_setup_info()`.
  mutating func translateSource(_ slot: Int, net: inout Net) {
    if slots[slot].status.contains(.sourceTranslated) { return }
    slots[slot].status.insert(.sourceTranslated)
    if sourceCount >= sources.count && sources.count < Self.mostBuckets {
      sources = Array(repeating: -1, count: max(Self.leastBuckets, sources.count * 2))
      for other in 0..<slots.capacity
      where other != slot && slots.isLive(other) && slots[other].status.contains(.sourceTranslated) {
        linkSource(other, net: &net)
      }
    }
    sourceCount += 1
    linkSource(slot, net: &net)
  }

  private mutating func linkSource(_ slot: Int, net: inout Net) {
    let bucket = sourceBucket(slots[slot].original, net: &net)
    slots[slot].previousOfSource = -1
    slots[slot].nextOfSource = sources[bucket]
    if sources[bucket] >= 0 { slots[Int(sources[bucket])].previousOfSource = Int32(slot) }
    sources[bucket] = Int32(slot)
  }

  private mutating func unlinkSource(_ slot: Int, net: inout Net) {
    let (previous, next) = (slots[slot].previousOfSource, slots[slot].nextOfSource)
    if next >= 0 { slots[Int(next)].previousOfSource = previous }
    if previous >= 0 {
      slots[Int(previous)].nextOfSource = next
    } else {
      sources[sourceBucket(slots[slot].original, net: &net)] = next
    }
    sourceCount -= 1
  }

  /// What another connection of the same source was given, if that will do. Linux: `find_appropriate_src()`.
  ///
  /// - Parameter fits: asked about the packets of the original direction of each, as they leave.
  mutating func knownSource(
    of tuple: ConnectionTuple, net: inout Net, where fits: (ConnectionTuple) -> Bool
  ) -> ConnectionTuple? {
    guard !sources.isEmpty else { return nil }
    var place = sources[sourceBucket(tuple, net: &net)]
    for _ in 0..<Self.sourceRange where place >= 0 {
      let original = slots[Int(place)].original
      if original.source == tuple.source, original.sourcePort == tuple.sourcePort,
        original.protocol == tuple.protocol, let given = slots[Int(place)].reply.inverted, fits(given)
      {
        return given
      }
      place = slots[Int(place)].nextOfSource
    }
    return nil
  }

  // MARK: Time

  /// A packet keeps a connection for so long. Linux: `nf_ct_refresh_acct()`.
  mutating func refresh(_ slot: Int, _ time: Nanoseconds, net: inout Net) {
    slots[slot].deadline = net.now + time
    if slots[slot].status.contains(.confirmed) { arm(slot) }
  }

  private mutating func arm(_ slot: Int) {
    let key = TimerKey(kind: .connection, id: UInt32(slot), generation: slots.generation(slot))
    slots[slot].timer.arm(key, at: slots[slot].deadline, in: &timers)
  }

  /// When a connection's time may be over.
  var nextDeadline: Instant? { timers.nextDeadline }

  /// Forgets those whose time is over. Linux: `gc_worker()`.
  mutating func expire(net: inout Net) {
    while let (key, due) = timers.popExpired(now: net.now) {
      let slot = Int(key.id)
      guard slots.isCurrent(slot, generation: key.generation), slots[slot].timer.expire(at: due) else {
        continue
      }
      if slots[slot].deadline <= net.now { remove(slot, net: &net) } else { arm(slot) }
    }
  }

  // MARK: Reports

  /// At most so many, as they lie.
  func snapshot(now: Instant) -> [ConnectionSnapshot] {
    (0..<slots.capacity).compactMap { slot in
      guard slots.isLive(slot), slots[slot].status.contains(.confirmed), slots[slot].deadline > now else {
        return nil
      }
      return ConnectionSnapshot(slots[slot], now: now)
    }
  }
}

/// Linux: `struct ip_conntrack_stat`, as `conntrack -S` shows it.
public struct ConnectionStatistics: Sendable, Equatable {
  /// Packets that were of no connection, and could begin none.
  public var invalid: UInt64 = 0
  /// Connections that could not be entered, as another one had their addresses.
  public var insertFailed: UInt64 = 0
  /// Packets that were thrown away because there were too many connections.
  public var dropped: UInt64 = 0
  /// Connections that were given up for a new one.
  public var earlyDropped: UInt64 = 0
  public init() {}
}
