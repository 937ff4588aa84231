/// Slots for values that may not be copied: a slot's number stays valid while the slab grows. Linux: `kmem_cache`.
///
/// Safety: `base[0..<count]` is initialised and owned by this value; every index is checked against `count`.
@safe
@frozen
public struct Slab<Element: ~Copyable>: ~Copyable {
  @usableFromInline var base: UnsafeMutablePointer<Element>
  @usableFromInline var capacity: Int
  /// Slots in the slab; valid indices are below it.
  @usableFromInline var used: Int

  @inlinable public init(capacity: Int) {
    precondition(capacity > 0, "a slab has room for at least one value")
    unsafe base = .allocate(capacity: capacity)
    self.capacity = capacity
    used = 0
  }

  @inlinable deinit {
    unsafe base.deinitialize(count: used)
    unsafe base.deallocate()
  }

  @inlinable public var count: Int { used }

  /// Adds a slot and returns its index.
  @inlinable public mutating func append(_ element: consuming Element) -> Int {
    if used == capacity {
      let grown = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
      unsafe grown.moveInitialize(from: base, count: used)
      unsafe base.deallocate()
      unsafe base = grown
      capacity *= 2
    }
    unsafe (base + used).initialize(to: element)
    used += 1
    return used - 1
  }

  @inlinable public subscript(index: Int) -> Element {
    _read {
      precondition(index >= 0 && index < used, "a slab index names a slot")
      yield unsafe base[index]
    }
    _modify {
      precondition(index >= 0 && index < used, "a slab index names a slot")
      yield unsafe &base[index]
    }
  }
}
