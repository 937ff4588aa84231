import DeviceTestSupport
import NetTestSupport
import Ice
import NetDevice
import NetNamespace
@testable import Netfilter
import SkBuff
import Timers
import Trace
import Wire

/// A network device over driver and NIC, in virtual time; what the wire takes lands in `frames`.
final class DeviceBench {
  private let memory = TestMemory(traceCapacity: 4096)
  var tracer: Tracer { memory.tracer }
  var pool: SkBuffPool { memory.pool }
  var net: Net
  var card: TestCard
  var device: NetDevice
  var received = SkBuffQueue()
  var frames: [[UInt8]] = []

  static let mac = TestCard.ownMAC

  init(
    features: DeviceFeatures = [.scatterGather, .checksum, .tsoV4, .udpSegmentation],
    qdisc: QdiscConfiguration = .pfifoFast, ring: Int = 512, mtu: Int = 1500, isLimited: Bool = true,
    queueLength: Int = 1000, receivesLargeFrames: Bool = false
  ) {
    net = memory.net()
    card = TestCard(mtu: mtu, txRing: ring, rxRing: 64)
    device = card.device(
      features: features, qdisc: qdisc, queueLength: queueLength, receivesLargeFrames: receivesLargeFrames,
      net: &net)
    // A limit no test reaches, where byte queue limits are not the subject.
    if !isLimited {
      device.limits.minimumLimit = 1 << 30
      device.limits.reset(now: net.now)
    }
  }

  deinit {
    device.close()
    received.removeAll()
  }

  func send(_ skb: consuming SkBuff) -> XmitResult { device.queueXmit(PassedPacket(skb), net: &net) }

  /// Lets the NIC put everything it has on the wire.
  func transmit() {
    while let frame = card.nextFrame(now: net.now) { frames.append(frame) }
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
      if card.nic.hasTransmitWork && !card.nic.faults.isTransmitStalled { isMoving = true }
    }
  }

  /// Moves the clock and hands out what expires.
  func advance(_ span: Nanoseconds) {
    net.advance(to: net.now + span)
    while let (key, due) = net.timers.popExpired(now: net.now) {
      device.timerExpired(key, due: due, net: &net)
    }
  }

  func receive(_ frame: [UInt8]) { card.nic.receive(frame.span, now: net.now) }

  var points: [TracePoint] { tracer.records(from: 0).records.map(\.point) }
  func count(_ point: TracePoint) -> Int { points.count { $0 == point } }
  var doorbells: UInt64 { device.driver.ice.statistics.tx.doorbellCount }
}
