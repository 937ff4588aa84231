import Timers
import Trace
import Wire

extension SkBuffPool {
  /// A packet with an empty linear area of at least `linear` bytes, `headroom` of them reserved in front.
  /// Linux: `alloc_skb()` then `skb_reserve()`.
  ///
  /// - Returns: `nil` when the pool is too full for such a use, or when more than 32 KiB of linear area is asked for.
  public func allocate(headroom: Int, linear: Int, use: MemoryUse = .ordinary) -> SkBuff? {
    precondition(headroom >= 0 && linear >= 0, "an sk_buff's sizes are not negative")
    let needed = headroom + linear
    guard needed <= Self.chunkByteCount, let header = unsafe takeHeader(use) else { return nil }
    // The packet was admitted with its header; its parts are not asked for again.
    guard let shared = unsafe takeData(capacity: needed) else {
      unsafe PoolBlock.give(UnsafeMutableRawPointer(header), to: header.pointee.slab)
      return nil
    }
    let truesize = unsafe SkBuff.overhead + Int(shared.pointee.headPage?.pointee.byteCount ?? 0)
    let serial = unsafe block.pointee.nextSerial
    unsafe block.pointee.nextSerial = serial == .max ? 1 : serial + 1
    unsafe header.initialize(
      to: SkBuffHeader(
        shared: shared, slab: header.pointee.slab, data: Int32(headroom),
        truesize: Int32(truesize), serial: serial))
    unsafe block.pointee.buffersInUse += 1
    return unsafe SkBuff(adopting: header)
  }

  @usableFromInline
  func takeHeader(_ use: MemoryUse) -> UnsafeMutablePointer<SkBuffHeader>? {
    unsafe PoolBlock.take(.header, use, from: block)?.assumingMemoryBound(to: SkBuffHeader.self)
  }

  @usableFromInline
  func takeData(capacity: Int) -> UnsafeMutablePointer<SharedInfo>? {
    precondition(
      MemoryLayout<SharedInfo>.size <= SharedInfo.headOffset, "SharedInfo fits in front of its linear area")
    var page: UnsafeMutablePointer<PageHeader>? = nil
    if capacity > SharedInfo.ownHeadByteCount {
      let isLong = capacity > Self.chunkByteCount
      unsafe page =
        isLong
        ? takeLongPage(byteCount: capacity) : takePage(large: capacity > Self.pageByteCount, .transit)
      if unsafe page == nil { return nil }
    }
    guard let piece = unsafe PoolBlock.take(.data, .transit, from: block) else {
      if let page = unsafe page { unsafe PoolBlock.release(page: page) }
      return nil
    }
    let data = unsafe piece.assumingMemoryBound(to: SharedInfo.self)
    unsafe data.pointee.references = 1
    unsafe data.pointee.payloadReferences = 0
    unsafe data.pointee.fragmentCount = 0
    unsafe data.pointee.gsoType = .none
    unsafe data.pointee.gsoSize = 0
    unsafe data.pointee.gsoSegments = 0
    unsafe data.pointee.hasFixedIdentification = false
    unsafe data.pointee.isPureZeroCopy = false
    unsafe data.pointee.lentCharge = 0
    unsafe data.pointee.headPage = page
    if let page = unsafe page {
      unsafe data.pointee.head = page.pointee.base
      unsafe data.pointee.headCapacity = page.pointee.byteCount
    } else {
      unsafe data.pointee.head = UnsafeMutableRawPointer(data) + SharedInfo.headOffset
      unsafe data.pointee.headCapacity = Int32(SharedInfo.ownHeadByteCount)
    }
    return unsafe data
  }
}

extension PoolBlock {
  /// Ends a packet: uncharges its socket, gives back data and fragments with the last clone. Linux: `__kfree_skb()`.
  @usableFromInline
  static func free(buffer header: UnsafeMutablePointer<SkBuffHeader>) {
    unsafe uncharge(header)
    if unsafe header.pointee.hasReleasedHeader { unsafe header.pointee.shared.pointee.payloadReferences -= 1 }
    unsafe release(data: header.pointee.shared)
    unsafe header.pointee.slab.pointee.pool.pointee.buffersInUse -= 1
    unsafe give(UnsafeMutableRawPointer(header), to: header.pointee.slab)
  }

  @usableFromInline
  static func uncharge(_ header: UnsafeMutablePointer<SkBuffHeader>) {
    if let owner = unsafe header.pointee.writeOwner {
      unsafe header.pointee.writeOwner = nil
      unsafe writeFree(owner, truesize: Int(header.pointee.chargedTruesize))
    } else if let owner = unsafe header.pointee.receiveOwner {
      unsafe header.pointee.receiveOwner = nil
      unsafe owner.pointee.receiveAllocated -= Int(header.pointee.chargedTruesize)
      unsafe release(account: owner)
    }
  }

  @usableFromInline
  static func release(data shared: UnsafeMutablePointer<SharedInfo>) {
    unsafe shared.pointee.references -= 1
    guard unsafe shared.pointee.references == 0 else { return }
    let count = unsafe Int(shared.pointee.fragmentCount)
    for index in 0..<count { unsafe release(page: shared.pointee.fragments[index].page) }
    if unsafe shared.pointee.lentCharge > 0 {
      unsafe shared.pointee.pool.pointee.noteUsed(-Int(shared.pointee.lentCharge))
    }
    if let page = unsafe shared.pointee.headPage { unsafe release(page: page) }
    unsafe give(UnsafeMutableRawPointer(shared), to: shared.pointee.slab)
  }
}

extension SkBuff {
  /// A second packet that shares the data and has header offsets and control block of its own. It belongs to no
  /// socket. Linux: `skb_clone()`.
  public func clone() -> SkBuff? {
    let pool = self.pool
    guard let copy = unsafe pool.takeHeader(.transit) else { return nil }
    let slab = unsafe copy.pointee.slab
    unsafe copy.initialize(to: header.pointee)
    unsafe copy.pointee.slab = slab
    unsafe copy.pointee.next = nil
    unsafe copy.pointee.previous = nil
    unsafe copy.pointee.sentAfter = nil
    unsafe copy.pointee.sentBefore = nil
    unsafe copy.pointee.isInSentOrder = false
    unsafe copy.pointee.writeOwner = nil
    unsafe copy.pointee.receiveOwner = nil
    unsafe copy.pointee.chargedTruesize = 0
    unsafe copy.pointee.hasReleasedHeader = false
    unsafe copy.pointee.shared.pointee.references += 1
    unsafe pool.block.pointee.buffersInUse += 1
    return unsafe SkBuff(adopting: copy)
  }

  @inlinable public var pool: SkBuffPool { unsafe SkBuffPool(handle: header.pointee.slab.pointee.pool) }

  /// Ends the packet as dropped: the reason is counted and traced. Linux: `kfree_skb_reason()`.
  public consuming func drop(_ reason: DropReason) {
    let pool = self.pool
    pool.countDrop(reason)
    pool.tracer.record(
      .kfree_skb, skb: serial, socket: socket, UInt64(reason.rawValue), UInt64(length))
  }

  /// Ends the packet as used up, which is no drop. Linux: `consume_skb()`.
  public consuming func consumed() {}

  /// Charges the packet's truesize to the socket's write account until the packet ends.
  /// Linux: `skb_set_owner_w()`.
  public mutating func chargeWrite(to account: borrowing SocketAccount, socket: UInt32) {
    orphan()
    unsafe account.block.pointee.references += 1
    unsafe account.block.pointee.writeAllocated += truesize
    unsafe header.pointee.writeOwner = account.block
    unsafe header.pointee.chargedTruesize = header.pointee.truesize
    self.socket = socket
  }

  /// Charges the packet's truesize to the socket's receive account. Linux: `skb_set_owner_r()`.
  public mutating func chargeReceive(to account: borrowing SocketAccount) {
    orphan()
    unsafe account.block.pointee.references += 1
    unsafe account.block.pointee.receiveAllocated += truesize
    unsafe header.pointee.receiveOwner = account.block
    unsafe header.pointee.chargedTruesize = header.pointee.truesize
  }

  /// Takes the packet off its socket's account. Linux: `skb_orphan()`.
  public mutating func orphan() { unsafe PoolBlock.uncharge(header) }

  /// Gives the packet data of its own when a clone shares it: pages are shared, the linear area is copied.
  /// Linux: `pskb_copy()`, `skb_unclone()`.
  ///
  /// - Returns: false when memory ran out; the packet is unchanged.
  public mutating func unclone() -> Bool {
    guard isCloned else { return true }
    return expandHead(
      headroom: headroom,
      tailroom: max(0, unsafe Int(header.pointee.shared.pointee.headCapacity) - Int(header.pointee.tail)))
  }

  /// A packet to send, with headers of its own in front of the same payload; this one stays to be sent again, and gives up
  /// the room in front of it. While an earlier one is still on its way the linear area is copied.
  /// Linux: `__skb_header_release()` and `skb_clone()`; `pskb_copy()`.
  public mutating func transmissionClone() -> SkBuff? {
    let isAlone = !isCloned
    guard var copy = clone() else { return nil }
    let shared = unsafe header.pointee.shared
    if unsafe !header.pointee.hasReleasedHeader {
      unsafe header.pointee.hasReleasedHeader = true
      unsafe shared.pointee.payloadStart =
        shared.pointee.payloadReferences == 0
        ? header.pointee.data : min(shared.pointee.payloadStart, header.pointee.data)
      unsafe shared.pointee.payloadReferences += 1
    } else if isAlone {
      // It may have been trimmed since the last time.
      unsafe shared.pointee.payloadStart = header.pointee.data
    }
    if !isAlone { guard copy.unclone() else { return nil } }
    return copy
  }

  /// A new packet with a linear area of its own and the same page fragments. Linux: `pskb_copy()`.
  public func copyHeader() -> SkBuff? {
    guard var copy = clone() else { return nil }
    guard copy.unclone() else { return nil }
    return copy
  }

  /// Moves the linear area to one with at least the given room around the present linear bytes; always ends with data of the
  /// packet's own. Linux: `pskb_expand_head()`.
  public mutating func expandHead(headroom newHeadroom: Int, tailroom newTailroom: Int) -> Bool {
    let linearCount = headLength
    let needed = newHeadroom + linearCount + newTailroom
    guard let fresh = unsafe pool.takeData(capacity: needed) else { return false }
    let old = unsafe header.pointee.shared
    unsafe (fresh.pointee.head + newHeadroom).copyMemory(
      from: old.pointee.head + Int(header.pointee.data), byteCount: linearCount)
    unsafe fresh.pointee.gsoType = old.pointee.gsoType
    unsafe fresh.pointee.gsoSize = old.pointee.gsoSize
    unsafe fresh.pointee.gsoSegments = old.pointee.gsoSegments
    unsafe fresh.pointee.hasFixedIdentification = old.pointee.hasFixedIdentification
    unsafe fresh.pointee.fragmentCount = old.pointee.fragmentCount
    for index in 0..<(unsafe Int(old.pointee.fragmentCount)) {
      let fragment = unsafe old.pointee.fragments[index]
      unsafe fragment.page.pointee.references += 1
      unsafe fresh.pointee.fragments[index] = fragment
    }
    unsafe fresh.pointee.isPureZeroCopy = old.pointee.isPureZeroCopy
    if unsafe header.pointee.hasReleasedHeader {
      unsafe header.pointee.hasReleasedHeader = false
      unsafe old.pointee.payloadReferences -= 1
      // What stays to be sent again pays on.
      unsafe fresh.pointee.lentCharge = old.pointee.lentCharge
      unsafe old.pointee.lentCharge = 0
    }
    let shift = unsafe Int32(newHeadroom) - header.pointee.data
    unsafe header.pointee.shared = fresh
    unsafe PoolBlock.release(data: old)
    unsafe header.pointee.data += shift
    unsafe header.pointee.tail += shift
    unsafe header.pointee.checksumStart += shift
    // A header that was pulled past the new front is no longer there.
    unsafe header.pointee.macHeader = Self.shifted(header.pointee.macHeader, by: shift)
    unsafe header.pointee.networkHeader = Self.shifted(header.pointee.networkHeader, by: shift)
    unsafe header.pointee.transportHeader = Self.shifted(header.pointee.transportHeader, by: shift)
    return true
  }

  private static func shifted(_ offset: Int32, by shift: Int32) -> Int32 {
    offset < 0 || offset + shift < 0 ? -1 : offset + shift
  }
}

extension SkBuffPool {
  @inlinable init(handle: UnsafeMutablePointer<PoolBlock>) { unsafe block = handle }
}
