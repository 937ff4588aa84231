import NetNamespace
import SkBuff
import Wire

// Segments that came too early, and telling the peer which. Linux: `tcp_data_queue_ofo()`, RFC 2018, RFC 2883.
extension TCPSocket {
  /// Linux: `tcp_data_queue_ofo()`.
  mutating func queueOutOfOrder(_ skb: consuming SkBuff, net: inout Net) {
    let block = skb.tcp
    // What came too early is never among the least that a socket may keep.
    guard !net.pool.isExhausted, makeRoom(for: skb.truesize, net: &net) else {
      net.counters.count(.TcpExtTCPOFODrop)
      skb.drop(.tcpOutOfOrderMemory)
      return
    }
    net.counters.count(.TcpExtTCPOFOQueue)
    statistics.outOfOrderPackets += 1
    ack.isScheduled = true
    measureReceive(
      payload: skb.length, gsoSize: skb.gsoSize, truesize: skb.truesize, flags: block.flags)
    let payload = skb.length
    let truesize = skb.truesize
    let start = block.sequence
    let end = block.endSequence

    // Find the last packet that begins at or before this one: from the hint, the newest place, or the end.
    var place = outOfOrder.last
    if let hint = outOfOrderHint, let last = place,
      outOfOrder[tcp: last].sequence.isAfter(start)
    {
      place = hint
      while let current = place, !outOfOrder[tcp: current].sequence.isAfter(start),
        let next = outOfOrder.position(after: current), !outOfOrder[tcp: next].sequence.isAfter(start)
      {
        place = next
      }
    }
    while let current = place, outOfOrder[tcp: current].sequence.isAfter(start) {
      place = outOfOrder.position(before: current)
    }
    if let previous = place, !outOfOrder[tcp: previous].endSequence.isBefore(end) {
      net.counters.count(.TcpExtTCPOFOMerge)
      noteDuplicate(start, end, net: &net)
      skb.drop(.tcpOldData)
      if hasSACK { addSACKBlock(start, end) }
      return
    }
    if let previous = place, outOfOrder[tcp: previous].endSequence.isAfter(start) {
      noteDuplicate(start, outOfOrder[tcp: previous].endSequence, net: &net)
    }
    skb.chargeReceive(to: core.account)
    if let previous = place { outOfOrder.insert(skb, after: previous) } else { outOfOrder.prepend(skb) }
    var inserted = place.flatMap { outOfOrder.position(after: $0) } ?? outOfOrder.first
    outOfOrderHint = inserted
    // Packets that this one covers wholly are of no more use.
    while let current = inserted, let next = outOfOrder.position(after: current) {
      guard end.isAfter(outOfOrder[tcp: next].sequence) else { break }
      if end.isBefore(outOfOrder[tcp: next].endSequence) {
        extendDuplicate(outOfOrder[tcp: next].sequence, end, net: &net)
        break
      }
      extendDuplicate(outOfOrder[tcp: next].sequence, outOfOrder[tcp: next].endSequence, net: &net)
      net.counters.count(.TcpExtTCPOFOMerge)
      outOfOrder.remove(at: next).drop(.tcpOldData)
      inserted = current
    }
    guard hasSACK else { return }
    addSACKBlock(start, end)
    growWindow(payload: payload, truesize: truesize, net: net)
  }

  /// Moves what has become contiguous. Linux: `tcp_ofo_queue()`.
  mutating func drainOutOfOrder(net: inout Net) {
    // Below this everything arrived in order as well.
    var duplicateEnd = rcvNxt
    while let head = outOfOrder.first, !outOfOrder[tcp: head].sequence.isAfter(rcvNxt) {
      if outOfOrderHint == head { outOfOrderHint = nil }
      let skb = outOfOrder.remove(at: head)
      if skb.tcp.sequence.isBefore(duplicateEnd) {
        let end = duplicateEnd
        if skb.tcp.endSequence.isBefore(end) { duplicateEnd = skb.tcp.endSequence }
        extendDuplicate(skb.tcp.sequence, end, net: &net)
      }
      if !skb.tcp.endSequence.isAfter(rcvNxt) {
        skb.drop(.tcpOldData)
        continue
      }
      skb.orphan()
      acceptInOrder(skb, net: &net)
    }
  }

  // MARK: SACK blocks to send

  /// Most recently changed first (RFC 2018 section 4). Linux: `tcp_sack_new_ofo_skb()`.
  mutating func addSACKBlock(_ start: SequenceNumber, _ end: SequenceNumber) {
    var merged = SACKBlock(start: start, end: end)
    var kept = 0
    let old = sackBlocks
    for index in 0..<sackBlockCount {
      let block = old[index]
      if !merged.start.isAfter(block.end) && !merged.end.isBefore(block.start) {
        if block.start.isBefore(merged.start) { merged.start = block.start }
        if block.end.isAfter(merged.end) { merged.end = block.end }
      } else if kept < 3 {
        sackBlocks[kept + 1] = block
        kept += 1
      }
    }
    sackBlocks[0] = merged
    sackBlockCount = kept + 1
  }

  /// Drops blocks that the cumulative ACK has passed. Linux: `tcp_sack_remove()`.
  mutating func trimSACKBlocks() {
    if outOfOrder.isEmpty {
      sackBlockCount = 0
      return
    }
    var kept = 0
    for index in 0..<sackBlockCount where sackBlocks[index].end.isAfter(rcvNxt) {
      sackBlocks[kept] = sackBlocks[index]
      kept += 1
    }
    sackBlockCount = kept
  }

  /// Adds to the duplicate that will be reported what touches it; the report names one range (RFC 2883 section 4).
  /// Linux: `tcp_dsack_extend()`.
  private mutating func extendDuplicate(_ start: SequenceNumber, _ end: SequenceNumber, net: inout Net) {
    guard var known = duplicateSACK else {
      noteDuplicate(start, end, net: &net)
      return
    }
    guard !start.isAfter(known.end), !known.start.isAfter(end) else { return }
    if start.isBefore(known.start) { known.start = start }
    if end.isAfter(known.end) { known.end = end }
    duplicateSACK = known
  }

  /// Remembers a duplicate to report on the next ACK. Linux: `tcp_dsack_set()`.
  mutating func noteDuplicate(_ start: SequenceNumber, _ end: SequenceNumber, net: inout Net) {
    guard hasSACK, start.isBefore(end) else { return }
    net.counters.count(start.isBefore(rcvNxt) ? .TcpExtTCPDSACKOldSent : .TcpExtTCPDSACKOfoSent)
    duplicateSACK = SACKBlock(start: start, end: end)
  }
}
