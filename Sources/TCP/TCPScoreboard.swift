import NetNamespace
import SkBuff
import Timers
import Wire

// Which sent segments the peer has, from SACK blocks. Linux: `tcp_sacktag_write_queue()`.
extension TCPSender {
  /// What the blocks of one ACK say about reordering. Linux: `struct tcp_sacktag_state`.
  private struct Tagging {
    /// Lowest segment that arrived after later ones without having been sent again. Linux: `state->reord`.
    var reorderedFrom: SequenceNumber?

    mutating func noteLate(_ sequence: SequenceNumber) {
      if reorderedFrom.map({ sequence.isBefore($0) }) ?? true { reorderedFrom = sequence }
    }
  }

  /// Marks what the blocks of an ACK report.
  mutating func tagSACKed(
    _ segment: IncomingSegment, _ ack: inout Acknowledgment, net: inout Net
  ) {
    var blocks = segment.options.sackBlocks
    var count = segment.options.sackBlockCount
    scoreboard.forgetStaleMark(una: ack.priorUna)
    var tagging = Tagging()
    if isDuplicateSACK(blocks[0], count > 1 ? blocks[1] : nil, acknowledgment: segment.acknowledgment),
      noteDuplicateSACK(blocks[0], acknowledgment: segment.acknowledgment, &ack, tagging: &tagging, net: &net)
    {
      if packetsOut > 0, let ignored = ignorance(of: blocks[0]) { net.counters.count(ignored) }
      for index in 1..<max(count, 1) { blocks[index - 1] = blocks[index] }
      count -= 1
    }
    guard packetsOut > 0 else { return }
    sort(&blocks, count)
    for index in 0..<count {
      guard isPlausible(blocks[index]) else {
        // A block that the ACK has passed is only late.
        if segment.acknowledgment == sndUna || blocks[index].end.isAfter(sndUna) {
          net.counters.count(.TcpExtTCPSACKDiscard)
        }
        continue
      }
      mark(blocks[index], &ack, tagging: &tagging, net: &net)
    }
    if let from = tagging.reorderedFrom, recovery.state != .loss || recovery.undoMarker != nil {
      noteReordering(from: from, net: &net)
    }
  }

  /// Only ranges inside what is outstanding, and not at its start, which would have been acknowledged; anything else is
  /// stale or forged. Linux: `tcp_is_sackblock_valid()`.
  private func isPlausible(_ block: SACKBlock) -> Bool {
    block.start.isBefore(block.end) && !block.end.isAfter(sndNxt) && block.start.isAfter(sndUna)
  }

  // MARK: Duplicates (RFC 2883)

  /// Why a duplicate tells nothing about this episode's retransmissions; `nil`: it does. Linux: `tcp_is_sackblock_valid()` with
  /// `is_dsack`.
  private func ignorance(of block: SACKBlock) -> NetCounters.Name? {
    guard let marker = recovery.undoMarker else {
      return block.start.isAfter(sndUna) && isPlausible(block) ? nil : .TcpExtTCPDSACKIgnoredNoUndo
    }
    if isPlausible(block) { return nil }
    if block.end.isAfter(sndUna) { return .TcpExtTCPDSACKIgnoredOld }
    if !block.start.isBefore(marker) { return nil }
    let isRecent = block.end.isAfter(marker) && block.end.offset(from: block.start) <= maxWindow
    return isRecent ? nil : .TcpExtTCPDSACKIgnoredOld
  }

  /// RFC 2883: the first block lies below the ACK, or inside the second. Linux: `tcp_check_dsack()`.
  private func isDuplicateSACK(_ first: SACKBlock, _ second: SACKBlock?, acknowledgment: SequenceNumber)
    -> Bool
  {
    if first.start.isBefore(acknowledgment) { return true }
    if let second { return !first.end.isAfter(second.end) && !first.start.isBefore(second.start) }
    return false
  }

  /// The peer has received something twice. Only what can be ours counts against the retransmissions of this episode.
  /// Linux: `tcp_check_dsack()`, `tcp_dsack_seen()`.
  ///
  /// - Returns: false when it is not to be believed, and the block is one like any other.
  private mutating func noteDuplicateSACK(
    _ block: SACKBlock, acknowledgment: SequenceNumber, _ ack: inout Acknowledgment, tagging: inout Tagging,
    net: inout Net
  ) -> Bool {
    let isBelow = block.start.isBefore(acknowledgment)
    net.counters.count(isBelow ? .TcpExtTCPDSACKRecv : .TcpExtTCPDSACKOfoRecv)
    let byteCount = block.end.offset(from: block.start)
    // More than the peer's window ever held, or more than was ever sent again: not to be believed.
    guard byteCount > 0, byteCount <= maxWindow else {
      net.counters.count(.TcpExtTCPDSACKIgnoredDubious)
      return false
    }
    let segments = (byteCount + mssCache - 1) / max(mssCache, 1)
    let isOfProbe = segments == 1 && lossProbe?.end == block.end
    if isOfProbe { ack.flags.insert(.probeDuplicated) }
    duplicateSACKs += segments
    guard duplicateSACKs <= totalRetransmissions else {
      net.counters.count(.TcpExtTCPDSACKIgnoredDubious)
      return false
    }
    net.counters.count(.TcpExtTCPDSACKRecvSegs, by: UInt64(segments))
    // RACK was too hasty, where the path reorders; a loss probe is none of its.
    if recovery.reorderSeen > 0 && !isOfProbe { rack.sawDuplicate = true }
    ack.flags.insert(.duplicateSACK)
    scoreboard.needlessDelivered(segments)
    guard let marker = recovery.undoMarker else { return true }
    if isBelow && !block.end.isAfter(ack.priorUna) {
      // Data that is forgotten already: count it as it comes, if it is of this episode.
      if block.end.isAfter(marker) { noteNeedless(segments) }
    } else if isPlausible(block) || !block.end.isAfter(sndUna) {
      noteNeedlessRetransmissions(in: block, tagging: &tagging)
    }
    return true
  }

  private mutating func noteNeedless(_ segments: Int) {
    guard let left = recovery.undoRetransmissions, left > 0 else { return }
    recovery.undoRetransmissions = max(0, left - segments)
  }

  /// Segments that arrived twice, above the ACK or acknowledged by it. Linux: the D-SACK part of `tcp_sacktag_one()`.
  private mutating func noteNeedlessRetransmissions(in range: SACKBlock, tagging: inout Tagging) {
    var place = scoreboard.placeToSACK(from: range.start)
    while let current = place {
      let block = scoreboard.queue[tcp: current]
      if !block.sequence.isBefore(range.end) { break }
      if !block.sequence.isBefore(range.start), !block.endSequence.isAfter(range.end),
        block.sacked.contains(.everRetransmitted)
      {
        noteNeedless(Int(block.segmentCount))
        if block.sacked.contains(.sacked) { tagging.noteLate(block.sequence) }
        if block.endSequence.isAfter(sndUna) { scoreboard.retransmissionWasNeedless(current) }
      }
      place = scoreboard.queue.position(after: current)
    }
  }

  private func sort(_ blocks: inout InlineArray<4, SACKBlock>, _ count: Int) {
    guard count > 1 else { return }
    for i in 1..<count {
      var j = i
      while j > 0 && blocks[j].start.isBefore(blocks[j - 1].start) {
        let swapped = blocks[j]
        blocks[j] = blocks[j - 1]
        blocks[j - 1] = swapped
        j -= 1
      }
    }
  }

  // MARK: Marking arrivals

  /// Marks one block. Linux: `tcp_sacktag_walk()`.
  private mutating func mark(
    _ range: SACKBlock, _ ack: inout Acknowledgment, tagging: inout Tagging, net: inout Net
  ) {
    var place = scoreboard.placeToSACK(from: range.start)
    while let current = place {
      let block = scoreboard.queue[tcp: current]
      if !block.sequence.isBefore(range.end) { break }
      if !block.endSequence.isAfter(range.start) {
        place = scoreboard.queue.position(after: current)
        continue
      }
      if block.sacked.contains(.sacked) {
        place = scoreboard.place(behindSACKed: current, upTo: range.end)
        continue
      }
      let size = max(Int(block.segmentSize), 1)
      if block.sequence.isBefore(range.start) {
        // The block begins inside this packet: cut at the segment boundary at or after it.
        let offset = (range.start.offset(from: block.sequence) + size - 1) / size * size
        guard offset > 0, offset < scoreboard.queue.length(at: current),
          splitSent(current, at: offset, mss: size, sendBuffer: ack.sendBuffer, net: &net)
        else {
          place = scoreboard.queue.position(after: current)
          continue
        }
        place = scoreboard.queue.position(after: current)
        continue
      }
      if block.endSequence.isAfter(range.end) {
        let offset = range.end.offset(from: block.sequence) / size * size
        guard offset > 0, offset < scoreboard.queue.length(at: current),
          splitSent(current, at: offset, mss: size, sendBuffer: ack.sendBuffer, net: &net)
        else { break }
      }
      markSACKed(current, &ack, tagging: &tagging, now: net.now)
      place = scoreboard.queue.position(after: current)
    }
  }

  /// Linux: `tcp_sacktag_one()`.
  private mutating func markSACKed(
    _ place: SkBuffQueue.Position, _ ack: inout Acknowledgment, tagging: inout Tagging, now: Instant
  ) {
    let block = scoreboard.queue[tcp: place]
    advanceRACK(block, now: now)
    if block.sacked.contains(.everRetransmitted) {
      recovery.undoDistance = max(recovery.undoDistance, highestSack.offset(from: block.sequence))
    } else {
      if block.sequence.isBefore(highestSack) { tagging.noteLate(block.sequence) }
      if !block.endSequence.isAfter(recovery.highSeq) { ack.flags.insert(.originalSacked) }
      // Of what was sent again it cannot be told which of them came: it is no RTT sample (Karn).
      if ack.sample.sackRTTFirst == nil { ack.sample.sackRTTFirst = block.sentAt }
      ack.sample.sackRTTLast = block.sentAt
    }
    ack.flags.insert(.dataSacked)
    ack.sackedByteCount += block.endSequence.offset(from: block.sequence)
    ack.sample.note(block)
    scoreboard.sack(place)
  }

  /// The network put segments out of order: be that much more patient. Linux: `tcp_check_sack_reordering()`.
  ///
  /// - Parameter counter: SACKs or a time stamp told.
  mutating func noteReordering(
    from sequence: SequenceNumber, counter: NetCounters.Name = .TcpExtTCPSACKReorder, net: inout Net
  ) {
    noteReordering(distance: highestSack.offset(from: sequence), counter: counter, net: &net)
  }

  /// - Parameter distance: in bytes, how far below the highest arrival a segment was when it arrived.
  mutating func noteReordering(distance: Int, counter: NetCounters.Name, net: inout Net) {
    guard distance > 0 else { return }
    let mss = max(mssCache, 1)
    if distance > recovery.reordering * mss {
      recovery.reordering = min((distance + mss - 1) / mss, net.settings.tcpMaximumReordering)
    }
    recovery.reorderSeen &+= 1
    net.counters.count(counter)
  }

  // MARK: Without SACK

  /// A duplicate ACK says one more segment left the network.
  mutating func addRenoSACK(net: inout Net) {
    if scoreboard.addRenoSACK() { noteRenoReordering(addend: 0, net: &net) }
  }

  /// More duplicate ACKs than segments outstanding: the network reorders. Linux: `tcp_check_reno_reordering()`.
  mutating func noteRenoReordering(addend: Int, net: inout Net) {
    recovery.reordering = min(packetsOut + addend, net.settings.tcpMaximumReordering)
    recovery.reorderSeen &+= 1
    net.counters.count(.TcpExtTCPRenoReorder)
  }

  // MARK: Marking losses

  /// Without SACK, the head is lost when enough duplicate ACKs have come, and again with every partial ACK (RFC 6582).
  /// Linux: `tcp_newreno_mark_lost()`.
  mutating func markRenoLosses(_ flags: AckFlags, net: inout Net) {
    guard !hasSACK, let head = scoreboard.queue.first else { return }
    switch recovery.state {
    case .open, .disorder, .congestionWindowReduced:
      guard sackedOut >= recovery.reordering else { return }
    case .recovery: guard flags.contains(.unaAdvanced) else { return }
    case .loss: return
    }
    let block = scoreboard.queue[tcp: head]
    guard !block.sacked.contains(.lost) else { return }
    let size = max(Int(block.segmentSize), 1)
    if block.segmentCount > 1, scoreboard.queue.length(at: head) > size {
      _ = scoreboard.split(head, at: size, mss: size, memory: &writeQueuedMemory)
    }
    markLost(head, net: &net)
  }

  func countLostAgain(_ segments: Int, net: inout Net) {
    if segments > 0 { net.counters.count(.TcpExtTCPLostRetransmit, by: UInt64(segments)) }
  }

  mutating func markLost(_ place: SkBuffQueue.Position, net: inout Net) {
    countLostAgain(scoreboard.markLost(place), net: &net)
  }

  mutating func markLostAgain(_ place: SkBuffQueue.Position, net: inout Net) {
    countLostAgain(scoreboard.markLostAgain(place), net: &net)
  }

  /// After a timeout.
  mutating func markAllLost(net: inout Net) {
    if scoreboard.isHeadSACKed {
      net.counters.count(.TcpExtTCPSACKReneging)
      recovery.hasReneged = true
    }
    countLostAgain(scoreboard.markAllLost(rack, now: net.now), net: &net)
  }
}
