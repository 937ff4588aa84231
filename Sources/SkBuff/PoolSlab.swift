/// What one slab is cut into.
@usableFromInline
enum SlabKind: Int, CaseIterable {
  case header
  case data
  case page
  case chunk

  /// How many pieces a chunk of 32 KiB makes.
  var pieceCount: Int {
    switch self {
    case .header: SkBuffPool.chunkByteCount / MemoryLayout<SkBuffHeader>.stride
    case .data: SkBuffPool.chunkByteCount / SharedInfo.stride
    case .page: SkBuffPool.chunkByteCount / SkBuffPool.pageByteCount
    case .chunk: 1
    }
  }
}

/// A chunk of 32 KiB that is cut into pieces of one kind, or is free. Linux: `struct slab`.
@safe
@frozen
@usableFromInline
struct PoolSlab {
  @usableFromInline var pool: UnsafeMutablePointer<PoolBlock>
  @usableFromInline var region: UnsafeMutablePointer<PoolRegion>
  @usableFromInline var base: UnsafeMutableRawPointer
  /// Headers of the pages that the chunk may be cut into: 8.
  @usableFromInline var pages: UnsafeMutablePointer<PageHeader>
  /// Free pieces, each of which begins with the address of the next.
  @usableFromInline var free: UnsafeMutableRawPointer? = nil
  /// Neighbours on the list of its kind's slabs that have free pieces, or of the region's free chunks.
  @usableFromInline var next: UnsafeMutablePointer<PoolSlab>? = nil
  @usableFromInline var previous: UnsafeMutablePointer<PoolSlab>? = nil
  /// Pieces in use.
  @usableFromInline var used: Int32 = 0
  @usableFromInline var kind: SlabKind = .header
  /// Empty, and kept for the next time.
  @usableFromInline var isSpare = false

  @usableFromInline
  init(
    pool: UnsafeMutablePointer<PoolBlock>, region: UnsafeMutablePointer<PoolRegion>,
    base: UnsafeMutableRawPointer, pages: UnsafeMutablePointer<PageHeader>
  ) {
    unsafe self.pool = pool
    unsafe self.region = region
    unsafe self.base = base
    unsafe self.pages = pages
  }
}

/// Chunks that were taken from the system at once, and go back at once when none is in use.
@safe
@frozen
@usableFromInline
struct PoolRegion {
  @usableFromInline var memory: UnsafeMutableRawPointer
  @usableFromInline var slabs: UnsafeMutablePointer<PoolSlab>
  @usableFromInline var pages: UnsafeMutablePointer<PageHeader>
  @usableFromInline var chunkCount: Int
  @usableFromInline var usedCount = 0
  @usableFromInline var free: UnsafeMutablePointer<PoolSlab>? = nil
  /// Neighbours on the list of all regions, and on that of regions with a free chunk.
  @usableFromInline var next: UnsafeMutablePointer<PoolRegion>? = nil
  @usableFromInline var previous: UnsafeMutablePointer<PoolRegion>? = nil
  @usableFromInline var nextFree: UnsafeMutablePointer<PoolRegion>? = nil
  @usableFromInline var previousFree: UnsafeMutablePointer<PoolRegion>? = nil

  @usableFromInline
  init(
    memory: UnsafeMutableRawPointer, slabs: UnsafeMutablePointer<PoolSlab>,
    pages: UnsafeMutablePointer<PageHeader>, chunkCount: Int
  ) {
    unsafe self.memory = memory
    unsafe self.slabs = slabs
    unsafe self.pages = pages
    self.chunkCount = chunkCount
  }
}

/// The slabs of one kind that have free pieces, fullest first as far as a list tells: a slab that was full goes to the
/// front, one that has become empty to the end.
@safe
@frozen
@usableFromInline
struct SlabList {
  @usableFromInline var first: UnsafeMutablePointer<PoolSlab>? = nil
  @usableFromInline var last: UnsafeMutablePointer<PoolSlab>? = nil
  /// Empty slabs at the end that are kept, and how many may be.
  @usableFromInline var spareCount = 0
  @usableFromInline var spareLimit = 0
  @usableFromInline init() {}

  @usableFromInline mutating func prepend(_ slab: UnsafeMutablePointer<PoolSlab>) {
    unsafe slab.pointee.previous = nil
    unsafe slab.pointee.next = first
    if let first = unsafe first { unsafe first.pointee.previous = slab } else { unsafe last = slab }
    unsafe first = slab
  }

  @usableFromInline mutating func append(_ slab: UnsafeMutablePointer<PoolSlab>) {
    unsafe slab.pointee.next = nil
    unsafe slab.pointee.previous = last
    if let last = unsafe last { unsafe last.pointee.next = slab } else { unsafe first = slab }
    unsafe last = slab
  }

  @usableFromInline mutating func remove(_ slab: UnsafeMutablePointer<PoolSlab>) {
    let next = unsafe slab.pointee.next
    let previous = unsafe slab.pointee.previous
    if let next = unsafe next {
      unsafe next.pointee.previous = previous
    } else {
      unsafe last = previous
    }
    if let previous = unsafe previous {
      unsafe previous.pointee.next = next
    } else {
      unsafe first = next
    }
    unsafe slab.pointee.next = nil
    unsafe slab.pointee.previous = nil
  }
}
