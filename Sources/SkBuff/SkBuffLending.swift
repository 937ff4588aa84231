// The caller's memory in a packet's fragments.
extension SkBuff {
  /// Adds up to `count` of the caller's bytes from where they lie: the packet's fragments point to them.
  /// Linux: `zerocopy_fill_skb_from_iter()`, `skb_splice_from_iter()`.
  ///
  /// - Parameters:
  ///   - iter: over memory that packets may carry.
  ///   - notification: told when no packet has the bytes any more; a packet has one at most. `nil`: nobody is.
  ///   - isShared: the bytes may change under way. Linux: `SKBFL_SHARED_FRAG`.
  ///   - use: what memory is asked for as when the packet has bytes of others too: then it pays for what was lent as if it
  ///     were copied.
  ///   - fragments: so many slots it may fill at most.
  /// - Returns: bytes added; fewer than `count` when fragment slots, the caller's bytes or memory ran out.
  public mutating func lend(
    from iter: inout IovIter, count most: Int, _ notification: SendNotification?, isShared: Bool = true,
    use: MemoryUse = .ordinary, fragments: Int = SkBuff.maximumFragments
  ) -> Int {
    precondition(!isCloned, "a packet that is shared is not appended to")
    let shared = unsafe header.pointee.shared
    if length == 0 && notification != nil { unsafe shared.pointee.isPureZeroCopy = true }
    if notification == nil { guard payForLent(use) else { return 0 } }
    let isFree = unsafe shared.pointee.isPureZeroCopy
    guard isFree || pool.admits(use) else { return 0 }
    let before = dataLength
    defer { if !isFree { charge(dataLength - before) } }
    var added = 0
    while added < most, let run = iter.currentSlice {
      let part = min(run.byteCount, most - added)
      let isLent = lend(
        run.memory, offset: run.offset, byteCount: part, notification, isShared,
        fragments: min(fragments, Self.maximumFragments))
      guard isLent else { break }
      iter.advance(part)
      added += part
    }
    return added
  }

  private mutating func lend(
    _ memory: ExternalMemory, offset: Int, byteCount: Int, _ notification: SendNotification?,
    _ isShared: Bool, fragments: Int
  ) -> Bool {
    let shared = unsafe header.pointee.shared
    // What is lent counts as the whole pages that it lies in, what is spliced as its bytes.
    let page = SkBuffPool.pageByteCount
    let start = unsafe Int(bitPattern: memory.base + offset) & (page - 1)
    let cost = notification == nil ? byteCount : (start + byteCount + page - 1) & ~(page - 1)
    let last = fragmentCount - 1
    if last >= 0 {
      let previous = unsafe shared.pointee.fragments[last]
      if unsafe previous.page.pointee.external?.toOpaque() == Unmanaged.passUnretained(memory).toOpaque(),
        unsafe previous.page.pointee.notification?.toOpaque()
          == notification.map({ unsafe Unmanaged.passUnretained($0).toOpaque() }),
        unsafe previous.page.pointee.isShared == isShared,
        Int(previous.offset) + Int(previous.byteCount) == offset
      {
        unsafe shared.pointee.fragments[last].byteCount += UInt32(byteCount)
        unsafe header.pointee.length += Int32(byteCount)
        unsafe header.pointee.dataLength += Int32(byteCount)
        unsafe header.pointee.truesize += Int32(cost)
        return true
      }
    }
    guard fragmentCount < fragments else { return false }
    appendFragment(
      pool.page(of: memory, for: notification, isShared: isShared), offset: offset, byteCount: byteCount,
      truesize: cost)
    return true
  }

  /// Before bytes of others come into a packet that nobody pays for: it is paid for like any other from now on.
  /// Linux: `tcp_downgrade_zcopy_pure()`.
  ///
  /// - Returns: false when there is no memory for such a use; the packet is as it was.
  mutating func payForLent(_ use: MemoryUse) -> Bool {
    guard unsafe header.pointee.shared.pointee.isPureZeroCopy else { return true }
    if dataLength > 0 {
      guard pool.admits(use) else { return false }
      charge(dataLength)
    }
    unsafe header.pointee.shared.pointee.isPureZeroCopy = false
    return true
  }

  private mutating func charge(_ byteCount: Int) {
    unsafe header.pointee.shared.pointee.lentCharge += Int32(byteCount)
    unsafe pool.block.pointee.noteUsed(byteCount)
  }

  /// Some of the bytes may change while the packet is under way. Linux: `skb_has_shared_frag()`.
  public var hasSharedFragments: Bool {
    for index in 0..<fragmentCount {
      if unsafe header.pointee.shared.pointee.fragments[index].page.pointee.isShared { return true }
    }
    return false
  }

  /// Some of the bytes only a device can read. Linux: `!skb_frags_readable()`.
  public var isUnreadable: Bool {
    for index in 0..<fragmentCount {
      if unsafe header.pointee.shared.pointee.fragments[index].page.pointee.isUnreadable { return true }
    }
    return false
  }

  /// Who is told of the lent bytes in this packet; `nil`: it has none. Linux: `skb_zcopy()`.
  public var notification: SendNotification? {
    for index in (0..<fragmentCount).reversed() {
      if let notification = unsafe header.pointee.shared.pointee.fragments[index].page.pointee.notification {
        return unsafe notification.takeUnretainedValue()
      }
    }
    return nil
  }

  /// Bytes of `offset..<offset + count` were copied out of the packet to be sent: where they were lent, that is told.
  /// Linux: `zerocopy_success` false in `msg_zerocopy_complete()`.
  func noteCopied() {
    guard dataLength > 0 else { return }
    for index in 0..<fragmentCount {
      if let notification = unsafe header.pointee.shared.pointee.fragments[index].page.pointee.notification {
        unsafe notification.takeUnretainedValue().isCopied = true
      }
    }
  }

  /// The packet stays with somebody who may keep it for as long as he likes: bytes that somebody is to be told of are copied
  /// into memory of the pool's. Linux: `skb_orphan_frags_rx()`, `skb_copy_ubufs()`.
  ///
  /// - Returns: false when memory ran out; the packet is as it was, and said to be copied all the same.
  public mutating func orphanFragments() -> Bool {
    guard dataLength > 0, notification != nil else { return true }
    if isUnreadable { return false }
    noteCopied()
    guard let copy = gathered() else { return false }
    self = copy
    return true
  }

  /// The same packet with everything behind its linear area in whole chunks of the pool's.
  ///
  /// - Returns: `nil` when memory ran out.
  package mutating func gathered() -> SkBuff? {
    let head = headLength
    let pool = self.pool
    guard var copy = pool.allocate(headroom: headroom, linear: head, use: .transit) else { return nil }
    copy.put(linear)
    var offset = head
    while offset < length {
      let isLarge = length - offset > SkBuffPool.pageByteCount
      guard let page = pool.allocatePage(large: isLarge, use: .transit) else { return nil }
      let part = min(length - offset, page.byteCount)
      let cost = page.byteCount
      page.copy(from: self, offset, count: part, at: 0)
      copy.appendFragment(page, offset: 0, byteCount: part, truesize: cost)
      offset += part
    }
    copy.copyState(from: self)
    moveOwner(to: &copy)
    return copy
  }
}
