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
  /// By a hash of the flow: shards with a connection that stands there, and, for each shard, how many it has.
  private let owners = SharedMasks(count: flowCount)
  private let counts: SharedWords<UInt16>
  private let keyed: SipHash

  /// - Parameter shards: how many there are.
  package init(hash: SipHash, shards: Int) {
    keyed = hash
    counts = SharedWords(count: Self.flowCount * shards)
  }

  /// The shards that have a port, a bit for each.
  package func users(of port: UInt16) -> UInt64 { users[Int(port)] }

  /// The shards that have a listener on a port, a bit for each.
  package func listeners(on port: UInt16) -> UInt64 { listeners[Int(port)] }

  private func place(of flow: FourTuple) -> Int {
    Int(keyed.tableHash(local: flow.local, remote: flow.remote) >> 16 & UInt64(Self.flowCount - 1))
  }

  /// The shards that may have a connection, a bit for each: no other has. Two flows may have one place.
  package func shards(of flow: FourTuple) -> UInt64 { owners[place(of: flow)] }

  /// A connection of the shard came into being, or ended; told by whoever holds the shard.
  package func set(_ flow: FourTuple, shard: Int, isThere: Bool) {
    let place = place(of: flow)
    let count = counts.at(shard * Self.flowCount + place) { (count: borrowing Atomic<UInt16>) -> UInt16 in
      (isThere ? count.wrappingAdd(1, ordering: .relaxed) : count.wrappingSubtract(1, ordering: .relaxed))
        .newValue
    }
    owners.set(shard, count != 0, at: place)
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
