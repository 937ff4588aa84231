/// Who cares about a socket: an application of the shard, or threads and tasks that may be waiting.
@safe
struct SocketOwner {
  enum Kind: UInt8 {
    case none
    case application
    case waiter
  }
  var kind = Kind.none
  /// What waiting threads wait for; empty when nobody waits.
  var interest: Readiness = []
  /// Slot in the application table.
  var application: UInt32 = 0
  var waiter: Unmanaged<SocketWaiter>? = nil
}

/// The owner of every socket, by its number.
///
/// Safety: a `Socket` keeps its waiter alive and takes it out of this table, under the shard's lock, before it lets
/// go of it.
@safe
struct OwnerTable: ~Copyable {
  private var tables: InlineArray<4, [SocketOwner]> = .init(repeating: [])
  private var noOwner = SocketOwner()

  private static func table(_ id: SocketID) -> Int { Int(id.rawValue >> 30) }

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

  /// Names the owner of a new socket.
  mutating func set(_ id: SocketID, _ owner: SocketOwner) {
    precondition(id.index >= 0, "a socket that has an owner has a number")
    let table = Self.table(id)
    while tables[table].count <= id.index { tables[table].append(SocketOwner()) }
    tables[table][id.index] = owner
  }

  mutating func setWaiter(_ id: SocketID, _ waiter: SocketWaiter) {
    var owner = SocketOwner()
    owner.kind = .waiter
    unsafe owner.waiter = .passUnretained(waiter)
    set(id, owner)
  }

  mutating func setApplication(_ id: SocketID, _ index: Int) {
    var owner = SocketOwner()
    owner.kind = .application
    owner.application = UInt32(truncatingIfNeeded: index)
    set(id, owner)
  }

  mutating func clear(_ id: SocketID) { self[id] = SocketOwner() }

  /// Wakes everybody who waits on the socket.
  func signal(_ id: SocketID) {
    let table = Self.table(id)
    guard id.index >= 0, id.index < tables[table].count else { return }
    // Safe: a waiter in the table is alive, see above.
    if let waiter = unsafe tables[table][id.index].waiter { unsafe waiter.takeUnretainedValue().signal() }
  }
}
