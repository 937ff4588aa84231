/// Sockets at addresses that do not move, named by small numbers that are reused. Linux: a `kmem_cache`.
///
/// Safety: `chunks` are owned here; a slot is read only while `live` says that it is initialised.
@safe
struct SocketSlab<Element: ~Copyable>: ~Copyable {
  private static var chunkCount: Int { 32 }
  private var chunks: [UnsafeMutablePointer<Element>] = unsafe []
  private var live: [Bool] = []
  private var freeSlots: [Int32] = []
  private(set) var count = 0

  init() {}

  deinit {
    for index in live.indices where live[index] { unsafe pointer(index).deinitialize(count: 1) }
    for index in 0..<(unsafe chunks.count) { unsafe chunks[index].deallocate() }
  }

  /// One past the highest slot in use at any time.
  var capacity: Int { live.count }
  func isLive(_ index: Int) -> Bool { index >= 0 && index < live.count && live[index] }

  @inline(__always)
  private func pointer(_ index: Int) -> UnsafeMutablePointer<Element> {
    unsafe chunks[index / Self.chunkCount] + index % Self.chunkCount
  }

  /// The slot that the next `insert` uses.
  mutating func reserve() -> Int {
    if let slot = freeSlots.last { return Int(slot) }
    let first = live.count
    unsafe chunks.append(.allocate(capacity: Self.chunkCount))
    for slot in (first..<first + Self.chunkCount).reversed() { freeSlots.append(Int32(slot)) }
    live.append(contentsOf: repeatElement(false, count: Self.chunkCount))
    return first
  }

  mutating func insert(_ element: consuming Element) {
    let index = reserve()
    freeSlots.removeLast()
    unsafe pointer(index).initialize(to: element)
    live[index] = true
    count += 1
  }

  mutating func remove(_ index: Int) -> Element {
    precondition(isLive(index), "a slab slot is freed once")
    live[index] = false
    freeSlots.append(Int32(index))
    count -= 1
    return unsafe pointer(index).move()
  }

  subscript(index: Int) -> Element {
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
