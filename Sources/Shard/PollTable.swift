import Tables

/// When a watched socket is told about. Linux: epoll_ctl(2).
public enum PollTrigger: Sendable {
  /// As long as it is ready.
  case level
  /// When it becomes ready, or more comes: once for each, whether it was used up meanwhile or not. It may be told once too
  /// often, as epoll may. Linux: EPOLLET.
  case edge
  /// Once, and not again before it is asked for anew. Linux: EPOLLONESHOT.
  case once
}

/// A watched socket that is ready.
public struct PollEvent: Hashable, Sendable {
  /// What the watcher called the socket.
  public var token: UInt64
  /// What it is ready for: of what was asked for, and errors and hang-ups always.
  public var readiness: Readiness

  /// An event.
  public init(token: UInt64, readiness: Readiness) {
    self.token = token
    self.readiness = readiness
  }
}

/// Sockets that pollers of the shard watch, and those of them that may be ready, in the order in which they became so.
/// Everything takes the same time however many there are.
struct PollTable: ~Copyable {
  struct Watch {
    var socket = SocketID.none
    var set = 0
    /// Empty: told once, and not asked for again yet.
    var interest: Readiness = []
    var trigger = PollTrigger.level
    var token: UInt64 = 0
    /// The socket's next watch, of another set; -1: none.
    var sibling: Int32 = -1
    /// Neighbours in the line of those that may be ready; -1: none.
    var previous: Int32 = -1
    var next: Int32 = -1
    var isQueued = false
  }

  struct PollSet {
    var waker: Waker?
    var first: Int32 = -1
    var last: Int32 = -1
    var count = 0
    /// Somebody sleeps until a socket is ready.
    var isAwaited = false
    var timer = TimerSlot()
  }

  private var watches = Slab<Watch>()
  /// Watched sockets, each as often as it is watched.
  var count: Int { watches.count }
  var sets: [PollSet] = []

  subscript(watch: Int32) -> Watch {
    get { watches[Int(watch)] }
    _modify { yield &watches[Int(watch)] }
  }

  mutating func insert(_ watch: Watch) -> Int32 { Int32(watches.insert(watch)) }

  mutating func remove(_ index: Int32) {
    unqueue(index)
    _ = watches.remove(Int(index))
  }

  /// Every watch of a set.
  func indices(of set: Int) -> [Int32] {
    var found: [Int32] = []
    for index in 0..<watches.capacity where watches.isLive(index) && watches[index].set == set {
      found.append(Int32(index))
    }
    return found
  }

  /// Puts a watch at the end of its set's line, if it does not stand there already.
  mutating func queue(_ index: Int32) {
    guard !self[index].isQueued else { return }
    let set = self[index].set
    self[index].isQueued = true
    self[index].previous = sets[set].last
    self[index].next = -1
    if sets[set].last >= 0 { self[sets[set].last].next = index } else { sets[set].first = index }
    sets[set].last = index
    sets[set].count += 1
  }

  mutating func unqueue(_ index: Int32) {
    let watch = self[index]
    guard watch.isQueued else { return }
    if watch.previous >= 0 {
      self[watch.previous].next = watch.next
    } else {
      sets[watch.set].first = watch.next
    }
    if watch.next >= 0 {
      self[watch.next].previous = watch.previous
    } else {
      sets[watch.set].last = watch.previous
    }
    sets[watch.set].count -= 1
    self[index].isQueued = false
  }

  mutating func insertSet(_ waker: Waker) -> Int {
    var set = PollSet()
    set.waker = waker
    if let index = sets.firstIndex(where: { $0.waker == nil }) {
      sets[index] = set
      return index
    }
    sets.append(set)
    return sets.count - 1
  }
}
