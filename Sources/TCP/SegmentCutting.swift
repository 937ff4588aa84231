import NetNamespace
import SkBuff
import Wire

// Queued segments cut in two, and put together again.
extension TCPSender {
  /// Cuts a segment in two that waits to be sent. Linux: `tso_fragment()`.
  ///
  /// - Returns: false when memory ran out; nothing has changed.
  mutating func splitUnsent(_ place: SkBuffQueue.Position, at offset: Int, mss: Int) -> Bool {
    writeQueue.split(place, at: offset, mss: mss, memory: &writeQueuedMemory) != nil
  }

  /// Cuts a sent segment in two. Linux: `tcp_fragment()`.
  ///
  /// - Returns: false when memory ran out, or the peer would have a sent packet cut into ever smaller ones; nothing has
  ///   changed.
  mutating func splitSent(
    _ place: SkBuffQueue.Position, at offset: Int, mss: Int, sendBuffer: Int, net: inout Net
  ) -> Bool {
    if isTooLarge(toSplit: place, sendBuffer) {
      net.counters.count(.TcpExtTCPWqueueTooBig)
      return false
    }
    return scoreboard.split(place, at: offset, mss: mss, memory: &writeQueuedMemory)
  }

  /// SACKs of single small segments cost a packet header each: no further than twice the buffer and two large packets
  /// more. The first packet may always be cut, or the timer could not send it. Linux: `tcp_fragment()`, which cuts the
  /// last one too.
  private func isTooLarge(toSplit place: SkBuffQueue.Position, _ sendBuffer: Int) -> Bool {
    writeQueuedMemory >> 1 > sendBuffer + 2 * (65536 + SkBuff.overhead) && place != scoreboard.queue.first
  }

  /// Fills a short segment up with those that follow it, so that small ones that were lost together do not go again one by
  /// one. Linux: `tcp_retrans_try_collapse()`.
  mutating func collapseFollowing(_ place: SkBuffQueue.Position, upTo space: Int) {
    guard !scoreboard.queue[tcp: place].flags.contains(.syn) else { return }
    while let next = scoreboard.queue.position(after: place) {
      let front = scoreboard.queue[tcp: place]
      let other = scoreboard.queue[tcp: next]
      guard !front.endOfRecord, front.segmentCount <= 1, other.segmentCount <= 1,
        !other.sacked.contains(.sacked),
        scoreboard.queue.length(at: place) + scoreboard.queue.length(at: next) <= space,
        !other.endSequence.isAfter(windowEnd),
        scoreboard.merge(next, into: place, memory: &writeQueuedMemory)
      else { return }
    }
  }
}
