import SkBuff
import Wire

// Counters that must agree with the queues they count: recounted after each segment in debug builds and while fuzzing.

extension Scoreboard {
  /// What of it does not agree with its queue; `nil`: everything does.
  func brokenInvariant() -> String? {
    var packets = 0
    var sacked = 0
    var lost = 0
    var again = 0
    var ordered = 0
    var highest: SequenceNumber?
    var isBeforeRetransmitted = retransmitHint != nil
    var place = queue.first
    while let current = place {
      let block = queue[tcp: current]
      let count = Int(block.segmentCount)
      if let problem = queue.brokenSize(at: current) { return problem }
      if current != queue.first && count != leastCount(at: current) {
        return "\(count) segments of \(block.segmentSize) in \(queue.length(at: current))"
      }
      if block.sacked.contains(.sacked) && block.sacked.contains(.lost) { return "SACKed and lost" }
      if block.sacked.contains(.retransmitted) && !block.sacked.contains(.everRetransmitted) {
        return "in the network again, and never sent again"
      }
      if sentOrder.contains(current) {
        ordered += 1
        if block.sacked.contains(.sacked) { return "arrived, and still looked for" }
      }
      if hasSACK, sackedOut > 0, let problem = sackPlaces.brokenRange(of: block) { return problem }
      isBeforeRetransmitted = isBeforeRetransmitted && retransmitHint != current
      let marks = block.sacked
      if isBeforeRetransmitted && marks.contains(.lost) && !marks.contains(.retransmitted) {
        return "lost, and behind where retransmission goes on"
      }
      packets += count
      if block.sacked.contains(.sacked) {
        sacked += count
        highest = block.endSequence
      }
      if block.sacked.contains(.lost) { lost += count }
      if block.sacked.contains(.retransmitted) { again += count }
      place = queue.position(after: current)
    }
    if packets != packetsOut { return "packetsOut \(packetsOut), counted \(packets)" }
    if hasSACK && sacked != sackedOut { return "sackedOut \(sackedOut), counted \(sacked)" }
    if lost != lostOut { return "lostOut \(lostOut), counted \(lost)" }
    if again != retransOut { return "retransOut \(retransOut), counted \(again)" }
    if sackedOut < 0 || sackedOut + lostOut > packetsOut { return "more left the network than was in it" }
    if isBeforeRetransmitted { return "a hint at a segment that is gone" }
    if let problem = brokenOrder(of: ordered) ?? sackPlaces.brokenInvariant(in: queue) { return problem }
    if hasSACK, let highest, highest.isAfter(highestSacked) { return "SACKed above the highest that was" }
    return nil
  }

  /// `ordered` packets of the queue say that they are in the order of sending.
  private func brokenOrder(of ordered: Int) -> String? {
    var count = 0
    var place = sentOrder.first
    while let current = place, count <= ordered {
      count += 1
      place = sentOrder.position(after: current)
    }
    return count == ordered ? nil : "\(ordered) packets in the order of sending, counted \(count)"
  }

  private func leastCount(at place: SkBuffQueue.Position) -> Int {
    let size = max(Int(queue[tcp: place].segmentSize), 1)
    return max(1, (queue.length(at: place) + size - 1) / size)
  }
}

extension SkBuffQueue {
  fileprivate func brokenSize(at place: Position) -> String? {
    let block = self[tcp: place]
    let numbered = block.endSequence.offset(from: block.sequence)
    let flags = (block.flags.contains(.syn) ? 1 : 0) + (block.flags.contains(.fin) ? 1 : 0)
    return numbered == length(at: place) + flags ? nil : "\(length(at: place)) bytes, numbered \(numbered)"
  }
}

extension TCPConnection {
  /// Traps where a recount does not agree. Nothing in release builds, but for those that the fuzzer runs.
  @inline(__always)
  func checkInvariants() {
    #if DEBUG || CHECK_INVARIANTS
      if let problem = brokenInvariant() { fatalError("\(tuple), \(state): \(problem)") }
    #endif
  }

  /// Something outstanding has its timer, and a window is probed only while data waits with nothing outstanding.
  private func brokenTimer() -> String? {
    guard state.isConnected else { return nil }
    switch timers.retransmitKind {
    case .none: return sender.packetsOut == 0 ? nil : "outstanding, and no timer runs"
    case .retransmission, .lossProbe, .reordering:
      return sender.packetsOut > 0 ? nil : "a timer for nothing outstanding"
    case .probe:
      return sender.packetsOut == 0 && !sender.writeQueue.isEmpty ? nil : "a window probe that nothing needs"
    }
  }

  /// What does not agree; `nil`: everything does.
  func brokenInvariant() -> String? {
    if let problem = sender.scoreboard.brokenInvariant() ?? receiver.outOfOrder.brokenInvariant() {
      return problem
    }
    var memory = 0
    var next = sender.sndUna
    var place = sender.scoreboard.queue.first
    while let current = place {
      let block = sender.scoreboard.queue[tcp: current]
      if block.sequence != next && block.sequence.isAfter(sender.sndUna) { return "a gap in what was sent" }
      memory += sender.scoreboard.queue.truesize(at: current)
      next = block.endSequence
      place = sender.scoreboard.queue.position(after: current)
    }
    if next != sender.sndNxt && state.isConnected { return "what was sent does not end at SND.NXT" }
    if let problem = brokenTimer() { return problem }
    place = sender.writeQueue.first
    while let current = place {
      let block = sender.writeQueue[tcp: current]
      if block.sequence != next { return "a gap in what waits" }
      if let problem = sender.writeQueue.brokenSize(at: current) { return problem }
      memory += sender.writeQueue.truesize(at: current)
      next = block.endSequence
      place = sender.writeQueue.position(after: current)
    }
    if next != sender.writeSeq && state.isConnected {
      return "what waits does not end at the last byte written"
    }
    if memory != sender.writeQueuedMemory {
      return "queued memory \(sender.writeQueuedMemory), counted \(memory)"
    }
    if sender.window.segments < 1 { return "no congestion window" }
    // Until the SYN is acknowledged it is the SYN's clock.
    // An episode that was undone leaves what it had sent again on its way.
    if sender.recovery.state == .open && sender.retransmitStamp != .origin && state.isConnected
      && sender.sndUna != sender.initialSend && !sender.hasRetransmissionsOut
    {
      return "nothing was sent again, and the clock of it runs"
    }
    return nil
  }
}
