import Ice
import NetNamespace
import SkBuff
import Tables
import Timers
import Trace
import Wire

/// A network device: the queue in front of the driver, what the device can do, and who watches it.
/// Linux: `struct net_device` with its one `struct netdev_queue`, `net/core/dev.c`.
///
/// A shard has one device queue, so that the choice of a transmit queue is the choice of a shard, and a flow, which
/// stays in its shard, is never reordered.
public struct NetDevice: ~Copyable {
  private let addressOnly = AddressOnly()
  /// What the host's table of devices knows it by.
  public var interface = InterfaceIndex.none
  public let name: String
  public internal(set) var macAddress: MACAddress
  /// Bytes of IP packet that fit a frame.
  public internal(set) var mtu: Int
  /// What the device does, of what is wanted.
  public internal(set) var features: DeviceFeatures
  /// What is asked for, though it may not work without something that is off. Linux: `wanted_features`.
  public internal(set) var wantedFeatures: DeviceFeatures
  /// What can be asked for. Linux: `hw_features`.
  let offered: DeviceFeatures
  public let transmitQueueLength: Int
  /// Whether packets are taken at all. Linux: `IFF_UP` with carrier.
  public internal(set) var isUp = true
  /// Whether neighbours are asked for their station addresses. Linux: not `IFF_NOARP`.
  public internal(set) var resolvesAddresses = true
  public var driver: NetDriver

  var qdisc: Qdisc
  var qdiscStatistics = QdiscStatistics()
  /// When a packet that waits for its time is looked at again. Linux: `struct qdisc_watchdog`.
  var qdiscTimer = TimerSlot()
  var ingressKey: TimerKey { TimerKey(kind: .qdisc, id: UInt32(interface.rawValue) | 1 << 16) }
  var qdiscKey: TimerKey { TimerKey(kind: .qdisc, id: UInt32(interface.rawValue)) }
  /// The number that `tc` shows before the colon; 0 for the one that the device came with. Linux: `q->handle`.
  var qdiscHandle: UInt16 = 0
  private var lastHandle: UInt16 = 0x8000
  var ingress = IngressQueue()
  /// Packets that came in may go up now: call `runIngress`.
  public internal(set) var hasIngressWork = false
  private let defaultQdisc: QdiscConfiguration
  /// Packets that left the queueing discipline, fit for the driver, and could not go or are just going.
  /// Linux: `q->gso_skb`.
  var ready = SkBuffQueue()
  /// The queue has used up its quota, or may run again: call `runQdisc`. Linux: `__QDISC_STATE_SCHED`.
  public internal(set) var hasScheduledWork = false

  /// Byte queue limits of the transmit ring. Linux: `/sys/class/net/*/queues/tx-*/byte_queue_limits`.
  public var limits: DynamicQueueLimits
  /// Linux: `__QUEUE_STATE_STACK_XOFF`.
  public internal(set) var isStoppedByLimits = false

  /// Linux: `__QUEUE_STATE_DRV_XOFF`. Kept here because it is asked several times a packet.
  public internal(set) var isStoppedByDriver = false

  var watchdog = TimerSlot()
  /// When a packet was last given to the driver, or completed by it. Linux: `trans_start`.
  var lastProgress: Instant

  var capture: CaptureRing? = nil
  /// Whether packet taps are on; kept apart so that off costs one branch.
  public internal(set) var isCapturing = false
  public internal(set) var statistics = LinkStatistics()

  /// The largest packet with segmentation, Ethernet header included. Linux: `gso_max_size`.
  public static let gsoMaximumByteCount = 65536
  /// Least and largest MTU. Linux: `ETH_MIN_MTU`; the loopback's for the upper end.
  public static let mtuRange = 68...65536
  /// Packets one run of the queue may take before others get their turn. Linux: `dev_tx_weight`.
  public static let transmitQuota = 64

  /// A device over a NIC that `ice` drives.
  public init(configuration: NetDeviceConfiguration, driver: consuming IceDriver, net: inout Net) {
    self.init(configuration: configuration, driver: NetDriver(driver), net: &net)
  }

  /// - Precondition: the configured MTU is in `mtuRange`.
  public init(configuration: NetDeviceConfiguration, driver: consuming NetDriver, net: inout Net) {
    precondition(Self.mtuRange.contains(configuration.mtu), "a device's MTU is 68 to 65536 bytes")
    name = configuration.name
    macAddress = configuration.macAddress
    mtu = configuration.mtu
    // What software does is every device's. Linux: `NETIF_F_SOFT_FEATURES`.
    offered = configuration.features.union(.gro)
    wantedFeatures = offered
    features = offered.consistent
    transmitQueueLength = configuration.transmitQueueLength
    self.driver = driver
    defaultQdisc = configuration.qdisc
    qdisc = Qdisc(
      configuration.qdisc, limit: configuration.transmitQueueLength, now: net.now, random: &net.random)
    limits = DynamicQueueLimits(now: net.now)
    lastProgress = net.now
  }

  /// Bytes to leave free in front of the IP header: an Ethernet header, rounded up so that it can be written in one
  /// aligned 16-byte store. Linux: `LL_RESERVED_SPACE()`.
  @inlinable public static var neededHeadroom: Int { 16 }
  @inlinable public var gsoMaximumByteCount: Int { Self.gsoMaximumByteCount }

  /// What it sends comes back at once. Linux: `IFF_LOOPBACK`.
  public var isLoopback: Bool { driver.isLoopback }
  /// Packets that wait above the driver.
  public var queueLength: Int { qdisc.count + ready.count }
  /// The driver, or the byte limit, takes no packets now. Linux: `netif_xmit_frozen_or_stopped()`.
  @inlinable public var isStopped: Bool { isStoppedByLimits || isStoppedByDriver }

  /// Linux: `dev_set_mtu()`.
  ///
  /// - Throws: EINVAL outside 68...65536, or above what the driver was opened for.
  public mutating func setMTU(_ value: Int) throws(Errno) {
    guard Self.mtuRange.contains(value), value <= max(mtu, driver.maximumMTU) else {
      throw .EINVAL
    }
    mtu = value
  }

  /// Brings the link up or takes it down; what waits to go out or to come in is dropped then. Linux: `dev_activate()`,
  /// `dev_deactivate()`.
  public mutating func setLink(up: Bool, now: Instant) {
    guard up != isUp else { return }
    isUp = up
    if !up {
      resetQueue(now: now)
      resetIngress(now: now)
    }
  }

  /// Linux: `IFF_NOARP`.
  public mutating func setResolving(_ isOn: Bool) { resolvesAddresses = isOn }

  /// Drops what waits. Linux: `qdisc_reset()`.
  mutating func resetQueue(now: Instant) {
    let waiting = UInt64(queueLength)
    qdiscStatistics.dropped += waiting
    statistics.sentDropped += waiting
    qdisc.reset(now: now)
    while let skb = ready.popFirst() { skb.drop(.qdiscReset) }
    hasScheduledWork = false
  }

  /// Gives the queueing discipline other parameters, or puts one of another kind in its place: what waits in the old one
  /// is dropped then, and the statistics begin anew. The default one counts as another kind.
  /// Linux: `tc qdisc replace dev ... root`, `tc_modify_qdisc()`.
  public mutating func setQdisc(_ configuration: QdiscConfiguration, net: inout Net) {
    if qdiscHandle != 0 && qdisc.change(to: configuration, now: net.now, statistics: &qdiscStatistics) {
      // What was not to go yet may now.
      hasScheduledWork = queueLength > 0
      return
    }
    qdiscHandle = takeHandle()
    graft(configuration, net: &net)
  }

  /// Linux: `qdisc_alloc_handle()`.
  mutating func takeHandle() -> UInt16 {
    lastHandle = lastHandle == .max ? 0x8001 : lastHandle + 1
    return lastHandle
  }

  /// Puts the queueing discipline that the device came with back. Linux: `tc qdisc del dev ... root`.
  ///
  /// - Throws: ENOENT when it is there already.
  public mutating func resetQdisc(net: inout Net) throws(Errno) {
    guard qdiscHandle != 0 else { throw .ENOENT }
    qdiscHandle = 0
    graft(defaultQdisc, net: &net)
  }

  /// Linux: `dev_graft_qdisc()`.
  private mutating func graft(_ configuration: QdiscConfiguration, net: inout Net) {
    resetQueue(now: net.now)
    qdiscTimer.cancel(in: &net.timers)
    qdisc = Qdisc(configuration, limit: transmitQueueLength, now: net.now, random: &net.random)
    qdiscStatistics = QdiscStatistics()
  }

  /// What `tc -s qdisc` shows.
  public var qdiscSnapshot: QdiscSnapshot {
    var bytes = qdisc.byteCount
    var place = ready.first
    while let here = place {
      bytes += ready.withPacket(at: here) { $0.wireSize.byteCount }
      place = ready.position(after: here)
    }
    return QdiscSnapshot(
      configuration: qdisc.configuration, handle: qdiscHandle, statistics: qdiscStatistics,
      backlogBytes: bytes, backlogPackets: queueLength)
  }

  /// Lets go of every packet and of the driver's rings, before the packet pool ends.
  public mutating func close() {
    isUp = false
    resetQueue(now: lastProgress)
    ingress.reset(now: lastProgress)
    driver.close()
    stopCapture()
  }
}
