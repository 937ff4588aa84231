import Synchronization

/// Small counts that several shards share, one for each shard at each place: how much of something who has. Each shard
/// writes its own; all are read without a lock.
public final class SharedCounts: Sendable {
  private let shardCount: Int
  private let words: SharedWords<UInt16>

  public init(count: Int, shardCount: Int) {
    self.shardCount = shardCount
    words = SharedWords(count: count * shardCount)
  }

  private func place(_ place: Int, _ shard: Int) -> Int {
    precondition(shard >= 0 && shard < shardCount, "one of the shards")
    return place * shardCount + shard
  }

  /// One more of a shard's, or one fewer; no count is passed at either end.
  public func add(_ one: Bool, of shard: Int, at place: Int) {
    words.at(self.place(place, shard)) { count in
      let now = count.load(ordering: .relaxed)
      guard now != (one ? .max : 0) else { return }
      count.store(one ? now + 1 : now - 1, ordering: .relaxed)
    }
  }

  /// Which of several shards a hash names: each as often as its count says; `nil`: none of them has any.
  public func choice(among mask: UInt64, at place: Int, by hash: UInt64) -> Int? {
    var total: UInt64 = 0
    each(of: mask, at: place) { _, count in
      total += count
      return true
    }
    var left = hash.multipliedFullWidth(by: total).high
    var chosen: Int?
    // Counts may have changed meanwhile: the last that has any is it then.
    each(of: mask, at: place) { shard, count in
      if count > 0 { chosen = shard }
      guard left >= count else { return false }
      left -= count
      return true
    }
    return chosen
  }

  @inline(__always)
  private func each(of mask: UInt64, at place: Int, _ body: (Int, UInt64) -> Bool) {
    var rest = mask
    while rest != 0 {
      let shard = rest.trailingZeroBitCount
      rest &= rest - 1
      let count = words.at(self.place(place, shard)) { $0.load(ordering: .relaxed) }
      guard body(shard, UInt64(count)) else { return }
    }
  }
}
