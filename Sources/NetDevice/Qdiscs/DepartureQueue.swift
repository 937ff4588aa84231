import Timers

/// Places by the time they are due, those of one time in the order they came: a heap, O(log n) each.
/// Linux: the red-black trees of `tfifo_enqueue()` and `fq_flow_set_throttled()`.
struct DepartureQueue<Place> {
  private struct Entry {
    var time: Instant
    var order: UInt64
    var place: Place
    func isBefore(_ other: Entry) -> Bool { time == other.time ? order < other.order : time < other.time }
  }
  private var heap: [Entry] = []
  private var order: UInt64 = 0

  var isEmpty: Bool { heap.isEmpty }
  /// When the first one leaves.
  var next: Instant? { heap.first?.time }

  mutating func insert(_ place: Place, at time: Instant) {
    order += 1
    let entry = Entry(time: time, order: order, place: place)
    heap.append(entry)
    var hole = heap.count - 1
    while hole > 0, entry.isBefore(heap[(hole - 1) / 2]) {
      heap[hole] = heap[(hole - 1) / 2]
      hole = (hole - 1) / 2
    }
    heap[hole] = entry
  }

  mutating func popFirst() -> Place? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first.place }
    var hole = 0
    while 2 * hole + 1 < heap.count {
      var child = 2 * hole + 1
      if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
      if last.isBefore(heap[child]) { break }
      heap[hole] = heap[child]
      hole = child
    }
    heap[hole] = last
    return first.place
  }

  mutating func removeAll() { heap.removeAll() }
}
