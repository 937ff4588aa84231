import Synchronization

/// Words that several shards share: all zero at first, read and written without a lock.
///
/// Safety: the memory holds `count` atomics from `init` to `deinit`, and every place is checked against that.
@safe
@frozen
public struct SharedWords<Word: AtomicRepresentable & FixedWidthInteger & Sendable>: ~Copyable,
  @unchecked Sendable
{
  public let count: Int
  @usableFromInline let words: UnsafeMutablePointer<Atomic<Word>>

  @inlinable public init(count: Int) {
    self.count = count
    unsafe words = .allocate(capacity: count)
    for place in 0..<count { unsafe (words + place).initialize(to: Atomic(0)) }
  }

  @inlinable deinit {
    unsafe words.deinitialize(count: count)
    unsafe words.deallocate()
  }

  /// What `body` finds or does at a place, which is one of the table's.
  @inlinable @inline(__always)
  public func at<Result>(_ place: Int, _ body: (borrowing Atomic<Word>) -> Result) -> Result {
    precondition(place >= 0 && place < count, "a place of the table")
    return unsafe body(words[place])
  }
}
