/// An array of values that may not be copied, which only grows.
///
/// Safety: `base[0..<count]` is initialised and owned by this value; every index is checked against `count`.
@safe
@frozen
public struct UniqueArray<Element: ~Copyable>: ~Copyable {
  @usableFromInline var base: UnsafeMutablePointer<Element>
  @usableFromInline var capacity: Int
  /// Valid indices are below it.
  @usableFromInline var used: Int

  @inlinable public init(capacity: Int) {
    precondition(capacity > 0, "there is room for at least one value")
    unsafe base = .allocate(capacity: capacity)
    self.capacity = capacity
    used = 0
  }

  @inlinable deinit {
    unsafe base.deinitialize(count: used)
    unsafe base.deallocate()
  }

  @inlinable public var count: Int { used }

  /// Adds a value and returns its index.
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
      precondition(index >= 0 && index < used, "an index names a value that was added")
      yield unsafe base[index]
    }
    _modify {
      precondition(index >= 0 && index < used, "an index names a value that was added")
      yield unsafe &base[index]
    }
  }
}

/// Its owner alone reaches the memory, as with the elements themselves.
extension UniqueArray: @unchecked Sendable where Element: Sendable & ~Copyable {}
