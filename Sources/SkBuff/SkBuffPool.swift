import Timers
import Trace

/// What the pool handle points at. Plain data, one per shard.
@safe
@usableFromInline
struct PoolBlock {
  @usableFromInline var freeHeaders: UnsafeMutablePointer<SkBuffHeader>? = nil
  @usableFromInline var freeData: UnsafeMutablePointer<SharedInfo>? = nil
  @usableFromInline var freePages: UnsafeMutablePointer<PageHeader>? = nil
  @usableFromInline var freeChunks: UnsafeMutablePointer<PageHeader>? = nil
  @usableFromInline var pendingAccounts: UnsafeMutablePointer<AccountBlock>? = nil
  /// The page-fragment allocator's current chunk. Linux: `struct page_frag`.
  @usableFromInline var cachePage: UnsafeMutablePointer<PageHeader>? = nil
  @usableFromInline var cacheOffset: Int = 0
  @usableFromInline var nextSerial: UInt32 = 1
  @usableFromInline var buffersInUse: Int = 0
  @usableFromInline var pagesInUse: Int = 0
  @usableFromInline var pageBytesInUse: Int = 0
  @usableFromInline var allocated: Int = 0
  @usableFromInline var limit: Int
  @usableFromInline var blocks: [UnsafeMutableRawPointer] = unsafe []
  @usableFromInline var drops: InlineArray<64, UInt64> = .init(repeating: 0)
  @usableFromInline var tracer: Tracer

  @usableFromInline
  init(limit: Int, tracer: Tracer) {
    self.limit = limit
    self.tracer = tracer
  }
}

/// Where a shard's sk_buffs and pages come from: slabs that grow up to a limit and are reused, never given back until
/// `destroy()`. A `SkBuffPool` is a handle; copies name the same pool.
///
/// Safety: `block` lives until `destroy()`, called last by the pool's one owner when `buffersInUse` is 0; all uses are
/// under that owner's lock.
@safe
@frozen
public struct SkBuffPool: @unchecked Sendable {
  @usableFromInline let block: UnsafeMutablePointer<PoolBlock>

  /// Bytes of a large page. Linux: `SKB_FRAG_PAGE_ORDER`, 32 KiB.
  public static let chunkByteCount = 32768
  /// Bytes of a small page.
  public static let pageByteCount = 4096

  /// - Parameter limit: the most bytes the pool may take from the system for pages and buffers.
  public init(limit: Int = 512 << 20, tracer: Tracer) {
    unsafe block = .allocate(capacity: 1)
    unsafe block.initialize(to: PoolBlock(limit: limit, tracer: tracer))
  }

  /// Frees all slabs. Traps when a packet is still alive: it would point into freed memory.
  public func destroy() {
    dropFragmentCache()
    precondition(
      buffersInUse == 0, "an SkBuffPool is destroyed after every sk_buff has ended; \(buffersInUse) live on")
    for index in 0..<(unsafe block.pointee.blocks.count) { unsafe block.pointee.blocks[index].deallocate() }
    unsafe block.deinitialize(count: 1)
    unsafe block.deallocate()
  }

  @inlinable public var tracer: Tracer { unsafe block.pointee.tracer }
  /// sk_buff headers in use, clones counted.
  public var buffersInUse: Int { unsafe block.pointee.buffersInUse }
  /// Pages and chunks in use.
  public var pagesInUse: Int { unsafe block.pointee.pagesInUse }
  /// Packet pages hold more than half of the limit: buffers stop growing and windows open no further.
  /// Linux: `tcp_mem[1]`, `tcp_under_memory_pressure()`.
  @inlinable public var isUnderPressure: Bool {
    unsafe block.pointee.pageBytesInUse > block.pointee.limit >> 1
  }
  /// Packet pages hold more than three quarters of the limit: a socket gets no more than its least.
  /// Linux: `tcp_mem[2]`, `tcp_out_of_memory()`.
  @inlinable public var isExhausted: Bool {
    unsafe block.pointee.pageBytesInUse > block.pointee.limit - block.pointee.limit >> 2
  }
  /// Bytes taken from the system.
  public var allocatedByteCount: Int { unsafe block.pointee.allocated }

  /// How many packets were dropped for `reason`.
  public func dropCount(_ reason: DropReason) -> UInt64 { unsafe block.pointee.drops[Int(reason.rawValue)] }

  /// Counts a drop that never had an sk_buff.
  public func countDrop(_ reason: DropReason) { unsafe block.pointee.drops[Int(reason.rawValue)] += 1 }

  /// A socket whose packets were freed after it stopped at its small-queue limit; `nil` when there is none.
  /// Linux: the list that `tcp_tasklet_func()` walks.
  public func takePending() -> UInt32? {
    guard let account = unsafe block.pointee.pendingAccounts else { return nil }
    unsafe block.pointee.pendingAccounts = account.pointee.nextPending
    unsafe account.pointee.isPending = false
    unsafe account.pointee.nextPending = nil
    let socket = unsafe account.pointee.socket
    let live = unsafe account.pointee.isThrottled
    unsafe PoolBlock.release(account: account)
    return live ? socket : 0
  }

  // MARK: Slabs

  func takeSlab(_ byteCount: Int, alignment: Int) -> UnsafeMutableRawPointer? {
    guard unsafe block.pointee.allocated + byteCount <= block.pointee.limit else { return nil }
    let slab = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: alignment)
    unsafe block.pointee.allocated += byteCount
    unsafe block.pointee.blocks.append(slab)
    return unsafe slab
  }

  func growPages(large: Bool) -> Bool {
    let size = large ? Self.chunkByteCount : Self.pageByteCount
    let count = large ? 16 : 64
    guard let memory = unsafe takeSlab(size * count, alignment: 4096),
      let headers = unsafe takeSlab(MemoryLayout<PageHeader>.stride * count, alignment: 16)
    else { return false }
    let table = unsafe headers.bindMemory(to: PageHeader.self, capacity: count)
    for index in 0..<count {
      let next = unsafe large ? block.pointee.freeChunks : block.pointee.freePages
      unsafe (table + index).initialize(
        to: PageHeader(
          references: 0, byteCount: Int32(size), base: memory + index * size, pool: block, nextFree: next))
      if large {
        unsafe block.pointee.freeChunks = table + index
      } else {
        unsafe block.pointee.freePages = table + index
      }
    }
    return true
  }

  @usableFromInline
  func takePage(large: Bool) -> UnsafeMutablePointer<PageHeader>? {
    var page = unsafe large ? block.pointee.freeChunks : block.pointee.freePages
    if unsafe page == nil {
      guard growPages(large: large) else { return nil }
      unsafe page = large ? block.pointee.freeChunks : block.pointee.freePages
    }
    guard let page = unsafe page else { return nil }
    if large {
      unsafe block.pointee.freeChunks = page.pointee.nextFree
    } else {
      unsafe block.pointee.freePages = page.pointee.nextFree
    }
    unsafe page.pointee.references = 1
    unsafe block.pointee.pagesInUse += 1
    unsafe block.pointee.pageBytesInUse += Int(page.pointee.byteCount)
    return unsafe page
  }

  /// A page of 4 KiB, or of 32 KiB when `large`; `nil` at the pool's limit.
  public func allocatePage(large: Bool = false) -> Page? {
    guard let header = unsafe takePage(large: large) else { return nil }
    return unsafe Page(adopting: header)
  }

  // MARK: Page fragments

  /// Sees to it that the fragment allocator has room: a new 32 KiB chunk when the current one is used up, 4 KiB when
  /// chunks have run out. Linux: `skb_page_frag_refill()`.
  ///
  /// - Returns: bytes available at the cache's offset; 0 at the pool's limit.
  public func refillFragment() -> Int {
    if let page = unsafe block.pointee.cachePage {
      if unsafe page.pointee.references == 1 { unsafe block.pointee.cacheOffset = 0 }
      let left = unsafe Int(page.pointee.byteCount) - block.pointee.cacheOffset
      if left > 0 { return left }
      dropFragmentCache()
    }
    guard let page = unsafe takePage(large: true) ?? takePage(large: false) else { return 0 }
    unsafe block.pointee.cachePage = page
    unsafe block.pointee.cacheOffset = 0
    return unsafe Int(page.pointee.byteCount)
  }

  func dropFragmentCache() {
    guard let page = unsafe block.pointee.cachePage else { return }
    unsafe block.pointee.cachePage = nil
    unsafe PoolBlock.release(page: page)
  }
}

extension PoolBlock {
  @inlinable
  static func release(page: UnsafeMutablePointer<PageHeader>) {
    unsafe page.pointee.references -= 1
    if unsafe page.pointee.references == 0 { unsafe free(page: page) }
  }

  @usableFromInline
  static func free(page: UnsafeMutablePointer<PageHeader>) {
    let pool = unsafe page.pointee.pool
    unsafe pool.pointee.pagesInUse -= 1
    unsafe pool.pointee.pageBytesInUse -= Int(page.pointee.byteCount)
    if unsafe Int(page.pointee.byteCount) == SkBuffPool.chunkByteCount {
      unsafe page.pointee.nextFree = pool.pointee.freeChunks
      unsafe pool.pointee.freeChunks = page
    } else {
      unsafe page.pointee.nextFree = pool.pointee.freePages
      unsafe pool.pointee.freePages = page
    }
  }
}
