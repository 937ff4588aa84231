import Wire

/// What few sockets may bind to, are given when they do not say, and leave by.
public struct BindingOptions: Sendable {
  /// `IP_FREEBIND`: an address that is not ours, or not yet, may be bound to.
  public var freeBind = false
  /// `IP_BIND_ADDRESS_NO_PORT`: `bind()` with port 0 takes none; `connect()`, `listen()` or the first send does.
  public var addressAlone = false
  /// `IP_LOCAL_PORT_RANGE`: the first and the last port that the socket may be given; 0: the system's.
  public var lowestPort: UInt16 = 0
  public var highestPort: UInt16 = 0
  /// `IP_UNICAST_IF`: the device by which datagrams leave that go to no group; `.none`: as the routes say. A stream only
  /// keeps it.
  public var unicastInterface = InterfaceIndex.none

  public init() {}

  /// The ports that may be chosen for the socket. Linux: `inet_sk_get_local_port_range()`.
  public func localPorts(of system: ClosedRange<UInt16>) -> ClosedRange<UInt16> {
    let low = system.contains(lowestPort) ? lowestPort : system.lowerBound
    let high = system.contains(highestPort) ? highestPort : system.upperBound
    return low <= high ? low...high : system
  }
}
