import Synchronization
import Tables

/// Which shards have a local TCP port: bound, listening, or with a connection on it. One table for all shards, read
/// without a lock for every segment.
///
/// Safety: `words` holds `portCount` atomics from `init` to `deinit`; a port is always below that.
@safe
package final class PortOwners: Sendable {
  private static let portCount = 65536
  /// A bit for each shard, by port.
  private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>
  /// Spreads the flows to a port that several shards have; the same in all of them.
  private let keyed: SipHash

  package init(hash: SipHash) {
    keyed = hash
    unsafe words = .allocate(capacity: Self.portCount)
    for port in 0..<Self.portCount { unsafe (words + port).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe words.deinitialize(count: Self.portCount)
    unsafe words.deallocate()
  }

  /// The shards that have a port, a bit for each.
  package func shards(of port: UInt16) -> UInt64 { unsafe words[Int(port)].load(ordering: .acquiring) }

  package func set(_ port: UInt16, shard: Int, isInUse: Bool) {
    let bit = UInt64(1) << UInt64(shard)
    if isInUse {
      unsafe words[Int(port)].bitwiseOr(bit, ordering: .acquiringAndReleasing)
    } else {
      unsafe words[Int(port)].bitwiseAnd(~bit, ordering: .acquiringAndReleasing)
    }
  }

  /// The `turn`-th shard to be asked for a flow among those of `mask`; the first is the flow's own.
  package func candidate(_ turn: Int, of mask: UInt64, remote: SocketAddress) -> Int {
    let hash = keyed.tableHash(remote)
    let count = UInt64(mask.nonzeroBitCount)
    let first = hash.multipliedFullWidth(by: count).high
    var left = (first + UInt64(turn)) % count
    var rest = mask
    while left > 0 {
      rest &= rest - 1
      left -= 1
    }
    return rest.trailingZeroBitCount
  }
}
