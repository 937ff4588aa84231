/// A reference-counted block of packet memory: 32 KiB, 4 KiB, one long linear area, or memory of somebody else's. Linux: `struct page` of a given
/// order.
///
/// Safety: a `PageHeader` is made by `SkBuffPool` and outlives every reference to it; counts are touched only by the
/// holder of the shard's lock.
@safe
@frozen
@usableFromInline
struct PageHeader {
  /// While the page is free: the next free one.
  @usableFromInline var nextFree: UnsafeMutableRawPointer? = nil
  @usableFromInline var references: Int32 = 0
  @usableFromInline var byteCount: Int32
  @usableFromInline var base: UnsafeMutableRawPointer
  @usableFromInline var pool: UnsafeMutablePointer<PoolBlock>
  /// The slab that it is a piece of; `nil`: it came from the system by itself.
  @usableFromInline var slab: UnsafeMutablePointer<PoolSlab>?
  /// Whose memory it is, when it is not the pool's.
  @usableFromInline var external: Unmanaged<ExternalMemory>? = nil
  /// What is in it may change under way. Linux: `SKBFL_SHARED_FRAG`.
  @usableFromInline var isShared = false
  /// Only a device reads it.
  @usableFromInline var isUnreadable = false
  /// Of whose uses the page is one.
  @usableFromInline var notification: Unmanaged<SendNotification>? = nil

  @usableFromInline
  init(
    byteCount: Int32, base: UnsafeMutableRawPointer, pool: UnsafeMutablePointer<PoolBlock>,
    slab: UnsafeMutablePointer<PoolSlab>?
  ) {
    self.byteCount = byteCount
    unsafe self.base = base
    unsafe self.pool = pool
    unsafe self.slab = slab
  }
}

/// A counted use of a page. Moving it moves the count; `clone()` adds one; its end gives one back.
///
/// Safety: holds one count on `header` for as long as it lives.
@safe
@frozen
public struct Page: ~Copyable {
  @usableFromInline let header: UnsafeMutablePointer<PageHeader>

  @usableFromInline init(adopting header: UnsafeMutablePointer<PageHeader>) { unsafe self.header = header }

  /// Where the page's bytes begin; valid for `byteCount` bytes while this use lives.
  @inlinable var base: UnsafeMutableRawPointer { unsafe header.pointee.base }
  @inlinable public var byteCount: Int { unsafe Int(header.pointee.byteCount) }
  /// The page's bytes.
  @inlinable public var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      // Safe: `byteCount` bytes from `base` live as long as this use.
      let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(base), byteCount: byteCount)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Fills part of a page that is in nobody else's hands.
  package func fill(_ bytes: RawSpan, at place: Int) {
    precondition(place >= 0 && bytes.byteCount <= byteCount - place, "what is copied into a page fits it")
    unsafe bytes.withUnsafeBytes { source in
      if let start = source.baseAddress {
        unsafe (base + place).copyMemory(from: start, byteCount: source.count)
      }
    }
  }

  /// Fills part of a page that is in nobody else's hands with bytes of a packet.
  public func copy(from skb: borrowing SkBuff, _ offset: Int, count: Int, at place: Int) {
    precondition(
      place >= 0 && count >= 0 && count <= byteCount - place, "what is copied into a page fits it")
    let target = unsafe UnsafeMutableRawBufferPointer(start: base + place, count: count)
    let isInside = unsafe skb.copyBits(from: offset, into: target)
    precondition(isInside, "copied bytes lie inside their packet")
    skb.noteCopied()
  }

  @inlinable public func clone() -> Page {
    unsafe header.pointee.references += 1
    return unsafe Page(adopting: header)
  }

  /// Ends this value without giving the count back: whoever takes the result owns it.
  @usableFromInline consuming func surrender() -> UnsafeMutablePointer<PageHeader> {
    let header = unsafe self.header
    discard self
    return unsafe header
  }

  @inlinable deinit { unsafe PoolBlock.release(page: header) }
}

/// One entry of an sk_buff's fragment table: bytes `offset..<offset + byteCount` of a page.
/// Plain data; the sk_buff that lists it holds the page count. Linux: `skb_frag_t`.
@safe
@frozen
@usableFromInline
struct Fragment {
  @usableFromInline var page: UnsafeMutablePointer<PageHeader>
  @usableFromInline var offset: UInt32
  @usableFromInline var byteCount: UInt32

  @usableFromInline
  init(page: UnsafeMutablePointer<PageHeader>, offset: Int, byteCount: Int) {
    unsafe self.page = page
    self.offset = UInt32(truncatingIfNeeded: offset)
    self.byteCount = UInt32(truncatingIfNeeded: byteCount)
  }
  @inlinable var base: UnsafeMutableRawPointer { unsafe page.pointee.base + Int(offset) }
}
