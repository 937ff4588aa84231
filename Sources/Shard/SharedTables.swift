import IPv4
import NetNamespace
import Netfilter
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
  package let connections: any SharedConnections

  /// - Parameters:
  ///   - shard: whose random source keys the tables.
  ///   - count: how many shards there are.
  ///   - groups, connections: none yet.
  package init(
    for shard: inout Shard, count: Int, groups: any SharedGroups, connections: any SharedConnections
  ) {
    steering = SteeringTable(hash: shard.host.net.random.nextKey(), shards: count)
    datagrams = DatagramDirectory(hash: shard.host.net.random.nextKey(), shardCount: count)
    pings = DatagramDirectory(hash: shard.host.net.random.nextKey(), shardCount: count)
    liteDatagrams = DatagramDirectory(hash: shard.host.net.random.nextKey(), shardCount: count)
    identifications = shard.host.internet.identifications
    self.groups = groups
    self.connections = connections
    fastOpenKeys = shard.sockets.tcp.ownFastOpenKeys
  }
}
