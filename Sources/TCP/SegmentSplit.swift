import SkBuff
import Wire

extension SkBuffQueue {
  /// Cuts a queued segment in two.
  ///
  /// - Parameters:
  ///   - offset: where, in bytes; not 0.
  ///   - mss: what each half is cut into on its way out.
  ///   - memory: what the socket's queued packets take, in bytes of truesize.
  /// - Returns: how many segments more than the whole the halves count; `nil` when memory ran out, and nothing has changed.
  mutating func split(_ place: Position, at offset: Int, mss: Int, memory: inout Int) -> Int? {
    let truesizeBefore = truesize(at: place)
    let cut = withMutablePacket(at: place) {
      $0.split(at: offset, headroom: TCPConnection.headroom, use: .guaranteed)
    }
    guard var rest = cut else { return nil }
    var front = self[tcp: place]
    let oldCount = Int(front.segmentCount)
    var back = front
    back.sequence = front.sequence + offset
    front.endSequence = back.sequence
    front.flags.subtract([.fin, .psh])
    front.endOfRecord = false
    // ECN's CWR goes with the first byte.
    back.flags.remove(.cwr)
    front.segmentSize = UInt16(truncatingIfNeeded: mss)
    back.segmentSize = front.segmentSize
    front.segmentCount = UInt16(truncatingIfNeeded: (offset + mss - 1) / mss)
    back.segmentCount = UInt16(truncatingIfNeeded: max(1, (rest.length + mss - 1) / mss))
    let key = withPacket(at: place) { $0.stamps.isEmpty ? nil : $0.stampKey }
    if let key, !SequenceNumber(key).isBefore(back.sequence) {
      // The byte that the stamps are named after is in the second half. Linux: `tcp_fragment_tstamp()`.
      withMutablePacket(at: place) {
        rest.copyStamps(from: $0)
        $0.stamps = []
      }
    }
    rest.tcp = back
    self[tcp: place] = front
    memory += truesize(at: place) + rest.truesize - truesizeBefore
    insert(rest, after: place)
    return Int(front.segmentCount) + Int(back.segmentCount) - oldCount
  }
}
