import IceHardware
import Wire

/// Reads one packet's descriptors from the ring and its header from memory, and refuses what the
/// hardware would refuse.
struct DescriptorFetch: ~Copyable {
  let ring: TxDescriptorRing
  let iommu: IOMMU
  let registers: RegisterFile

  /// Why a fetch gave no packet.
  enum Refusal: Error {
    case malicious(MaliciousDriverEvent, descriptor: Int)
    case fault(IOMMUFault, descriptor: Int)
  }

  /// Collects the packet at `head` into `gather`, one segment a descriptor, and what is said of it into `packet`.
  ///
  /// - Returns: false when the ring is empty.
  func fetch(
    at head: Int, into packet: inout TransmitPacket, gather: inout FrameVector
  ) throws(Refusal) -> Bool {
    let tail = Int(truncatingIfNeeded: registers.read(.QTX_COMM_DBELL))
    if tail < 0 || tail >= ring.count { throw .malicious(.tailOutOfRange, descriptor: head) }
    if head == tail { return false }
    gather.removeAll()
    packet = TransmitPacket()
    packet.firstDescriptor = head
    var index = head
    var sawData = false
    while true {
      if index == tail { throw .malicious(.missingEndOfPacket, descriptor: index) }
      let words = ring[index]
      let next = index + 1 == ring.count ? 0 : index + 1
      switch words.type {
      case .context:
        if sawData || packet.context != nil { throw .malicious(.misplacedContext, descriptor: index) }
        packet.context = TxContextDescriptor(unpacking: words)
      case .data:
        let descriptor = TxDataDescriptor(unpacking: words)
        if !sawData {
          sawData = true
          packet.command = descriptor.command
          packet.offsets = descriptor.offsets
          packet.l2Tag1 = descriptor.l2Tag1
        }
        let size = descriptor.bufferByteCount
        if size == 0 { throw .malicious(.zeroLengthBuffer, descriptor: index) }
        switch iommu.translate(descriptor.bufferAddress, byteCount: size, .toDevice) {
        case .memory(let base):
          guard unsafe gather.appendSegment(base, byteCount: size) else {
            throw .malicious(.tooManyBuffers, descriptor: index)
          }
        case .fault(let fault):
          throw .fault(fault, descriptor: index)
        }
        if descriptor.command.contains(.dummy) { packet.isDummy = true }
        if descriptor.command.contains(.endOfPacket) {
          packet.reportsStatus = descriptor.command.contains(.reportStatus)
          packet.lastDescriptor = index
          packet.nextDescriptor = next
          packet.byteCount = gather.byteCount
          return true
        }
      case .filterProgram, .done, nil:
        throw .malicious(.unknownDescriptorType, descriptor: index)
      }
      index = next
    }
  }

  /// Checks the offload request against the packet and fetches the header it works on.
  func prepare(
    _ packet: inout TransmitPacket, gather: borrowing FrameVector, scratch: borrowing HeaderScratch
  ) throws(Refusal) {
    let first = packet.firstDescriptor
    if packet.byteCount < TxDataDescriptor.minFrameByteCount {
      throw .malicious(.packetTooShort, descriptor: first)
    }
    if !packet.isTSO && gather.count > TxDataDescriptor.maxBuffersPerSegment {
      throw .malicious(.tooManyBuffers, descriptor: packet.lastDescriptor)
    }
    if let context = packet.context, context.genericChecksum.type != 0 {
      // Not with TSO, and this device, like the E810, has no engine for it.
      throw .malicious(.badOffloadRequest, descriptor: first)
    }
    packet.cast = cast(gather)
    if !packet.needsHeader { return }

    let network = packet.command.networkType
    let transport = packet.command.transportType
    packet.macByteCount = max(packet.offsets.macByteCount, 14)
    packet.networkByteCount = network.rawValue == 0 ? 0 : packet.offsets.networkByteCount
    packet.transportByteCount = transport.rawValue == 0 ? 0 : packet.offsets.transportByteCount
    packet.headerByteCount = packet.macByteCount + packet.networkByteCount + packet.transportByteCount
    if packet.headerByteCount > min(packet.byteCount, HeaderScratch.maxHeaderByteCount) {
      throw .malicious(.badHeaderOffsets, descriptor: first)
    }
    collectHeader(&packet, gather: gather, scratch: scratch)
    try checkHeader(packet, scratch: scratch)
    try checkSegmentation(packet)
  }

  private func checkHeader(_ packet: borrowing TransmitPacket, scratch: borrowing HeaderScratch)
    throws(Refusal)
  {
    let first = packet.firstDescriptor
    let network = packet.command.networkType
    if network == .ipv4 || network == .ipv4Checksum {
      let octet = scratch.templateByte(packet.macByteCount)
      if packet.networkByteCount < 20 || Int(octet & 0xF) * 4 != packet.networkByteCount {
        throw .malicious(.badHeaderOffsets, descriptor: first)
      }
      if octet >> 4 != 4 { throw .malicious(.badOffloadRequest, descriptor: first) }
    } else if network == .ipv6 {
      if packet.networkByteCount < 40 { throw .malicious(.badHeaderOffsets, descriptor: first) }
      if scratch.templateByte(packet.macByteCount) >> 4 != 6 {
        throw .malicious(.badOffloadRequest, descriptor: first)
      }
    }
    let transport = packet.command.transportType
    if transport.rawValue == 0 { return }
    // No network header to sum with, or SCTP's CRC, which this device does not have.
    if network.rawValue == 0 || transport == .l4SCTP {
      throw .malicious(.badOffloadRequest, descriptor: first)
    }
    let least = transport == .l4TCP ? 20 : 8
    if packet.transportByteCount < least { throw .malicious(.badHeaderOffsets, descriptor: first) }
  }

  private func checkSegmentation(_ packet: borrowing TransmitPacket) throws(Refusal) {
    guard packet.isTSO, let context = packet.context else { return }
    let first = packet.firstDescriptor
    if packet.command.transportType.rawValue == 0 || packet.command.networkType == .ipv4 {
      throw .malicious(.badOffloadRequest, descriptor: first)
    }
    let least = TxContextDescriptor.minSegmentByteCount
    let most = TxContextDescriptor.maxSegmentByteCount
    if context.segmentByteCount < least || context.segmentByteCount > most {
      throw .malicious(.segmentSizeOutOfRange, descriptor: first)
    }
    if context.tsoByteCount != packet.payloadByteCount || context.tsoByteCount == 0 {
      throw .malicious(.tsoLengthMismatch, descriptor: first)
    }
  }

  /// Copies the header into the scratch and leaves the cursor on the first payload byte.
  private func collectHeader(
    _ packet: inout TransmitPacket, gather: borrowing FrameVector, scratch: borrowing HeaderScratch
  ) {
    var done = 0
    var index = 0
    while done < packet.headerByteCount {
      let segment = gather.segment(at: index)
      let part = min(segment.byteCount, packet.headerByteCount - done)
      // done + part is at most headerByteCount, which was checked against the scratch's size.
      unsafe (scratch.template + done).copyMemory(from: segment.base, byteCount: part)
      done += part
      packet.cursorSegment = index
      packet.cursorOffset = part
      index += 1
    }
    packet.headerBufferCount = index
    if packet.cursorOffset == gather.segment(at: packet.cursorSegment).byteCount {
      packet.cursorSegment += 1
      packet.cursorOffset = 0
    }
  }

  /// Reads the destination address's group bit. The first buffer may be shorter than the address.
  private func cast(_ gather: borrowing FrameVector) -> TransmitPacket.Cast {
    let segment = gather.segment(at: 0)
    // A segment has at least one byte.
    let octet = unsafe segment.base.load(as: UInt8.self)
    if octet & 1 == 0 { return .unicast }
    if octet != 0xFF || segment.byteCount < 6 { return .multicast }
    // Six bytes are there.
    let rest = unsafe segment.base.loadUnaligned(fromByteOffset: 2, as: UInt32.self)
    let second = unsafe segment.base.load(fromByteOffset: 1, as: UInt8.self)
    return rest == .max && second == 0xFF ? .broadcast : .multicast
  }
}
