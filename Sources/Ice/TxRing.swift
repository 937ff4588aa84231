import IceHardware
import NetNamespace
import SkBuff
import Trace

/// The driver's side of a transmit queue. Linux: `struct ice_tx_ring`.
///
/// `nextToUse` is where the next descriptor goes, `nextToClean` the oldest not yet given back; one descriptor
/// is always left unused so that equal means empty.
struct TxRing: ~Copyable {
  /// Descriptors to a cache line: as many are kept free so that the device's and the driver's never share one.
  static var descriptorsPerCacheLine: Int { 4 }
  /// Room for the largest packet: its fragments, its linear area, a context descriptor, a cache line.
  /// Linux: DESC_NEEDED
  static var descriptorsNeeded: Int { SkBuff.maximumFragments + 1 + 1 + descriptorsPerCacheLine }
  /// Free descriptors at which a stopped queue starts again. Linux: TX_WAKE_THRESHOLD
  static var wakeThreshold: Int { 2 * descriptorsNeeded }

  let ring: TxDescriptorRing
  private let registers: RegisterFile
  private let iommu: IOMMU
  private let buffers: TxBufferTable
  private(set) var nextToUse = 0
  private(set) var nextToClean = 0
  /// Linux: `__QUEUE_STATE_DRV_XOFF`
  private(set) var isStopped = false
  /// The device has refused what was on the ring (MDD): only a reset starts the queue again.
  private(set) var isFaulted = false
  /// How often each `MaliciousDriverEvent` was seen, by raw value.
  var faultCounts = InlineArray<16, UInt64>(repeating: 0)
  private var packetsSinceDoorbell = 0
  /// Longest frame on the wire, bytes. One that is longer would stop the whole queue (MDD), so it is dropped here.
  private let maxFrameByteCount: Int
  var statistics = TxStatistics()

  init(bus: IceBus, maxFrameByteCount: Int) {
    self.maxFrameByteCount = maxFrameByteCount
    ring = bus.txRing
    registers = bus.registers
    iommu = bus.iommu
    buffers = TxBufferTable(count: bus.txRing.count)
  }

  /// Free descriptors. Linux: ICE_DESC_UNUSED
  var unusedCount: Int {
    (nextToClean > nextToUse ? 0 : ring.count) + nextToClean - nextToUse - 1
  }

  @inline(__always) private func advance(_ index: Int) -> Int { index + 1 == ring.count ? 0 : index + 1 }

  // MARK: Transmit

  /// Linux: `ice_start_xmit()`, `ice_xmit_frame_ring()`.
  mutating func startTransmit(_ given: consuming SkBuff, ringsDoorbell: Bool, net: inout Net) -> NetdevTx {
    var skb = given
    skb.checkInvariants()
    guard TxGather.pad(&skb), skb.mayPull(min(skb.length, 14)) else {
      return dropped(skb, .noMemory, ringsDoorbell: ringsDoorbell, tracer: net.tracer)
    }
    if !skb.isGSO && skb.length > maxFrameByteCount {
      return dropped(skb, .deviceTooLong, ringsDoorbell: ringsDoorbell, tracer: net.tracer)
    }
    var count = TxGather.descriptorCount(skb)
    net.tracer.record(
      .ice_start_xmit, skb: skb.serial, socket: skb.socket, UInt64(skb.length), UInt64(count),
      UInt64(nextToUse))
    if TxGather.needsLinearize(skb, descriptorCount: count) {
      statistics.linearizedCount += 1
      guard let linear = TxGather.linearize(skb) else {
        if ringsDoorbell { ringDoorbell(tracer: net.tracer) }
        return .ok(byteCount: 0)
      }
      skb = linear
      count = TxGather.descriptorCount(skb)
    }
    if unusedCount < count + Self.descriptorsPerCacheLine + 1 {
      isStopped = true
      statistics.busyCount += 1
      // Packets before this one may still wait for their doorbell, and only completions restart the queue.
      ringDoorbell(tracer: net.tracer)
      return .busy(skb)
    }

    var offload = TxOffload()
    guard offload.prepareSegmentation(&skb), offload.prepareChecksum(&skb) else {
      return dropped(skb, .gsoFailed, ringsDoorbell: ringsDoorbell, tracer: net.tracer)
    }
    if offload.headerByteCount + offload.context.segmentByteCount > maxFrameByteCount {
      return dropped(skb, .gsoFailed, ringsDoorbell: ringsDoorbell, tracer: net.tracer)
    }
    offload.prepareUplink(skb)
    if offload.context.command.contains(.tso) {
      net.tracer.record(
        .ice_tso, skb: skb.serial, socket: skb.socket, UInt64(offload.headerByteCount),
        UInt64(offload.context.segmentByteCount), UInt64(offload.context.tsoByteCount))
    }
    return map(skb, offload, ringsDoorbell: ringsDoorbell, tracer: net.tracer)
  }

  private mutating func dropped(
    _ skb: consuming SkBuff, _ reason: DropReason, ringsDoorbell: Bool, tracer: Tracer
  ) -> NetdevTx {
    statistics.dropCount += 1
    skb.drop(reason)
    // The batch ends here all the same.
    if ringsDoorbell { ringDoorbell(tracer: tracer) }
    return .ok(byteCount: 0)
  }

  /// Maps the packet's memory and fills its descriptors. Linux: `ice_tx_map()`.
  private mutating func map(
    _ skb: consuming SkBuff, _ offload: TxOffload, ringsDoorbell: Bool, tracer: Tracer
  ) -> NetdevTx {
    let first = nextToUse
    var index = first
    if offload.needsContext {
      ring[index] = offload.context.packed
      index = advance(index)
    }
    let head = skb.headLength
    guard let linear = iommu.map(skb.linear, .toDevice) else {
      statistics.mappingErrorCount += 1
      return dropped(skb, .deviceDMAMapping, ringsDoorbell: ringsDoorbell, tracer: tracer)
    }
    var last = index
    index = fill(index, linear, byteCount: head, offload, last: &last)
    var fragment = 0
    let fragments = skb.fragmentCount
    while fragment < fragments {
      let byteCount = skb.fragmentByteCount(fragment)
      fragment += 1
      if byteCount == 0 { continue }
      guard let address = iommu.map(skb.fragment(fragment - 1), .toDevice) else {
        iommu.unmap(linear)
        unwindFragments(from: first, to: index)
        statistics.mappingErrorCount += 1
        return dropped(skb, .deviceDMAMapping, ringsDoorbell: ringsDoorbell, tracer: tracer)
      }
      tracer.record(
        .ice_tx_map, skb: skb.serial, socket: skb.socket, UInt64(index), address.rawValue, UInt64(byteCount)
      )
      buffers.set(index, .fragment(address))
      index = fill(index, address, byteCount: byteCount, offload, last: &last)
    }
    tracer.record(
      .ice_tx_map, skb: skb.serial, socket: skb.socket, UInt64(last), linear.rawValue, UInt64(head))
    skb.stamp(.sent)
    // The last descriptor ends the packet and asks for the write-back: EOP 0x1 and RS 0x2, from bit 4.
    let words = ring[last]
    ring[last] = TxQuadWords(
      first: words.first, second: words.second | UInt64(TxDataCommand.lastDescriptor.rawValue) << 4)

    let byteCount = max(skb.length, 60) + (offload.segmentCount - 1) * offload.headerByteCount
    statistics.packetCount += UInt64(offload.segmentCount)
    statistics.byteCount += UInt64(byteCount)
    // The descriptors are whole before the packet is marked as being there, and before the doorbell.
    writeBarrier()
    buffers.set(
      first,
      .packet(
        HardwareOwnedPacket(
          skb: skb, linear: linear, lastDescriptor: last, byteCount: byteCount,
          segmentCount: offload.segmentCount)))
    nextToUse = index
    packetsSinceDoorbell += 1
    if unusedCount < Self.descriptorsNeeded { isStopped = true }
    if ringsDoorbell || isStopped { ringDoorbell(tracer: tracer) }
    return .ok(byteCount: byteCount)
  }

  /// Fills the descriptors for one mapped buffer, as many as it is split into.
  private func fill(
    _ start: Int, _ address: IOVA, byteCount: Int, _ offload: TxOffload, last: inout Int
  ) -> Int {
    var index = start
    var address = address
    var split = TxGather.Split(byteCount: byteCount, at: address.rawValue)
    while !split.isLast {
      write(index, address, byteCount: split.byteCount, offload)
      index = advance(index)
      address = address.advanced(by: split.byteCount)
      split.advance()
    }
    write(index, address, byteCount: split.byteCount, offload)
    last = index
    return advance(index)
  }

  @inline(__always) private func write(_ index: Int, _ address: IOVA, byteCount: Int, _ offload: TxOffload) {
    ring[index] =
      TxDataDescriptor(
        bufferAddress: address, command: offload.command, offsets: offload.offsets, bufferByteCount: byteCount
      ).packed
  }

  /// Gives back the fragments mapped so far for a packet that failed; the ring is as it was before.
  private func unwindFragments(from first: Int, to end: Int) {
    var index = first
    while index != end {
      if case .fragment(let address) = buffers.take(index) { iommu.unmap(address) }
      index = advance(index)
    }
  }

  /// Tells the device of the descriptors filled since the last time. Linux: `writel(i, tx_ring->tail)`.
  mutating func ringDoorbell(tracer: Tracer) {
    if packetsSinceDoorbell == 0 { return }
    tracer.record(.ice_doorbell, UInt64(nextToUse), UInt64(packetsSinceDoorbell))
    packetsSinceDoorbell = 0
    statistics.doorbellCount += 1
    registers.write(.QTX_COMM_DBELL, UInt64(nextToUse))
  }

  /// The device has stopped the queue: nothing more is put on it, and no completion starts it.
  /// Linux: `ice_handle_mdd_event()`.
  mutating func fault(_ event: MaliciousDriverEvent, tracer: Tracer) {
    isFaulted = true
    isStopped = true
    faultCounts[Int(event.rawValue & 15)] += 1
    tracer.record(.device_malicious_driver, UInt64(event.rawValue), registers.read(.QTX_COMM_HEAD))
  }

  // MARK: Completion

  /// Takes back what the device is done with. Linux: `ice_clean_tx_irq()`.
  ///
  /// - Parameter budget: most packets to free.
  mutating func clean(budget: Int, tracer: Tracer) -> TxCompletion {
    var completion = TxCompletion()
    var left = budget
    while let last = buffers.lastDescriptor(nextToClean) {
      if !ring.isDone(last) { break }
      if left == 0 {
        completion.isOverBudget = true
        break
      }
      left -= 1
      readBarrier()
      if case .packet(let packet) = buffers.take(nextToClean) {
        iommu.unmap(packet.linear)
        completion.byteCount += packet.byteCount
        completion.packetCount += packet.segmentCount
        // The packet ends here, and with it the sk_buff.
      }
      releaseFragments(through: last)
    }
    if completion.packetCount > 0 {
      tracer.record(
        .ice_clean_tx_irq, UInt64(completion.packetCount), UInt64(completion.byteCount), UInt64(nextToClean))
      if isStopped && !isFaulted && unusedCount >= Self.wakeThreshold {
        isStopped = false
        statistics.restartCount += 1
        completion.restarted = true
      }
    }
    return completion
  }

  /// Moves `nextToClean` behind `last`, unmapping fragments on the way.
  private mutating func releaseFragments(through last: Int) {
    var index = nextToClean
    while true {
      if case .fragment(let address) = buffers.take(index) { iommu.unmap(address) }
      if index == last { break }
      index = advance(index)
    }
    nextToClean = advance(last)
  }

  /// Drops every packet on the ring, done or not, and starts at index 0. The device must not be fetching.
  /// Linux: `ice_clean_tx_ring()`.
  ///
  /// - Returns: what the dropped packets had been reported to BQL as.
  mutating func reset() -> TxCompletion {
    var completion = TxCompletion()
    for index in 0..<ring.count {
      switch buffers.take(index) {
      case .free: break
      case .fragment(let address): iommu.unmap(address)
      case .packet(let packet):
        iommu.unmap(packet.linear)
        completion.packetCount += packet.segmentCount
        completion.byteCount += packet.byteCount
      }
      ring[index] = TxQuadWords(first: 0, second: 0)
    }
    nextToUse = 0
    nextToClean = 0
    packetsSinceDoorbell = 0
    completion.restarted = isStopped
    isStopped = false
    isFaulted = false
    registers.write(.QTX_COMM_DBELL, 0)
    return completion
  }
}
