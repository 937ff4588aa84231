import Tables
import Wire

/// What an ACK tells the peer beside its number: up to four ranges above it that have come, the one that changed last first
/// (RFC 2018 section 4), and one that has come twice (RFC 2883).
///
/// The first `count` of `blocks` are ranges; none touches another.
struct SACKReport {
  private(set) var blocks: InlineArray<4, SACKBlock> = .init(
    repeating: SACKBlock(start: SequenceNumber(0), end: SequenceNumber(0)))
  @Narrow<UInt8> private(set) var count = 0
  /// Goes with the next ACK, in front of the others.
  private(set) var duplicate: SACKBlock?

  var isEmpty: Bool { count == 0 && duplicate == nil }

  /// One past the highest number in it; `nil`: nothing was received out of order.
  var highest: SequenceNumber? {
    guard count > 0 else { return nil }
    var highest = blocks[0].end
    for index in 1..<max(1, count) where blocks[index].end.isAfter(highest) { highest = blocks[index].end }
    return highest
  }

  /// A range has come, and joins those that it touches. Linux: `tcp_sack_new_ofo_skb()`.
  mutating func add(_ start: SequenceNumber, _ end: SequenceNumber) {
    var merged = SACKBlock(start: start, end: end)
    var kept = 0
    let old = blocks
    for index in 0..<count {
      let block = old[index]
      if !merged.start.isAfter(block.end) && !merged.end.isBefore(block.start) {
        if block.start.isBefore(merged.start) { merged.start = block.start }
        if block.end.isAfter(merged.end) { merged.end = block.end }
      } else if kept < 3 {
        blocks[kept + 1] = block
        kept += 1
      }
    }
    blocks[0] = merged
    count = kept + 1
  }

  /// Drops ranges that the cumulative ACK has passed. Linux: `tcp_sack_remove()`.
  mutating func acknowledge(upTo next: SequenceNumber) {
    var kept = 0
    for index in 0..<count where blocks[index].end.isAfter(next) {
      blocks[kept] = blocks[index]
      kept += 1
    }
    count = kept
  }

  /// What was reported was thrown away: the peer must not believe that it is still there.
  mutating func forgetRanges() { count = 0 }

  /// Linux: `tcp_dsack_set()`.
  mutating func setDuplicate(_ start: SequenceNumber, _ end: SequenceNumber) {
    duplicate = SACKBlock(start: start, end: end)
  }

  /// Adds to the duplicate what touches it; the report names one range (RFC 2883 section 4). Linux: `tcp_dsack_extend()`.
  ///
  /// - Returns: false when there is no duplicate to add to.
  mutating func extendDuplicate(_ start: SequenceNumber, _ end: SequenceNumber) -> Bool {
    guard var known = duplicate else { return false }
    if !start.isAfter(known.end), !known.start.isAfter(end) {
      if start.isBefore(known.start) { known.start = start }
      if end.isAfter(known.end) { known.end = end }
      duplicate = known
    }
    return true
  }

  /// It went out, or there is nobody left to tell.
  mutating func clearDuplicate() { duplicate = nil }
}
