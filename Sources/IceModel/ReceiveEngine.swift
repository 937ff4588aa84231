import IceHardware
import Tables
import Wire

/// What became of a frame that came in.
@frozen public enum ReceiveOutcome: UInt8, Sendable {
  /// In posted buffers, written back.
  case delivered
  /// For another station.
  case filtered
  /// Shorter than an Ethernet header.
  case tooShort
  /// Longer than the largest frame allowed, or than the posted buffers.
  case tooLong
  /// Too few buffers are posted.
  case noBuffer
  /// No carrier.
  case linkDown
  /// The IOMMU refused a posted buffer.
  case addressFault
}

/// The receive half of the device: posted buffers out, written-back descriptors in.
struct ReceiveEngine: ~Copyable {
  private let addressOnly = AddressOnly()
  private let ring: RxDescriptorRing
  private let registers: RegisterFile
  private let iommu: IOMMU
  var macAddress: MACAddress
  private let hash = ToeplitzHash.standard
  private(set) var head = 0
  /// Posted buffers that the device has fetched, one segment each, from descriptor `head` on: the next frame goes there. They
  /// are kept from frame to frame, as a NIC keeps prefetched descriptors, until a mapping that it may write to ends.
  private var offered = FrameVector(capacity: 64)
  /// The IOMMU's count when they were fetched.
  private var unmapCount: UInt64 = 0

  init(bus: IceBus, macAddress: MACAddress) {
    ring = bus.rxRing
    registers = bus.registers
    iommu = bus.iommu
    self.macAddress = macAddress
  }

  mutating func reset() {
    head = 0
    offered.removeAll()
  }

  var context: RxQueueContext { RxQueueContext(rawValue: registers.read(.QRX_CONTEXT)) }

  /// How many posted buffers the device has not used yet.
  var postedCount: Int {
    let tail = Int(truncatingIfNeeded: registers.read(.QRX_TAIL))
    if tail < 0 || tail >= ring.count { return 0 }
    return tail >= head ? tail - head : tail + ring.count - head
  }

  /// Fetches posted buffers until those at hand hold `byteCount` bytes.
  mutating func offer(byteCount: Int) -> ReceiveOutcome {
    let size = context.bufferByteCount
    let posted = postedCount
    if unmapCount != iommu.fromDeviceUnmapCount || offered.byteCount != offered.count * size
      || offered.count > posted
    {
      offered.removeAll()
      unmapCount = iommu.fromDeviceUnmapCount
    }
    if size == 0 || posted * size < byteCount { return .noBuffer }
    if offered.byteCount >= byteCount { return .delivered }
    return fetch(byteCount: byteCount, size: size)
  }

  private mutating func fetch(byteCount: Int, size: Int) -> ReceiveOutcome {
    var index = head + offered.count
    if index >= ring.count { index -= ring.count }
    while offered.byteCount < byteCount {
      let address = RxReadDescriptor(unpacking: ring[index]).bufferAddress
      switch iommu.translate(address, byteCount: size, .fromDevice) {
      case .memory(let base):
        guard unsafe offered.appendSegment(base, byteCount: size) else { return .tooLong }
      case .fault(let fault):
        registers.add(.IOMMU_FAULTS, 1)
        registers.write(.IOMMU_LAST_FAULT, UInt64(fault.rawValue))
        return .addressFault
      }
      index = index + 1 == ring.count ? 0 : index + 1
    }
    return .delivered
  }

  /// Copies the list of offered buffers into the caller's vector.
  func copyOffered(into vector: inout FrameVector) { vector.copy(offered) }

  /// Copies a frame into the offered buffers, as the device's DMA would.
  func fill(from bytes: UnsafeRawBufferPointer) { unsafe offered.copyBytes(from: bytes) }

  /// The first `byteCount` bytes of the offered buffers are a frame: checks it and writes descriptors back.
  mutating func complete(byteCount: Int, metadata: WireFrameMetadata) -> ReceiveOutcome {
    let context = context
    if byteCount < 14 {
      registers.add(.GLPRT_RUC, 1)
      return .tooShort
    }
    // A frame the wire has coalesced may be longer than the MTU; the posted buffers are its limit.
    let isLong = metadata.gsoType == .none && byteCount > context.maxFrameByteCount
    if byteCount > offered.byteCount || isLong {
      registers.add(.GLPRT_ROC, 1)
      return .tooLong
    }
    let buffer = offered.segment(at: 0)
    let size = buffer.byteCount
    // The frame's first bytes, as many as the first buffer holds.
    let first = unsafe UnsafeRawBufferPointer(start: buffer.base, count: min(size, byteCount))
    guard unsafe isForUs(first, isPromiscuous: context.isPromiscuous, byteCount: byteCount) else {
      registers.add(.GLV_REPC, 1)
      return .filtered
    }
    let isVouchedFor = metadata.needsChecksum || metadata.isDataValid
    let parser = unsafe ReceiveParser(
      first: first, frame: offered, byteCount: byteCount, verifies: !isVouchedFor,
      hashes: context.computesHash ? hash : nil)
    var descriptor = RxFlexDescriptor()
    descriptor.packetType = parser.packetType
    descriptor.status = parser.status
    if isVouchedFor { descriptor.status.insert(.l3l4Processed) }
    if let hash = parser.hash {
      descriptor.rssHash = hash
      descriptor.status.insert(.rssValid)
    }
    if metadata.gsoType != .none {
      descriptor.metadata5 = metadata.gsoSize
      descriptor.status1.insert(.metadata5Valid)
    }
    if metadata.needsChecksum && metadata.checksumStart < 1024 && metadata.checksumOffset < 64 {
      descriptor.metadata4 = metadata.checksumStart | metadata.checksumOffset << 10
      descriptor.status1.insert(.metadata4Valid)
    }
    writeBack(&descriptor, byteCount: byteCount, bufferByteCount: size)
    return .delivered
  }

  private mutating func writeBack(_ descriptor: inout RxFlexDescriptor, byteCount: Int, bufferByteCount: Int)
  {
    var left = byteCount
    var used = 0
    let common = descriptor.status
    while left > 0 {
      let part = min(left, bufferByteCount)
      left -= part
      descriptor.packetByteCount = part
      descriptor.status = left == 0 ? common.union([.done, .endOfFrame]) : .done
      ring.writeBack(head, descriptor.packed)
      head = head + 1 == ring.count ? 0 : head + 1
      used += 1
    }
    offered.removeFirst(used)
  }

  /// The receive filter; also counts what passes.
  private func isForUs(_ first: UnsafeRawBufferPointer, isPromiscuous: Bool, byteCount: Int) -> Bool {
    let destination = unsafe RawSpan(_unsafeBytes: first).loadMAC(EthernetHeader.Offset.destination)
    if destination.isBroadcast {
      registers.add(.GLPRT_BPRC, 1)
    } else if destination.isMulticast {
      registers.add(.GLPRT_MPRC, 1)
    } else if destination == macAddress || isPromiscuous {
      registers.add(.GLPRT_UPRC, 1)
    } else {
      return false
    }
    registers.add(.GLPRT_GORC, UInt64(byteCount))
    return true
  }
}
