import Synchronization

/// Words of 64 bits that several shards share, a bit for each shard: who has what stands at a place. Read and written
/// without a lock.
public final class SharedMasks: Sendable {
  private let words: SharedWords<UInt64>

  public init(count: Int) { words = SharedWords(count: count) }

  /// The shards at a place.
  public subscript(place: Int) -> UInt64 {
    words.at(place) { $0.load(ordering: .sequentiallyConsistent) }
  }

  /// Says whether a shard is one of those at a place.
  public func set(_ shard: Int, _ isThere: Bool, at place: Int) {
    let bit = UInt64(1) << UInt64(shard)
    words.at(place) { (mask: borrowing Atomic<UInt64>) -> Void in
      if isThere {
        mask.bitwiseOr(bit, ordering: .sequentiallyConsistent)
      } else {
        mask.bitwiseAnd(~bit, ordering: .sequentiallyConsistent)
      }
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
