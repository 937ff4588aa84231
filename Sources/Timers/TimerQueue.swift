/// Which floor a timer belongs to, so that the composition root can hand an expiry back to it.
@frozen
public enum TimerKind: UInt8, Sendable {
  /// A TCP socket's earliest deadline (retransmission, delayed ACK, probe, keep-alive, TIME-WAIT).
  case tcp
  /// A UDP or raw socket's deadline.
  case datagram
  /// A neighbour entry's NUD timer.
  case neighbour
  /// Fragment reassembly time limit.
  case reassembly
  /// A queueing discipline wants to run again (throttled, or its quota was used up).
  case qdisc
  /// Transmit watchdog.
  case watchdog
  /// The device's interrupt moderation.
  case interrupt
  /// An in-process application served by the shard (blocking call with a timeout, services).
  case application
}

/// Names the owner of a timer. `id` is the owner's slot, `generation` tells a reused slot from its former owner.
@frozen
public struct TimerKey: Hashable, Sendable {
  public var kind: TimerKind
  public var id: UInt32
  public var generation: UInt32

  @inlinable public init(kind: TimerKind, id: UInt32, generation: UInt32 = 0) {
    self.kind = kind
    self.id = id
    self.generation = generation
  }
}

/// An owner's side of its one timer: when the queue will call it back at the latest.
///
/// Re-arming to a later time costs a store: the earlier entry stays in the queue, fires, and the owner re-arms.
/// Linux does the same for `sk->sk_timer` style timers that are pushed out on each packet.
@frozen
public struct TimerSlot: Sendable {
  /// When the entry that the queue holds for the owner is due; `.distantFuture` when it holds none.
  public var scheduled: Instant = .distantFuture
  @inlinable public init() {}

  /// Sees to it that the owner is called back at `deadline` or before.
  @inlinable public mutating func arm(_ key: TimerKey, at deadline: Instant, in queue: inout TimerQueue) {
    guard deadline < scheduled else { return }
    scheduled = deadline
    queue.insert(key, at: deadline)
  }

  /// Tells whether an expiry that the queue returned is the latest one asked for; an older one is to be ignored.
  @inlinable public mutating func expire(at due: Instant) -> Bool {
    guard scheduled <= due else { return false }
    scheduled = .distantFuture
    return true
  }
}

/// Every timer of one shard: a 4-ary heap with one `nextDeadline`. Linux: `kernel/time/timer.c`.
///
/// Insertion is O(log n) in armed timers; nothing on the per-packet path inserts, see `TimerSlot`.
public struct TimerQueue: ~Copyable {
  @usableFromInline struct Entry {
    @usableFromInline var deadline: Instant
    @usableFromInline var key: TimerKey
  }
  @usableFromInline var heap: [Entry] = []

  public init() { heap.reserveCapacity(256) }

  /// The earliest moment at which `popExpired` may return something; `nil` when no timer is armed.
  public var nextDeadline: Instant? { heap.first?.deadline }
  public var count: Int { heap.count }

  public mutating func insert(_ key: TimerKey, at deadline: Instant) {
    let entry = Entry(deadline: deadline, key: key)
    heap.append(entry)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 4
      if heap[parent].deadline <= deadline { break }
      heap[child] = heap[parent]
      child = parent
    }
    heap[child] = entry
  }

  /// Removes and returns the earliest timer that is due at `now`, with the time it was due.
  public mutating func popExpired(now: Instant) -> (key: TimerKey, due: Instant)? {
    guard let first = heap.first, first.deadline <= now else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty { sift(last) }
    return (first.key, first.deadline)
  }

  private mutating func sift(_ entry: Entry) {
    var hole = 0
    let count = heap.count
    while true {
      let firstChild = hole * 4 + 1
      if firstChild >= count { break }
      var least = firstChild
      for child in firstChild..<min(firstChild + 4, count) where heap[child].deadline < heap[least].deadline {
        least = child
      }
      if entry.deadline <= heap[least].deadline { break }
      heap[hole] = heap[least]
      hole = least
    }
    heap[hole] = entry
  }
}
