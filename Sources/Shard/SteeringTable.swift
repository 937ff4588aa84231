import InetSocket
import Synchronization
import Tables

/// Which of a stack's shards a TCP segment is for: who has a local port, who listens on it, and who has a connection.
/// One table for all shards, read without a lock for every segment. Linux: `rps_sock_flow_table`, and what
/// `reuseport_select_sock()` chooses by.
///
/// Safety: the memory holds atomics, as many as the constants say, from `init` to `deinit`; a port and a flow's place
/// are always below those.
@safe
package final class SteeringTable: Sendable {
  private static let portCount = 65536
  private static let flowCount = 65536
  /// A bit for each shard, by port: bound, listening, or with a connection on it.
  private nonisolated(unsafe) let users: UnsafeMutablePointer<Atomic<UInt64>>
  /// A bit for each shard, by port: listening.
  private nonisolated(unsafe) let listeners: UnsafeMutablePointer<Atomic<UInt64>>
  /// By a hash of the flow, 1 plus the shard whose connection last came to stand there; 0: none. A hint: two flows may
  /// have one place.
  private nonisolated(unsafe) let flows: UnsafeMutablePointer<Atomic<UInt8>>
  private let keyed: SipHash

  package init(hash: SipHash) {
    keyed = hash
    unsafe users = .allocate(capacity: Self.portCount)
    unsafe listeners = .allocate(capacity: Self.portCount)
    for port in 0..<Self.portCount {
      unsafe (users + port).initialize(to: Atomic(0))
      unsafe (listeners + port).initialize(to: Atomic(0))
    }
    unsafe flows = .allocate(capacity: Self.flowCount)
    for place in 0..<Self.flowCount { unsafe (flows + place).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe users.deinitialize(count: Self.portCount)
    unsafe users.deallocate()
    unsafe listeners.deinitialize(count: Self.portCount)
    unsafe listeners.deallocate()
    unsafe flows.deinitialize(count: Self.flowCount)
    unsafe flows.deallocate()
  }

  /// The shards that have a port, a bit for each.
  package func users(of port: UInt16) -> UInt64 { unsafe users[Int(port)].load(ordering: .acquiring) }

  /// The shards that have a listener on a port, a bit for each.
  package func listeners(on port: UInt16) -> UInt64 { unsafe listeners[Int(port)].load(ordering: .acquiring) }

  package func set(_ change: PortChange, shard: Int) {
    unsafe Self.set(shard, change.isInUse, in: users + Int(change.port))
    unsafe Self.set(shard, change.isListenedOn, in: listeners + Int(change.port))
  }

  private static func set(_ shard: Int, _ isThere: Bool, in word: UnsafeMutablePointer<Atomic<UInt64>>) {
    let bit = UInt64(1) << UInt64(shard)
    if isThere {
      unsafe word.pointee.bitwiseOr(bit, ordering: .acquiringAndReleasing)
    } else {
      unsafe word.pointee.bitwiseAnd(~bit, ordering: .acquiringAndReleasing)
    }
  }

  private func place(of flow: FourTuple) -> Int {
    Int(keyed.tableHash(local: flow.local, remote: flow.remote) >> 16 & UInt64(Self.flowCount - 1))
  }

  /// The shard that probably has a connection; `nil`: none has, unless another flow took its place.
  package func shard(of flow: FourTuple) -> Int? {
    let word = unsafe flows[place(of: flow)].load(ordering: .acquiring)
    return word == 0 ? nil : Int(word) - 1
  }

  /// A connection of the shard came into being, or ended.
  package func set(_ flow: FourTuple, shard: Int, isThere: Bool) {
    let word = UInt8(shard + 1)
    let place = place(of: flow)
    if isThere {
      unsafe flows[place].store(word, ordering: .releasing)
    } else {
      _ = unsafe flows[place].compareExchange(
        expected: word, desired: 0, ordering: .acquiringAndReleasing)
    }
  }

  /// Which of several shards a new flow goes to: always the same, and each as often as the others.
  package func choice(among shards: UInt64, for flow: FourTuple) -> Int {
    let hash = keyed.tableHash(local: flow.local, remote: flow.remote)
    var left = hash.multipliedFullWidth(by: UInt64(shards.nonzeroBitCount)).high
    var rest = shards
    while left > 0 {
      rest &= rest - 1
      left -= 1
    }
    return rest.trailingZeroBitCount
  }
}
