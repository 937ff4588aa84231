import Wire

/// The multicast groups that sockets of any shard of a stack are in. Who makes the shards brings it, and its lock.
public protocol SharedGroups: AnyObject, Sendable {
  func join(_ group: IPv4Address)
  func leave(_ group: IPv4Address)
  func contains(_ group: IPv4Address) -> Bool
}

extension IPv4Layer {
  /// Makes the layer one of several behind one address.
  public mutating func share(_ identifications: IdentificationTable, _ groups: any SharedGroups) {
    self.identifications = identifications
    sharedGroups = groups
  }
}
