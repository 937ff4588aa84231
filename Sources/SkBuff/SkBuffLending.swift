// The caller's memory in a packet's fragments.
extension SkBuff {
  /// Adds up to `count` of the caller's bytes from where they lie: the packet's fragments point to them.
  /// Linux: `zerocopy_fill_skb_from_iter()`, `skb_splice_from_iter()`.
  ///
  /// - Parameters:
  ///   - iter: over memory that packets may carry.
  ///   - notification: told when no packet has the bytes any more; a packet has one at most.
  /// - Returns: bytes added; fewer than `count` when fragment slots or the caller's bytes ran out.
  public mutating func lend(from iter: inout IovIter, count most: Int, _ notification: SendNotification?)
    -> Int
  {
    precondition(!isCloned, "a packet that is shared is not appended to")
    var added = 0
    while added < most, let run = iter.currentSlice {
      let part = min(run.byteCount, most - added)
      guard lend(run.memory, offset: run.offset, byteCount: part, notification) else { break }
      iter.advance(part)
      added += part
    }
    return added
  }

  private mutating func lend(
    _ memory: ExternalMemory, offset: Int, byteCount: Int, _ notification: SendNotification?
  ) -> Bool {
    let shared = unsafe header.pointee.shared
    let last = fragmentCount - 1
    if last >= 0 {
      let previous = unsafe shared.pointee.fragments[last]
      if unsafe previous.page.pointee.external?.toOpaque() == Unmanaged.passUnretained(memory).toOpaque(),
        unsafe previous.page.pointee.notification?.toOpaque()
          == notification.map({ unsafe Unmanaged.passUnretained($0).toOpaque() }),
        Int(previous.offset) + Int(previous.byteCount) == offset
      {
        unsafe shared.pointee.fragments[last].byteCount += UInt32(byteCount)
        unsafe header.pointee.length += Int32(byteCount)
        unsafe header.pointee.dataLength += Int32(byteCount)
        unsafe header.pointee.truesize += Int32(byteCount)
        return true
      }
    }
    guard fragmentCount < Self.maximumFragments else { return false }
    appendFragment(
      pool.page(of: memory, for: notification), offset: offset, byteCount: byteCount, truesize: byteCount)
    return true
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
