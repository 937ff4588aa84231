import IceHardware
import Timers

/// Completions that fault injection holds back, in order. Empty, and free of cost, otherwise.
struct WriteBackQueue: ~Copyable {
  private var entries: [(descriptor: Int, due: Instant)] = []
  private var first = 0

  var isEmpty: Bool { first == entries.count }
  /// When the earliest is due.
  var deadline: Instant? { isEmpty ? nil : entries[first].due }

  mutating func append(_ descriptor: Int, due: Instant) { entries.append((descriptor, due)) }

  mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    first = 0
  }

  /// The next descriptor to write back at `now`.
  mutating func popDue(now: Instant) -> Int? {
    guard !isEmpty, entries[first].due <= now else { return nil }
    let descriptor = entries[first].descriptor
    first += 1
    if isEmpty { removeAll() }
    return descriptor
  }
}
