import SkBuff
import Tables
import Timers
import Trace
@_exported import UAPI
import Wire

/// What every floor of one shard works in: the time, the timers, packet memory, settings, counters, entropy.
/// Linux: `struct net`, with `jiffies` and the per-CPU caches beside it.
///
/// Passed `inout` down the floors; nothing in it calls anybody.
public struct Net: ~Copyable {
  private let addressOnly = AddressOnly()
  /// The caller's clock at the entry into the stack.
  public private(set) var now: Instant
  public var timers = TimerQueue()
  public let pool: SkBuffPool
  public let tracer: Tracer
  public var settings: NetSettings
  public var counters = NetCounters()
  public var random: RandomSource
  /// Sockets whose readiness may have changed since the composition root last took them, in the order of
  /// their events; a socket may stand in it twice. Linux: `sk->sk_data_ready()`, `sk->sk_write_space()`.
  private var wakeups = Fifo<Wakeup>(capacity: 1024, blank: Wakeup(socket: .none))

  public init(
    pool: SkBuffPool, tracer: Tracer, settings: NetSettings = NetSettings(), seed: UInt64, now: Instant
  ) {
    self.pool = pool
    self.tracer = tracer
    self.settings = settings
    random = RandomSource(seed: seed)
    self.now = now
    tracer.now = now
  }

  /// What to add to `now` for the time of day in UT; `nil`: not known.
  public var timeOfDayOffset: UInt64? = nil

  /// Sockets with `UDP_GRO`: while there are none, no device puts datagrams together. Linux: `udp_encap_needed_key`.
  public var datagramOffloadUsers = 0

  /// Who wants to know when packets come in.
  public let arrivalClock = ArrivalClock()

  /// Nanoseconds since 1970 in UT at `instant`, by this clock where the time of day is not known.
  public func timeOfDay(at instant: Instant) -> UInt64 { instant.nanoseconds &+ (timeOfDayOffset ?? 0) }

  /// Takes over other settings, also what somebody keeps that they speak of.
  public mutating func apply(_ new: NetSettings) {
    settings = new
    guard let memory = new.tcpMemory else { return }
    let page = SkBuffPool.pageByteCount
    pool.setLevels(low: memory.least * page, pressure: memory.initial * page, high: memory.most * page)
  }

  /// For ICMP timestamps (RFC 792): when the time of day is not known, any clock's time with the high bit set.
  public var millisecondsSinceMidnight: UInt32 {
    let day: UInt64 = 86_400_000
    guard let offset = timeOfDayOffset else {
      return UInt32(now.nanoseconds / 1_000_000 % day) | 0x8000_0000
    }
    return UInt32((now.nanoseconds &+ offset) / 1_000_000 % day)
  }

  /// A socket's readiness may have changed.
  ///
  /// - Parameter isForRoom: all that has come is room to send.
  public mutating func wake(_ socket: SocketID, isForRoom: Bool = false) {
    let wakeup = Wakeup(socket: socket, isForRoom: isForRoom)
    if wakeups.last != wakeup { wakeups.append(wakeup) }
  }

  /// Removes and returns the socket that has waited longest for its owner to be told; `nil` when there is none.
  public mutating func takeWakeup() -> Wakeup? { wakeups.popFirst() }

  // MARK: Backlog

  /// Most packets that wait in the backlog. Linux: `net.core.netdev_max_backlog`.
  public static let backlogLimit = 1000

  /// Packets, data at the network header, that go up without a device's interrupt: those to ourselves.
  /// Linux: `input_pkt_queue` of `struct softnet_data`.
  private var backlog = SkBuffQueue()
  /// Whether `takeBacklog()` has something.
  public var hasBacklog: Bool { !backlog.isEmpty }

  /// Receives a packet of our own: what its receiver keeps is no longer its sender's. Linux: `skb_orphan()`,
  /// `enqueue_to_backlog()`.
  ///
  /// - Returns: false when the backlog is full; the packet is dropped.
  public mutating func loopBack(_ skb: consuming SkBuff) -> Bool {
    guard backlog.count < Self.backlogLimit else {
      skb.drop(.cpuBacklog)
      return false
    }
    skb.orphan()
    guard skb.orphanFragments() else {
      skb.drop(.noMemory)
      return false
    }
    skb.packetType = .loopback
    // Nothing can have damaged it on the way.
    skb.checksumStatus = .unnecessary
    skb.timestamp = .origin
    skb.stamps = []
    backlog.append(skb)
    return true
  }

  /// The packet that has waited longest. Linux: `process_backlog()`.
  public mutating func takeBacklog() -> SkBuff? { backlog.popFirst() }

  /// Lets go of what waits, before the packet pool ends.
  public mutating func dropBacklog() { backlog.removeAll() }

  /// Moves the clock; a reading earlier than the last is ignored.
  public mutating func advance(to instant: Instant) {
    guard instant > now else { return }
    now = instant
    tracer.now = instant
  }
}

/// Random numbers from a seed that the rim took from the system, for ports, identifiers and the first draw of timers.
/// A peer sees some of them, so that none may tell the next: SipHash of a counter.
public struct RandomSource: Sendable {
  private let keyed: SipHash
  private var counter: UInt64 = 0

  public init(seed: UInt64) { keyed = SipHash(key: (seed, 0)).derived(seed) }

  public mutating func next() -> UInt64 {
    counter &+= 1
    return keyed.hash(counter, 0)
  }
  /// A key that nobody else has, for the hash of a table.
  public mutating func nextKey() -> SipHash { SipHash(key: (next(), next())) }
  /// A value in `0..<bound`; `bound` is above 0.
  public mutating func next(below bound: UInt32) -> UInt32 {
    precondition(bound > 0, "a random range is not empty")
    return UInt32(truncatingIfNeeded: ((next() >> 32) &* UInt64(bound)) >> 32)
  }
}
