/// Which floor a timer belongs to, so that the composition root can hand an expiry back to it.
@frozen
public enum TimerKind: UInt8, Sendable, CaseIterable {
  /// A TCP socket's earliest deadline (retransmission, delayed ACK, probe, keep-alive, TIME-WAIT).
  case tcp
  /// A neighbour entry's NUD timer.
  case neighbour
  /// Fragment reassembly time limit.
  case reassembly
  /// A tracked connection's end.
  case connection
  /// A queueing discipline's packets that wait for their time.
  case qdisc
  /// Transmit watchdog.
  case watchdog
  /// The NIC's moderated interrupt, or a frame that the wire would not take.
  case device
  /// A program that the shard runs itself.
  case application
  /// The limit of a call that waits, on the stack's own clock.
  case wait
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
/// A slot has one entry in the queue or none, whatever it is armed to: an earlier time moves the entry, a later one
/// costs a comparison (the entry fires early and the owner arms again). An owner that ends calls `cancel(in:)`, so that
/// the queue holds nothing of what is gone. Linux: `mod_timer()`, `del_timer()`.
@frozen
public struct TimerSlot: Sendable {
  /// When the entry that the queue holds for the owner is due; `.distantFuture` when it holds none.
  public private(set) var scheduled: Instant = .distantFuture
  @usableFromInline var entry = TimerQueue.Handle.none
  @inlinable public init() {}

  /// Sees to it that the owner is called back at `deadline` or before.
  @inlinable public mutating func arm(_ key: TimerKey, at deadline: Instant, in queue: inout TimerQueue) {
    guard deadline < scheduled else { return }
    moveEarlier(key, to: deadline, in: &queue)
  }

  @usableFromInline mutating func moveEarlier(
    _ key: TimerKey, to deadline: Instant, in queue: inout TimerQueue
  ) {
    scheduled = deadline
    if !queue.move(entry, to: deadline) { entry = queue.insert(key, at: deadline) }
  }

  /// Tells whether an expiry that the queue returned is the one asked for.
  public mutating func expire(at due: Instant) -> Bool {
    guard scheduled <= due else { return false }
    scheduled = .distantFuture
    entry = .none
    return true
  }

  /// Takes the entry out of the queue: the owner ends, or waits for nothing more.
  public mutating func cancel(in queue: inout TimerQueue) {
    guard scheduled != .distantFuture else { return }
    queue.cancel(entry)
    entry = .none
    scheduled = .distantFuture
  }
}

/// Every timer of one shard: a 4-ary heap with one `nextDeadline`. Linux: `kernel/time/timer.c`.
///
/// Insertion, moving and cancelling are O(log n) in armed timers; each owner has at most one entry, so the heap is as
/// large as what it times. Nothing on the per-packet path inserts, see `TimerSlot`.
public struct TimerQueue: ~Copyable {
  /// Names an entry while it is in the queue; afterwards it names nothing.
  @frozen
  public struct Handle: Sendable {
    @usableFromInline var node: Int32
    @usableFromInline var stamp: UInt32
    @usableFromInline init(node: Int32, stamp: UInt32) {
      self.node = node
      self.stamp = stamp
    }
    @inlinable public static var none: Handle { Handle(node: -1, stamp: 0) }
  }
  private struct Entry {
    var deadline: Instant
    var key: TimerKey
    var node: Int32
  }
  /// Where an entry stands in the heap, or the next free node.
  private struct Node {
    var place: Int32
    var stamp: UInt32
  }
  private var heap: [Entry] = []
  private var nodes: [Node] = []
  private var freeNode: Int32 = -1

  /// - Parameter capacity: timers that there is room for from the first.
  public init(capacity: Int = 256) {
    heap.reserveCapacity(capacity)
    nodes.reserveCapacity(capacity)
  }

  /// The earliest moment at which `popExpired` may return something; `nil` when no timer is armed.
  public var nextDeadline: Instant? { heap.first?.deadline }
  public var count: Int { heap.count }

  @discardableResult
  public mutating func insert(_ key: TimerKey, at deadline: Instant) -> Handle {
    let node: Int32
    if freeNode >= 0 {
      node = freeNode
      freeNode = nodes[Int(node)].place
    } else {
      node = Int32(nodes.count)
      nodes.append(Node(place: -1, stamp: 1))
    }
    let entry = Entry(deadline: deadline, key: key, node: node)
    heap.append(entry)
    rise(entry, from: heap.count - 1)
    return Handle(node: node, stamp: nodes[Int(node)].stamp)
  }

  /// Gives an entry another deadline.
  ///
  /// - Returns: false when the entry is no longer in the queue.
  public mutating func move(_ handle: Handle, to deadline: Instant) -> Bool {
    guard let place = place(of: handle) else { return false }
    var entry = heap[place]
    let isEarlier = deadline < entry.deadline
    entry.deadline = deadline
    if isEarlier { rise(entry, from: place) } else { sink(entry, from: place) }
    return true
  }

  /// Takes an entry out; one that has left already is left alone.
  public mutating func cancel(_ handle: Handle) {
    guard let place = place(of: handle) else { return }
    remove(at: place)
  }

  /// Removes and returns the earliest timer that is due at `now`, with the time it was due.
  public mutating func popExpired(now: Instant) -> (key: TimerKey, due: Instant)? {
    guard let first = heap.first, first.deadline <= now else { return nil }
    remove(at: 0)
    return (first.key, first.deadline)
  }

  private func place(of handle: Handle) -> Int? {
    guard handle.node >= 0, handle.node < nodes.count, nodes[Int(handle.node)].stamp == handle.stamp else {
      return nil
    }
    return Int(nodes[Int(handle.node)].place)
  }

  private mutating func remove(at place: Int) {
    let node = Int(heap[place].node)
    nodes[node].stamp &+= 1
    nodes[node].place = freeNode
    freeNode = Int32(node)
    let last = heap.removeLast()
    guard place < heap.count else { return }
    if place > 0 && last.deadline < heap[(place - 1) / 4].deadline {
      rise(last, from: place)
    } else {
      sink(last, from: place)
    }
  }

  private mutating func put(_ entry: Entry, at place: Int) {
    heap[place] = entry
    nodes[Int(entry.node)].place = Int32(place)
  }

  private mutating func rise(_ entry: Entry, from place: Int) {
    var hole = place
    while hole > 0 {
      let parent = (hole - 1) / 4
      if heap[parent].deadline <= entry.deadline { break }
      put(heap[parent], at: hole)
      hole = parent
    }
    put(entry, at: hole)
  }

  private mutating func sink(_ entry: Entry, from place: Int) {
    var hole = place
    let count = heap.count
    while true {
      let firstChild = hole * 4 + 1
      if firstChild >= count { break }
      var least = firstChild
      for child in firstChild..<min(firstChild + 4, count) where heap[child].deadline < heap[least].deadline {
        least = child
      }
      if entry.deadline <= heap[least].deadline { break }
      put(heap[least], at: hole)
      hole = least
    }
    put(entry, at: hole)
  }

  /// How many entries are of one kind.
  package func count(of kind: TimerKind) -> Int { heap.count { $0.key.kind == kind } }

  /// Recounts what must agree: every entry knows its place, and no parent is later than a child.
  package func checkInvariants() {
    for place in heap.indices {
      precondition(Int(nodes[Int(heap[place].node)].place) == place, "an entry's node names its place")
      precondition(
        place == 0 || heap[(place - 1) / 4].deadline <= heap[place].deadline, "a heap's parent is not later")
    }
  }
}
