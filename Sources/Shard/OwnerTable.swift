import Sockets
import Tables

/// Who cares about a socket: a program of the shard, or threads and tasks that may be waiting.
@safe
package struct SocketOwner {
  package enum Kind: UInt8 {
    case none
    case program
    /// A `Socket`.
    case waiter
    /// A `Socket` that has been closed and waits for the peer's last acknowledgement (SO_LINGER).
    case lingerer
  }
  package var kind = Kind.none
  /// The socket that stands in the slot.
  package var id = SocketID.none
  /// What waiting threads wait for; empty when nobody waits.
  package var interest: Readiness = []
  /// When the first of the waits that go by the shard's timers is over.
  package var timer = TimerSlot()
  package var program = ProgramID.none
  /// The program's own word about the socket.
  package var note: UInt32 = 0
  /// The first of its watches, one for each set that it is in; -1: nobody watches it.
  package var watch: Int32 = -1
  /// Stands in line for a turn of its program.
  package var isQueued = false
  package var waiter: Unmanaged<Waker>? = nil
}

/// The owner of every socket, by its number, and those that are to be woken when the shard's lock has been left.
///
/// Safety: a `Socket` keeps its waiter alive and takes it out of this table, under the shard's lock, before it lets
/// go of it.
@safe
package struct OwnerTable: ~Copyable {
  private var tables: InlineArray<8, [SocketOwner]> = .init(repeating: [])
  private var noOwner = SocketOwner()
  package var woken = WokenWaiters()
  /// Sockets whose programs have something to do, first come, first served.
  private var line = Fifo(capacity: 64, blank: SocketID.none)
  package var isLineEmpty: Bool { line.isEmpty }

  /// Three bits are the kind, whether or not sockets are of it.
  private static func table(_ id: SocketID) -> Int { Int(id.rawValue >> 29) }

  /// The owner of whatever socket has the number now.
  package subscript(id: SocketID) -> SocketOwner {
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
  package func holds(_ id: SocketID) -> Bool {
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

  package mutating func setWaiter(_ id: SocketID, _ waiter: Waker, kind: SocketOwner.Kind = .waiter) {
    var owner = SocketOwner()
    owner.kind = kind
    owner.id = id
    unsafe owner.waiter = .passUnretained(waiter)
    set(id, owner)
  }

  package mutating func setProgram(_ id: SocketID, _ program: ProgramID, note: UInt32 = 0) {
    var owner = SocketOwner()
    owner.kind = .program
    owner.id = id
    owner.program = program
    owner.note = note
    set(id, owner)
  }

  /// Forgets the owner of this very socket.
  package mutating func clear(_ id: SocketID) {
    if self[id].id == id { self[id] = SocketOwner() }
  }

  /// Puts a program's socket at the end of the line, if it does not stand there already.
  package mutating func enqueue(_ id: SocketID) {
    let table = Self.table(id)
    guard id.index >= 0, id.index < tables[table].count, tables[table][id.index].id == id,
      !tables[table][id.index].isQueued
    else { return }
    // Not by the subscript: it would allocate.
    tables[table][id.index].isQueued = true
    line.append(id)
  }

  /// The socket whose turn it is, and its program; `nil` when nobody has anything to do.
  package mutating func dequeue() -> (socket: SocketID, program: ProgramID)? {
    while let id = line.popFirst() {
      let table = Self.table(id)
      let owner = tables[table][id.index]
      guard owner.id == id, owner.isQueued else { continue }
      tables[table][id.index].isQueued = false
      return (id, owner.program)
    }
    return nil
  }

  /// Wakes everybody who waits on the socket, once the lock has been left.
  package mutating func signal(_ id: SocketID) {
    let table = Self.table(id)
    guard id.index >= 0, id.index < tables[table].count else { return }
    tables[table][id.index].interest = []
    // Safe: a waiter in the table is alive, see above.
    if let waiter = unsafe tables[table][id.index].waiter {
      unsafe woken.append(waiter.takeUnretainedValue())
    }
  }

  /// Wakes everybody who waits on any socket.
  package mutating func signalAll() {
    for table in tables.indices {
      for owner in tables[table] where owner.kind == .waiter || owner.kind == .lingerer { signal(owner.id) }
    }
  }
}
