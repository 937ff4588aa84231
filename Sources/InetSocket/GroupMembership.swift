import Wire

/// A group that a socket has joined, and where. Linux: `struct ip_mc_socklist`.
public struct GroupMembership: Sendable {
  public var group: IPv4Address
  public var interface: InterfaceIndex
  /// The address that named the interface; any: it was not named by one.
  public var address: IPv4Address
  /// All sources but those that are named; else only those.
  public var isExcluding: Bool
  /// The sources that were named; `nil`: none ever was, and the mode may still change. Linux: `sflist`.
  public var sources: [IPv4Address]?

  public init(
    _ group: IPv4Address, on interface: InterfaceIndex, named address: IPv4Address, excluding: Bool = true
  ) {
    self.group = group
    self.interface = interface
    self.address = address
    isExcluding = excluding
  }
}

/// How a socket sends to groups, and which it hears.
public struct MulticastOptions: Sendable {
  /// `IP_MULTICAST_IF`: the device to send by; `.none`: as the routes say. Linux: `mc_index`.
  public var interface = InterfaceIndex.none
  /// `IP_MULTICAST_IF`: the source to send from; any: the device's. Linux: `mc_addr`.
  public var address = IPv4Address.any
  /// `IP_MULTICAST_LOOP`: members here get a copy of what is sent.
  public var loop = true
  /// `IP_MULTICAST_ALL`: what comes to a group that another socket joined is heard, too.
  public var all = true

  public init() {}
}
