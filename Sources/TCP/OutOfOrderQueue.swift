import SkBuff
import Wire

/// Packets that came before their turn, by sequence number. Linux: `out_of_order_queue`, `ooo_last_skb`.
///
/// No packet of it covers another, and the hint stands in the queue.
struct OutOfOrderQueue: ~Copyable {
  private(set) var queue = SkBuffQueue()
  /// Where the last packet went in: the next belongs near it, or at the end.
  private var hint: SkBuffQueue.Position?
  private(set) var landmarks = Landmarks()
  /// Neighbours on the layer's list of sockets with such a queue.
  var link = OutOfOrderLink()

  var isEmpty: Bool { queue.isEmpty }
  var first: SkBuffQueue.Position? { queue.first }
  /// One packet, which ends the stream.
  var hasOnlyFin: Bool {
    queue.count == 1 && queue.first.map { queue[tcp: $0].flags.contains(.fin) } ?? false
  }

  /// The last packet that begins at or before `start`; `nil`: none does.
  mutating func place(before start: SequenceNumber) -> SkBuffQueue.Position? {
    if let last = queue.last, !queue[tcp: last].sequence.isAfter(start) { return last }
    return landmarks.place(before: start, in: queue, near: hint)
  }

  /// - Parameter previous: the packet that begins at or before it; `nil`: none does.
  /// - Returns: where it stands now.
  mutating func insert(
    _ skb: consuming SkBuff, after previous: SkBuffQueue.Position?
  ) -> SkBuffQueue.Position? {
    if let previous { queue.insert(skb, after: previous) } else { queue.prepend(skb) }
    hint = previous.map { queue.position(after: $0) } ?? queue.first
    return hint
  }

  mutating func remove(at place: SkBuffQueue.Position) -> SkBuff {
    if hint == place { hint = nil }
    landmarks.forget(place, in: queue)
    return queue.remove(at: place)
  }

  mutating func popLast() -> SkBuff? {
    hint = nil
    if let last = queue.last { landmarks.forget(last, in: queue) }
    return queue.popLast()
  }

  mutating func removeAll() {
    hint = nil
    landmarks.removeAll()
    queue.removeAll()
  }

  /// What of it does not agree; `nil`: everything does.
  func brokenInvariant() -> String? { landmarks.brokenInvariant(in: queue) }
}
