import SkBuff
import Wire

// Counters that must agree with the queues they count: recounted in tests and simulations.
extension TCPSocket {
  /// What does not agree; `nil`: everything does.
  func brokenInvariant() -> String? {
    var packets = 0
    var sacked = 0
    var lost = 0
    var lostAgain = 0
    var again = 0
    var memory = 0
    var belowHint = 0
    var hintSeen = recovery.lostHint == nil
    var next = sndUna
    var place = retransmitQueue.first
    while let current = place {
      let block = retransmitQueue[tcp: current]
      let length = retransmitQueue.length(at: current)
      if block.sequence != next && block.sequence.isAfter(sndUna) { return "a gap in what was sent" }
      if let problem = Self.brokenSize(block, length: length) { return problem }
      let size = max(Int(block.segmentSize), 1)
      let count = Int(block.segmentCount)
      let least = max(1, (length + size - 1) / size)
      if place != retransmitQueue.first && count != least {
        return "\(count) segments of \(size) in \(length)"
      }
      if block.sacked.isSuperset(of: [.sacked, .lost]) { return "SACKed and lost" }
      if recovery.lostHint == current { hintSeen = true }
      if recovery.retransmitHint == current && lost > lostAgain {
        return "lost, and behind where retransmission goes on"
      }
      packets += count
      if block.sacked.contains(.sacked) {
        sacked += count
        if !hintSeen { belowHint += count }
      }
      if block.sacked.contains(.lost) {
        lost += count
        if block.sacked.contains(.retransmitted) { lostAgain += count }
      }
      if block.sacked.contains(.retransmitted) { again += count }
      memory += retransmitQueue.truesize(at: current)
      next = block.endSequence
      place = retransmitQueue.position(after: current)
    }
    if next != sndNxt && state.isConnected { return "what was sent does not end at SND.NXT" }
    place = writeQueue.first
    while let current = place {
      let block = writeQueue[tcp: current]
      if block.sequence != next { return "a gap in what waits" }
      if let problem = Self.brokenSize(block, length: writeQueue.length(at: current)) { return problem }
      memory += writeQueue.truesize(at: current)
      next = block.endSequence
      place = writeQueue.position(after: current)
    }
    if next != writeSeq && state.isConnected { return "what waits does not end at the last byte written" }
    if packets != packetsOut { return "packetsOut \(packetsOut), counted \(packets)" }
    if hasSACK && sacked != sackedOut { return "sackedOut \(sackedOut), counted \(sacked)" }
    if lost != lostOut { return "lostOut \(lostOut), counted \(lost)" }
    if again != retransOut { return "retransOut \(retransOut), counted \(again)" }
    if memory != writeQueuedMemory { return "queued memory \(writeQueuedMemory), counted \(memory)" }
    if sackedOut < 0 || sackedOut + lostOut > packetsOut { return "more left the network than was in it" }
    if !hintSeen { return "a hint at a segment that is gone" }
    if hasSACK && recovery.lostHint != nil && belowHint != recovery.lostHintSacked {
      return "\(recovery.lostHintSacked) SACKed below the hint, counted \(belowHint)"
    }
    if window.segments < 1 { return "no congestion window" }
    if recovery.state == .open && retransmitStamp != .origin && !isOpening {
      return "nothing was sent again, and the clock of it runs"
    }
    return nil
  }

  private static func brokenSize(_ block: TCPControlBlock, length: Int) -> String? {
    let numbers =
      length + (block.flags.contains(.syn) ? 1 : 0) + (block.flags.contains(.fin) ? 1 : 0)
    if block.endSequence.offset(from: block.sequence) == numbers { return nil }
    return "\(length) bytes, numbered \(block.endSequence.offset(from: block.sequence))"
  }
}
