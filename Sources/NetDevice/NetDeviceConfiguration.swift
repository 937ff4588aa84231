import Wire

/// How a device is set up. Linux: what `alloc_netdev()` and `ether_setup()` leave in `struct net_device`.
public struct NetDeviceConfiguration: Sendable {
  public var name: String
  public var macAddress: MACAddress
  /// Bytes of IP packet a frame may carry, 68 to 65535.
  public var mtu: Int
  /// What is wanted; the device has those of them that the driver offers as well.
  public var features: DeviceFeatures
  /// What the device comes with, and goes back to.
  public var qdisc: QdiscConfiguration
  /// Packets the queueing discipline holds. Linux: `tx_queue_len`.
  public var transmitQueueLength: Int

  public init(
    name: String, macAddress: MACAddress, mtu: Int = 1500,
    features: DeviceFeatures = [.scatterGather, .checksum, .tsoV4, .udpSegmentation],
    qdisc: QdiscConfiguration = .pfifoFast, transmitQueueLength: Int = 1000
  ) {
    self.name = name
    self.macAddress = macAddress
    self.mtu = mtu
    self.features = features
    self.qdisc = qdisc
    self.transmitQueueLength = transmitQueueLength
  }
}
