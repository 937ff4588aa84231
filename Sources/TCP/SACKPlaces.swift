import SkBuff
import Wire

/// Where in what was sent blocks of SACK are looked for, whatever order they come in: in few steps, and not again where all
/// has arrived. Linux: `tcp_sacktag_bsearch()`, `tcp_sacktag_skip()`, `recv_sack_cache`.
struct SACKPlaces {
  /// The packet that was marked, or passed, last.
  private var hint: SkBuffQueue.Position?
  private(set) var landmarks = Landmarks()
  private var ranges = SACKedRanges()

  /// Everything below a number is acknowledged.
  mutating func acknowledge(upTo una: SequenceNumber) { ranges.acknowledge(upTo: una) }

  /// The packet in which a block begins, the first if it begins before that; `nil`: there is none.
  mutating func place(from start: SequenceNumber, in queue: borrowing SkBuffQueue) -> SkBuffQueue.Position? {
    landmarks.place(before: start, in: queue, near: hint) ?? queue.first
  }

  /// Where to go on behind a packet that is SACKed already: behind all that is with it, or at `end`.
  mutating func place(
    behind place: SkBuffQueue.Position, upTo end: SequenceNumber, in queue: borrowing SkBuffQueue
  ) -> SkBuffQueue.Position? {
    hint = place
    landmarks.count()
    let next = queue.position(after: place)
    guard let next, let known = ranges.end(around: queue[tcp: place].sequence) else { return next }
    let target = known.isBefore(end) ? known : end
    guard !queue[tcp: next].sequence.isAfter(target) else { return next }
    return landmarks.place(before: target, in: queue, near: next) ?? next
  }

  /// The peer has a packet that it did not have.
  mutating func arrived(_ place: SkBuffQueue.Position, _ block: TCPControlBlock) {
    hint = place
    ranges.insert(block.sequence, block.endSequence)
  }

  /// Nothing that it had counts.
  mutating func forgetArrivals() { ranges.removeAll() }

  /// A packet is about to leave the queue.
  @inline(__always)
  mutating func forget(_ place: SkBuffQueue.Position, in queue: borrowing SkBuffQueue) {
    if hint == place { hint = nil }
    landmarks.forget(place, in: queue)
  }

  mutating func removeAll() {
    hint = nil
    landmarks.removeAll()
    ranges.removeAll()
  }

  /// What does not agree with a packet of the queue; `nil`: everything does.
  func brokenRange(of block: TCPControlBlock) -> String? {
    let end = ranges.end(around: block.sequence)
    guard block.sacked.contains(.sacked) else { return end == nil ? nil : "in a range that has arrived" }
    guard let end, !block.endSequence.isAfter(end) else { return "SACKed, and in no range" }
    return nil
  }

  /// What does not agree with the queue; `nil`: everything does.
  func brokenInvariant(in queue: borrowing SkBuffQueue) -> String? {
    var place = queue.first
    while let current = place, current != hint { place = queue.position(after: current) }
    if hint != nil && place == nil { return "a hint at a segment that is gone" }
    return landmarks.brokenInvariant(in: queue)
  }
}
