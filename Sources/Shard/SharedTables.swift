import IPv4
import NetNamespace
import TCP
import UDP

/// What the shards behind one address have in common.
package struct SharedTables: Sendable {
  package let steering: SteeringTable
  package let datagrams: DatagramDirectory
  package let pings: DatagramDirectory
  package let liteDatagrams: DatagramDirectory
  package let identifications: IdentificationTable
  package let groups: any SharedGroups
  package let fastOpenKeys: FastOpenKeys

  /// - Parameters:
  ///   - shard: whose random source keys the tables.
  ///   - count: how many shards there are.
  ///   - groups: none yet.
  package init(for shard: inout Shard, count: Int, groups: any SharedGroups) {
    steering = SteeringTable(hash: shard.host.net.random.nextKey())
    datagrams = DatagramDirectory(hash: shard.host.net.random.nextKey(), shardCount: count)
    pings = DatagramDirectory(hash: shard.host.net.random.nextKey(), shardCount: count)
    liteDatagrams = DatagramDirectory(hash: shard.host.net.random.nextKey(), shardCount: count)
    identifications = shard.host.internet.identifications
    self.groups = groups
    fastOpenKeys = shard.sockets.tcp.ownFastOpenKeys
  }
}
