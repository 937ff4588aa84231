import Wire

/// What the peer is known to have above SND.UNA: ranges that do not touch each other, in order. A block that is told again,
/// as each of them is with each ACK, is passed without a look at its packets. Linux: `recv_sack_cache`, `tcp_shift_skb_data()`.
struct SACKedRanges {
  private var ranges: [SACKBlock] = []

  var isEmpty: Bool { ranges.isEmpty }
  var count: Int { ranges.count }

  /// How many of them begin at or before a number.
  private func index(after start: SequenceNumber) -> Int {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].start.isAfter(start) { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// Where the range ends that a number lies in; `nil`: it lies in none.
  func end(around number: SequenceNumber) -> SequenceNumber? {
    let index = index(after: number)
    guard index > 0, ranges[index - 1].end.isAfter(number) else { return nil }
    return ranges[index - 1].end
  }

  /// A packet has arrived that lies in none of them.
  mutating func insert(_ start: SequenceNumber, _ end: SequenceNumber) {
    let index = index(after: start)
    let joinsLower = index > 0 && ranges[index - 1].end == start
    let joinsUpper = index < ranges.count && ranges[index].start == end
    switch (joinsLower, joinsUpper) {
    case (true, true):
      ranges[index - 1].end = ranges[index].end
      ranges.remove(at: index)
    case (true, false): ranges[index - 1].end = end
    case (false, true): ranges[index].start = start
    case (false, false): ranges.insert(SACKBlock(start: start, end: end), at: index)
    }
  }

  /// Everything below a number is acknowledged.
  mutating func acknowledge(upTo una: SequenceNumber) {
    guard let first = ranges.first, first.start.isBefore(una) else { return }
    let gone = index(after: una)
    // The last of them may reach beyond it.
    let isCut = gone > 0 && ranges[gone - 1].end.isAfter(una)
    if isCut { ranges[gone - 1].start = una }
    ranges.removeFirst(isCut ? gone - 1 : gone)
    if ranges.isEmpty { removeAll() }
  }

  /// The peer may have thrown away what it had.
  mutating func removeAll() { ranges.removeAll(keepingCapacity: ranges.capacity <= 16) }
}
