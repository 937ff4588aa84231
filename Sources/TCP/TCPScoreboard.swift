import NetNamespace
import SkBuff
import Timers
import Wire

// Which sent segments the peer has, from SACK blocks. Linux: `tcp_sacktag_write_queue()`.
extension TCPSocket {
  /// Marks what the blocks of an ACK report.
  mutating func tagSACKed(
    _ segment: IncomingSegment, priorUna: SequenceNumber, flags: inout AckFlags, sample: inout RateSample,
    net: inout Net
  ) {
    var blocks = segment.options.sackBlocks
    var count = segment.options.sackBlockCount
    if sackedOut == 0 { recovery.highestSacked = sndUna }
    if isDuplicateSACK(blocks[0], count > 1 ? blocks[1] : nil, acknowledgment: segment.acknowledgment) {
      flags.insert(.duplicateSACK)
      net.counters.count(
        blocks[0].start.isBefore(segment.acknowledgment) ? .TcpExtTCPDSACKRecv : .TcpExtTCPDSACKOfoRecv)
      statistics.duplicateSACKs += 1
      if let marker = recovery.undoMarker, let outstanding = recovery.undoRetransmissions, outstanding > 0,
        !blocks[0].end.isAfter(priorUna) || !blocks[0].start.isBefore(marker)
      {
        let segments = max(1, Int(blocks[0].end.distance(from: blocks[0].start)) / max(mssCache, 1))
        recovery.undoRetransmissions = max(0, outstanding - segments)
      }
      for index in 1..<max(count, 1) { blocks[index - 1] = blocks[index] }
      count -= 1
    }
    guard packetsOut > 0 else { return }
    sort(&blocks, count)
    for index in 0..<count {
      let block = blocks[index]
      // Only ranges inside what is outstanding; anything else is stale or forged. Linux: tcp_is_sackblock_valid().
      guard block.start.isBefore(block.end), !block.end.isAfter(sndNxt), !block.start.isBefore(sndUna) else {
        continue
      }
      mark(block, flags: &flags, sample: &sample, net: &net)
    }
  }

  /// RFC 2883: the first block lies below the ACK, or inside the second.
  private func isDuplicateSACK(_ first: SACKBlock, _ second: SACKBlock?, acknowledgment: SequenceNumber)
    -> Bool
  {
    if first.start.isBefore(acknowledgment) { return true }
    if let second { return !first.end.isAfter(second.end) && !first.start.isBefore(second.start) }
    return false
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

  /// Marks one block, starting where the last one ended when that is before it. Linux: `tcp_sacktag_walk()`.
  private mutating func mark(
    _ range: SACKBlock, flags: inout AckFlags, sample: inout RateSample, net: inout Net
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
      markSACKed(current, flags: &flags, sample: &sample, net: &net)
      recovery.sackHint = current
      place = retransmitQueue.position(after: current)
    }
  }

  /// Linux: `tcp_sacktag_one()`.
  private mutating func markSACKed(
    _ place: SkBuffQueue.Position, flags: inout AckFlags, sample: inout RateSample, net: inout Net
  ) {
    var block = retransmitQueue[tcp: place]
    let segments = Int(block.segmentCount)
    if block.sacked.contains(.retransmitted) {
      // Original or retransmission: it cannot be told, so it is no RTT sample (Karn).
      if block.sacked.contains(.lost) {
        block.sacked.subtract([.lost, .retransmitted])
        lostOut -= segments
        retransOut -= segments
      }
    } else {
      if !block.sacked.contains(.everRetransmitted) {
        if block.sequence.isBefore(recovery.highestSacked) {
          noteReordering(from: block.sequence, mss: max(mssCache, 1), net: &net)
        }
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
  mutating func noteReordering(from sequence: SequenceNumber, mss: Int, net: inout Net) {
    let distance = (recovery.highestSacked.offset(from: sequence) + mss - 1) / mss
    if distance > recovery.reordering {
      recovery.reordering = min(distance, RecoveryState.maximumReordering)
      net.counters.count(.TcpExtTCPTSReorder)
    }
  }

  // MARK: Without SACK

  /// A duplicate ACK says one more segment left the network. Linux: `tcp_add_reno_sack()`.
  mutating func addRenoSACK() {
    guard sackedOut < packetsOut - 1 || packetsOut > 0 && sackedOut < packetsOut else { return }
    sackedOut += 1
    delivered &+= 1
    limitRenoSACKed()
  }

  private mutating func limitRenoSACKed() {
    let holes = min(max(lostOut, 1), packetsOut)
    if sackedOut + holes > packetsOut { sackedOut = max(0, packetsOut - holes) }
  }

  /// Linux: `tcp_remove_reno_sacks()`.
  mutating func removeRenoSACKs(acked: Int) {
    if acked > 0 {
      delivered &+= UInt32(truncatingIfNeeded: max(acked - sackedOut, 1))
      sackedOut = acked - 1 >= sackedOut ? 0 : sackedOut - (acked - 1)
    }
    limitRenoSACKed()
  }

  // MARK: Marking losses

  /// Marks as lost what has at least `reordering` SACKed segments above it (RFC 6675), or without SACK the head.
  /// Linux: `tcp_update_scoreboard()`, `tcp_mark_head_lost()`.
  mutating func markLosses(net: inout Net) {
    guard hasSACK else {
      // NewReno retransmits one segment per partial ACK (RFC 6582).
      if let head = retransmitQueue.first { markHeadLost(head, net: &net) }
      return
    }
    let enough = sackedOut - recovery.reordering
    if enough < 0 {
      // Early in recovery the head alone is known to be missing.
      if let head = retransmitQueue.first, recovery.state == .recovery { markLost(head) }
      return
    }
    var place = recovery.lostHint ?? retransmitQueue.first
    var counted = recovery.lostHint == nil ? 0 : recovery.lostHintSacked
    while let current = place {
      let block = retransmitQueue[tcp: current]
      if block.endSequence.isAfter(recovery.highSeq) || counted > enough { break }
      if block.sacked.contains(.sacked) {
        if counted + Int(block.segmentCount) > enough { break }
        counted += Int(block.segmentCount)
      } else {
        markLost(current)
      }
      let next = retransmitQueue.position(after: current)
      if next == nil { break }
      place = next
    }
    if let place {
      recovery.lostHint = place
      recovery.lostHintSacked = counted
    }
  }

  private mutating func markHeadLost(_ head: SkBuffQueue.Position, net: inout Net) {
    let block = retransmitQueue[tcp: head]
    let size = max(Int(block.segmentSize), 1)
    if block.segmentCount > 1, retransmitQueue.length(at: head) > size {
      _ = split(head, at: size, in: .retransmit, mss: size, net: &net)
    }
    markLost(head)
  }

  /// Linux: `tcp_mark_skb_lost()`.
  mutating func markLost(_ place: SkBuffQueue.Position) {
    var block = retransmitQueue[tcp: place]
    guard block.sacked.isDisjoint(with: [.sacked, .lost]) else { return }
    let segments = Int(block.segmentCount)
    if block.sacked.contains(.retransmitted) {
      // Already sent again in this episode: it waits for the timer.
      return
    }
    block.sacked.insert(.lost)
    lostOut += segments
    retransmitQueue[tcp: place] = block
    if let hint = recovery.retransmitHint {
      if block.sequence.isBefore(retransmitQueue[tcp: hint].sequence) { recovery.retransmitHint = place }
    } else {
      recovery.retransmitHint = place
    }
  }
}
