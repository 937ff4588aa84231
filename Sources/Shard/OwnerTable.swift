import Sockets

/// Who cares about a socket: an application of the shard, or threads and tasks that may be waiting.
@safe
struct SocketOwner {
  enum Kind: UInt8 {
    case none
    case application
    /// A `Socket`.
    case waiter
    /// A `Socket` that has been closed and waits for the peer's last acknowledgement (SO_LINGER).
    case lingerer
  }
  var kind = Kind.none
  /// The socket that stands in the slot.
  var id = SocketID.none
  /// What waiting threads wait for; empty when nobody waits.
  var interest: Readiness = []
  /// When the first of the waits that go by the shard's timers is over.
  var timer = TimerSlot()
  /// Slot in the application table.
  var application: UInt32 = 0
  var waiter: Unmanaged<SocketWaiter>? = nil
}

/// The owner of every socket, by its number, and those that are to be woken when the shard's lock has been left.
///
/// Safety: a `Socket` keeps its waiter alive and takes it out of this table, under the shard's lock, before it lets
/// go of it.
@safe
struct OwnerTable: ~Copyable {
  private var tables: InlineArray<4, [SocketOwner]> = .init(repeating: [])
  private var noOwner = SocketOwner()
  var woken = WokenWaiters()

  private static func table(_ id: SocketID) -> Int { Int(id.rawValue >> 30) }

  /// The owner of whatever socket has the number now.
  subscript(id: SocketID) -> SocketOwner {
    get {
      let table = Self.table(id)
      guard id.index >= 0, id.index < tables[table].count else { return SocketOwner() }
      return tables[table][id.index]
    }
    _modify {
      let table = Self.table(id)
      if id.index >= 0, id.index < tables[table].count {
        yield &tables[table][id.index]
      } else {
        noOwner = SocketOwner()
        yield &noOwner
      }
    }
  }

  /// Whether this very socket, and not a later one with its number, is still somebody's.
  func holds(_ id: SocketID) -> Bool {
    let owner = self[id]
    return owner.kind == .waiter && owner.id == id
  }

  /// Names the owner of a new socket.
  private mutating func set(_ id: SocketID, _ owner: SocketOwner) {
    precondition(id.index >= 0, "a socket that has an owner has a number")
    let table = Self.table(id)
    while tables[table].count <= id.index { tables[table].append(SocketOwner()) }
    // Whoever lingered on the slot's former socket: it is gone.
    if tables[table][id.index].kind == .lingerer { signal(id) }
    tables[table][id.index] = owner
  }

  mutating func setWaiter(_ id: SocketID, _ waiter: SocketWaiter, kind: SocketOwner.Kind = .waiter) {
    var owner = SocketOwner()
    owner.kind = kind
    owner.id = id
    unsafe owner.waiter = .passUnretained(waiter)
    set(id, owner)
  }

  mutating func setApplication(_ id: SocketID, _ index: Int) {
    var owner = SocketOwner()
    owner.kind = .application
    owner.id = id
    owner.application = UInt32(truncatingIfNeeded: index)
    set(id, owner)
  }

  /// Forgets the owner of this very socket.
  mutating func clear(_ id: SocketID) {
    if self[id].id == id { self[id] = SocketOwner() }
  }

  /// Wakes everybody who waits on the socket, once the lock has been left.
  mutating func signal(_ id: SocketID) {
    let table = Self.table(id)
    guard id.index >= 0, id.index < tables[table].count else { return }
    tables[table][id.index].interest = []
    // Safe: a waiter in the table is alive, see above.
    if let waiter = unsafe tables[table][id.index].waiter {
      unsafe woken.append(waiter.takeUnretainedValue())
    }
  }

  /// Wakes everybody who waits on any socket.
  mutating func signalAll() {
    for table in tables.indices {
      for owner in tables[table] where owner.kind == .waiter || owner.kind == .lingerer { signal(owner.id) }
    }
  }
}

/// Waiters to be woken by whoever leaves the shard's lock, in the order of their events: what a woken task does at once
/// may enter the stack.
struct WokenWaiters: Sendable {
  private var first: SocketWaiter?
  private var others: [SocketWaiter]?

  var isEmpty: Bool { first == nil }

  mutating func append(_ waiter: SocketWaiter) {
    if first == nil {
      first = waiter
    } else if others == nil {
      others = [waiter]
    } else {
      others?.append(waiter)
    }
  }

  mutating func take() -> WokenWaiters {
    let taken = self
    self = WokenWaiters()
    return taken
  }

  func wake() {
    first?.signal()
    guard let others else { return }
    for waiter in others { waiter.signal() }
  }
}
