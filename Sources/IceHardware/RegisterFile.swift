import Synchronization

/// The device's registers, by the names Intel's data sheet and Linux's `ice_hw_autogen.h` use.
/// Statistics count up from zero and are 64 bits wide (the hardware's are 40 and wrap).
// swift-format-ignore: AlwaysUseLowerCamelCase
@frozen public enum DeviceRegister: Int, CaseIterable, Sendable {
  /// Tx tail doorbell: the index behind the last descriptor the driver has filled.
  case QTX_COMM_DBELL
  /// Rx tail: the index behind the last buffer the driver has posted.
  case QRX_TAIL
  /// Tx head: the next descriptor the device will fetch.
  case QTX_COMM_HEAD
  /// Rx queue context, the part that matters here: see `RxQueueContext`.
  case QRX_CONTEXT
  /// Reset: the driver writes 1, the device forgets its queues and clears it.
  case PFGEN_CTRL
  /// Interrupt enable and moderation, see `InterruptControl`.
  case GLINT_DYN_CTL
  /// Malicious driver detection on Tx, see `MaliciousDriverEvent`. Written once, cleared by reset.
  case GL_MDET_TX_PQM
  /// Good octets received.
  case GLPRT_GORC
  /// Unicast packets received.
  case GLPRT_UPRC
  /// Multicast packets received.
  case GLPRT_MPRC
  /// Broadcast packets received.
  case GLPRT_BPRC
  /// Good octets transmitted.
  case GLPRT_GOTC
  /// Unicast packets transmitted.
  case GLPRT_UPTC
  /// Multicast packets transmitted.
  case GLPRT_MPTC
  /// Broadcast packets transmitted.
  case GLPRT_BPTC
  /// Received frames too short to be Ethernet.
  case GLPRT_RUC
  /// Received frames longer than the largest allowed.
  case GLPRT_ROC
  /// Tx packets dropped because the link was down.
  case GLPRT_TDOLD
  /// Rx packets discarded for want of a buffer.
  case GLV_RDPC
  /// Rx packets discarded for other errors: the receive filter, an IOMMU fault.
  case GLV_REPC
  /// Tx packets discarded: fault injection, the wire's refusal.
  case GLV_TEPC
  /// Accesses the IOMMU refused; bits 0...7 of the next register say why last time.
  case IOMMU_FAULTS
  /// Reason of the last refusal: an `IOMMUFault`.
  case IOMMU_LAST_FAULT

  /// It only counts; the others steer, or say what the device does.
  public var isCounter: Bool { rawValue >= Self.GLPRT_GORC.rawValue && self != .IOMMU_LAST_FAULT }
}

/// The register block, shared by driver and device.
///
/// A handle: copied freely, refers to memory that `IceBus` owns. Doorbells are released by the writer and
/// acquired by the reader. Each register has one writer at a time, so counting needs no locked operation.
@frozen @safe public struct RegisterFile: BitwiseCopyable {
  @usableFromInline let base: UnsafeMutablePointer<Atomic<UInt64>>

  init() {
    unsafe base = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: DeviceRegister.allCases.count)
    for index in 0..<DeviceRegister.allCases.count {
      unsafe (base + index).initialize(to: Atomic(0))
    }
  }

  /// Takes the values of counting registers over from another register file.
  public func copyCounters(of other: RegisterFile) {
    for register in DeviceRegister.allCases where register.isCounter { write(register, other.read(register)) }
  }

  func deallocate() { unsafe base.deallocate() }

  /// Reads a register; all writes made before the value was written are visible afterwards. Linux: `rd32()`.
  @inlinable @inline(__always) public func read(_ register: DeviceRegister) -> UInt64 {
    // One initialized word per case of the enum.
    unsafe base[register.rawValue].load(ordering: .acquiring)
  }

  /// Writes a register; everything written before is visible to whoever reads the value. Linux: `writel()`.
  @inlinable @inline(__always) public func write(_ register: DeviceRegister, _ value: UInt64) {
    // One initialized word per case of the enum.
    unsafe base[register.rawValue].store(value, ordering: .releasing)
  }

  /// Counts; only the register's one writer calls this.
  @inlinable @inline(__always) public func add(_ register: DeviceRegister, _ value: UInt64) {
    // One initialized word per case of the enum.
    let old = unsafe base[register.rawValue].load(ordering: .relaxed)
    unsafe base[register.rawValue].store(old &+ value, ordering: .relaxed)
  }
}

/// GLINT_DYN_CTL: whether the queue pair's interrupt is on, and how often it may fire.
@frozen public struct InterruptControl: Equatable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// What the driver writes at the end of a poll: enable (bit 0), clear pending (bit 1), interval (bits 5...16).
  ///
  /// - Parameter throttleMicroseconds: least time between two interrupts, in steps of 2, up to 8,190.
  @inlinable public init(enabledWithThrottle throttleMicroseconds: Int) {
    rawValue = 0x1 | 0x2 | UInt32(min(max(throttleMicroseconds, 0) / 2, 0xFFF)) << 5
  }

  /// INTENA, bit 0.
  @inlinable public var isEnabled: Bool { rawValue & 1 != 0 }
  /// The interval, microseconds.
  @inlinable public var throttleMicroseconds: Int { Int(rawValue >> 5 & 0xFFF) * 2 }
}

/// QRX_CONTEXT: how the driver wants frames delivered. The hardware keeps these fields in the queue's
/// context (`struct ice_rlan_ctx`), with the same units.
@frozen public struct RxQueueContext: Equatable, Sendable {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// - Parameters:
  ///   - bufferByteCount: size of each posted buffer, a multiple of 128 (DBUF, bits 0...6).
  ///   - maxFrameByteCount: longest frame to deliver, headers included (RXMAX, bits 7...23).
  ///   - computesHash: whether to hash (bit 24).
  ///   - isPromiscuous: whether to deliver frames for other stations (bit 25).
  @inlinable public init(
    bufferByteCount: Int, maxFrameByteCount: Int, computesHash: Bool = false, isPromiscuous: Bool = false
  ) {
    let buffer = UInt64(truncatingIfNeeded: bufferByteCount / 128) & 0x7F
    let frame = UInt64(truncatingIfNeeded: maxFrameByteCount) & 0x1FFFF
    rawValue = buffer | frame << 7 | (computesHash ? 1 << 24 : 0) | (isPromiscuous ? 1 << 25 : 0)
  }

  /// Size of each posted buffer, bytes.
  @inlinable public var bufferByteCount: Int { Int(rawValue & 0x7F) * 128 }
  /// Longest frame to deliver, bytes.
  @inlinable public var maxFrameByteCount: Int { Int(rawValue >> 7 & 0x1FFFF) }
  @inlinable public var computesHash: Bool { rawValue >> 24 & 1 == 1 }
  @inlinable public var isPromiscuous: Bool { rawValue >> 25 & 1 == 1 }
}

/// Why the device stopped a Tx queue: the driver gave it a chain it cannot have meant (MDD).
@frozen public enum MaliciousDriverEvent: UInt8, Sendable, CaseIterable {
  /// The doorbell named an index outside the ring.
  case tailOutOfRange = 1
  /// A descriptor of a type that does not belong here.
  case unknownDescriptorType = 2
  /// A context descriptor in the middle of a packet, or two in a row.
  case misplacedContext = 3
  /// The tail was reached before a descriptor with EOP.
  case missingEndOfPacket = 4
  /// A buffer of length zero.
  case zeroLengthBuffer = 5
  /// More data descriptors for one packet or segment than the device can gather.
  case tooManyBuffers = 6
  /// The packet is shorter than 17 bytes.
  case packetTooShort = 7
  /// The packet, or a segment of it, is longer than the device's largest frame.
  case packetTooLong = 8
  /// MSS outside 64...9668 bytes.
  case segmentSizeOutOfRange = 9
  /// The TSO length is not the packet's length less its headers.
  case tsoLengthMismatch = 10
  /// Header offsets that reach past the packet, or are too short for the header they describe.
  case badHeaderOffsets = 11
  /// TSO without a TCP or UDP header, or an IP type the header's version contradicts.
  case badOffloadRequest = 12
  /// A buffer the IOMMU refused.
  case addressFault = 13

  /// The register's value: VALID (bit 31), MAL_TYPE (bits 26...30), QNUM 0 (bits 12...25).
  public var registerValue: UInt64 { 1 << 31 | UInt64(rawValue) << 26 }

  /// The event in GL_MDET_TX_PQM, nil when VALID is clear.
  public init?(registerValue: UInt64) {
    guard registerValue >> 31 & 1 == 1 else { return nil }
    self.init(rawValue: UInt8(truncatingIfNeeded: registerValue >> 26 & 0x1F))
  }
}
