import SkBuff
import Wire

/// Places in a queue in the order of its packets' numbers, one for a few dozen packets: a peer that has packets looked for in
/// whatever order it likes pays as much as it costs (CVE-2018-5390, CVE-2019-11478). Linux: the trees `tcp_rtx_queue` and
/// `out_of_order_queue`.
///
/// Walks leave them behind, one at every `stride` steps; a queue in which nobody looks for anything has none. Each stands for
/// a packet that is in the queue: `forget` goes before a packet leaves.
struct Landmarks {
  private static let stride = 32
  private var places: [SkBuffQueue.Position] = []
  #if DEBUG
    /// Packets looked at, for tests that say how many may be.
    private(set) var comparisons = 0
  #endif

  /// The last packet that begins at or before a number; `nil`: none does.
  ///
  /// - Parameter hint: a packet of the queue to begin at, if it is nearer.
  mutating func place(
    before start: SequenceNumber, in queue: borrowing SkBuffQueue, near hint: SkBuffQueue.Position?
  ) -> SkBuffQueue.Position? {
    var index = self.index(after: start, in: queue)
    guard var place = index > 0 ? places[index - 1] : queue.first else { return nil }
    if let hint, !queue[tcp: hint].sequence.isAfter(start),
      queue[tcp: hint].sequence.isAfter(queue[tcp: place].sequence)
    {
      place = hint
    }
    if queue[tcp: place].sequence.isAfter(start) { return nil }
    var steps = 0
    while let next = queue.position(after: place) {
      count()
      guard !queue[tcp: next].sequence.isAfter(start) else { break }
      place = next
      steps += 1
      if steps % Self.stride == 0 {
        places.insert(place, at: index)
        index += 1
      }
    }
    return place
  }

  /// How many of them begin at or before a number.
  private mutating func index(after start: SequenceNumber, in queue: borrowing SkBuffQueue) -> Int {
    var (low, high) = (0, places.count)
    while low < high {
      let middle = (low + high) / 2
      count()
      if queue[tcp: places[middle]].sequence.isAfter(start) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// A packet of the queue is about to leave it.
  @inline(__always)
  mutating func forget(_ place: SkBuffQueue.Position, in queue: borrowing SkBuffQueue) {
    if !places.isEmpty { remove(place, in: queue) }
  }

  private mutating func remove(_ place: SkBuffQueue.Position, in queue: borrowing SkBuffQueue) {
    // Packets without bytes share a number with their neighbour.
    var index = self.index(after: queue[tcp: place].sequence, in: queue)
    while index > 0, queue[tcp: places[index - 1]].sequence == queue[tcp: place].sequence {
      index -= 1
      if places[index] == place { places.remove(at: index) }
    }
  }

  /// The queue is empty, or about to be.
  mutating func removeAll() { places.removeAll() }

  /// What of them does not agree with their queue; `nil`: everything does.
  func brokenInvariant(in queue: borrowing SkBuffQueue) -> String? {
    var next = 0
    var place = queue.first
    while let current = place, next < places.count {
      if places[next] == current { next += 1 }
      place = queue.position(after: current)
    }
    return next == places.count ? nil : "a landmark at a segment that is gone, or out of order"
  }

  /// One packet more was looked at.
  @inline(__always) mutating func count() {
    #if DEBUG
      comparisons += 1
    #endif
  }
}
