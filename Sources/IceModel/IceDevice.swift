import IceHardware
import Tables
import Timers
import Wire

/// The NIC: an E810-style queue pair in software. It knows memory only through the IOMMU, the driver only
/// through descriptors and registers, and the wire only through the frames it gives and takes.
///
/// The composition root drives it; it calls nobody. To transmit:
/// ```
/// while device.fetchFrame(into: &vector, metadata: &metadata, now: now) {
///   switch tap.write(vector, metadata) {
///   case sent: device.frameDone(accepted: true)
///   case wouldBlock: return            // the same frame is offered again by the next fetchFrame
///   case refused: device.frameDone(accepted: false)
///   }
/// }
/// ```
/// To receive: `receiveVector`, read into it, `receiveDone`. Then, if `takeInterrupt`, poll the driver.
public struct IceDevice: ~Copyable {
  /// What is fixed when the device is built.
  public struct Configuration: Sendable {
    /// The station address the receive filter passes.
    public var macAddress: MACAddress
    public var engines: OffloadEngines
    /// Longest frame put on the wire, Ethernet header included and VLAN tags not: MTU + 14.
    public var maxFrameByteCount: Int

    public init(macAddress: MACAddress, engines: OffloadEngines = .own, maxFrameByteCount: Int = 1514) {
      self.macAddress = macAddress
      self.engines = engines
      self.maxFrameByteCount = maxFrameByteCount
    }
  }

  private let addressOnly = AddressOnly()
  public private(set) var configuration: Configuration
  /// Faults to commit.
  public var faults = FaultInjection()
  /// Hundredths of a frame that are still to be dropped.
  private var dropDebt = 0
  /// Keeps the shared memory alive; the hot path goes through the handles.
  private let bus: IceBus
  private let txRing: TxDescriptorRing
  private let registers: RegisterFile
  private var transmit: TransmitEngine
  private var receive: ReceiveEngine
  private var interrupt: InterruptModeration
  private var writeBacks = WriteBackQueue()
  private var inFlight = FramesInFlight()
  private var fetchedAt = Instant.origin

  public init(bus: IceBus, configuration: Configuration) {
    precondition(configuration.maxFrameByteCount >= 60, "A NIC's largest frame is at least 60 bytes.")
    self.bus = bus
    self.configuration = configuration
    registers = bus.registers
    txRing = bus.txRing
    transmit = TransmitEngine(
      bus: bus, engines: configuration.engines, maxFrameByteCount: configuration.maxFrameByteCount)
    receive = ReceiveEngine(bus: bus, macAddress: configuration.macAddress)
    interrupt = InterruptModeration(registers: bus.registers)
  }

  /// The driver's mappings that stand.
  public var mappedCount: Int { bus.iommu.mappedCount }
  /// The driver's mappings that are still to fail.
  public var pendingMappingFailures: Int { bus.iommu.pendingMappingFailures }
  /// Fault injection: so many of the driver's mappings fail, the next or those after some that succeed.
  public func injectMappingFailures(_ count: Int, after successes: Int = 0) {
    bus.iommu.injectMappingFailures(count, after: successes)
  }

  // MARK: Transmit

  /// Whether a call of `fetchFrame` can do anything: descriptors wait behind the doorbell.
  public var hasTransmitWork: Bool {
    !transmit.isStopped && transmit.head != Int(truncatingIfNeeded: registers.read(.QTX_COMM_DBELL))
  }

  /// Sets the address that the receive filter lets through.
  public mutating func setMACAddress(_ address: MACAddress) {
    configuration.macAddress = address
    receive.macAddress = address
  }

  /// Moves to other rings, or takes frames of another length; its faults stay. The driver has to move first.
  public mutating func reopen(on bus: IceBus, maxFrameByteCount: Int) {
    var configuration = configuration
    configuration.maxFrameByteCount = maxFrameByteCount
    let faults = faults
    var inFlight = FramesInFlight()
    swap(&inFlight, &self.inFlight)
    inFlight.forget()
    self = IceDevice(bus: bus, configuration: configuration)
    self.faults = faults
    self.inFlight = inFlight
  }

  /// Why the Tx queue is stopped, nil when it is not.
  public var maliciousDriverEvent: MaliciousDriverEvent? {
    MaliciousDriverEvent(registerValue: registers.read(.GL_MDET_TX_PQM))
  }

  /// The next frame for the wire. Its segments are valid until `frameDone`; until then the same frame comes again.
  ///
  /// - Returns: false when there is nothing to send.
  public mutating func fetchFrame(
    into vector: inout FrameVector, metadata: inout WireFrameMetadata, now: Instant
  ) -> Bool {
    fetchedAt = now
    resetIfAsked()
    if !writeBacks.isEmpty { writeBackDue(now: now) }
    if faults.isTransmitStalled { return false }
    if faults.doorbellsToLose > 0 || faults.lostDoorbell != nil, losesDoorbell() { return false }
    if faults.descriptorsToMisread > 0 && hasTransmitWork {
      faults.descriptorsToMisread -= 1
      transmit.misread()
      interrupt.raise()
      return false
    }
    while true {
      switch transmit.nextFrame(into: &vector, metadata: &metadata) {
      case .empty:
        return false
      case .stopped:
        interrupt.raise()
        return false
      case .completed:
        let done = transmit.completePacket()
        finish(done.lastDescriptor, reportsStatus: done.reportsStatus)
      case .frame:
        if faults.isLinkDown {
          registers.add(.GLPRT_TDOLD, 1)
        } else if faults.framesToDrop > 0 {
          faults.framesToDrop -= 1
        } else if faults.dropPercent > 0 && isNextDropped() {
          // As above.
        } else {
          return true
        }
        frameLost()
      }
    }
  }

  /// Whether what stands in the doorbell register never reached the device.
  private mutating func losesDoorbell() -> Bool {
    let tail = registers.read(.QTX_COMM_DBELL)
    if faults.lostDoorbell == tail { return true }
    guard faults.doorbellsToLose > 0, hasTransmitWork else {
      faults.lostDoorbell = nil
      return false
    }
    faults.doorbellsToLose -= 1
    faults.lostDoorbell = tail
    return true
  }

  /// Whether the share of frames to drop has come together again.
  private mutating func isNextDropped() -> Bool {
    dropDebt += faults.dropPercent
    guard dropDebt >= 100 else { return false }
    dropDebt -= 100
    return true
  }

  /// The wire has taken the frame, or has refused it for good; the memory is not looked at again. After the
  /// last frame of a packet the descriptor is written back and the interrupt has a cause.
  public mutating func frameDone(accepted: Bool) {
    guard let done = transmit.frameDone(isSent: accepted) else { return }
    finish(done.lastDescriptor, reportsStatus: done.reportsStatus)
  }

  /// The wire has taken the frame and reads its memory until `frameOut`, which follows for each, in order; the header
  /// it has copied. The next frame can be fetched meanwhile.
  public mutating func frameTaken() {
    if let frame = transmit.frameTaken() { inFlight.append(frame) }
  }

  /// What became of the first of the frames that the wire has taken; its memory is not looked at again.
  public mutating func frameOut(accepted: Bool) {
    resetIfAsked()
    guard let frame = inFlight.popFirst() else { return }
    frameIsOut(frame, isSent: accepted)
    while let lost = inFlight.popLost() { frameIsOut(lost, isSent: false) }
  }

  private mutating func frameIsOut(_ frame: FrameInFlight, isSent: Bool) {
    transmit.count(byteCount: frame.byteCount, cast: frame.cast, isSent: isSent)
    if frame.lastDescriptor >= 0 { finish(frame.lastDescriptor, reportsStatus: true) }
  }

  /// A fault takes the frame before the wire. The wire may still read earlier frames of its packet, which ends after them.
  private mutating func frameLost() {
    guard !inFlight.isEmpty else { return frameDone(accepted: false) }
    guard var frame = transmit.frameTaken() else { return }
    frame.isLost = true
    inFlight.append(frame)
  }

  private mutating func finish(_ descriptor: Int, reportsStatus: Bool) {
    if !reportsStatus { return }
    if faults.writeBackDelay > .zero || !writeBacks.isEmpty {
      writeBacks.append(descriptor, due: fetchedAt + faults.writeBackDelay)
    } else {
      txRing.writeBackDone(descriptor)
      interrupt.raise()
    }
  }

  private mutating func writeBackDue(now: Instant) {
    while let descriptor = writeBacks.popDue(now: now) {
      txRing.writeBackDone(descriptor)
      interrupt.raise()
    }
  }

  // MARK: Receive

  /// The posted buffers the next frame goes to, for the wire to read straight into: enough for the largest
  /// frame, which is 64 KiB and headers with lent engines.
  ///
  /// - Returns: false when too few buffers are posted; leave the frame on the wire, or `receiveDrop` it.
  public mutating func receiveVector(into vector: inout FrameVector) -> Bool {
    resetIfAsked()
    let largest = configuration.engines == .lent ? 65535 + 18 : receive.context.maxFrameByteCount
    guard receive.offer(byteCount: largest) == .delivered else {
      vector.removeAll()
      return false
    }
    receive.copyOffered(into: &vector)
    return true
  }

  /// The wire has put a frame of `byteCount` bytes into the vector that `receiveVector` gave last.
  @discardableResult
  public mutating func receiveDone(byteCount: Int, metadata: WireFrameMetadata, now: Instant)
    -> ReceiveOutcome
  {
    if faults.isLinkDown { return .linkDown }
    let outcome = receive.complete(byteCount: byteCount, metadata: metadata)
    if outcome == .delivered { interrupt.raise() }
    return outcome
  }

  /// A frame was lost on the wire's side because `receiveVector` had nothing.
  public mutating func receiveDrop() { registers.add(.GLV_RDPC, 1) }

  /// Takes a frame from a simulated wire, copying it into posted buffers as DMA would.
  @discardableResult
  public mutating func receive(
    _ bytes: UnsafeRawBufferPointer, metadata: WireFrameMetadata = WireFrameMetadata(), now: Instant
  ) -> ReceiveOutcome {
    resetIfAsked()
    if faults.isLinkDown { return .linkDown }
    let outcome = receive.offer(byteCount: max(bytes.count, 1))
    switch outcome {
    case .delivered:
      unsafe receive.fill(from: bytes)
      return receiveDone(byteCount: bytes.count, metadata: metadata, now: now)
    case .noBuffer: receiveDrop()
    case .tooLong: registers.add(.GLPRT_ROC, 1)
    default: registers.add(.GLV_REPC, 1)
    }
    return outcome
  }

  /// As above, for bytes in a span.
  @discardableResult
  public mutating func receive(
    _ bytes: Span<UInt8>, metadata: WireFrameMetadata = WireFrameMetadata(), now: Instant
  ) -> ReceiveOutcome {
    unsafe bytes.withUnsafeBytes { unsafe receive($0, metadata: metadata, now: now) }
  }

  // MARK: Interrupt and reset

  /// Whether the interrupt would fire now.
  package func interruptPending(now: Instant) -> Bool {
    guard let deadline = interrupt.deadline else { return false }
    return deadline <= now
  }

  /// Fires the interrupt if it is due; the driver's poll must follow, which re-enables it when it is done.
  public mutating func takeInterrupt(now: Instant) -> Bool {
    resetIfAsked()
    if !writeBacks.isEmpty { writeBackDue(now: now) }
    return interrupt.take(now: now)
  }

  /// When the device wants to be looked at again: a moderated interrupt, or a write-back held back by fault
  /// injection. nil when nothing is pending.
  public var nextInterruptDeadline: Instant? {
    guard let held = writeBacks.deadline else { return interrupt.deadline }
    guard let moderated = interrupt.deadline else { return held }
    return min(held, moderated)
  }

  /// Looked at before anything else is done, so that nothing from before the reset touches memory after it.
  private mutating func resetIfAsked() {
    if registers.read(.PFGEN_CTRL) & 1 != 0 { reset() }
  }

  /// Forgets both queues, as the driver asked through PFGEN_CTRL; statistics stay. A frame offered and not
  /// done is forgotten too.
  private mutating func reset() {
    transmit.reset()
    receive.reset()
    interrupt.reset()
    writeBacks.removeAll()
    inFlight.forget()
    registers.write(.PFGEN_CTRL, 0)
  }
}
