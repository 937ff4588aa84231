import NetDevice
import NetNamespace
import Tables
import Wire

/// The link layer of a host: its network devices by interface index, and who is at their links. RFC 1122's link layer;
/// Linux: `dev_index_head` of `struct net`, and the neighbour tables.
public struct LinkLayer: ~Copyable {
  private let addressOnly = AddressOnly()
  public var devices = DeviceTable()
  /// Neighbours of every device. Linux: `arp_tbl`.
  public var neighbours: NeighbourTable

  /// With `lo`, the first device of every host.
  public init(net: inout Net) {
    neighbours = NeighbourTable(net: &net)
    let loopback = devices.add(.loopback(net: &net))
    precondition(loopback == .loopback, "the loopback is a host's first device")
  }

  /// Linux: `dev_get_by_index()->mtu`.
  ///
  /// - Returns: 0 for an interface that is none.
  public func mtu(of interface: InterfaceIndex) -> Int {
    devices.contains(interface) ? devices[interface].mtu : 0
  }

  /// What a device can do for the packets it sends; nothing for an interface that is none.
  public func features(of interface: InterfaceIndex) -> DeviceFeatures {
    devices.contains(interface) ? devices[interface].features : []
  }

  /// Whether packets can leave by an interface.
  public func isUp(_ interface: InterfaceIndex) -> Bool {
    devices.contains(interface) && devices[interface].isUp
  }

  /// Lets go of every packet, before the packet pool ends.
  public mutating func close(net: inout Net) {
    neighbours.close(net: &net)
    for interface in devices.indices { devices[interface].close() }
    net.dropBacklog()
  }
}

/// The devices of a host by interface index. Linux: `dev_get_by_index()`.
public struct DeviceTable: ~Copyable {
  @usableFromInline var slots = UniqueArray<NetDevice>(capacity: 4)

  init() {}

  /// Linux: `register_netdevice()`.
  ///
  /// - Returns: the device's index from now on: 2 for the first after the loopback.
  public mutating func add(_ device: consuming NetDevice) -> InterfaceIndex {
    let interface = InterfaceIndex(rawValue: UInt16(slots.count + 1))
    device.interface = interface
    _ = slots.append(device)
    return interface
  }

  /// Every device's index, in the order they were added.
  public var indices: [InterfaceIndex] {
    (0..<slots.count).map { InterfaceIndex(rawValue: UInt16($0 + 1)) }
  }

  public func contains(_ interface: InterfaceIndex) -> Bool {
    interface != .none && Int(interface.rawValue) <= slots.count
  }

  /// - Precondition: `contains(interface)`.
  @inlinable
  public subscript(interface: InterfaceIndex) -> NetDevice {
    _read { yield slots[Int(interface.rawValue) - 1] }
    _modify { yield &slots[Int(interface.rawValue) - 1] }
  }
}
