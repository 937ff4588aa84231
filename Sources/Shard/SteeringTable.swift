import InetSocket
import Synchronization
import Tables
import Wire

/// Which of a stack's shards a TCP segment is for: who has a local port, who listens on it, and who has a connection.
/// One table for all shards, read without a lock for every segment. Linux: `rps_sock_flow_table`, and what
/// `reuseport_select_sock()` chooses by.
package final class SteeringTable: Sendable {
  private static let flowCount = 65536
  /// By port: shards with a socket that is bound to it or listens, or with a connection on it.
  package let users = SharedMasks(count: 65536)
  /// By port: shards with a listener.
  package let listeners = SharedMasks(count: 65536)
  /// By a hash of the flow, 1 plus the shard whose connection last came to stand there; 0: none. A hint: two flows may
  /// have one place.
  private let flows = SharedWords<UInt8>(count: flowCount)
  private let keyed: SipHash

  package init(hash: SipHash) { keyed = hash }

  /// The shards that have a port, a bit for each.
  package func users(of port: UInt16) -> UInt64 { users[Int(port)] }

  /// The shards that have a listener on a port, a bit for each.
  package func listeners(on port: UInt16) -> UInt64 { listeners[Int(port)] }

  private func place(of flow: FourTuple) -> Int {
    Int(keyed.tableHash(local: flow.local, remote: flow.remote) >> 16 & UInt64(Self.flowCount - 1))
  }

  /// The shard that probably has a connection; `nil`: none has, unless another flow took its place.
  package func shard(of flow: FourTuple) -> Int? {
    let word = flows.at(place(of: flow)) { $0.load(ordering: .acquiring) }
    return word == 0 ? nil : Int(word) - 1
  }

  /// A connection of the shard came into being, or ended.
  package func set(_ flow: FourTuple, shard: Int, isThere: Bool) {
    let word = UInt8(shard + 1)
    flows.at(place(of: flow)) { (place: borrowing Atomic<UInt8>) -> Void in
      if isThere {
        place.store(word, ordering: .releasing)
      } else {
        _ = place.compareExchange(expected: word, desired: 0, ordering: .acquiringAndReleasing)
      }
    }
  }

  /// Which of several shards a new flow goes to: always the same, and each as often as the others.
  package func choice(among shards: UInt64, for flow: FourTuple) -> Int {
    SharedMasks.choice(among: shards, by: keyed.tableHash(local: flow.local, remote: flow.remote))
  }

  /// Which of `count` shards the fragments of a datagram meet in.
  package func shard(ofFragment header: IPv4Header, count: Int) -> Int {
    let hash = keyed.tableHash(
      UInt64(header.source.rawValue) << 32 | UInt64(header.destination.rawValue),
      UInt64(header.identification) << 8 | UInt64(header.protocol.rawValue))
    return Int(hash.multipliedFullWidth(by: UInt64(count)).high)
  }
}
