import IPv4
import UDP

/// What the shards behind one address have in common.
package struct SharedTables: Sendable {
  package let steering: SteeringTable
  package let datagrams: DatagramDirectory
  package let pings: DatagramDirectory
  package let identifications: IdentificationTable
  package let groups: any SharedGroups

  /// - Parameters:
  ///   - shard: whose random source keys the tables.
  ///   - groups: none yet.
  package init(for shard: inout Shard, groups: any SharedGroups) {
    steering = SteeringTable(hash: shard.host.net.random.nextKey())
    datagrams = DatagramDirectory(hash: shard.host.net.random.nextKey())
    pings = DatagramDirectory(hash: shard.host.net.random.nextKey())
    identifications = shard.host.internet.identifications
    self.groups = groups
  }
}
