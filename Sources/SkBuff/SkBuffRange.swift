import Wire

extension SkBuff {
  /// Adds the bytes `offset..<offset + count` of `source` behind this packet: page fragments are shared, only bytes
  /// of the linear area are copied. Linux: the inner loop of `skb_segment()`.
  ///
  /// - Returns: false, with this packet unchanged, when it has no fragment slot or no tailroom left for them.
  public mutating func append(of source: borrowing SkBuff, from offset: Int, count: Int) -> Bool {
    precondition(!isCloned, "a packet that is shared is not appended to")
    precondition(
      offset >= 0 && count >= 0 && offset <= source.length && count <= source.length - offset,
      "an appended range lies inside its packet")
    let linearCount = max(0, min(count, source.headLength - offset))
    guard linearCount == 0 || linearCount <= tailroom else { return false }
    let origin = unsafe source.header.pointee.shared
    let target = unsafe header.pointee.shared
    // First find out whether the slots suffice, so that nothing has to be taken back.
    var skip = max(0, offset - source.headLength)
    var left = count - linearCount
    var first = 0
    while left > 0, unsafe skip >= Int(origin.pointee.fragments[first].byteCount) {
      skip -= unsafe Int(origin.pointee.fragments[first].byteCount)
      first += 1
    }
    var slots = 0
    var reach = -skip
    while reach < left {
      reach += unsafe Int(origin.pointee.fragments[first + slots].byteCount)
      slots += 1
    }
    guard fragmentCount + slots <= Self.maximumFragments else { return false }

    if linearCount > 0 {
      let end = headLength
      put(linearCount)
      unsafe (linearBase + end).copyMemory(from: source.linearBase + offset, byteCount: linearCount)
    }
    let fragmentBytes = left
    var slot = fragmentCount
    var index = first
    while left > 0 {
      var part = unsafe origin.pointee.fragments[index]
      part.offset += UInt32(skip)
      let taken = min(left, Int(part.byteCount) - skip)
      part.byteCount = UInt32(taken)
      unsafe part.page.pointee.references += 1
      unsafe target.pointee.fragments[slot] = part
      slot += 1
      index += 1
      left -= taken
      skip = 0
    }
    unsafe target.pointee.fragmentCount = UInt8(slot)
    unsafe header.pointee.length += Int32(fragmentBytes)
    unsafe header.pointee.dataLength += Int32(fragmentBytes)
    unsafe header.pointee.truesize += Int32(fragmentBytes)
    return true
  }

  /// A packet of its own of the bytes `offset..<offset + count`, which shares the pages they lie in; described as this one, and
  /// what lies in front of its data with it.
  ///
  /// - Returns: `nil` when memory ran out.
  public func segment(from offset: Int, count: Int) -> SkBuff? {
    let front = networkHeaderOffset.map { max(0, -$0) } ?? 0
    let linear = max(0, min(count, headLength - offset))
    guard var part = pool.allocate(headroom: front, linear: linear, use: .transit),
      part.append(of: self, from: offset, count: count)
    else { return nil }
    part.copyMetadata(from: self)
    part.checksumStatus = checksumStatus
    part.takeFront(of: self, byteCount: front)
    return part
  }

  /// Copies what lies in front of another packet's data, from its network header on, in front of this one's.
  private mutating func takeFront(of other: borrowing SkBuff, byteCount: Int) {
    guard byteCount > 0, byteCount <= headroom, byteCount <= other.headroom else { return }
    // Safe: in both packets so many bytes lie in front of the data.
    unsafe (linearBase - byteCount).copyMemory(from: other.linearBase - byteCount, byteCount: byteCount)
    setNetworkHeader(-byteCount)
  }

  /// Takes over what describes a packet beside its bytes: number, type, priority, mark, hash, socket, times, control
  /// block. Header marks, checksum state and ownership are not copied. The only way to copy these. Linux: `__copy_skb_header()`.
  public mutating func copyMetadata(from other: borrowing SkBuff) {
    unsafe header.pointee.serial = other.header.pointee.serial
    unsafe header.pointee.packetType = other.header.pointee.packetType
    unsafe header.pointee.etherType = other.header.pointee.etherType
    unsafe header.pointee.queueMapping = other.header.pointee.queueMapping
    unsafe header.pointee.interface = other.header.pointee.interface
    unsafe header.pointee.routeInterface = other.header.pointee.routeInterface
    unsafe header.pointee.priority = other.header.pointee.priority
    unsafe header.pointee.mark = other.header.pointee.mark
    unsafe header.pointee.hash = other.header.pointee.hash
    unsafe header.pointee.socket = other.header.pointee.socket
    unsafe header.pointee.connection = other.header.pointee.connection
    unsafe header.pointee.timestamp = other.header.pointee.timestamp
    unsafe header.pointee.confirmsNeighbour = other.header.pointee.confirmsNeighbour
    unsafe header.pointee.controlBlock = other.header.pointee.controlBlock
  }

  /// Who wants to know when the packet comes by; of the pieces of one only one has it. Linux: `tx_flags`, `tskey`.
  public mutating func copyStamps(from other: borrowing SkBuff) {
    unsafe header.pointee.stamps = other.header.pointee.stamps
    unsafe header.pointee.stampKey = other.header.pointee.stampKey
  }

  /// Makes an unshared copy of the same bytes the same packet: `copyMetadata(from:)`, segmentation, header marks and
  /// checksum state. Linux: `skb_copy_header()`.
  public mutating func copyState(from other: borrowing SkBuff) {
    copyMetadata(from: other)
    copyStamps(from: other)
    gsoType = other.gsoType
    gsoSize = other.gsoSize
    gsoSegments = other.gsoSegments
    hasFixedIdentification = other.hasFixedIdentification
    if let offset = other.macHeaderOffset { setMACHeader(offset) }
    if let offset = other.networkHeaderOffset { setNetworkHeader(offset) }
    if let offset = other.transportHeaderOffset { setTransportHeader(offset) }
    checksumStatus = other.checksumStatus
    if other.checksumStatus == .partial {
      setPartialChecksum(start: other.checksumStart, offset: other.checksumOffset)
    }
  }

  /// Hands this packet's charge on a socket's account to `other`, which frees it at its own end.
  /// Linux: the swap of destructors at the end of `skb_segment()`.
  public mutating func moveOwner(to other: inout SkBuff) {
    other.orphan()
    unsafe other.header.pointee.writeOwner = header.pointee.writeOwner
    unsafe other.header.pointee.receiveOwner = header.pointee.receiveOwner
    unsafe other.header.pointee.chargedTruesize = header.pointee.chargedTruesize
    unsafe header.pointee.writeOwner = nil
    unsafe header.pointee.receiveOwner = nil
    unsafe header.pointee.chargedTruesize = 0
  }
}
