import Wire

extension SkBuff {
  @inlinable public var fragmentCount: Int { unsafe Int(header.pointee.shared.pointee.fragmentCount) }

  /// The bytes of one fragment. Linux: `skb_frag_address()`.
  @inlinable @_lifetime(borrow self)
  public func fragment(_ index: Int) -> RawSpan {
    let bytes = unsafe fragmentBytes(index)
    // Safe: the packet holds the page that the bytes lie in.
    let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(bytes))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// Bytes in one fragment. Linux: `skb_frag_size()`.
  @inlinable public func fragmentByteCount(_ index: Int) -> Int { unsafe fragmentBytes(index).count }
  /// Where a fragment begins in its 4 KiB of memory. Linux: `offset_in_page(skb_frag_address())`.
  public func fragmentOffset(_ index: Int) -> Int {
    unsafe Int(bitPattern: fragmentBytes(index).baseAddress) & 4095
  }

  @inlinable func fragmentBytes(_ index: Int) -> UnsafeMutableRawBufferPointer {
    precondition(index >= 0 && index < fragmentCount, "a fragment index is below fragmentCount")
    let fragment = unsafe header.pointee.shared.pointee.fragments[index]
    return unsafe UnsafeMutableRawBufferPointer(start: fragment.base, count: Int(fragment.byteCount))
  }

  /// Adds bytes of a page behind the packet; the packet takes over the page's count. Linux: `skb_add_rx_frag()`.
  ///
  /// - Parameter truesize: what the bytes cost in memory.
  public mutating func appendFragment(_ page: consuming Page, offset: Int, byteCount: Int, truesize cost: Int)
  {
    precondition(
      !isCloned && fragmentCount < Self.maximumFragments,
      "a fragment goes into a packet that is not shared and has a free slot")
    precondition(
      offset >= 0 && byteCount >= 0 && offset + byteCount <= page.byteCount, "a fragment lies inside its page"
    )
    let shared = unsafe header.pointee.shared
    // The fragment table takes over the page's count.
    unsafe shared.pointee.fragments[Int(shared.pointee.fragmentCount)] = unsafe Fragment(
      page: page.surrender(), offset: offset, byteCount: byteCount)
    unsafe shared.pointee.fragmentCount += 1
    unsafe header.pointee.length += Int32(byteCount)
    unsafe header.pointee.dataLength += Int32(byteCount)
    unsafe header.pointee.truesize += Int32(cost)
  }

  /// Calls `body` with each run of bytes of `offset..<offset + count`, linear area first.
  ///
  /// - Returns: false when the range is not inside the packet; nothing was called then.
  @inlinable
  func forEachRun(
    from offset: Int, count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void
  ) -> Bool {
    guard offset >= 0, count >= 0, offset <= length, count <= length - offset else { return false }
    var skip = offset
    var left = count
    let linearCount = headLength
    if skip < linearCount {
      let run = min(left, linearCount - skip)
      if run > 0 { unsafe body(UnsafeMutableRawBufferPointer(start: linearBase + skip, count: run)) }
      left -= run
      skip = 0
    } else {
      skip -= linearCount
    }
    var index = 0
    while left > 0 {
      let bytes = unsafe fragmentBytes(index)
      if skip < bytes.count {
        let run = min(left, bytes.count - skip)
        unsafe body(UnsafeMutableRawBufferPointer(rebasing: bytes[skip..<skip + run]))
        left -= run
        skip = 0
      } else {
        skip -= bytes.count
      }
      index += 1
    }
    return true
  }

  /// All bytes of the packet, copied.
  public func copyBytes() -> [UInt8] {
    let count = length
    // Every empty array is one and the same: its count is not to be written, by two threads least of all.
    guard count > 0 else { return [] }
    return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      let isInside = unsafe copyBits(
        from: 0,
        into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]))
      precondition(isInside, "a packet has as many bytes as its length says")
      initialized = count
    }
  }

  /// One byte of the packet.
  public func byte(at offset: Int) -> UInt8 {
    var byte: UInt8 = 0
    let isInside = unsafe withUnsafeMutableBytes(of: &byte) { unsafe copyBits(from: offset, into: $0) }
    precondition(isInside, "a byte lies inside its packet")
    return byte
  }

  /// Copies packet bytes out. Linux: `skb_copy_bits()`.
  ///
  /// - Returns: false when the range is not inside the packet.
  public func copyBits(from offset: Int, into target: inout MutableRawSpan) -> Bool {
    unsafe target.withUnsafeMutableBytes { unsafe copyBits(from: offset, into: $0) }
  }

  /// Calls `body` with the bytes of `offset..<offset + count`, piece by piece in their order.
  ///
  /// - Returns: false when the range is not inside the packet; nothing was called then.
  @discardableResult
  public func forEachSpan(from offset: Int, count: Int, _ body: (RawSpan) -> Void) -> Bool {
    unsafe forEachRun(from: offset, count: count) { run in
      unsafe body(UnsafeRawBufferPointer(run).bytes)
    }
  }

  func copyBits(from offset: Int, into target: UnsafeMutableRawBufferPointer) -> Bool {
    var written = 0
    guard let base = target.baseAddress else { return offset >= 0 && offset <= length }
    return unsafe forEachRun(from: offset, count: target.count) { run in
      guard let source = run.baseAddress else { return }
      unsafe (base + written).copyMemory(from: source, byteCount: run.count)
      written += run.count
    }
  }

  /// The Internet checksum sum of packet bytes, fragments included. Linux: `skb_checksum()`.
  public func checksum(from offset: Int, count: Int) -> InternetChecksum {
    var sum = InternetChecksum()
    var position = 0
    let inside = unsafe forEachRun(from: offset, count: count) { run in
      var block = InternetChecksum()
      unsafe block.add(UnsafeRawBufferPointer(run))
      sum.add(block, at: position)
      position += run.count
    }
    precondition(inside, "a checksum range lies inside its packet")
    return sum
  }

  /// Makes at least `count` bytes linear, so that a header can be read in place. Linux: `pskb_may_pull()`.
  ///
  /// - Returns: false when the packet is shorter, or memory ran out.
  @inlinable public mutating func mayPull(_ count: Int) -> Bool {
    if count <= headLength { return true }
    return pullTail(count)
  }

  @usableFromInline mutating func pullTail(_ count: Int) -> Bool {
    guard count <= length, !isUnreadable else { return false }
    let missing = count - headLength
    let capacity = unsafe Int(header.pointee.shared.pointee.headCapacity)
    let tail = unsafe Int(header.pointee.tail)
    if isCloned || capacity - tail < missing {
      guard expandHead(headroom: headroom, tailroom: missing) else { return false }
    }
    let target = unsafe UnsafeMutableRawBufferPointer(start: linearBase + headLength, count: missing)
    guard unsafe copyBits(from: headLength, into: target) else { return false }
    noteCopied()
    removeFromFragments(missing)
    unsafe header.pointee.tail += Int32(missing)
    unsafe header.pointee.dataLength -= Int32(missing)
    return true
  }

  /// Copies every fragment into the linear area. Linux: `skb_linearize()`.
  ///
  /// - Returns: false when memory ran out.
  public mutating func linearize() -> Bool { mayPull(length) }

  /// Takes `count` bytes off the front of the fragments; lengths are the caller's to mend.
  mutating func removeFromFragments(_ count: Int) {
    let shared = unsafe header.pointee.shared
    var left = count
    var keepFrom = 0
    let total = unsafe Int(shared.pointee.fragmentCount)
    while left > 0 {
      let size = unsafe Int(shared.pointee.fragments[keepFrom].byteCount)
      if size <= left {
        unsafe PoolBlock.release(page: shared.pointee.fragments[keepFrom].page)
        left -= size
        keepFrom += 1
      } else {
        unsafe shared.pointee.fragments[keepFrom].offset += UInt32(left)
        unsafe shared.pointee.fragments[keepFrom].byteCount -= UInt32(left)
        left = 0
      }
    }
    if keepFrom > 0 {
      for index in keepFrom..<total {
        unsafe shared.pointee.fragments[index - keepFrom] = shared.pointee.fragments[index]
      }
      unsafe shared.pointee.fragmentCount = UInt8(total - keepFrom)
    }
  }

  /// Takes `count` bytes off the front, fragments included. Linux: `__pskb_trim_head()`, `pskb_pull()`.
  ///
  /// - Returns: false when memory ran out while unsharing.
  public mutating func trimHead(_ count: Int) -> Bool {
    precondition(count >= 0 && count <= length, "a packet is trimmed by no more than its length")
    let fromLinear = min(count, headLength)
    let fromFragments = count - fromLinear
    if fromFragments > 0 && isCloned { guard unclone() else { return false } }
    pull(fromLinear)
    if fromFragments > 0 {
      removeFromFragments(fromFragments)
      unsafe header.pointee.dataLength -= Int32(fromFragments)
      unsafe header.pointee.length -= Int32(fromFragments)
    }
    return true
  }

  /// Cuts the packet to `newLength` bytes. Linux: `pskb_trim()`.
  ///
  /// - Returns: false when memory ran out while unsharing.
  public mutating func trim(to newLength: Int) -> Bool {
    precondition(newLength >= 0, "a packet's length is not negative")
    guard newLength < length else { return true }
    if dataLength > 0 && isCloned { guard unclone() else { return false } }
    let linearCount = headLength
    var remaining = max(0, newLength - linearCount)
    let shared = unsafe header.pointee.shared
    var kept = 0
    for index in 0..<fragmentCount {
      let size = unsafe Int(shared.pointee.fragments[index].byteCount)
      if remaining == 0 {
        unsafe PoolBlock.release(page: shared.pointee.fragments[index].page)
      } else {
        let keep = min(size, remaining)
        unsafe shared.pointee.fragments[index].byteCount = UInt32(keep)
        remaining -= keep
        kept += 1
      }
    }
    if dataLength > 0 { unsafe shared.pointee.fragmentCount = UInt8(kept) }
    if newLength < linearCount {
      unsafe header.pointee.tail = header.pointee.data + Int32(newLength)
      unsafe header.pointee.dataLength = 0
    } else {
      unsafe header.pointee.dataLength = Int32(newLength - linearCount)
    }
    unsafe header.pointee.length = Int32(newLength)
    return true
  }

  /// Cuts the packet at `offset`: this one keeps the front, the result is the rest, a packet with a number of its own and no headers marked. Pages are
  /// shared, not copied. Linux: `skb_split()`.
  ///
  /// - Parameters:
  ///   - headroom: room in front of the new packet's linear area.
  ///   - use: whether the pieces are kept or on their way.
  /// - Returns: `nil` when memory ran out; the packet is unchanged.
  public mutating func split(at offset: Int, headroom newHeadroom: Int, use: MemoryUse = .transit) -> SkBuff?
  {
    precondition(offset >= 0 && offset <= length, "a packet is split inside its length")
    guard unclone() else { return nil }
    let linearRest = max(0, headLength - offset)
    guard var rest = pool.allocate(headroom: newHeadroom, linear: linearRest, use: use) else { return nil }
    if linearRest > 0 {
      rest.put(linearRest)
      unsafe rest.linearBase.copyMemory(from: linearBase + offset, byteCount: linearRest)
    }
    let shared = unsafe header.pointee.shared
    let target = unsafe rest.header.pointee.shared
    var position = headLength
    var kept = 0
    var moved = 0
    for index in 0..<fragmentCount {
      let fragment = unsafe shared.pointee.fragments[index]
      let size = Int(fragment.byteCount)
      if position + size <= offset {
        kept += 1
      } else {
        var part = fragment
        if position < offset {
          let front = offset - position
          unsafe shared.pointee.fragments[index].byteCount = UInt32(front)
          unsafe part.page.pointee.references += 1
          part.offset += UInt32(front)
          part.byteCount -= UInt32(front)
          kept += 1
        }
        unsafe target.pointee.fragments[moved] = part
        moved += 1
      }
      position += size
    }
    unsafe target.pointee.isPureZeroCopy = shared.pointee.isPureZeroCopy
    unsafe target.pointee.fragmentCount = UInt8(moved)
    unsafe shared.pointee.fragmentCount = UInt8(kept)
    let fragmentBytes = length - max(offset, headLength)
    // Each pays for what it has.
    let charge = unsafe min(shared.pointee.lentCharge, Int32(fragmentBytes))
    unsafe target.pointee.lentCharge = charge
    unsafe shared.pointee.lentCharge -= charge
    unsafe rest.header.pointee.dataLength = Int32(fragmentBytes)
    unsafe rest.header.pointee.length += Int32(fragmentBytes)
    unsafe rest.header.pointee.truesize += Int32(fragmentBytes)
    unsafe header.pointee.truesize -= Int32(fragmentBytes)
    if linearRest > 0 { unsafe header.pointee.tail = header.pointee.data + Int32(offset) }
    unsafe header.pointee.dataLength -= Int32(fragmentBytes)
    unsafe header.pointee.length = Int32(offset)
    let serial = rest.serial
    rest.copyMetadata(from: self)
    unsafe rest.header.pointee.serial = serial
    return rest
  }

  /// Moves all fragments of `other` (whose linear area must be empty) behind this packet. Linux: `skb_shift()`,
  /// `skb_try_coalesce()`.
  ///
  /// - Returns: `nil` when done; `other` when it does not fit.
  public mutating func absorb(_ other: consuming SkBuff) -> SkBuff? {
    guard other.headLength == 0, !isCloned, !other.isCloned,
      unsafe header.pointee.shared.pointee.isPureZeroCopy
        == other.header.pointee.shared.pointee.isPureZeroCopy,
      fragmentCount + other.fragmentCount <= Self.maximumFragments
    else { return other }
    let shared = unsafe header.pointee.shared
    let source = unsafe other.header.pointee.shared
    var count = fragmentCount
    for index in 0..<other.fragmentCount {
      let fragment = unsafe source.pointee.fragments[index]
      // Adjacent bytes of one page become one fragment again.
      if count > 0, unsafe shared.pointee.fragments[count - 1].page == fragment.page,
        unsafe shared.pointee.fragments[count - 1].offset + shared.pointee.fragments[count - 1].byteCount
          == fragment.offset
      {
        unsafe shared.pointee.fragments[count - 1].byteCount += fragment.byteCount
        unsafe PoolBlock.release(page: fragment.page)
      } else {
        unsafe shared.pointee.fragments[count] = fragment
        count += 1
      }
    }
    unsafe shared.pointee.lentCharge += source.pointee.lentCharge
    unsafe source.pointee.lentCharge = 0
    unsafe source.pointee.fragmentCount = 0
    unsafe shared.pointee.fragmentCount = UInt8(count)
    let moved = unsafe other.header.pointee.dataLength
    unsafe header.pointee.length += moved
    unsafe header.pointee.dataLength += moved
    unsafe header.pointee.truesize += other.header.pointee.truesize - Int32(Self.overhead)
    unsafe other.header.pointee.length = 0
    unsafe other.header.pointee.dataLength = 0
    unsafe other.header.pointee.truesize = Int32(Self.overhead)
    return nil
  }
}
