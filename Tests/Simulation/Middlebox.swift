import Shard
import Timers

/// What stands in the way of the frames of one direction and changes them: middleboxes, a NAT, and peers that cheat, who
/// are no more than what is made of their segments.
struct Middlebox {
  /// Until when each does what it does.
  private var until: [Deed: Instant] = [:]
  private var counts: [Deed: Int] = [:]
  /// Ports that a NAT gives, by those that the connections have, and the other way round.
  private var given: [UInt16: UInt16] = [:]
  /// A segment that waits for the next one, to be joined with it.
  private var held: Segment?
  /// The highest number that passed, and the last acknowledgment, by the flow's source port.
  private(set) var highest: [UInt16: UInt32] = [:]
  private var acknowledged: [UInt16: UInt32] = [:]
  private var natCount: UInt16 = 0

  mutating func begin(_ deed: Deed, until instant: Instant, count: Int) {
    until[deed] = instant
    counts[deed] = count
  }

  mutating func heal() { until.removeAll() }

  private func does(_ deed: Deed, _ now: Instant) -> Bool { until[deed].map { now < $0 } ?? false }

  /// Nothing is changed: the frame need not be looked at.
  var isIdle: Bool { until.isEmpty && given.isEmpty && held == nil }

  /// A NAT gives the connections from these ports others.
  mutating func rebind(_ ports: [UInt16]) {
    natCount += 1
    for port in ports { given[port] = port &+ 20_000 &+ natCount }
  }

  /// The other direction's: packets to a given port go to the one that has it.
  func mapBack(_ segment: inout Segment) -> Bool {
    guard let port = given.first(where: { $0.value == segment.destination })?.key else { return false }
    segment.destination = port
    return true
  }

  /// A packet to a port that the NAT has taken away from its connection.
  func isLost(_ segment: Segment) -> Bool { given[segment.destination] != nil }

  mutating func note(_ segment: Segment) {
    let end = segment.endSequence
    guard let before = highest[segment.source], Int32(bitPattern: end &- before) <= 0 else {
      highest[segment.source] = end
      return
    }
  }

  /// What is left of a segment, in order.
  ///
  /// - Parameter sent: the highest number that the other end has sent to this one.
  mutating func pass(_ segment: Segment, sent: UInt32?, now: Instant) -> [[UInt8]] {
    var segment = segment
    var frames: [[UInt8]] = []
    if let port = given[segment.source] { segment.source = port }
    if segment.isSYN { changeHandshake(&segment, now) }
    cheat(&segment, sent: sent, now: now)
    if does(.divide, now), segment.isPureACK { frames += divided(segment) }
    if segment.isACK { acknowledged[segment.source] = segment.acknowledgment }
    if let waiting = held {
      held = nil
      if let joined = join(waiting, segment) { return frames + [joined.frame()] }
      frames.append(waiting.frame())
    }
    let count = segment.payload.count
    if does(.merge, now), count > 0, segment.flags & 7 == 0, count < 700 {
      held = segment
      return frames
    }
    if does(.split, now), count > 1, segment.flags & 7 == 0 {
      var first = segment
      var second = segment
      first.keep(from: 0, count: count / 2)
      second.keep(from: count / 2, count: count - count / 2)
      second.sequence = segment.sequence &+ UInt32(count / 2)
      return frames + [first.frame(), second.frame()]
    }
    return frames + [segment.frame()]
  }

  /// A segment that nothing has followed.
  mutating func flush() -> [UInt8]? { held.take()?.frame() }

  private func changeHandshake(_ segment: inout Segment, _ now: Instant) {
    // Maximum segment size, window scale, SACK permitted, time stamps. Off an answer they would be agreed on by one end only.
    if does(.strip, now) { segment.blank(segment.isACK ? [2] : [2, 3, 4, 8]) }
    if does(.tiny, now), let place = segment.option(2) {
      segment.setOptionWord(UInt16(clamping: counts[.tiny] ?? 48), at: place.lowerBound + 2)
    }
  }

  private func cheat(_ segment: inout Segment, sent: UInt32?, now: Instant) {
    guard segment.isACK, !segment.isSYN, segment.flags & 4 == 0 else { return }
    if does(.optimistic, now), let sent, Int32(bitPattern: sent &- segment.acknowledgment) > 0 {
      segment.acknowledgment = sent &+ UInt32(counts[.optimistic] ?? 0)
    }
    if does(.shrink, now) { segment.window /= 4 }
    if does(.silly, now) { segment.window = min(segment.window, UInt16(clamping: counts[.silly] ?? 1)) }
    if does(.zero, now) { segment.window = 0 }
    if does(.sackLie, now), let place = segment.option(5), place.count >= 10, let sent {
      // All that was sent beyond the hole, and more.
      segment.setOptionLong(sent &+ UInt32(counts[.sackLie] ?? 0), at: place.lowerBound + 6)
    }
  }

  private func divided(_ segment: Segment) -> [[UInt8]] {
    guard let before = acknowledged[segment.source] else { return [] }
    let step = segment.acknowledgment &- before
    guard step >= 3, step < 1 << 20 else { return [] }
    return [step / 3, step / 3 * 2].map { part in
      var one = segment
      one.acknowledgment = before &+ part
      return one.frame()
    }
  }

  private func join(_ first: Segment, _ second: Segment) -> Segment? {
    guard first.source == second.source, first.destination == second.destination,
      first.endSequence == second.sequence, second.flags & 6 == 0, second.payload.count > 0,
      first.payload.count + second.payload.count <= 1400
    else { return nil }
    var joined = second
    let tail = second.payload
    joined.keep(from: 0, count: 0)
    joined.append(first.payload)
    joined.append(tail)
    joined.sequence = first.sequence
    return joined
  }
}
