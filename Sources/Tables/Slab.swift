/// Values at addresses that do not move, named by small numbers that are reused. Linux: a `kmem_cache`.
///
/// Each slot has a generation that changes when it is freed, so that a late timer can be told from a current one.
///
/// Safety: `chunks` are owned here; a slot is read only while `isLive` says it is initialised.
@safe
@frozen
public struct Slab<Element: ~Copyable>: ~Copyable {
  @inlinable static var chunkCount: Int { 64 }
  @usableFromInline var chunks: [UnsafeMutablePointer<Element>] = unsafe []
  @usableFromInline var generations: [UInt32] = []
  @usableFromInline var live: [Bool] = []
  @usableFromInline var freeSlots: [Int32] = []
  @usableFromInline var used = 0
  /// How many slots are in use.
  @inlinable public var count: Int { used }

  public init() {}

  @inlinable deinit {
    for index in live.indices where live[index] { unsafe pointer(index).deinitialize(count: 1) }
    for index in 0..<(unsafe chunks.count) { unsafe chunks[index].deallocate() }
  }

  /// One past the highest slot in use at any time.
  @inlinable public var capacity: Int { live.count }
  @inlinable public func isLive(_ index: Int) -> Bool { index >= 0 && index < live.count && live[index] }
  @inlinable public func generation(_ index: Int) -> UInt32 { generations[index] }
  /// Whether the value of that generation has its slot still.
  @inlinable public func isCurrent(_ index: Int, generation: UInt32) -> Bool {
    isLive(index) && generations[index] == generation
  }

  @inlinable @inline(__always)
  func pointer(_ index: Int) -> UnsafeMutablePointer<Element> {
    unsafe chunks[index >> 6] + (index & 63)
  }

  /// The slot that the next `insert` uses.
  @inlinable public mutating func reserve() -> Int {
    if let slot = freeSlots.last { return Int(slot) }
    let first = live.count
    unsafe chunks.append(.allocate(capacity: Self.chunkCount))
    for slot in (first..<first + Self.chunkCount).reversed() { freeSlots.append(Int32(slot)) }
    generations.append(contentsOf: repeatElement(1, count: Self.chunkCount))
    live.append(contentsOf: repeatElement(false, count: Self.chunkCount))
    return first
  }

  @inlinable @discardableResult
  public mutating func insert(_ element: consuming Element) -> Int {
    let index = reserve()
    freeSlots.removeLast()
    unsafe pointer(index).initialize(to: element)
    live[index] = true
    used += 1
    return index
  }

  @inlinable public mutating func remove(_ index: Int) -> Element {
    precondition(isLive(index), "a slab slot is freed once")
    live[index] = false
    generations[index] &+= 1
    freeSlots.append(Int32(index))
    used -= 1
    return unsafe pointer(index).move()
  }

  @inlinable public subscript(index: Int) -> Element {
    @inline(__always)
    unsafeAddress {
      precondition(isLive(index), "a slab slot is used while it is live")
      return unsafe UnsafePointer(pointer(index))
    }
    @inline(__always)
    unsafeMutableAddress {
      precondition(isLive(index), "a slab slot is used while it is live")
      return unsafe pointer(index)
    }
  }
}
