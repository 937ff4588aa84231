import Synchronization

/// Words of 64 bits that several shards share, a bit for each shard: who has what stands at a place. Read and written
/// without a lock.
///
/// Safety: the memory holds `count` atomics from `init` to `deinit`, and every place is checked against that.
@safe
public final class SharedMasks: Sendable {
  private let count: Int
  private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>

  public init(count: Int) {
    self.count = count
    unsafe words = .allocate(capacity: count)
    for place in 0..<count { unsafe (words + place).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe words.deinitialize(count: count)
    unsafe words.deallocate()
  }

  /// The shards at a place.
  public subscript(place: Int) -> UInt64 {
    precondition(place >= 0 && place < count, "a place of the table")
    return unsafe words[place].load(ordering: .sequentiallyConsistent)
  }

  /// Says whether a shard is one of those at a place.
  public func set(_ shard: Int, _ isThere: Bool, at place: Int) {
    precondition(place >= 0 && place < count, "a place of the table")
    let bit = UInt64(1) << UInt64(shard)
    if isThere {
      unsafe words[place].bitwiseOr(bit, ordering: .sequentiallyConsistent)
    } else {
      unsafe words[place].bitwiseAnd(~bit, ordering: .sequentiallyConsistent)
    }
  }

  /// Which of several shards a hash names: each as often as the others.
  ///
  /// - Parameter mask: one shard at least.
  public static func choice(among mask: UInt64, by hash: UInt64) -> Int {
    var left = hash.multipliedFullWidth(by: UInt64(mask.nonzeroBitCount)).high
    var rest = mask
    while left > 0 {
      rest &= rest - 1
      left -= 1
    }
    return rest.trailingZeroBitCount
  }
}
