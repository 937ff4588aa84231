import Synchronization

/// Small counts that several shards share, one for each shard at each place: how much of something who has. Each shard
/// writes its own; all are read without a lock.
///
/// Safety: the memory holds `count * shardCount` atomics from `init` to `deinit`, and every place and shard is checked
/// against that.
@safe
public final class SharedCounts: Sendable {
  private let count: Int
  private let shardCount: Int
  private nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt16>>

  public init(count: Int, shardCount: Int) {
    self.count = count
    self.shardCount = shardCount
    unsafe words = .allocate(capacity: count * shardCount)
    for place in 0..<count * shardCount { unsafe (words + place).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe words.deinitialize(count: count * shardCount)
    unsafe words.deallocate()
  }

  private func place(_ place: Int, _ shard: Int) -> Int {
    precondition(place >= 0 && place < count && shard >= 0 && shard < shardCount, "a place of the table")
    return place * shardCount + shard
  }

  /// One more of a shard's, or one fewer; no count is passed at either end.
  public func add(_ one: Bool, of shard: Int, at place: Int) {
    let place = self.place(place, shard)
    let now = unsafe words[place].load(ordering: .relaxed)
    guard now != (one ? .max : 0) else { return }
    unsafe words[place].store(one ? now + 1 : now - 1, ordering: .relaxed)
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
      let count = unsafe words[self.place(place, shard)].load(ordering: .relaxed)
      guard body(shard, UInt64(count)) else { return }
    }
  }
}
