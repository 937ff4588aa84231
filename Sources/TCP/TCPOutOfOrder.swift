import NetNamespace
import SkBuff
import Wire

// Segments that came too early, and telling the peer which. Linux: `tcp_data_queue_ofo()`, RFC 2018, RFC 2883.
extension TCPConnection {
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
    receiver.ack.isScheduled = true
    measureReceive(
      payload: skb.length, gsoSize: skb.gsoSize, truesize: skb.truesize, flags: block.flags)
    let payload = skb.length
    let truesize = skb.truesize
    let start = block.sequence
    let end = block.endSequence

    let place = receiver.outOfOrder.place(before: start)
    if let previous = place, !receiver.outOfOrder.queue[tcp: previous].endSequence.isBefore(end) {
      net.counters.count(.TcpExtTCPOFOMerge)
      noteDuplicate(start, end, net: &net)
      skb.drop(.tcpOldData)
      if sender.hasSACK { receiver.sack.add(start, end) }
      return
    }
    if let previous = place, receiver.outOfOrder.queue[tcp: previous].endSequence.isAfter(start) {
      noteDuplicate(start, receiver.outOfOrder.queue[tcp: previous].endSequence, net: &net)
    }
    skb.chargeReceive(to: core.account)
    let inserted = receiver.outOfOrder.insert(skb, after: place)
    // Packets that this one covers wholly are of no more use.
    while let current = inserted, let next = receiver.outOfOrder.queue.position(after: current) {
      guard end.isAfter(receiver.outOfOrder.queue[tcp: next].sequence) else { break }
      if end.isBefore(receiver.outOfOrder.queue[tcp: next].endSequence) {
        extendDuplicate(receiver.outOfOrder.queue[tcp: next].sequence, end, net: &net)
        break
      }
      extendDuplicate(
        receiver.outOfOrder.queue[tcp: next].sequence, receiver.outOfOrder.queue[tcp: next].endSequence,
        net: &net)
      net.counters.count(.TcpExtTCPOFOMerge)
      receiver.outOfOrder.remove(at: next).drop(.tcpOldData)
    }
    guard sender.hasSACK else { return }
    receiver.sack.add(start, end)
    growWindow(payload: payload, truesize: truesize, net: net)
  }

  /// Moves what has become contiguous. Linux: `tcp_ofo_queue()`.
  mutating func drainOutOfOrder(net: inout Net) {
    // Below this everything arrived in order as well.
    var duplicateEnd = receiver.rcvNxt
    while let head = receiver.outOfOrder.first,
      !receiver.outOfOrder.queue[tcp: head].sequence.isAfter(receiver.rcvNxt)
    {
      var skb = receiver.outOfOrder.remove(at: head)
      if skb.tcp.sequence.isBefore(duplicateEnd) {
        let end = duplicateEnd
        if skb.tcp.endSequence.isBefore(end) { duplicateEnd = skb.tcp.endSequence }
        extendDuplicate(skb.tcp.sequence, end, net: &net)
      }
      if !skb.tcp.endSequence.isAfter(receiver.rcvNxt) {
        skb.drop(.tcpOldData)
        continue
      }
      skb.orphan()
      acceptInOrder(skb, net: &net)
    }
  }

  // MARK: What came twice

  /// Adds to the duplicate that the next ACK reports, or begins one.
  private mutating func extendDuplicate(_ start: SequenceNumber, _ end: SequenceNumber, net: inout Net) {
    if !receiver.sack.extendDuplicate(start, end) { noteDuplicate(start, end, net: &net) }
  }

  /// Remembers a duplicate to report on the next ACK. Linux: `tcp_dsack_set()`.
  mutating func noteDuplicate(_ start: SequenceNumber, _ end: SequenceNumber, net: inout Net) {
    guard sender.hasSACK, start.isBefore(end) else { return }
    net.counters.count(start.isBefore(receiver.rcvNxt) ? .TcpExtTCPDSACKOldSent : .TcpExtTCPDSACKOfoSent)
    receiver.sack.setDuplicate(start, end)
  }
}
