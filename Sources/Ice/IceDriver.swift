import IceHardware
import NetNamespace
import SkBuff
import Tables
import Trace
import Wire

/// The driver of one queue pair. It knows the NIC only as descriptors, registers and mappings.
/// Linux: `drivers/net/ethernet/intel/ice/ice_txrx.c`.
///
/// Call `open` before use and `close` before the sk_buff pool is destroyed. `poll` is what the interrupt
/// leads to. Byte queue limits are the caller's (NetDevice), fed with what `startXmit` and `poll` return.
public struct IceDriver: ~Copyable {
  private let addressOnly = AddressOnly()
  /// How the interface is set up.
  public struct Configuration: Sendable {
    /// The station address.
    public var macAddress: MACAddress
    /// Largest network packet, bytes.
    public var mtu: Int
    /// Frames of 64 KiB may arrive (a TAP with `IFF_VNET_HDR`): buffers are whole pages then, so that 17
    /// fragments hold one.
    public var receivesLargeFrames: Bool
    /// Least time between two interrupts, microseconds in steps of 2. ethtool: `rx-usecs`
    public var interruptThrottleMicroseconds: Int
    /// Ask the device for an RSS hash per frame.
    public var computesHash: Bool
    /// Deliver frames for other stations too.
    public var isPromiscuous: Bool

    public init(
      macAddress: MACAddress, mtu: Int = 1500, receivesLargeFrames: Bool = false,
      interruptThrottleMicroseconds: Int = 0, computesHash: Bool = false, isPromiscuous: Bool = false
    ) {
      self.macAddress = macAddress
      self.mtu = mtu
      self.receivesLargeFrames = receivesLargeFrames
      self.interruptThrottleMicroseconds = interruptThrottleMicroseconds
      self.computesHash = computesHash
      self.isPromiscuous = isPromiscuous
    }
  }

  /// What one `poll` did.
  @frozen public struct PollResult: Sendable {
    public var tx: TxCompletion
    /// Packets appended to the caller's queue.
    public var receivedCount: Int
    /// Both rings were emptied and the interrupt is on again; otherwise poll again without one.
    public var isComplete: Bool
    /// The device has stopped the Tx queue since the last poll: nothing is sent any more until `reset`.
    public var maliciousDriverEvent: MaliciousDriverEvent?
  }

  /// Most packets one poll frees from the Tx ring. Linux: ICE_DFLT_IRQ_WORK
  public static var txBudget: Int { 256 }
  /// Most packets one poll delivers. Linux: NAPI_POLL_WEIGHT
  public static var rxBudget: Int { 64 }
  /// Smallest segment the hardware cuts, bytes; smaller ones are the stack's. Linux: `ice_features_check()`
  public static var minimumSegmentByteCount: Int { TxContextDescriptor.minSegmentByteCount }
  /// Largest segment the hardware cuts, bytes.
  public static var maximumSegmentByteCount: Int { TxContextDescriptor.maxSegmentByteCount }

  /// What may stand in front of a packet: the Ethernet header and two tags. Linux: `ICE_ETH_PKT_HDR_PAD`
  static let linkHeaderByteCount = 14 + 8

  /// Longest frame that is taken in. An MTU below Ethernet's limits what is sent: a peer that has not heard of it goes on with
  /// frames of its own. Linux: `ice_vsi_cfg_frame_size()`.
  static func receivedFrameByteCount(mtu: Int) -> Int { max(mtu, 1500) + linkHeaderByteCount }

  public private(set) var configuration: Configuration
  /// Keeps the shared memory alive; the hot path goes through handles.
  private let bus: IceBus
  private let registers: RegisterFile
  private var tx: TxRing
  private var rx: RxRing

  public init(bus: IceBus, configuration: Configuration) {
    precondition(configuration.mtu >= 68 && configuration.mtu <= 65535, "An MTU is 68 to 65535 bytes.")
    self.bus = bus
    self.configuration = configuration
    registers = bus.registers
    let frame = Self.receivedFrameByteCount(mtu: configuration.mtu)
    let half = SkBuffPool.pageByteCount / 2
    let isHalf = frame <= half && !configuration.receivesLargeFrames
    tx = TxRing(bus: bus, maxFrameByteCount: configuration.mtu + 14)
    rx = RxRing(
      bus: bus, bufferByteCount: isHalf ? half : SkBuffPool.pageByteCount,
      macAddress: configuration.macAddress)
  }

  /// Lets packets carry memory that only the device reads. Linux: `net_devmem_bind_dmabuf()`.
  ///
  /// Safety: `device` is readable until `forgetMemory`.
  @unsafe public func bindMemory(_ start: UInt, byteCount: Int, to device: UInt) -> Bool {
    unsafe bus.iommu.bind(start, byteCount: byteCount, to: device)
  }
  /// The device refuses it from now on.
  public func closeMemory(_ start: UInt) { bus.iommu.close(start) }
  /// No packet carries it any more.
  public func forgetMemory(_ start: UInt) { bus.iommu.unbind(start) }

  /// Posts receive buffers and enables the interrupt. Linux: `ice_open()`.
  public mutating func open(net: inout Net) {
    registers.write(
      .QRX_CONTEXT,
      RxQueueContext(
        bufferByteCount: rx.bufferByteCount,
        maxFrameByteCount: Self.receivedFrameByteCount(mtu: configuration.mtu),
        computesHash: configuration.computesHash, isPromiscuous: configuration.isPromiscuous
      ).rawValue)
    rx.refill(pool: net.pool)
    enableInterrupt()
  }

  /// Hands a frame to the hardware. The data begins at the Ethernet header; the network header is marked;
  /// a partial checksum holds the pseudo-header's sum. The packet is consumed unless the answer is `.busy`.
  ///
  /// - Parameter ringDoorbell: false when more packets of the same batch follow (`xmit_more`); the tail is
  ///   then written by the batch's last packet, or when the queue stops.
  public mutating func startXmit(
    _ skb: consuming SkBuff, ringDoorbell: Bool, net: inout Net
  ) -> NetdevTx {
    tx.startTransmit(skb, ringsDoorbell: ringDoorbell, net: &net)
  }

  /// Which frames are ours from now on. Linux: `ice_set_mac_address()`.
  public mutating func setMACAddress(_ address: MACAddress) {
    configuration.macAddress = address
    rx.macAddress = address
  }

  /// The driver takes no packets until completions have made room. Linux: `netif_xmit_stopped()`.
  public var isQueueStopped: Bool { tx.isStopped }
  /// Free Tx descriptors.
  package var unusedDescriptorCount: Int { tx.unusedCount }
  /// Packets are on the ring and not yet given back: what the transmit watchdog asks.
  package var hasTransmitsInFlight: Bool { tx.nextToUse != tx.nextToClean }

  /// Takes back transmitted packets. Linux: `ice_clean_tx_irq()`.
  public mutating func cleanTx(budget: Int = IceDriver.txBudget, net: inout Net) -> TxCompletion {
    tx.clean(budget: budget, tracer: net.tracer)
  }

  /// Appends received packets to `queue`, data at the network header. Linux: `ice_clean_rx_irq()`.
  ///
  /// - Returns: how many.
  public mutating func cleanRx(
    budget: Int = IceDriver.rxBudget, into queue: inout SkBuffQueue, net: inout Net
  ) -> Int {
    rx.clean(budget: budget, into: &queue, net: &net)
  }

  /// Cleans both rings; when neither budget ran out, re-enables the interrupt. Linux: `ice_napi_poll()`.
  public mutating func poll(
    budget: Int = IceDriver.rxBudget, into queue: inout SkBuffQueue, net: inout Net
  ) -> PollResult {
    let completion = cleanTx(net: &net)
    let received = cleanRx(budget: budget, into: &queue, net: &net)
    let isComplete = !completion.isOverBudget && received < budget
    if isComplete {
      // A short pool may have left the ring unfilled.
      rx.refill(pool: net.pool)
      enableInterrupt()
    }
    return PollResult(
      tx: completion, receivedCount: received, isComplete: isComplete,
      maliciousDriverEvent: handleMaliciousDriverEvent(net: &net))
  }

  private func enableInterrupt() {
    let control = InterruptControl(enabledWithThrottle: configuration.interruptThrottleMicroseconds)
    registers.write(.GLINT_DYN_CTL, UInt64(control.rawValue))
  }

  /// Why the device has stopped the Tx queue, nil when it has not; `reset` is the way on.
  public var maliciousDriverEvent: MaliciousDriverEvent? {
    MaliciousDriverEvent(registerValue: registers.read(.GL_MDET_TX_PQM))
  }

  /// Linux: `ice_handle_mdd_event()`, which the other-cause interrupt leads to.
  private mutating func handleMaliciousDriverEvent(net: inout Net) -> MaliciousDriverEvent? {
    guard let event = maliciousDriverEvent, !tx.isFaulted else { return nil }
    tx.fault(event, tracer: net.tracer)
    return event
  }

  /// Resets the queue pair: packets on the Tx ring are dropped, receive buffers posted anew. The device must
  /// be idle (with the model in the doorbell it always is). Linux: `ice_tx_timeout()`, then a PF reset.
  ///
  /// - Returns: what the dropped packets had been reported to BQL as.
  public mutating func reset(net: inout Net) -> TxCompletion {
    unsafe bus.stopTransmit?()
    let completion = tx.reset()
    rx.reset()
    registers.write(.PFGEN_CTRL, 1)
    open(net: &net)
    return completion
  }

  /// Moves to other rings, or sets the queue pair up for another MTU. Packets on the old rings are lost; the counters go on.
  /// The device has to move as well. Linux: `ice_set_ringparam()`, `ice_change_mtu()`.
  public mutating func reopen(on bus: IceBus, mtu: Int, net: inout Net) {
    close()
    bus.registers.copyCounters(of: registers)
    var configuration = configuration
    configuration.mtu = mtu
    let (sent, received, faults) = (tx.statistics, rx.statistics, tx.faultCounts)
    self = IceDriver(bus: bus, configuration: configuration)
    tx.statistics = sent
    rx.statistics = received
    tx.faultCounts = faults
    open(net: &net)
  }

  /// Takes everything off the rings: all mappings end, all packets and pages are freed. Linux: `ice_stop()`.
  public mutating func close() {
    registers.write(.GLINT_DYN_CTL, 0)
    unsafe bus.stopTransmit?()
    _ = tx.reset()
    rx.reset()
    registers.write(.PFGEN_CTRL, 1)
  }

  /// Frames received from our own station address.
  public var ownAddressCount: UInt64 { rx.statistics.ownAddressCount }

  /// Every counter. ethtool: `-S`
  public var statistics: IceStatistics {
    IceStatistics(
      tx: tx.statistics, rx: rx.statistics, faultCounts: tx.faultCounts, registers: registers)
  }

  /// ethtool: `-g`
  public var ringParameters: RingParameters { RingParameters(tx: tx.ring.count, rx: rx.ring.count) }
}
