import IceHardware
import NetNamespace
import SkBuff
import Trace
import Wire

/// The driver's side of a receive queue. Linux: `struct ice_rx_ring`.
struct RxRing: ~Copyable {
  /// Frames up to this length are copied, and their buffer stays on the ring. Linux: ICE_RX_HDR_SIZE
  static var copyBreak: Int { 256 }
  /// Free bytes in front of a received frame. Linux: NET_SKB_PAD
  static var headroom: Int { 64 }
  /// Buffers are posted in batches of at least so many. Linux: ICE_RX_BUF_WRITE
  static var refillBatch: Int { 16 }

  let ring: RxDescriptorRing
  let bufferByteCount: Int
  private let registers: RegisterFile
  private let iommu: IOMMU
  var macAddress: MACAddress
  private let buffers: RxBufferTable
  /// The second half of a page whose first half is posted.
  private var sparePage: Page? = nil
  /// A frame whose last buffer has not come yet.
  private var partial: SkBuff? = nil
  /// The rest of a frame is being thrown away.
  private var isSkipping = false
  private var nextToUse = 0
  private var nextToClean = 0
  var statistics = RxStatistics()

  init(bus: IceBus, bufferByteCount: Int, macAddress: MACAddress) {
    ring = bus.rxRing
    registers = bus.registers
    iommu = bus.iommu
    self.bufferByteCount = bufferByteCount
    self.macAddress = macAddress
    buffers = RxBufferTable(count: bus.rxRing.count)
  }

  @inline(__always) private func advance(_ index: Int) -> Int { index + 1 == ring.count ? 0 : index + 1 }

  /// Descriptors that could be posted.
  private var unusedCount: Int {
    (nextToClean > nextToUse ? 0 : ring.count) + nextToClean - nextToUse - 1
  }

  // MARK: Posting

  /// Posts buffers to all unused descriptors and tells the device. Linux: `ice_alloc_rx_bufs()`.
  mutating func refill(pool: SkBuffPool) {
    var left = unusedCount
    if left == 0 { return }
    let before = nextToUse
    while left > 0 {
      guard let address = buffers.address(nextToUse) ?? allocateBuffer(at: nextToUse, pool: pool) else {
        statistics.pageFailureCount += 1
        break
      }
      ring[nextToUse] = RxReadDescriptor(bufferAddress: address).packed
      nextToUse = advance(nextToUse)
      left -= 1
    }
    if nextToUse == before { return }
    // The descriptors are whole before the tail says they are there.
    writeBarrier()
    registers.write(.QRX_TAIL, UInt64(nextToUse))
  }

  /// A new buffer, mapped and recorded; nil when memory or mappings have run out.
  @inline(__always)
  private mutating func allocateBuffer(at index: Int, pool: SkBuffPool) -> IOVA? {
    let isHalf = bufferByteCount <= SkBuffPool.pageByteCount / 2
    var offset = 0
    let page: Page
    if let spare = sparePage.take() {
      page = spare
      offset = SkBuffPool.pageByteCount / 2
    } else {
      guard let fresh = pool.allocatePage(use: .transit) else { return nil }
      if isHalf { sparePage = fresh.clone() }
      page = fresh
    }
    guard let address = map(page, at: offset) else {
      return nil
    }
    buffers.set(index, .posted(PostedBuffer(page: page, offset: offset, address: address)))
    return address
  }

  @inline(__always) private mutating func map(_ page: borrowing Page, at offset: Int) -> IOVA? {
    iommu.map(page.bytes.extracting(offset..<offset + bufferByteCount), .fromDevice)
  }

  // MARK: Receiving

  /// Makes packets of what the device has written back. Linux: `ice_clean_rx_irq()`.
  ///
  /// - Parameter budget: most packets to deliver.
  /// - Returns: how many were appended to `queue`.
  mutating func clean(budget: Int, into queue: inout SkBuffQueue, net: inout Net) -> Int {
    var delivered = 0
    var byteCount = 0
    while delivered < budget && ring.isDone(nextToClean) {
      readBarrier()
      let descriptor = RxFlexDescriptor(unpacking: ring[nextToClean])
      // DD is cleared, so that the descriptor is not taken twice before it is posted again.
      ring[nextToClean] = RxQuadWords(0, 0, 0, 0)
      takeBuffer(descriptor, pool: net.pool)
      nextToClean = advance(nextToClean)
      guard descriptor.status.contains(.endOfFrame) else { continue }
      isSkipping = false
      guard let skb = partial.take() else { continue }
      if descriptor.status.contains(.receiveError) || skb.length < 14 {
        statistics.errorCount += 1
        skb.drop(.packetTooSmall)
        continue
      }
      byteCount += skb.length
      delivered += 1
      finish(skb, descriptor, into: &queue, net: &net)
    }
    statistics.packetCount += UInt64(delivered)
    statistics.byteCount += UInt64(byteCount)
    if unusedCount >= Self.refillBatch { refill(pool: net.pool) }
    if delivered > 0 {
      net.tracer.record(.ice_clean_rx_irq, UInt64(delivered), UInt64(byteCount), UInt64(nextToClean))
    }
    return delivered
  }

  /// Puts the bytes of one written-back buffer into the frame being put together.
  private mutating func takeBuffer(_ descriptor: RxFlexDescriptor, pool: SkBuffPool) {
    let size = min(descriptor.packetByteCount, bufferByteCount)
    if isSkipping || size == 0 { return }
    if partial != nil {
      appendBuffer(size)
    } else {
      beginFrame(size, isWhole: descriptor.status.contains(.endOfFrame), pool: pool)
    }
  }

  /// The first buffer of a frame: a short frame is copied whole, of a longer one the headers.
  private mutating func beginFrame(_ size: Int, isWhole: Bool, pool: SkBuffPool) {
    guard var skb = pool.allocate(headroom: Self.headroom, linear: Self.copyBreak, use: .transit) else {
      statistics.bufferFailureCount += 1
      isSkipping = true
      return
    }
    let copied = copyFront(size, isWhole: isWhole, into: &skb)
    if size > copied { adoptBuffer(into: &skb, skipping: copied, byteCount: size - copied) }
    partial = consume skb
  }

  /// - Returns: bytes copied.
  private mutating func copyFront(_ size: Int, isWhole: Bool, into skb: inout SkBuff) -> Int {
    let bytes = buffers.bytes(nextToClean, count: size)
    let count = isWhole && size <= Self.copyBreak ? size : ReceivedHeaders.byteCount(bytes)
    skb.put(bytes.extracting(0..<count))
    return count
  }

  /// A further buffer of a frame: a fragment of its own.
  private mutating func appendBuffer(_ size: Int) {
    guard var skb = partial.take() else { return }
    if skb.fragmentCount == SkBuff.maximumFragments {
      statistics.errorCount += 1
      skb.drop(.deviceTooLong)
      isSkipping = true
      return
    }
    adoptBuffer(into: &skb, skipping: 0, byteCount: size)
    partial = consume skb
  }

  /// The packet takes over the buffer's page; nothing is copied.
  private mutating func adoptBuffer(into skb: inout SkBuff, skipping: Int, byteCount: Int) {
    guard case .posted(let buffer) = buffers.take(nextToClean) else { return }
    iommu.unmap(buffer.address)
    let start = buffer.offset + skipping
    skb.appendFragment(buffer.intoPage(), offset: start, byteCount: byteCount, truesize: bufferByteCount)
  }

  /// Metadata from the last descriptor, then the Ethernet header comes off: the data begins at the network
  /// header, the MAC header stays findable. Linux: `ice_process_skb_fields()`, `eth_type_trans()`.
  private mutating func finish(
    _ skb: consuming SkBuff, _ descriptor: RxFlexDescriptor, into queue: inout SkBuffQueue, net: inout Net
  ) {
    skb.timestamp = net.now
    if descriptor.status.contains(.rssValid) { skb.hash = descriptor.rssHash }
    skb.checksumStatus = checksumStatus(descriptor)
    if descriptor.status1.contains(.metadata4Valid) && skb.checksumStatus == .none {
      // No engine above knows this protocol's checksum as unfinished: finished here.
      skb.setPartialChecksum(
        start: Int(descriptor.metadata4 & 0x3FF), offset: Int(descriptor.metadata4 >> 10))
      guard skb.completeChecksum() else {
        statistics.errorCount += 1
        skb.drop(.deviceHeader)
        return
      }
    }
    if descriptor.status1.contains(.metadata5Valid) && descriptor.metadata5 > 0 {
      switch descriptor.packetType {
      case .ipv4TCP: skb.gsoType = .tcpv4
      case .ipv4UDP: skb.gsoType = .udpL4
      // For nobody here, whatever its size.
      case .ipv6: break
      default:
        statistics.errorCount += 1
        skb.drop(.deviceHeader)
        return
      }
      if skb.gsoType != .none {
        let size = Int(descriptor.metadata5)
        skb.gsoSize = size
        skb.gsoSegments = (max(skb.dataLength, 1) + size - 1) / size
      }
    }
    skb.setMACHeader()
    if skb.linear.loadMAC(EthernetHeader.Offset.source) == macAddress { statistics.ownAddressCount += 1 }
    let destination = skb.linear.loadMAC(EthernetHeader.Offset.destination)
    skb.etherType = EtherType(rawValue: skb.linear.load16(EthernetHeader.Offset.type))
    if destination == macAddress {
      skb.packetType = .host
    } else if destination.isBroadcast {
      skb.packetType = .broadcast
    } else {
      skb.packetType = destination.isMulticast ? .multicast : .otherHost
    }
    skb.pull(14)
    skb.setNetworkHeader()
    skb.checkInvariants()
    queue.append(skb)
  }

  /// Linux: `ice_rx_csum()`. What the device verified need not be summed again; what it found wrong, or did
  /// not look at, is for the stack to judge.
  private mutating func checksumStatus(_ descriptor: RxFlexDescriptor) -> ChecksumStatus {
    let status = descriptor.status
    guard status.contains(.l3l4Processed) else { return .none }
    if !status.isDisjoint(with: [
      .ipChecksumError, .l4ChecksumError, .outerIPChecksumError, .outerUDPChecksumError,
    ]) {
      statistics.checksumErrorCount += 1
      return .none
    }
    switch descriptor.packetType {
    case .ipv4TCP, .ipv4UDP: return .unnecessary
    default: return .none
    }
  }

  /// Takes every buffer off the ring. The device must not be receiving. Linux: `ice_clean_rx_ring()`.
  mutating func reset() {
    _ = partial.take()
    _ = sparePage.take()
    isSkipping = false
    for index in 0..<ring.count {
      if case .posted(let buffer) = buffers.take(index) { iommu.unmap(buffer.address) }
      ring[index] = RxQuadWords(0, 0, 0, 0)
    }
    nextToUse = 0
    nextToClean = 0
    registers.write(.QRX_TAIL, 0)
  }
}
