import Ice
import IceHardware
import IceModel
import NetDevice
import NetNamespace
@testable import Netfilter
import SkBuff
import Timers
import Trace
import Wire

/// A network device over driver and NIC, in virtual time; what the wire takes lands in `frames`.
final class DeviceBench {
  let tracer = Tracer(capacity: 4096)
  let pool: SkBuffPool
  var net: Net
  let bus: IceBus
  var nic: IceDevice
  var device: NetDevice
  var received = SkBuffQueue()
  var frames: [[UInt8]] = []

  static let mac = MACAddress(0x0200_0000_0002)

  init(
    features: DeviceFeatures = [.scatterGather, .checksum, .tsoV4, .udpSegmentation],
    qdisc: QdiscConfiguration = .pfifoFast, ring: Int = 512, mtu: Int = 1500, isLimited: Bool = true,
    queueLength: Int = 1000, receivesLargeFrames: Bool = false
  ) {
    pool = SkBuffPool(limit: 64 << 20, tracer: tracer)
    net = Net(pool: pool, tracer: tracer, seed: 1, now: Instant(nanoseconds: 1_000_000_000))
    bus = IceBus(txDescriptorCount: ring, rxDescriptorCount: 64)
    nic = IceDevice(bus: bus, configuration: .init(macAddress: Self.mac, maxFrameByteCount: mtu + 14))
    var driver = IceDriver(
      bus: bus,
      configuration: .init(macAddress: Self.mac, mtu: mtu, receivesLargeFrames: receivesLargeFrames))
    driver.open(net: &net)
    device = NetDevice(
      configuration: NetDeviceConfiguration(
        name: "test0", macAddress: Self.mac, mtu: mtu, features: features, qdisc: qdisc,
        transmitQueueLength: queueLength), driver: driver, net: &net)
    // A limit no test reaches, where byte queue limits are not the subject.
    if !isLimited {
      device.limits.minimumLimit = 1 << 30
      device.limits.reset(now: net.now)
    }
  }

  deinit {
    device.close()
    received.removeAll()
    // Traps when a packet was leaked.
    pool.destroy()
    tracer.destroy()
  }

  func send(_ skb: consuming SkBuff) -> XmitResult { device.queueXmit(PassedPacket(skb), net: &net) }

  /// Lets the NIC put everything it has on the wire.
  func transmit() {
    var vector = FrameVector()
    var metadata = WireFrameMetadata()
    while nic.fetchFrame(into: &vector, metadata: &metadata, now: net.now) {
      frames.append(vector.bytes)
      nic.frameDone(accepted: true)
    }
  }

  /// One interrupt's work, without running a queue whose quota is used up.
  @discardableResult
  func poll() -> Bool { device.poll(into: &received, net: &net) }

  /// The composition root's loop, until nothing moves.
  func settle() {
    var isMoving = true
    while isMoving {
      let before = frames.count
      transmit()
      isMoving = poll() || frames.count > before
      if device.hasScheduledWork {
        device.runQdisc(net: &net)
        isMoving = true
      }
      if nic.hasTransmitWork && !nic.faults.isTransmitStalled { isMoving = true }
    }
  }

  /// Moves the clock and hands out what expires.
  func advance(_ span: Nanoseconds) {
    net.advance(to: net.now + span)
    while let (key, due) = net.timers.popExpired(now: net.now) {
      device.timerExpired(key, due: due, net: &net)
    }
  }

  func receive(_ frame: [UInt8]) { nic.receive(frame.span, now: net.now) }

  var points: [TracePoint] { tracer.records(from: 0).records.map(\.point) }
  func count(_ point: TracePoint) -> Int { points.count { $0 == point } }
  var doorbells: UInt64 { device.driver.ice.statistics.tx.doorbellCount }
}
