import Timers
import Trace

/// Accounts in line for memory.
@safe
@usableFromInline
struct MemoryLine {
  @usableFromInline var first: UnsafeMutablePointer<AccountBlock>? = nil
  @usableFromInline var last: UnsafeMutablePointer<AccountBlock>? = nil
}

/// What the pool handle points at. Plain data, one per shard.
@safe
@usableFromInline
struct PoolBlock {
  /// Slabs with free pieces, by `SlabKind`.
  @usableFromInline var slabs: InlineArray<4, SlabList> = .init(repeating: SlabList())
  @usableFromInline var regions: UnsafeMutablePointer<PoolRegion>? = nil
  @usableFromInline var freeRegions: UnsafeMutablePointer<PoolRegion>? = nil
  @usableFromInline var emptyRegionCount = 0
  @usableFromInline var emptyRegionLimit: Int
  /// Accounts that stopped at their small-queue limit and may go on, in order.
  @usableFromInline var firstPending: UnsafeMutablePointer<AccountBlock>? = nil
  @usableFromInline var lastPending: UnsafeMutablePointer<AccountBlock>? = nil
  /// Accounts that wait for memory, in order; those of `MemoryUse.ordinary`, those of `.guaranteed`.
  @usableFromInline var waiting: InlineArray<2, MemoryLine> = .init(repeating: MemoryLine())
  /// The page-fragment allocator's current chunk. Linux: `struct page_frag`.
  @usableFromInline var cachePage: UnsafeMutablePointer<PageHeader>? = nil
  @usableFromInline var cacheOffset: Int = 0
  /// Pages that stand for memory of somebody else's, not in use.
  @usableFromInline var freeLentPages: UnsafeMutablePointer<PageHeader>? = nil
  /// Notifications that are complete and were not told, in order.
  @usableFromInline var firstCompleted: SendNotification? = nil
  @usableFromInline var lastCompleted: SendNotification? = nil
  @usableFromInline var hasCompleted = false
  /// Times of packets on their way, for who asked for them.
  @usableFromInline var stamps: [TransmitStamp] = []
  @usableFromInline var hasStamps = false
  @usableFromInline var nextSerial: UInt32 = 1
  @usableFromInline var buffersInUse: Int = 0
  @usableFromInline var pagesInUse: Int = 0
  /// Bytes of chunks of which at least a piece is in use: what every limit is compared with.
  @usableFromInline var used: Int = 0
  /// Bytes taken from the system.
  @usableFromInline var allocated: Int = 0
  @usableFromInline let limit: Int
  @usableFromInline var low: Int
  @usableFromInline var pressure: Int
  /// How full the pool may be for each `MemoryUse`.
  @usableFromInline var ceilings: InlineArray<3, Int>
  @usableFromInline var isUnderPressure = false
  @usableFromInline var pressureEntries: UInt64 = 0
  @usableFromInline var drops: InlineArray<80, UInt64> = .init(repeating: 0)
  @usableFromInline var tracer: Tracer

  @usableFromInline
  init(limit: Int, tracer: Tracer) {
    self.limit = limit
    let levels = SkBuffPool.levels(limit: limit)
    low = levels.low
    pressure = levels.pressure
    ceilings = [levels.high, limit - limit / 8, .max]
    self.tracer = tracer
    emptyRegionLimit = max(1, limit / 16 / (Self.regionChunkCount * Self.chunkCost))
    // Empty slabs are kept so that a load which comes and goes does not cut chunks anew for each packet.
    let most = limit / 128 / Self.chunkCost
    for kind in SlabKind.allCases {
      let count: Int
      switch kind {
      case .header: count = 2
      case .data: count = 8
      case .page: count = 32
      case .chunk: count = 0
      }
      slabs[kind.rawValue].spareLimit = kind == .chunk ? 0 : max(1, min(count, most))
    }
  }
}

/// Where a shard's sk_buffs and pages come from, and the one place that says how much memory packets may hold.
///
/// The pool takes regions of 16 chunks of 32 KiB from the system, up to its limit, cuts chunks into pieces (sk_buff
/// headers, data blocks of 1 KiB, pages of 4 KiB, whole chunks), and gives regions back when none of their chunks is in
/// use. A chunk that no piece of is in use serves any kind. A `SkBuffPool` is a handle; copies name the same pool.
///
/// ## What is counted, and what is limited
/// What is limited is what is counted: `usedByteCount` is the memory of all chunks with a piece in use, whoever holds
/// it, and every level below is compared with it. Linux counts `tcp_memory_allocated`, `udp_memory_allocated` and
/// pages apart; here TCP, UDP, fragments, the receive ring and packets on their way share one pool, so one count.
///
/// | What | Counted in | Bound |
/// |---|---|---|
/// | chunks in use | `usedByteCount` | the levels below |
/// | regions from the system | `allocatedByteCount` | `packetMemory` |
/// | packets in qdisc, ring, neighbour queue | `SocketAccount.writeAllocated` | `SO_SNDBUF`, small-queue limit |
/// | a stream's send queues | `writeQueuedMemory` | `SO_SNDBUF`, `tcp_wmem` |
/// | receive and out-of-order queues | `SocketAccount.receiveAllocated` | `SO_RCVBUF`, `tcp_rmem`, `rmem_default` |
/// | fragments | `ReassemblyTable.memory` | `ipfrag_high_thresh`; 256 for a datagram |
/// | packets that wait for a neighbour | `waitingTruesize` | 212,992 bytes each; above `high` one packet each |
/// | orphans | `TCPLayer.orphanCount` | `tcp_max_orphans` |
/// | half-open requests, accept queues | listener | `tcp_max_syn_backlog`, `listen()`'s backlog |
/// | TIME-WAIT | `TCPLayer.timeWaits` | `tcp_max_tw_buckets` |
/// | timers | `TimerQueue.count` | one for each owner above |
/// | error queues, path MTUs, ICMP rates, inboxes | their tables | 256; 4096; 1024; 1024 |
///
/// ## Levels
/// | Level | Above, of the limit | What it does |
/// |---|---|---|
/// | low | 3/8 | below it pressure ends |
/// | pressure | 1/2 | begins: buffers stop growing, windows open no further; `TCPMemoryPressures` counts the entry |
/// | high | 3/4 | `MemoryUse.ordinary` is refused: writers wait in order, what is received is kept only by a socket that keeps less than its least, fragments and out-of-order data are not kept; out-of-order queues of all sockets are pruned, oldest first; an orphan that holds memory is reset when it closes or its timer fires |
/// | last eighth | 7/8 | `.guaranteed` is refused as well: only packets on their way (`.transit`) get memory |
/// | limit | 1 | nothing |
///
/// The proportions of low, pressure and high are `tcp_mem`'s, which sets others (`setLevels`). Between high and the limit lies what reception, control
/// segments, ARP, ICMP and the receive ring always have: nothing that is kept may grow into the last eighth, so
/// whatever peers make the stack keep, a frame can be received and answered.
///
/// Waiting: a writer that was refused, or was told by poll that it would be, stands in line
/// (`SocketAccount.waitForMemory(_:)`); when memory has come back `takeMemoryWaiter()` hands out those whose turn it is,
/// first come first.
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
  /// Bytes of the longest linear area, which only `linearize()` asks for: a packet of 64 KiB and its headers.
  public static let longestLinearByteCount = 65536 + 4096

  /// - Parameter limit: the most bytes the pool may take from the system for pages and buffers.
  public init(limit: Int = 512 << 20, tracer: Tracer) {
    unsafe block = .allocate(capacity: 1)
    unsafe block.initialize(to: PoolBlock(limit: limit, tracer: tracer))
  }

  /// Frees everything. Traps when a packet is still alive: it would point into freed memory.
  public func destroy() {
    dropFragmentCache()
    precondition(
      buffersInUse == 0, "an SkBuffPool is destroyed after every sk_buff has ended; \(buffersInUse) live on")
    while let region = unsafe block.pointee.regions { unsafe PoolBlock.removeRegion(region, block) }
    while let page = unsafe block.pointee.freeLentPages {
      unsafe block.pointee.freeLentPages = page.pointee.nextFree?.assumingMemoryBound(to: PageHeader.self)
      unsafe page.deallocate()
    }
    while takeCompleted() != nil {}
    unsafe block.deinitialize(count: 1)
    unsafe block.deallocate()
  }

  @inlinable public var tracer: Tracer { unsafe block.pointee.tracer }
  /// sk_buff headers in use, clones counted.
  public var buffersInUse: Int { unsafe block.pointee.buffersInUse }
  /// Pages and chunks in use.
  public var pagesInUse: Int { unsafe block.pointee.pagesInUse }
  /// Bytes of chunks of which a piece is in use.
  public var usedByteCount: Int { unsafe block.pointee.used }
  /// Bytes taken from the system.
  public var allocatedByteCount: Int { unsafe block.pointee.allocated }
  /// The most that may be taken from the system.
  public var limit: Int { unsafe block.pointee.limit }

  // MARK: Levels

  /// The levels of a pool that nobody has set others for, in bytes. Linux: `tcp_init_mem()`.
  public static func levels(limit: Int) -> (low: Int, pressure: Int, high: Int) {
    (limit / 8 * 3, limit / 2, limit / 4 * 3)
  }

  /// Sets the levels, in bytes. The last eighth of the pool stays what it is for. Linux: `net.ipv4.tcp_mem`.
  public func setLevels(low: Int, pressure: Int, high: Int) {
    unsafe block.pointee.low = low
    unsafe block.pointee.pressure = pressure
    unsafe block.pointee.ceilings[Int(MemoryUse.ordinary.rawValue)] = min(high, limit - limit / 8)
    unsafe block.pointee.noteUsed(0)
  }

  /// Buffers stop growing and windows open no further; from `pressure` until `low`.
  /// Linux: `tcp_mem[1]`, `tcp_mem[0]`, `tcp_under_memory_pressure()`.
  @inlinable public var isUnderPressure: Bool { unsafe block.pointee.isUnderPressure }
  /// Nothing is kept but for sockets that keep less than their least. Linux: `tcp_mem[2]`, `tcp_out_of_memory()`.
  @inlinable public var isExhausted: Bool { !admits(.ordinary) }
  /// Whether memory may be asked for, or a received packet kept, for such a use.
  @inlinable public func admits(_ use: MemoryUse) -> Bool {
    unsafe block.pointee.used <= block.pointee.ceilings[Int(use.rawValue)]
  }

  /// How often pressure has begun since the last call. Linux: `LINUX_MIB_TCPMEMORYPRESSURES`.
  public func takePressureEntries() -> UInt64 {
    let count = unsafe block.pointee.pressureEntries
    if count > 0 { unsafe block.pointee.pressureEntries = 0 }
    return count
  }

  // MARK: Drops

  /// How many packets were dropped for `reason`.
  public func dropCount(_ reason: DropReason) -> UInt64 { unsafe block.pointee.drops[Int(reason.rawValue)] }

  /// Counts a drop that never had an sk_buff.
  public func countDrop(_ reason: DropReason) { unsafe block.pointee.drops[Int(reason.rawValue)] += 1 }

  // MARK: Pages

  @usableFromInline
  func takePage(large: Bool, _ use: MemoryUse) -> UnsafeMutablePointer<PageHeader>? {
    guard let piece = unsafe PoolBlock.take(large ? .chunk : .page, use, from: block) else { return nil }
    let page = unsafe piece.assumingMemoryBound(to: PageHeader.self)
    unsafe page.pointee.references = 1
    unsafe block.pointee.pagesInUse += 1
    return unsafe page
  }

  /// Memory for one long linear area, from the system for as long as the packet lives.
  func takeLongPage(byteCount: Int) -> UnsafeMutablePointer<PageHeader>? {
    let size = Self.longestLinearByteCount
    guard byteCount <= size, unsafe block.pointee.allocated + size <= block.pointee.limit else { return nil }
    let page = UnsafeMutablePointer<PageHeader>.allocate(capacity: 1)
    unsafe page.initialize(
      to: PageHeader(
        byteCount: Int32(size), base: .allocate(byteCount: size, alignment: 64), pool: block, slab: nil))
    unsafe page.pointee.references = 1
    unsafe block.pointee.allocated += size
    unsafe block.pointee.pagesInUse += 1
    unsafe block.pointee.noteUsed(size)
    return unsafe page
  }

  /// A page of 4 KiB, or of 32 KiB when `large`; `nil` when the pool is too full for such a use.
  public func allocatePage(large: Bool = false, use: MemoryUse = .ordinary) -> Page? {
    guard let header = unsafe takePage(large: large, use) else { return nil }
    return unsafe Page(adopting: header)
  }

  // MARK: Page fragments

  /// Sees to it that the fragment allocator has room: a new 32 KiB chunk when the current one is used up, 4 KiB when
  /// chunks have run out. Linux: `skb_page_frag_refill()`.
  ///
  /// - Returns: bytes available at the cache's offset; 0 when the pool is too full for such a use.
  public func refillFragment(use: MemoryUse = .ordinary) -> Int {
    if let page = unsafe block.pointee.cachePage {
      if unsafe page.pointee.references == 1 { unsafe block.pointee.cacheOffset = 0 }
      let left = unsafe Int(page.pointee.byteCount) - block.pointee.cacheOffset
      if left > 0 { return left }
      dropFragmentCache()
    }
    // Above `high` a small page is enough for what a socket is guaranteed.
    let large = unsafe isExhausted ? nil : takePage(large: true, use)
    guard let page = unsafe large ?? takePage(large: false, use) else { return 0 }
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
    guard let slab = unsafe page.pointee.slab else { return unsafe free(ownPage: page) }
    unsafe page.pointee.pool.pointee.pagesInUse -= 1
    unsafe give(UnsafeMutableRawPointer(page), to: slab)
  }
}
