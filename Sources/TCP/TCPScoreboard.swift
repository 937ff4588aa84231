import NetNamespace
import SkBuff
import Timers
import Wire

// Which sent segments the peer has, from SACK blocks. Linux: `tcp_sacktag_write_queue()`.
extension TCPSocket {
  /// What the blocks of one ACK say about reordering. Linux: `struct tcp_sacktag_state`.
  private struct Tagging {
    /// Lowest segment that arrived after later ones without having been sent again. Linux: `state->reord`.
    var reorderedFrom: SequenceNumber?

    mutating func noteLate(_ sequence: SequenceNumber) {
      if reorderedFrom.map({ sequence.isBefore($0) }) ?? true { reorderedFrom = sequence }
    }
  }

  /// One past the highest sequence number the peer is known to have. Linux: `tcp_highest_sack_seq()`.
  var highestSack: SequenceNumber { hasSACK && sackedOut > 0 ? recovery.highestSacked : sndUna }

  /// Marks what the blocks of an ACK report.
  mutating func tagSACKed(
    _ segment: IncomingSegment, priorUna: SequenceNumber, flags: inout AckFlags, sample: inout RateSample,
    net: inout Net
  ) {
    var blocks = segment.options.sackBlocks
    var count = segment.options.sackBlockCount
    // An earlier value would be half the sequence space away one day.
    if sackedOut == 0 { recovery.highestSacked = priorUna }
    var tagging = Tagging()
    if isDuplicateSACK(blocks[0], count > 1 ? blocks[1] : nil, acknowledgment: segment.acknowledgment),
      noteDuplicateSACK(
        blocks[0], acknowledgment: segment.acknowledgment, priorUna: priorUna, flags: &flags,
        tagging: &tagging, net: &net)
    {
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
      mark(blocks[index], flags: &flags, sample: &sample, tagging: &tagging, net: &net)
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
    _ block: SACKBlock, acknowledgment: SequenceNumber, priorUna: SequenceNumber, flags: inout AckFlags,
    tagging: inout Tagging, net: inout Net
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
    statistics.duplicateSACKs += segments
    guard statistics.duplicateSACKs <= statistics.totalRetransmissions else {
      net.counters.count(.TcpExtTCPDSACKIgnoredDubious)
      return false
    }
    net.counters.count(.TcpExtTCPDSACKRecvSegs, by: UInt64(segments))
    flags.insert(.duplicateSACK)
    guard let marker = recovery.undoMarker else { return true }
    if isBelow {
      // Data that is forgotten already: count it as it comes, if it is of this episode.
      if !block.end.isAfter(priorUna), block.end.isAfter(marker) { noteNeedless(segments) }
    } else if isPlausible(block) {
      noteNeedlessRetransmissions(in: block, tagging: &tagging)
    }
    return true
  }

  private mutating func noteNeedless(_ segments: Int) {
    guard let left = recovery.undoRetransmissions, left > 0 else { return }
    recovery.undoRetransmissions = max(0, left - segments)
  }

  /// Segments above the ACK that arrived twice. Linux: the D-SACK part of `tcp_sacktag_one()`.
  private mutating func noteNeedlessRetransmissions(in range: SACKBlock, tagging: inout Tagging) {
    var place = retransmitQueue.first
    while let current = place {
      let block = retransmitQueue[tcp: current]
      if !block.sequence.isBefore(range.end) { break }
      if !block.sequence.isBefore(range.start), !block.endSequence.isAfter(range.end),
        block.sacked.contains(.everRetransmitted)
      {
        noteNeedless(Int(block.segmentCount))
        if block.sacked.contains(.sacked) { tagging.noteLate(block.sequence) }
      }
      place = retransmitQueue.position(after: current)
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

  /// Marks one block, starting where the last one ended when that is before it. Linux: `tcp_sacktag_walk()`.
  private mutating func mark(
    _ range: SACKBlock, flags: inout AckFlags, sample: inout RateSample, tagging: inout Tagging,
    net: inout Net
  ) {
    var place = retransmitQueue.first
    if let hint = recovery.sackHint, !retransmitQueue[tcp: hint].sequence.isAfter(range.start) {
      place = hint
    }
    while let current = place {
      let block = retransmitQueue[tcp: current]
      if !block.sequence.isBefore(range.end) { break }
      if !block.endSequence.isAfter(range.start) {
        place = retransmitQueue.position(after: current)
        continue
      }
      if block.sacked.contains(.sacked) {
        recovery.sackHint = current
        place = retransmitQueue.position(after: current)
        continue
      }
      let size = max(Int(block.segmentSize), 1)
      if block.sequence.isBefore(range.start) {
        // The block begins inside this packet: cut at the segment boundary at or after it.
        let offset = (range.start.offset(from: block.sequence) + size - 1) / size * size
        guard offset > 0, offset < retransmitQueue.length(at: current),
          split(current, at: offset, in: .retransmit, mss: size, net: &net)
        else {
          place = retransmitQueue.position(after: current)
          continue
        }
        place = retransmitQueue.position(after: current)
        continue
      }
      if block.endSequence.isAfter(range.end) {
        let offset = range.end.offset(from: block.sequence) / size * size
        guard offset > 0, offset < retransmitQueue.length(at: current),
          split(current, at: offset, in: .retransmit, mss: size, net: &net)
        else { break }
      }
      markSACKed(current, flags: &flags, sample: &sample, tagging: &tagging)
      recovery.sackHint = current
      place = retransmitQueue.position(after: current)
    }
  }

  /// Linux: `tcp_sacktag_one()`.
  private mutating func markSACKed(
    _ place: SkBuffQueue.Position, flags: inout AckFlags, sample: inout RateSample, tagging: inout Tagging
  ) {
    var block = retransmitQueue[tcp: place]
    let segments = Int(block.segmentCount)
    if block.sacked.contains(.everRetransmitted) {
      recovery.undoDistance = max(recovery.undoDistance, highestSack.offset(from: block.sequence))
    }
    if block.sacked.contains(.retransmitted) {
      // Original or retransmission: it cannot be told, so it is no RTT sample (Karn).
      if block.sacked.contains(.lost) {
        block.sacked.subtract([.lost, .retransmitted])
        lostOut -= segments
        retransOut -= segments
      }
    } else {
      if !block.sacked.contains(.everRetransmitted) {
        if block.sequence.isBefore(highestSack) { tagging.noteLate(block.sequence) }
        if !block.endSequence.isAfter(recovery.highSeq) { flags.insert(.originalSacked) }
        if sample.sackRTTFirst == nil { sample.sackRTTFirst = block.sentAt }
      }
      if block.sacked.contains(.lost) {
        block.sacked.remove(.lost)
        lostOut -= segments
      }
    }
    block.sacked.insert(.sacked)
    retransmitQueue[tcp: place] = block
    flags.insert(.dataSacked)
    sackedOut += segments
    delivered &+= UInt32(truncatingIfNeeded: segments)
    sample.note(block)
    if let hint = recovery.lostHint, block.sequence.isBefore(retransmitQueue[tcp: hint].sequence) {
      recovery.lostHintSacked += segments
    }
    if block.endSequence.isAfter(recovery.highestSacked) { recovery.highestSacked = block.endSequence }
    if recovery.retransmitHint == place { recovery.retransmitHint = retransmitQueue.position(after: place) }
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
      recovery.reordering = min((distance + mss - 1) / mss, RecoveryState.maximumReordering)
    }
    recovery.reorderSeen &+= 1
    net.counters.count(counter)
  }

  // MARK: Without SACK

  /// A duplicate ACK says one more segment left the network. Linux: `tcp_add_reno_sack()`.
  mutating func addRenoSACK(net: inout Net) {
    let before = sackedOut
    sackedOut += 1
    checkRenoReordering(addend: 0, net: &net)
    if sackedOut > before { delivered &+= UInt32(truncatingIfNeeded: sackedOut - before) }
  }

  /// More duplicate ACKs than segments outstanding: the network reorders. Linux: `tcp_check_reno_reordering()`.
  private mutating func checkRenoReordering(addend: Int, net: inout Net) {
    guard limitRenoSACKed() else { return }
    recovery.reordering = min(packetsOut + addend, RecoveryState.maximumReordering)
    recovery.reorderSeen &+= 1
    net.counters.count(.TcpExtTCPRenoReorder)
  }

  /// - Returns: whether more had been counted than can have arrived. Linux: `tcp_limit_reno_sacked()`.
  @discardableResult
  mutating func limitRenoSACKed() -> Bool {
    let holes = min(max(lostOut, 1), packetsOut)
    guard sackedOut + holes > packetsOut else { return false }
    sackedOut = packetsOut - holes
    return true
  }

  /// Linux: `tcp_remove_reno_sacks()`.
  mutating func removeRenoSACKs(acked: Int, net: inout Net) {
    if acked > 0 {
      delivered &+= UInt32(truncatingIfNeeded: max(acked - sackedOut, 1))
      sackedOut = acked - 1 >= sackedOut ? 0 : sackedOut - (acked - 1)
    }
    checkRenoReordering(addend: acked, net: &net)
  }

  // MARK: Marking losses

  /// With SACK, marks as lost what has at least `reordering` SACKed segments above it (RFC 6675); when recovery begins
  /// with less than that, the head. Linux: `tcp_update_scoreboard()`, `tcp_mark_head_lost()`.
  mutating func markLosses(isNew: Bool, net: inout Net) {
    let enough = sackedOut - recovery.reordering
    if enough < 0 {
      if isNew, let head = retransmitQueue.first { markLost(head, net: &net) }
      return
    }
    var place = recovery.lostHint ?? retransmitQueue.first
    var counted = recovery.lostHint == nil ? 0 : recovery.lostHintSacked
    while let current = place {
      let block = retransmitQueue[tcp: current]
      recovery.lostHint = current
      recovery.lostHintSacked = counted
      if block.sacked.contains(.sacked) { counted += Int(block.segmentCount) }
      if counted > enough { break }
      if block.sacked.isDisjoint(with: [.sacked, .lost]) { markLost(current, net: &net) }
      place = retransmitQueue.position(after: current)
    }
  }

  /// Without SACK, the head is lost when enough duplicate ACKs have come, and again with every partial ACK (RFC 6582).
  /// Linux: `tcp_newreno_mark_lost()`.
  mutating func markRenoLosses(_ flags: AckFlags, net: inout Net) {
    guard !hasSACK, let head = retransmitQueue.first else { return }
    switch recovery.state {
    case .open, .disorder, .congestionWindowReduced: guard sackedOut >= recovery.reordering else { return }
    case .recovery: guard flags.contains(.unaAdvanced) else { return }
    case .loss: return
    }
    let block = retransmitQueue[tcp: head]
    guard !block.sacked.contains(.lost) else { return }
    let size = max(Int(block.segmentSize), 1)
    if block.segmentCount > 1, retransmitQueue.length(at: head) > size {
      _ = split(head, at: size, in: .retransmit, mss: size, net: &net)
    }
    markLost(head, net: &net)
  }

  /// Linux: `tcp_mark_skb_lost()`.
  mutating func markLost(_ place: SkBuffQueue.Position, net: inout Net) {
    var block = retransmitQueue[tcp: place]
    guard !block.sacked.contains(.sacked) else { return }
    noteToRetransmit(place, block.sequence)
    let segments = Int(block.segmentCount)
    if block.sacked.contains(.lost) {
      guard block.sacked.contains(.retransmitted) else { return }
      // What was sent again is lost as well.
      block.sacked.remove(.retransmitted)
      retransOut -= segments
      net.counters.count(.TcpExtTCPLostRetransmit, by: UInt64(segments))
    } else {
      block.sacked.insert(.lost)
      lostOut += segments
    }
    recovery.lostTotal &+= UInt32(truncatingIfNeeded: segments)
    retransmitQueue[tcp: place] = block
  }

  /// Retransmission goes on no later than at this packet. Without a place to go on at it begins at the queue's head, and
  /// still has to where lost packets wait there. Linux: `tcp_verify_retransmit_hint()`.
  private mutating func noteToRetransmit(_ place: SkBuffQueue.Position, _ sequence: SequenceNumber) {
    if let hint = recovery.retransmitHint {
      guard sequence.isBefore(retransmitQueue[tcp: hint].sequence) else { return }
    } else {
      guard retransOut >= lostOut else { return }
    }
    recovery.retransmitHint = place
  }

  /// Lost whatever was sent again; after undo a segment may be sent again and not lost.
  mutating func markLostAgain(_ place: SkBuffQueue.Position, net: inout Net) {
    let sacked = retransmitQueue[tcp: place].sacked
    if sacked.contains(.retransmitted) && !sacked.contains(.lost) {
      retransmitQueue[tcp: place].sacked.remove(.retransmitted)
      retransOut -= Int(retransmitQueue[tcp: place].segmentCount)
    }
    markLost(place, net: &net)
  }

  /// After a timeout everything not SACKed is lost. A SACKed head means that the receiver threw away what it had
  /// (RFC 2018 section 8): then SACKs count for nothing. Linux: `tcp_timeout_mark_lost()`.
  mutating func markAllLost(net: inout Net) {
    let reneged = retransmitQueue.first.map { retransmitQueue[tcp: $0].sacked.contains(.sacked) } ?? false
    if reneged { net.counters.count(.TcpExtTCPSACKReneging) }
    if reneged || !hasSACK { sackedOut = 0 }
    var place = retransmitQueue.first
    while let current = place {
      if reneged { retransmitQueue[tcp: current].sacked.remove(.sacked) }
      markLostAgain(current, net: &net)
      place = retransmitQueue.position(after: current)
    }
    recovery.clearHints()
  }
}
