import Synchronization

/// Who came last, and before that, at each of many places: up to eight names of one byte in a word that several shards share,
/// read and written without a lock. A name stands once in it; the one that came first is forgotten for a ninth.
public final class SharedOrders: Sendable {
  private let words: SharedWords<UInt64>

  public init(count: Int) { words = SharedWords(count: count) }

  /// The names at a place, the latest in the lowest byte; 0: no more.
  public subscript(place: Int) -> UInt64 {
    words.at(place) { $0.load(ordering: .sequentiallyConsistent) }
  }

  /// A name comes: it is the latest from now on.
  ///
  /// - Parameter name: not 0.
  public func come(_ name: UInt8, at place: Int) {
    precondition(name != 0, "0 is nobody's name")
    words.at(place) { names in
      var old = names.load(ordering: .relaxed)
      while true {
        let (isDone, now) = names.compareExchange(
          expected: old, desired: Self.moving(name, toFrontOf: old), ordering: .sequentiallyConsistent)
        if isDone { return }
        old = now
      }
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
