/// A queue on one ring of memory, which doubles when it is full and is never given back: work that stands in line.
/// Linux: `struct kfifo`.
@frozen
public struct Fifo<Element: BitwiseCopyable>: ~Copyable {
  @usableFromInline var ring: [Element]
  @usableFromInline var head = 0
  @usableFromInline var storedCount = 0
  @inlinable public var count: Int { storedCount }

  /// - Parameters:
  ///   - capacity: a power of two.
  ///   - blank: what unused places hold.
  @inlinable
  public init(capacity: Int, blank: Element) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a ring has a power of two of places")
    ring = Array(repeating: blank, count: capacity)
  }

  @inlinable public var isEmpty: Bool { count == 0 }

  /// The element that came first.
  @inlinable public var first: Element? { count == 0 ? nil : ring[head] }

  /// The element that came last.
  @inlinable public var last: Element? {
    count == 0 ? nil : ring[(head &+ count &- 1) & (ring.count &- 1)]
  }

  @inlinable
  public mutating func append(_ element: Element) {
    if count == ring.count { grow() }
    ring[(head &+ count) & (ring.count &- 1)] = element
    storedCount &+= 1
  }

  /// Takes the element that came first.
  @inlinable
  public mutating func popFirst() -> Element? {
    guard count > 0 else { return nil }
    let element = ring[head]
    head = (head &+ 1) & (ring.count &- 1)
    storedCount &-= 1
    return element
  }

  @usableFromInline
  mutating func grow() {
    ring = Array(ring[head...] + ring[..<head])
    head = 0
    ring += ring
  }
}
