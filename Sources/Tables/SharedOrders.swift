import Synchronization

/// Who came last, and before that, at each of many places: up to eight names of one byte in a word that several shards share,
/// read and written without a lock. A name stands once in it; the one that came first is forgotten for a ninth.
///
/// Safety: the memory holds `count` atomics from `init` to `deinit`, and every place is checked against that.
@safe
public final class SharedOrders: Sendable {
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

  /// The names at a place, the latest in the lowest byte; 0: no more.
  public subscript(place: Int) -> UInt64 {
    precondition(place >= 0 && place < count, "a place of the table")
    return unsafe words[place].load(ordering: .sequentiallyConsistent)
  }

  /// A name comes: it is the latest from now on.
  ///
  /// - Parameter name: not 0.
  public func come(_ name: UInt8, at place: Int) {
    precondition(place >= 0 && place < count && name != 0, "a name at a place of the table")
    var old = unsafe words[place].load(ordering: .relaxed)
    while true {
      let (isDone, now) = unsafe words[place].compareExchange(
        expected: old, desired: Self.moving(name, toFrontOf: old), ordering: .sequentiallyConsistent)
      if isDone { return }
      old = now
    }
  }

  static func moving(_ name: UInt8, toFrontOf names: UInt64) -> UInt64 {
    var place = 0
    while place < 56 && UInt8(truncatingIfNeeded: names >> UInt64(place)) != name { place += 8 }
    // Those behind it stay, those before it move into its place.
    let before = names & (1 << UInt64(place) - 1)
    let behind = place < 56 ? names & ~(1 << UInt64(place + 8) - 1) : 0
    return behind | before << 8 | UInt64(name)
  }
}
