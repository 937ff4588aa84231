import IceHardware
import Tables
import Timers
import Wire

/// The transmit half of the device: turns descriptors into frames on the wire.
///
/// With its own engines it cuts a TSO packet into segments and fills in checksums. With the engines lent
/// to the wire it hands over the packet in one piece, its payload untouched where the driver mapped it,
/// and says in the metadata what is left to do.
struct TransmitEngine: ~Copyable {
  private let addressOnly = AddressOnly()
  let engines: OffloadEngines
  let maxFrameByteCount: Int
  private let fetch: DescriptorFetch
  private let scratch = HeaderScratch()
  private var gather = FrameVector(capacity: 128)
  private var packet = TransmitPacket()
  private var hasPacket = false
  private(set) var head = 0
  /// Set by a malformed chain until reset.
  private(set) var isStopped = false
  /// What the current frame moves the cursor to.
  private var nextSegment = 0
  private var nextOffset = 0
  private var framePayloadByteCount = 0
  private(set) var frameByteCount = 0

  init(bus: IceBus, engines: OffloadEngines, maxFrameByteCount: Int) {
    self.engines = engines
    self.maxFrameByteCount = maxFrameByteCount
    fetch = DescriptorFetch(ring: bus.txRing, iommu: bus.iommu, registers: bus.registers)
  }

  /// Back to the state after power-up.
  mutating func reset() {
    head = 0
    hasPacket = false
    isStopped = false
    fetch.registers.write(.QTX_COMM_HEAD, 0)
    fetch.registers.write(.GL_MDET_TX_PQM, 0)
  }

  /// What `nextFrame` found.
  enum Outcome {
    case frame
    case empty
    /// A dummy packet was taken off the ring without a frame; the caller completes it.
    case completed
    /// A malformed chain has just stopped the queue; the driver is to be told.
    case stopped
  }

  /// Puts the frame to be sent next into `vector`. The same frame comes again until `frameDone`.
  mutating func nextFrame(into vector: inout FrameVector, metadata: inout WireFrameMetadata) -> Outcome {
    if isStopped { return .empty }
    do {
      if !hasPacket {
        guard try fetch.fetch(at: head, into: &packet, gather: &gather) else { return .empty }
        if packet.isDummy { return .completed }
        try fetch.prepare(&packet, gather: gather, scratch: scratch)
        hasPacket = true
      }
      try build(into: &vector, metadata: &metadata)
      return .frame
    } catch {
      stop(error)
      vector.removeAll()
      return .stopped
    }
  }

  /// Fault injection: takes the next descriptor for one of a type that does not exist.
  mutating func misread() { stop(.malicious(.unknownDescriptorType, descriptor: head)) }

  /// The current frame is on the wire, or lost.
  ///
  /// - Returns: the packet's last descriptor when this was its last frame, for the write-back.
  mutating func frameDone(isSent: Bool) -> (lastDescriptor: Int, reportsStatus: Bool)? {
    if !hasPacket { return nil }
    count(byteCount: frameByteCount, cast: packet.cast, isSent: isSent)
    return passFrame()
  }

  /// The wire has taken the current frame and will tell later what became of it.
  mutating func frameTaken() -> FrameInFlight? {
    if !hasPacket { return nil }
    var frame = FrameInFlight(byteCount: frameByteCount, cast: packet.cast)
    if let done = passFrame(), done.reportsStatus { frame.lastDescriptor = done.lastDescriptor }
    return frame
  }

  /// Moves the cursor behind the current frame, and the head behind its packet if it was the last.
  private mutating func passFrame() -> (lastDescriptor: Int, reportsStatus: Bool)? {
    packet.payloadOffset += framePayloadByteCount
    packet.segmentIndex += 1
    packet.cursorSegment = nextSegment
    packet.cursorOffset = nextOffset
    if packet.needsHeader && packet.payloadOffset < packet.payloadByteCount { return nil }
    return completePacket()
  }

  /// Moves the head past the current packet.
  mutating func completePacket() -> (lastDescriptor: Int, reportsStatus: Bool) {
    hasPacket = false
    head = packet.nextDescriptor
    fetch.registers.write(.QTX_COMM_HEAD, UInt64(head))
    return (packet.lastDescriptor, packet.reportsStatus)
  }

  private mutating func stop(_ refusal: DescriptorFetch.Refusal) {
    isStopped = true
    hasPacket = false
    switch refusal {
    case .malicious(let event, _):
      fetch.registers.write(.GL_MDET_TX_PQM, event.registerValue)
    case .fault(let fault, _):
      fetch.registers.add(.IOMMU_FAULTS, 1)
      fetch.registers.write(.IOMMU_LAST_FAULT, UInt64(fault.rawValue))
      fetch.registers.write(.GL_MDET_TX_PQM, MaliciousDriverEvent.addressFault.registerValue)
    }
  }

  func count(byteCount: Int, cast: TransmitPacket.Cast, isSent: Bool) {
    let registers = fetch.registers
    guard isSent else { return registers.add(.GLV_TEPC, 1) }
    registers.add(.GLPRT_GOTC, UInt64(byteCount))
    switch cast {
    case .unicast: registers.add(.GLPRT_UPTC, 1)
    case .multicast: registers.add(.GLPRT_MPTC, 1)
    case .broadcast: registers.add(.GLPRT_BPTC, 1)
    }
  }

  // MARK: Building the frame

  private mutating func build(
    into vector: inout FrameVector, metadata: inout WireFrameMetadata
  ) throws(DescriptorFetch.Refusal) {
    vector.removeAll()
    metadata = WireFrameMetadata()
    metadata.firstDescriptor = UInt16(truncatingIfNeeded: packet.firstDescriptor)
    metadata.lastDescriptor = UInt16(truncatingIfNeeded: packet.lastDescriptor)
    metadata.segmentIndex = UInt16(truncatingIfNeeded: packet.segmentIndex)
    let isWhole = !packet.isTSO || engines == .lent
    let left = packet.payloadByteCount - packet.payloadOffset
    let payload = isWhole ? left : min(left, packet.context?.segmentByteCount ?? left)
    metadata.isLastOfPacket = payload == left
    framePayloadByteCount = payload
    if packet.needsHeader {
      scratch.beginFrame(headerByteCount: packet.headerByteCount, tagByteCount: packet.tagByteCount)
      let header = packet.headerByteCount + packet.tagByteCount
      try unsafe append(scratch.work, byteCount: header, to: &vector)
    }
    let sum = try appendPayload(payload, isSummed: needsOwnSum, to: &vector)
    if packet.needsHeader { finishHeader(payload: payload, sum: sum, metadata: &metadata) }
    let limit = packet.isTSO && engines == .lent ? 65535 + packet.macByteCount : maxFrameByteCount
    if vector.byteCount > limit + packet.tagByteCount {
      throw .malicious(.packetTooLong, descriptor: packet.firstDescriptor)
    }
    if vector.byteCount < 60 {
      try unsafe append(scratch.padding, byteCount: 60 - vector.byteCount, to: &vector)
    }
    frameByteCount = vector.byteCount
  }

  private var needsOwnSum: Bool { engines == .own && packet.command.transportType.rawValue != 0 }

  private func append(
    _ base: UnsafeMutableRawPointer, byteCount: Int, to vector: inout FrameVector
  ) throws(DescriptorFetch.Refusal) {
    // The caller's vector is as large as the device's own gather list, or the frame is refused.
    guard unsafe vector.append(base, byteCount: byteCount) else {
      throw .malicious(.tooManyBuffers, descriptor: packet.firstDescriptor)
    }
  }

  /// Appends `count` payload bytes from the cursor on, and sums them if asked to.
  private mutating func appendPayload(
    _ count: Int, isSummed: Bool, to vector: inout FrameVector
  ) throws(DescriptorFetch.Refusal) -> InternetChecksum {
    var sum = InternetChecksum()
    var index = packet.cursorSegment
    var offset = packet.cursorOffset
    var done = 0
    var buffers = packet.headerBufferCount
    while done < count {
      let segment = gather.segment(at: index)
      let part = min(segment.byteCount - offset, count - done)
      // offset + part is inside the segment.
      let start = unsafe segment.base + offset
      try unsafe append(start, byteCount: part, to: &vector)
      if isSummed {
        var block = InternetChecksum()
        unsafe block.add(UnsafeRawBufferPointer(start: start, count: part))
        sum.add(block, at: done)
      }
      done += part
      offset += part
      buffers += 1
      if offset == segment.byteCount {
        index += 1
        offset = 0
      }
    }
    // The gather engine's limit holds for each segment it cuts.
    if packet.isTSO && engines == .own && buffers > TxDataDescriptor.maxBuffersPerSegment {
      throw .malicious(.tooManyBuffers, descriptor: packet.firstDescriptor)
    }
    nextSegment = index
    nextOffset = offset
    return sum
  }

  /// Makes the copied header that of this frame.
  private func finishHeader(payload: Int, sum: InternetChecksum, metadata: inout WireFrameMetadata) {
    insertTags()
    let network = packet.macByteCount + packet.tagByteCount
    let transport = network + packet.networkByteCount
    let isLast = packet.payloadOffset + payload == packet.payloadByteCount
    let transportLength = UInt16(truncatingIfNeeded: packet.transportByteCount + payload)
    let kind = packet.command.transportType
    if packet.isTSO {
      let total = UInt16(truncatingIfNeeded: packet.networkByteCount) &+ transportLength
      let ip = packet.command.networkType
      if ip == .ipv6 {
        scratch.store16(total &- 40, network + 4)
      } else {
        scratch.store16(total, network + 2)
        let identification = scratch.load16(network + 4) &+ UInt16(truncatingIfNeeded: packet.segmentIndex)
        scratch.store16(identification, network + 4)
      }
      if kind == .l4TCP {
        segmentTCP(at: transport, isLast: isLast)
      } else {
        scratch.store16(transportLength, transport + 4)
      }
    }
    if packet.command.networkType == .ipv4Checksum {
      scratch.store16(0, network + 10)
      let checksum = scratch.sum(from: network, byteCount: packet.networkByteCount).checksum
      scratch.store16(checksum, network + 10)
    }
    if kind.rawValue == 0 { return }
    let field = transport + (kind == .l4TCP ? 16 : 6)
    if engines == .own {
      // The field holds the pseudo-header's sum; for TSO without the length, which differs by segment.
      var total = scratch.sum(from: transport, byteCount: packet.transportByteCount)
      if packet.isTSO { total.add(transportLength) }
      total.add(sum, at: 0)
      let checksum = total.checksum
      scratch.store16(checksum == 0 && kind == .l4UDP ? 0xFFFF : checksum, field)
      return
    }
    if packet.isTSO {
      var seed = InternetChecksum()
      seed.add(scratch.load16(field))
      seed.add(transportLength)
      scratch.store16(seed.partial, field)
      metadata.gsoType =
        kind == .l4UDP ? .udpL4 : packet.command.networkType == .ipv6 ? .tcpv6 : .tcpv4
      metadata.gsoSize = UInt16(truncatingIfNeeded: packet.context?.segmentByteCount ?? 0)
      metadata.isECN = kind == .l4TCP && scratch.load8(transport + 13) & 0x80 != 0
    }
    metadata.needsChecksum = true
    metadata.headerByteCount = UInt16(truncatingIfNeeded: transport + packet.transportByteCount)
    metadata.checksumStart = UInt16(truncatingIfNeeded: transport)
    metadata.checksumOffset = UInt16(truncatingIfNeeded: field - transport)
  }

  /// Sequence number and flags of one segment: FIN and PSH only on the last, CWR only on the first.
  private func segmentTCP(at transport: Int, isLast: Bool) {
    let offset = UInt32(truncatingIfNeeded: packet.payloadOffset)
    scratch.store32(scratch.load32(transport + 4) &+ offset, transport + 4)
    var flags = scratch.load8(transport + 13)
    if !isLast { flags &= ~0x09 }
    if packet.segmentIndex > 0 { flags &= ~0x80 }
    scratch.store8(flags, transport + 13)
  }

  /// VLAN tags behind the addresses: L2TAG2 outside, L2TAG1 inside (IEEE 802.1Q, 802.1ad).
  private func insertTags() {
    var offset = 12
    let inner = packet.command.contains(.insertL2Tag1)
    if let context = packet.context, context.command.contains(.insertL2Tag2) {
      scratch.store16(inner ? 0x88A8 : 0x8100, offset)
      scratch.store16(context.l2Tag2, offset + 2)
      offset += 4
    }
    if inner {
      scratch.store16(0x8100, offset)
      scratch.store16(packet.l2Tag1, offset + 2)
    }
  }
}
