import IPv4
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// Data from the peer, in order or not, and when to acknowledge it. Linux: `tcp_data_queue()`.
extension TCPSocket {
  /// Takes the payload of an acceptable segment.
  mutating func queueData(_ skb: consuming SkBuff, ip: inout IPv4Layer, net: inout Net) {
    let block = skb.tcp
    let payload = skb.length
    if payload == 0 && !block.flags.contains(.fin) { return }
    if block.sequence == rcvNxt {
      if receiveWindow == 0 && payload > 0 {
        net.counters.count(.TcpExtTCPZeroWindowDrop)
        enterQuickAck()
        ack.isScheduled = true
        skb.drop(.tcpZeroWindow)
        return
      }
      guard makeRoom(for: skb.truesize, net: &net) else {
        net.counters.count(.TcpExtTCPRcvQDrop)
        ack.isScheduled = true
        enterQuickAck()
        skb.drop(.socketReceiveBuffer)
        return
      }
      acceptInOrder(skb, net: &net)
      if !outOfOrder.isEmpty {
        drainOutOfOrder(net: &net)
        // RFC 5681 4.2: fill a gap, acknowledge at once.
        if outOfOrder.isEmpty { enterQuickAck() }
      }
      trimSACKBlocks()
      net.wake(id)
      return
    }
    if !block.endSequence.isAfter(rcvNxt) {
      // Wholly old: a retransmission of what we have. Tell the sender which (RFC 2883).
      noteDuplicate(block.sequence, block.endSequence, net: &net)
      enterQuickAck()
      ack.isScheduled = true
      skb.drop(.tcpOldData)
      return
    }
    guard block.sequence.isBefore(rcvNxt + receiveWindow) else {
      enterQuickAck()
      ack.isScheduled = true
      skb.drop(.tcpOverWindow)
      return
    }
    if block.sequence.isBefore(rcvNxt) {
      // Its front is old.
      noteDuplicate(block.sequence, rcvNxt, net: &net)
      guard receiveWindow > 0, makeRoom(for: skb.truesize, net: &net) else {
        ack.isScheduled = true
        skb.drop(.tcpZeroWindow)
        return
      }
      acceptInOrder(skb, net: &net)
      drainOutOfOrder(net: &net)
      trimSACKBlocks()
      net.wake(id)
      return
    }
    queueOutOfOrder(skb, net: &net)
  }

  /// The next bytes of the stream: behind the receive queue.
  private mutating func acceptInOrder(_ skb: consuming SkBuff, net: inout Net) {
    let block = skb.tcp
    let old = rcvNxt.offset(from: block.sequence)
    let finCount = block.flags.contains(.fin) ? 1 : 0
    let payload = skb.length - max(0, old)
    if old > 0 {
      guard old <= skb.length, skb.trimHead(old) else {
        skb.drop(.noMemory)
        return
      }
      skb.tcp.sequence = rcvNxt
    }
    noteDataReceived(payload: payload, truesize: skb.truesize, gsoSize: skb.gsoSize, net: &net)
    rcvNxt = block.endSequence
    let isFin = finCount == 1
    if payload > 0 {
      if receiveShutdown {
        copiedSeq = isFin ? block.endSequence - 1 : block.endSequence
      } else {
        appendToReceiveQueue(skb, net: &net)
      }
    }
    if isFin { peerFinSeen = true }
  }

  /// Small packets are copied into the last one's spare room, so that a byte a packet does not cost a page each.
  /// Linux: `tcp_queue_rcv()`, `tcp_try_coalesce()`.
  private mutating func appendToReceiveQueue(_ skb: consuming SkBuff, net: inout Net) {
    if let tail = receiveQueue.last, skb.dataLength == 0,
      receiveQueue[tcp: tail].endSequence == skb.tcp.sequence
    {
      let merged = receiveQueue.withPacket(at: tail) { last in
        guard last.dataLength == 0, !last.isCloned, last.tailroom >= skb.length else { return false }
        last.put(skb.linear)
        last.tcp.endSequence = skb.tcp.endSequence
        return true
      }
      if merged {
        net.counters.count(.TcpExtTCPRcvCoalesce)
        return
      }
    }
    skb.chargeReceive(to: account)
    receiveQueue.append(skb)
  }

  /// Linux: `tcp_event_data_recv()`.
  private mutating func noteDataReceived(payload: Int, truesize: Int, gsoSize: Int, net: inout Net) {
    ack.isScheduled = true
    measureReceive(payload: payload, gsoSize: gsoSize, truesize: truesize)
    measureReceiveRTT(echo: receivedEcho, hasEcho: hasTimestamps, payload: payload, now: net.now)
    let now = net.now
    if ack.timeout == .zero {
      // First data: the sender may be in slow start, so acknowledge quickly.
      enterQuickAck()
      ack.timeout = DelayedAck.minimum
    } else {
      let gap = now - ack.lastDataAt
      if gap <= DelayedAck.minimum / 2 {
        ack.timeout = ack.timeout / 2 + DelayedAck.minimum / 2
      } else if gap < ack.timeout {
        ack.timeout = min(ack.timeout / 2 + gap, rtt.timeout)
      } else if gap > rtt.timeout {
        // The sender was idle: it may be in slow start again.
        enterQuickAck()
      }
    }
    ack.lastDataAt = now
    lastReceived = now
    statistics.bytesReceived += UInt64(max(0, payload))
    statistics.dataSegmentsIn += gsoSize > 0 ? UInt64(payload / gsoSize + 1) : 1
    if payload >= 128 { growWindow(payload: payload, truesize: truesize) }
  }

  /// Linux: `tcp_enter_quickack_mode()`.
  mutating func enterQuickAck(_ most: Int = DelayedAck.maximumQuick) {
    let segments = receiveWindow / (2 * max(rcvMSS, 1))
    ack.quick = max(ack.quick, min(max(segments, 2), most))
    ack.pingpong = 0
    ack.timeout = DelayedAck.minimum
  }

  // MARK: Out of order

  /// Linux: `tcp_data_queue_ofo()`.
  private mutating func queueOutOfOrder(_ skb: consuming SkBuff, net: inout Net) {
    let block = skb.tcp
    guard makeRoom(for: skb.truesize, net: &net) else {
      net.counters.count(.TcpExtTCPOFODrop)
      skb.drop(.tcpOutOfOrderMemory)
      return
    }
    net.counters.count(.TcpExtTCPOFOQueue)
    statistics.outOfOrderPackets += 1
    ack.isScheduled = true
    measureReceive(payload: skb.length, gsoSize: skb.gsoSize, truesize: skb.truesize)
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
      return
    }
    if let previous = place, outOfOrder[tcp: previous].endSequence.isAfter(start) {
      noteDuplicate(start, outOfOrder[tcp: previous].endSequence, net: &net)
    }
    skb.chargeReceive(to: account)
    if let previous = place { outOfOrder.insert(skb, after: previous) } else { outOfOrder.prepend(skb) }
    var inserted = place.flatMap { outOfOrder.position(after: $0) } ?? outOfOrder.first
    outOfOrderHint = inserted
    // Packets that this one covers wholly are of no more use.
    while let current = inserted, let next = outOfOrder.position(after: current) {
      guard end.isAfter(outOfOrder[tcp: next].sequence) else { break }
      if end.isBefore(outOfOrder[tcp: next].endSequence) {
        noteDuplicate(outOfOrder[tcp: next].sequence, end, net: &net)
        break
      }
      noteDuplicate(outOfOrder[tcp: next].sequence, outOfOrder[tcp: next].endSequence, net: &net)
      outOfOrder.remove(at: next).drop(.tcpOldData)
      inserted = current
    }
    if hasSACK { addSACKBlock(start, end) }
    growWindow(payload: 0, truesize: 0)
  }

  /// Moves what has become contiguous. Linux: `tcp_ofo_queue()`.
  private mutating func drainOutOfOrder(net: inout Net) {
    while let head = outOfOrder.first, !outOfOrder[tcp: head].sequence.isAfter(rcvNxt) {
      if outOfOrderHint == head { outOfOrderHint = nil }
      let skb = outOfOrder.remove(at: head)
      if !skb.tcp.endSequence.isAfter(rcvNxt) {
        noteDuplicate(skb.tcp.sequence, skb.tcp.endSequence, net: &net)
        skb.drop(.tcpOldData)
        continue
      }
      skb.orphan()
      acceptInOrder(skb, net: &net)
    }
  }

  // MARK: SACK blocks to send

  /// Most recently changed first (RFC 2018 section 4). Linux: `tcp_sack_new_ofo_skb()`.
  private mutating func addSACKBlock(_ start: SequenceNumber, _ end: SequenceNumber) {
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
  private mutating func trimSACKBlocks() {
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

  /// Remembers a duplicate to report on the next ACK. Linux: `tcp_dsack_set()`.
  mutating func noteDuplicate(_ start: SequenceNumber, _ end: SequenceNumber, net: inout Net) {
    guard hasSACK, start.isBefore(end) else { return }
    net.counters.count(start.isBefore(rcvNxt) ? .TcpExtTCPDSACKOldSent : .TcpExtTCPDSACKOfoSent)
    duplicateSACK = SACKBlock(start: start, end: end)
  }

  // MARK: Memory

  /// Whether a packet of `truesize` may be held; squeezes the queues first. Linux: `tcp_try_rmem_schedule()`.
  private mutating func makeRoom(for truesize: Int, net: inout Net) -> Bool {
    if account.receiveAllocated + truesize <= receiveBuffer { return true }
    // A window that was offered is honoured as long as memory for twice the buffer lasts.
    if account.receiveAllocated <= receiveBuffer && truesize <= 2 * 65536 + SkBuff.overhead { return true }
    collapse(net: &net)
    if account.receiveAllocated + truesize <= receiveBuffer { return true }
    pruneOutOfOrder(net: &net)
    return account.receiveAllocated + truesize <= receiveBuffer || receiveQueue.isEmpty
  }

  /// Copies wasteful packets of the receive queue together. Linux: `tcp_collapse()`.
  private mutating func collapse(net: inout Net) {
    var target: SkBuff? = nil
    var done = SkBuffQueue()
    while let skb = receiveQueue.popFirst() {
      // Packets that use their memory well stay as they are.
      if skb.length * 2 > skb.truesize {
        if let full = target.take() { finishCollapsed(full, into: &done) }
        done.append(skb)
        continue
      }
      var offset = 0
      while offset < skb.length {
        if target == nil {
          target = net.pool.allocate(headroom: 0, linear: SkBuffPool.pageByteCount)
          guard target != nil else { break }
          target?.tcp = skb.tcp
          target?.tcp.sequence = skb.tcp.sequence + offset
          net.counters.count(.TcpExtTCPRcvCollapsed)
        }
        guard let current = target.take() else { break }
        let count = min(current.tailroom, skb.length - offset)
        let at = current.headLength
        current.put(count)
        let copied = unsafe skb.copyBits(
          from: offset, into: UnsafeMutableRawBufferPointer(start: current.linearBase + at, count: count))
        precondition(copied, "a collapsed range lies inside its packet")
        current.tcp.endSequence = current.tcp.sequence + current.length
        offset += count
        if current.tailroom == 0 { finishCollapsed(current, into: &done) } else { target = consume current }
      }
      if offset < skb.length {
        // No memory to copy into: what is left stays in its old packet.
        guard skb.trimHead(offset) else { continue }
        skb.tcp.sequence += offset
        done.append(skb)
      }
    }
    if let full = target.take() { finishCollapsed(full, into: &done) }
    receiveQueue.append(contentsOf: &done)
  }

  private func finishCollapsed(_ skb: consuming SkBuff, into queue: inout SkBuffQueue) {
    skb.chargeReceive(to: account)
    queue.append(skb)
  }

  /// Throws out-of-order packets away, newest sequence first. Linux: `tcp_prune_ofo_queue()`.
  private mutating func pruneOutOfOrder(net: inout Net) {
    while account.receiveAllocated > receiveBuffer / 2, let skb = outOfOrder.popLast() {
      outOfOrderHint = nil
      skb.drop(.tcpOutOfOrderMemory)
    }
    // The peer must not believe we still have what we reported.
    sackBlockCount = 0
  }

  // MARK: Acknowledging

  /// Linux: `__tcp_ack_snd_check()`.
  mutating func sendAckIfDue(ip: inout IPv4Layer, net: inout Net) {
    guard ack.isScheduled else { return }
    let unacknowledged = rcvNxt.offset(from: rcvWup)
    let isMoreThanOne =
      unacknowledged > rcvMSS && (readableByteCount == 0 || proposedWindow() >= rcvWnd)
    if isMoreThanOne || (ack.quick > 0 && !ack.isInteractive) || !outOfOrder.isEmpty || duplicateSACK != nil {
      sendAck(ip: &ip, net: &net)
      return
    }
    delayAck(net: &net)
  }

  /// Linux: `tcp_send_delayed_ack()`.
  private mutating func delayAck(net: inout Net) {
    var delay = ack.timeout == .zero ? DelayedAck.minimum : ack.timeout
    var most = ack.isInteractive || ack.isPushed ? DelayedAck.maximum : Nanoseconds.milliseconds(500)
    if rtt.hasSample { most = min(most, max(rtt.smoothed, DelayedAck.minimum)) }
    delay = min(delay, most)
    ackDeadline = min(ackDeadline, net.now + delay)
  }

  // MARK: The reader

  /// Copies bytes of the stream to the caller.
  ///
  /// - Returns: bytes copied; 0 at the end of the stream.
  /// - Throws: `EAGAIN` when nothing is there, a pending error, `ENOTCONN`, `EFAULT`, `EINVAL` for absent urgent data.
  mutating func recvmsg(
    _ iter: inout IovIter, flags: MessageFlags, ip: inout IPv4Layer, net: inout Net
  ) throws(Errno) -> Int {
    if state == .listen { throw .ENOTCONN }
    if flags.contains(.outOfBand) { return try receiveUrgent(&iter, peek: flags.contains(.peek)) }
    let requested = iter.count
    var copied = 0
    var sequence = copiedSeq
    var place = receiveQueue.first
    while let current = place, iter.count > 0 {
      let block = receiveQueue[tcp: current]
      let offset = sequence.offset(from: block.sequence)
      let length = receiveQueue.length(at: current)
      var count = min(length - offset, iter.count)
      if let urgent = urgentSeq, !options.outOfBandInline {
        // The urgent byte is not part of the stream; reading stops in front of it (RFC 6093).
        let distance = urgent.offset(from: sequence)
        if distance == 0 {
          if copied > 0 { break }
          urgentSeq = nil
          sequence += 1
          if !flags.contains(.peek) { advanceReader(to: sequence, net: net) }
          place = receiveQueue.first
          continue
        }
        if distance > 0 { count = min(count, distance) }
      }
      if count > 0 {
        let before = copied
        if flags.contains(.truncate) {
          iter.advance(count)
          copied += count
        } else {
          copied += receiveQueue.withPacket(at: current) { skb in
            skb.copyDatagram(from: offset, count: count, to: &iter)
          }
        }
        let moved = copied - before
        sequence += moved
        if moved < count {
          if copied == 0 { throw .EFAULT }
          break
        }
      }
      if flags.contains(.peek) {
        place =
          sequence.offset(from: block.sequence) >= length ? receiveQueue.position(after: current) : current
      } else {
        advanceReader(to: sequence, net: net)
        place = receiveQueue.first
      }
    }
    if copied > 0 {
      if !flags.contains(.peek) { cleanReceiveBuffer(copied: copied, ip: &ip, net: &net) }
      return copied
    }
    if requested == 0 { return 0 }
    if let error = pendingError {
      pendingError = nil
      throw error
    }
    if peerFinSeen || receiveShutdown { return 0 }
    if state == .close { throw .ENOTCONN }
    throw .EAGAIN
  }

  /// Frees what has been read.
  private mutating func advanceReader(to sequence: SequenceNumber, net: borrowing Net) {
    copiedSeq = sequence
    while let head = receiveQueue.first {
      let block = receiveQueue[tcp: head]
      guard block.sequence.offset(from: sequence) + receiveQueue.length(at: head) <= 0 else { break }
      _ = receiveQueue.popFirst()
    }
    adjustReceiveSpace(net: net)
  }

  /// A window update when reading has opened the window enough (RFC 9293 3.8.6.2.2). Linux:
  /// `tcp_cleanup_rbuf()`.
  private mutating func cleanReceiveBuffer(copied: Int, ip: inout IPv4Layer, net: inout Net) {
    guard state.canReceive || state == .closeWait else { return }
    var due = false
    if ack.isScheduled {
      if rcvNxt.offset(from: rcvWup) > rcvMSS
        || copied > 0 && ack.isPushed && !ack.isInteractive && readableByteCount == 0
      {
        due = true
      }
    }
    if !due && !receiveShutdown {
      let current = receiveWindow
      if 2 * current <= windowClamp {
        let new = proposedWindow()
        if new > 0 && new >= 2 * current { due = true }
      }
    }
    if due { sendAck(ip: &ip, net: &net) }
  }

  private mutating func receiveUrgent(_ iter: inout IovIter, peek: Bool) throws(Errno) -> Int {
    guard !options.outOfBandInline, let byte = urgentData else {
      throw urgentSeq == nil || urgentData == nil && urgentSeq == nil ? .EINVAL : .EAGAIN
    }
    if !peek { urgentData = nil }
    var value = byte
    let copied = unsafe withUnsafeBytes(of: &value) { bytes in unsafe iter.copyTo(from: bytes) }
    return copied
  }
}
