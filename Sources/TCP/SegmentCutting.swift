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

  /// Moves up to `count` bytes to a packet that waits from those behind it, where records and lent memory allow it.
  /// Linux: `tcp_grow_skb()`.
  ///
  /// - Returns: how many bytes longer it is.
  mutating func growUnsent(_ place: SkBuffQueue.Position, by count: Int) -> Int {
    guard let next = writeQueue.position(after: place), !writeQueue[tcp: place].endOfRecord else { return 0 }
    let byteCount = min(count, writeQueue.length(at: next))
    guard byteCount > 0 else { return 0 }
    let before = writeQueue.truesize(at: place) + writeQueue.truesize(at: next)
    var other: SkBuff? = writeQueue.remove(at: next)
    let isMoved = writeQueue.withMutablePacket(at: place) { (skb: inout SkBuff) -> Bool in
      guard var rest = other.take() else { return false }
      let isMoved = skb.shift(from: &rest, count: byteCount)
      other = consume rest
      return isMoved
    }
    guard let rest = other.take() else { return 0 }
    if !isMoved {
      writeQueue.insert(rest, after: place)
      return 0
    }
    let isWhole = rest.length == 0
    writeQueue[tcp: place].endSequence = isWhole ? rest.tcp.endSequence : rest.tcp.sequence + byteCount
    writeQueue[tcp: place].segmentCount = 0
    if isWhole {
      writeQueue[tcp: place].flags.formUnion(rest.tcp.flags)
      writeQueue[tcp: place].endOfRecord = rest.tcp.endOfRecord
      writeQueuedMemory += writeQueue.truesize(at: place) - before
      // Linux: `tcp_skb_collapse_tstamp()`.
      if !rest.stamps.isEmpty {
        let (stamps, key) = (rest.stamps, rest.stampKey)
        writeQueue.withMutablePacket(at: place) {
          $0.stamps.formUnion(stamps)
          $0.stampKey = key
        }
      }
      rest.consumed()
    } else {
      var behind = rest
      behind.tcp.sequence += byteCount
      behind.tcp.segmentCount = 0
      writeQueue.insert(behind, after: place)
    }
    return byteCount
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
