import InetSocket
import NetNamespace
import Tables
import Wire

/// What a four-tuple belongs to: a full socket, a request that waits for the handshake's last ACK, or a connection in
/// TIME-WAIT. Linux: the `ehash` chains hold `struct sock`, `request_sock` and `inet_timewait_sock` alike.
enum ConnectionEntry: Equatable {
  case socket(Int)
  case request(Int)
  case timeWait(Int)

  var encoded: UInt32 {
    switch self {
    case .socket(let index): UInt32(index) << 2
    case .request(let index): UInt32(index) << 2 | 1
    case .timeWait(let index): UInt32(index) << 2 | 2
    }
  }
  init(encoded: UInt32) {
    let index = Int(encoded >> 2)
    switch encoded & 3 {
    case 0: self = .socket(index)
    case 1: self = .request(index)
    default: self = .timeWait(index)
    }
  }
}

/// Four-tuple to connection: open addressing, keyed hash (a peer chooses ports and must not choose chains), growing by
/// doubling. Linux: `inet_ehashfn()`.
///
/// The tuples themselves stand in the connections: a slot has 32 bits of its tuple's hash, and whoever looks compares
/// tuples with those that have the same.
struct ConnectionTable: ~Copyable {
  private struct Slot {
    var hash: UInt32
    var value: UInt32
  }
  private static let free = UInt32.max
  private var slots = [Slot](repeating: Slot(hash: 0, value: free), count: 256)
  private(set) var count = 0
  private let keyed: SipHash
  /// Whether `changes` are kept: of a table that others look into.
  var recordsChanges = false
  /// Connections that came or went, each time they did.
  var changes: [(flow: FourTuple, isThere: Bool)] = []

  init(hash: SipHash) { keyed = hash }

  /// Keyed hash of a tuple.
  func hash(_ tuple: FourTuple) -> UInt32 {
    let hash = keyed.tableHash(local: tuple.local, remote: tuple.remote)
    return UInt32(truncatingIfNeeded: hash ^ hash >> 32)
  }

  /// A walk over the connections that may have a tuple.
  struct Search {
    fileprivate let hash: UInt32
    fileprivate var index: Int
  }
  func search(_ tuple: FourTuple) -> Search {
    let hash = hash(tuple)
    return Search(hash: hash, index: Int(hash))
  }
  func next(_ search: inout Search) -> ConnectionEntry? {
    let mask = slots.count - 1
    while true {
      let slot = slots[search.index & mask]
      if slot.value == Self.free { return nil }
      search.index += 1
      if slot.hash == search.hash { return ConnectionEntry(encoded: slot.value) }
    }
  }

  /// Adds a connection whose tuple no other has.
  mutating func insert(_ tuple: FourTuple, _ entry: ConnectionEntry) {
    if (count + 1) * 2 > slots.count { grow() }
    if recordsChanges { changes.append((tuple, true)) }
    insert(Slot(hash: hash(tuple), value: entry.encoded))
  }

  private mutating func insert(_ slot: Slot) {
    let mask = slots.count - 1
    var index = Int(slot.hash) & mask
    while slots[index].value != Self.free { index = (index + 1) & mask }
    slots[index] = slot
    count += 1
  }

  private mutating func grow() {
    let old = slots
    slots = Array(repeating: Slot(hash: 0, value: Self.free), count: old.count * 2)
    count = 0
    for slot in old where slot.value != Self.free { insert(slot) }
  }

  /// Removes a connection, which has had this tuple since it was added; nothing happens when it is not there.
  mutating func remove(_ tuple: FourTuple, _ entry: ConnectionEntry) {
    let value = entry.encoded
    let mask = slots.count - 1
    var index = Int(hash(tuple)) & mask
    while slots[index].value != Self.free {
      if slots[index].value == value {
        if recordsChanges { changes.append((tuple, false)) }
        return close(index)
      }
      index = (index + 1) & mask
    }
  }

  /// Empties a slot and moves later members of its run back, so that no marker is left behind.
  private mutating func close(_ start: Int) {
    let mask = slots.count - 1
    var hole = start
    var index = (hole + 1) & mask
    while slots[index].value != Self.free {
      let home = Int(slots[index].hash) & mask
      if (index &- home) & mask >= (index &- hole) & mask {
        slots[hole] = slots[index]
        hole = index
      }
      index = (index + 1) & mask
    }
    slots[hole].value = Self.free
    count -= 1
  }
}
