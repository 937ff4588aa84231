import Ice
import IceHardware
import IceModel
import NetDevice
import NetNamespace
import SkBuff
import Timers
import Wire

/// An Ethernet card whose cable a test holds: the NIC model, and the device over driver and bus that a host gets for it.
public struct TestCard: ~Copyable {
  /// The station address of a bench's own card.
  public static let ownMAC = MACAddress(0x0200_0000_0002)

  public let macAddress: MACAddress
  public let bus: IceBus
  public var nic: IceDevice
  private let mtu: Int
  private var vector = FrameVector()
  private var metadata = WireFrameMetadata()

  public init(macAddress: MACAddress = ownMAC, mtu: Int = 1500, txRing: Int = 512, rxRing: Int = 256) {
    self.macAddress = macAddress
    self.mtu = mtu
    bus = IceBus(txDescriptorCount: txRing, rxDescriptorCount: rxRing)
    nic = IceDevice(bus: bus, configuration: .init(macAddress: macAddress, maxFrameByteCount: mtu + 14))
  }

  /// The card's device, its driver open.
  public func device(
    name: String = "test0",
    features: DeviceFeatures = [.scatterGather, .checksum, .tsoV4, .udpSegmentation],
    qdisc: QdiscConfiguration = .pfifoFast, queueLength: Int = 1000, receivesLargeFrames: Bool = false,
    net: inout Net
  ) -> NetDevice {
    var driver = IceDriver(
      bus: bus,
      configuration: .init(macAddress: macAddress, mtu: mtu, receivesLargeFrames: receivesLargeFrames))
    driver.open(net: &net)
    return NetDevice(
      configuration: NetDeviceConfiguration(
        name: name, macAddress: macAddress, mtu: mtu, features: features, qdisc: qdisc,
        transmitQueueLength: queueLength), driver: driver, net: &net)
  }

  /// The next frame that the NIC puts on its wire.
  public mutating func nextFrame(now: Instant) -> [UInt8]? {
    guard nic.fetchFrame(into: &vector, metadata: &metadata, now: now) else { return nil }
    let bytes = vector.bytes
    nic.frameDone(accepted: true)
    return bytes
  }

  /// Frames until driver and device have no more, which a caller that polls the device and runs its queue brings about.
  ///
  /// - Parameters:
  ///   - poll: NAPI, when the NIC has its interrupt.
  ///   - runQdisc: what waited for room in the ring.
  public mutating func frames(now: Instant, poll: () -> Void, runQdisc: () -> Void) -> [[UInt8]] {
    var result: [[UInt8]] = []
    while true {
      let before = result.count
      while let frame = nextFrame(now: now) { result.append(frame) }
      if nic.takeInterrupt(now: now) { poll() }
      runQdisc()
      if result.count == before { return result }
    }
  }

  /// A frame arrives, filled up to the least that Ethernet carries.
  public mutating func receive(_ frame: [UInt8], now: Instant) {
    let padded = frame + [UInt8](repeating: 0, count: max(0, 60 - frame.count))
    _ = nic.receive(padded.span, metadata: WireFrameMetadata(), now: now)
  }
}
