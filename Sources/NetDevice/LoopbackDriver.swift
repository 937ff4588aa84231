import Ice
import NetNamespace
import SkBuff
import Wire

/// The driver of `lo`: what is sent is received at once, and nothing of it is kept. Linux: `drivers/net/loopback.c`.
public struct LoopbackDriver: Sendable {
  /// Linux: `loopback_setup()`.
  public static let mtu = 65536
  /// Nothing is ever cut.
  static let segmentByteCounts = 1...Int.max

  public init() {}

  /// Linux: `loopback_xmit()`.
  ///
  /// - Parameter skb: data at its Ethernet header, network header marked.
  /// - Returns: `.delivered`, with the bytes that came back, from the network header on; 0 when the backlog is full.
  func startXmit(_ skb: consuming SkBuff, net: inout Net) -> NetdevTx {
    skb.stamp(.sent)
    skb.pull(EthernetHeader.byteCount)
    let byteCount = skb.length
    skb.interface = .loopback
    return .delivered(byteCount: net.loopBack(skb) ? byteCount : 0)
  }
}

extension NetDevice {
  /// A host's first device. Linux: `loopback_net_init()`.
  public static func loopback(net: inout Net) -> NetDevice {
    var device = NetDevice(
      configuration: NetDeviceConfiguration(
        name: "lo", macAddress: .zero, mtu: LoopbackDriver.mtu,
        features: [.scatterGather, .checksum, .tsoV4, .udpSegmentation], qdisc: .noqueue),
      driver: NetDriver(LoopbackDriver()), net: &net)
    // It is its own only station. Linux: `arp_constructor()` with IFF_LOOPBACK.
    device.resolvesAddresses = false
    return device
  }
}
