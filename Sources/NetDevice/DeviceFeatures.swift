/// What the device does by itself, so that the stack need not. Linux: `netdev_features_t`.
@frozen
public struct DeviceFeatures: OptionSet, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Packets may lie in several pieces. Linux: `NETIF_F_SG`.
  @inlinable public static var scatterGather: DeviceFeatures { DeviceFeatures(rawValue: 1) }
  /// Finishes a partial checksum. Linux: `NETIF_F_IP_CSUM`.
  @inlinable public static var checksum: DeviceFeatures { DeviceFeatures(rawValue: 2) }
  /// Cuts TCP over IPv4 into segments. Linux: `NETIF_F_TSO`.
  @inlinable public static var tsoV4: DeviceFeatures { DeviceFeatures(rawValue: 4) }
  /// Cuts UDP into datagrams. Linux: `NETIF_F_GSO_UDP_L4`.
  @inlinable public static var udpSegmentation: DeviceFeatures { DeviceFeatures(rawValue: 8) }
  /// Received segments of a flow are put together, in software. Linux: `NETIF_F_GRO`.
  @inlinable public static var gro: DeviceFeatures { DeviceFeatures(rawValue: 32) }

  /// Without what cannot work alone: pieces need the device's checksum, segmentation needs both.
  /// Linux: `netdev_fix_features()`.
  public var consistent: DeviceFeatures {
    var result = self
    if !result.contains(.checksum) { result.remove([.scatterGather, .tsoV4, .udpSegmentation]) }
    if !result.contains(.scatterGather) { result.remove([.tsoV4, .udpSegmentation]) }
    return result
  }

  private static let names: [(DeviceFeatures, String)] = [
    (.scatterGather, "tx-scatter-gather"), (.checksum, "tx-checksum-ipv4"), (.tsoV4, "tx-tcp-segmentation"),
    (.udpSegmentation, "tx-udp-segmentation"), (.gro, "rx-gro"),
  ]
  /// `ethtool -k`'s names of what is on.
  public var description: String { list.joined(separator: " ") }
  /// The same, one by one.
  public var list: [String] { Self.names.filter { contains($0.0) }.map(\.1) }
}
