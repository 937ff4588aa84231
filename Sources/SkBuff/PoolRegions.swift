// Chunks: taken from the system in regions, cut into pieces, given back. Linux: `mm/slub.c` over the page allocator.
extension PoolBlock {
  /// Chunks of a region.
  static let regionChunkCount = 16
  /// What a chunk costs with all that is kept about it.
  static let chunkCost =
    SkBuffPool.chunkByteCount + MemoryLayout<PoolSlab>.stride
    + MemoryLayout<PageHeader>.stride * pagesPerChunk
  private static let regionOverhead = MemoryLayout<PoolRegion>.stride
  private static let pagesPerChunk = SkBuffPool.chunkByteCount / SkBuffPool.pageByteCount

  // MARK: Pieces

  /// A piece of a slab; `nil` when the pool is too full for such a use, or at its limit.
  @usableFromInline @inline(__always)
  static func take(
    _ kind: SlabKind, _ use: MemoryUse, from pool: UnsafeMutablePointer<PoolBlock>
  ) -> UnsafeMutableRawPointer? {
    guard unsafe pool.pointee.used <= pool.pointee.ceilings[Int(use.rawValue)] else { return nil }
    // Mostly the first slab is in use, and has more than one free piece.
    if let slab = unsafe pool.pointee.slabs[kind.rawValue].first, unsafe slab.pointee.used > 0,
      let piece = unsafe slab.pointee.free, let next = unsafe piece.load(as: UnsafeMutableRawPointer?.self)
    {
      unsafe slab.pointee.used &+= 1
      unsafe slab.pointee.free = next
      return unsafe piece
    }
    return unsafe takeAtEdge(kind, from: pool)
  }

  /// The first piece of a slab, or its last.
  @usableFromInline @inline(never)
  static func takeAtEdge(
    _ kind: SlabKind, from pool: UnsafeMutablePointer<PoolBlock>
  ) -> UnsafeMutableRawPointer? {
    var found = unsafe pool.pointee.slabs[kind.rawValue].first
    if unsafe found == nil { unsafe found = newSlab(kind, pool) }
    guard let slab = unsafe found, let piece = unsafe slab.pointee.free else { return nil }
    if unsafe slab.pointee.used == 0 {
      if unsafe slab.pointee.isSpare {
        unsafe slab.pointee.isSpare = false
        unsafe pool.pointee.slabs[kind.rawValue].spareCount -= 1
      }
      unsafe pool.pointee.noteUsed(chunkCost)
    }
    unsafe slab.pointee.used += 1
    let next = unsafe piece.load(as: UnsafeMutableRawPointer?.self)
    unsafe slab.pointee.free = next
    if unsafe next == nil { unsafe pool.pointee.slabs[kind.rawValue].remove(slab) }
    return unsafe piece
  }

  @usableFromInline @inline(__always)
  static func give(_ piece: UnsafeMutableRawPointer, to slab: UnsafeMutablePointer<PoolSlab>) {
    let next = unsafe slab.pointee.free
    unsafe piece.storeBytes(of: next, as: UnsafeMutableRawPointer?.self)
    unsafe slab.pointee.free = piece
    unsafe slab.pointee.used &-= 1
    if unsafe slab.pointee.used == 0 || next == nil { unsafe giveAtEdge(slab, wasFull: next == nil) }
  }

  /// The slab has become empty, or has a free piece again.
  @usableFromInline @inline(never)
  static func giveAtEdge(_ slab: UnsafeMutablePointer<PoolSlab>, wasFull: Bool) {
    let pool = unsafe slab.pointee.pool
    let kind = unsafe slab.pointee.kind.rawValue
    if unsafe slab.pointee.used == 0 {
      if !wasFull { unsafe pool.pointee.slabs[kind].remove(slab) }
      unsafe pool.pointee.noteUsed(-chunkCost)
      if unsafe pool.pointee.slabs[kind].spareCount < pool.pointee.slabs[kind].spareLimit {
        unsafe slab.pointee.isSpare = true
        unsafe pool.pointee.slabs[kind].spareCount += 1
        unsafe pool.pointee.slabs[kind].append(slab)
      } else {
        unsafe giveChunk(slab)
      }
    } else if wasFull {
      unsafe pool.pointee.slabs[kind].prepend(slab)
    }
  }

  /// Counts memory that came into use or went out of it, and keeps the pressure state.
  @usableFromInline
  mutating func noteUsed(_ change: Int) {
    used += change
    if used > pressure {
      if !isUnderPressure {
        isUnderPressure = true
        pressureEntries &+= 1
      }
    } else if used <= low {
      isUnderPressure = false
    }
  }

  // MARK: Slabs

  /// A chunk that is cut into pieces of a kind, on its kind's list.
  private static func newSlab(
    _ kind: SlabKind, _ pool: UnsafeMutablePointer<PoolBlock>
  ) -> UnsafeMutablePointer<PoolSlab>? {
    guard let slab = unsafe takeChunk(pool) else { return nil }
    unsafe slab.pointee.kind = kind
    unsafe slab.pointee.used = 0
    unsafe slab.pointee.isSpare = false
    unsafe slab.pointee.free = nil
    for index in (0..<kind.pieceCount).reversed() {
      let piece = unsafe carve(kind, index, of: slab)
      unsafe piece.storeBytes(of: slab.pointee.free, as: UnsafeMutableRawPointer?.self)
      unsafe slab.pointee.free = piece
    }
    unsafe pool.pointee.slabs[kind.rawValue].prepend(slab)
    return unsafe slab
  }

  /// One piece, which knows its slab.
  private static func carve(
    _ kind: SlabKind, _ index: Int, of slab: UnsafeMutablePointer<PoolSlab>
  ) -> UnsafeMutableRawPointer {
    let base = unsafe slab.pointee.base
    let pool = unsafe slab.pointee.pool
    switch kind {
    case .header:
      let header = unsafe (base + index * MemoryLayout<SkBuffHeader>.stride)
        .bindMemory(to: SkBuffHeader.self, capacity: 1)
      unsafe header.pointee.slab = slab
      return UnsafeMutableRawPointer(header)
    case .data:
      let data = unsafe (base + index * SharedInfo.stride).bindMemory(to: SharedInfo.self, capacity: 1)
      unsafe data.pointee.pool = pool
      unsafe data.pointee.slab = slab
      return UnsafeMutableRawPointer(data)
    case .page, .chunk:
      let size = kind == .page ? SkBuffPool.pageByteCount : SkBuffPool.chunkByteCount
      let page = unsafe slab.pointee.pages + index
      unsafe page.initialize(
        to: PageHeader(byteCount: Int32(size), base: base + index * size, pool: pool, slab: slab))
      return UnsafeMutableRawPointer(page)
    }
  }

  // MARK: Chunks

  private static func takeChunk(_ pool: UnsafeMutablePointer<PoolBlock>) -> UnsafeMutablePointer<PoolSlab>? {
    if unsafe pool.pointee.freeRegions == nil && !addRegion(pool) {
      unsafe giveSpares(pool)
    }
    guard let region = unsafe pool.pointee.freeRegions, let slab = unsafe region.pointee.free else {
      return nil
    }
    if unsafe region.pointee.usedCount == 0 { unsafe pool.pointee.emptyRegionCount -= 1 }
    unsafe region.pointee.free = slab.pointee.next
    unsafe region.pointee.usedCount += 1
    unsafe slab.pointee.next = nil
    if unsafe region.pointee.free == nil { unsafe pool.pointee.unlistFree(region) }
    return unsafe slab
  }

  private static func giveChunk(_ slab: UnsafeMutablePointer<PoolSlab>) {
    let region = unsafe slab.pointee.region
    let pool = unsafe slab.pointee.pool
    let wasFull = unsafe region.pointee.free == nil
    unsafe slab.pointee.next = region.pointee.free
    unsafe region.pointee.free = slab
    unsafe region.pointee.usedCount -= 1
    if wasFull { unsafe pool.pointee.listFree(region) }
    guard unsafe region.pointee.usedCount == 0 else { return }
    if unsafe pool.pointee.emptyRegionCount < pool.pointee.emptyRegionLimit {
      unsafe pool.pointee.emptyRegionCount += 1
    } else {
      unsafe pool.pointee.unlistFree(region)
      unsafe removeRegion(region, pool)
    }
  }

  /// At the limit: empty slabs that one kind keeps serve the others.
  private static func giveSpares(_ pool: UnsafeMutablePointer<PoolBlock>) {
    for kind in 0..<SlabKind.allCases.count {
      while let slab = unsafe pool.pointee.slabs[kind].last, unsafe slab.pointee.isSpare {
        unsafe pool.pointee.slabs[kind].remove(slab)
        unsafe pool.pointee.slabs[kind].spareCount -= 1
        unsafe giveChunk(slab)
      }
    }
  }

  // MARK: Regions

  private static func addRegion(_ pool: UnsafeMutablePointer<PoolBlock>) -> Bool {
    let room = unsafe pool.pointee.limit - pool.pointee.allocated - regionOverhead
    let count = min(regionChunkCount, room / chunkCost)
    guard count > 0 else { return false }
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: SkBuffPool.chunkByteCount * count, alignment: SkBuffPool.pageByteCount)
    let slabs = UnsafeMutablePointer<PoolSlab>.allocate(capacity: count)
    let pages = UnsafeMutablePointer<PageHeader>.allocate(capacity: count * pagesPerChunk)
    let region = UnsafeMutablePointer<PoolRegion>.allocate(capacity: 1)
    unsafe region.initialize(
      to: PoolRegion(memory: memory, slabs: slabs, pages: pages, chunkCount: count))
    for index in (0..<count).reversed() {
      unsafe (slabs + index).initialize(
        to: PoolSlab(
          pool: pool, region: region, base: memory + index * SkBuffPool.chunkByteCount,
          pages: pages + index * pagesPerChunk))
      unsafe (slabs + index).pointee.next = region.pointee.free
      unsafe region.pointee.free = slabs + index
    }
    unsafe pool.pointee.allocated += regionOverhead + count * chunkCost
    unsafe region.pointee.next = pool.pointee.regions
    if let first = unsafe pool.pointee.regions { unsafe first.pointee.previous = region }
    unsafe pool.pointee.regions = region
    unsafe pool.pointee.emptyRegionCount += 1
    unsafe pool.pointee.listFree(region)
    return true
  }

  /// Gives a region back to the system.
  static func removeRegion(
    _ region: UnsafeMutablePointer<PoolRegion>, _ pool: UnsafeMutablePointer<PoolBlock>
  ) {
    let next = unsafe region.pointee.next
    let previous = unsafe region.pointee.previous
    if let next = unsafe next { unsafe next.pointee.previous = previous }
    if let previous = unsafe previous {
      unsafe previous.pointee.next = next
    } else {
      unsafe pool.pointee.regions = next
    }
    unsafe pool.pointee.allocated -= regionOverhead + region.pointee.chunkCount * chunkCost
    unsafe region.pointee.memory.deallocate()
    unsafe region.pointee.slabs.deallocate()
    unsafe region.pointee.pages.deallocate()
    unsafe region.deallocate()
  }

  private mutating func listFree(_ region: UnsafeMutablePointer<PoolRegion>) {
    unsafe region.pointee.previousFree = nil
    unsafe region.pointee.nextFree = freeRegions
    if let first = unsafe freeRegions { unsafe first.pointee.previousFree = region }
    unsafe freeRegions = region
  }

  private mutating func unlistFree(_ region: UnsafeMutablePointer<PoolRegion>) {
    let next = unsafe region.pointee.nextFree
    let previous = unsafe region.pointee.previousFree
    if let next = unsafe next { unsafe next.pointee.previousFree = previous }
    if let previous = unsafe previous {
      unsafe previous.pointee.nextFree = next
    } else {
      unsafe freeRegions = next
    }
    unsafe region.pointee.nextFree = nil
    unsafe region.pointee.previousFree = nil
  }
}
