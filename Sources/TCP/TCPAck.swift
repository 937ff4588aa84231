import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// What the peer has received, and what that allows. Linux: `tcp_ack()`.
extension TCPConnection {
  enum AckVerdict {
    case accepted
    /// Older than anything outstanding: the segment's data may still be of use.
    case old
    /// Acknowledges what was never sent.
    case invalid
    /// An old ACK that needs a challenge (RFC 5961 section 5).
    case challenge
  }

  mutating func processAck(
    _ segment: IncomingSegment, isPlainData: Bool = false, host: inout Host
  ) -> AckVerdict {
    let acknowledged = segment.acknowledgment
    sender.noteEcho(segment.options, isNegotiated: hasTimestamps)
    var ack = Acknowledgment(
      priorUna: sender.sndUna, priorHighestSack: sender.highestSack,
      sample: RateSample(priorDelivered: sender.delivered, priorInFlight: sender.inFlight),
      sendBuffer: core.sendBuffer, socket: id)
    if acknowledged.isBefore(ack.priorUna) {
      // RFC 5961 5.2: only this far back is plausible, and nothing was acknowledged before the first byte.
      let plausible = min(UInt64(sender.maxWindow), sender.bytesAcknowledged)
      if acknowledged.isBefore(ack.priorUna - UInt32(truncatingIfNeeded: plausible)) { return .challenge }
      if sender.hasSACK && segment.options.sackBlockCount > 0 {
        sender.tagSACKed(segment, &ack, net: &host.net)
        let allowed = sender.alertFastRetransmit(&ack, isDuplicate: false, net: &host.net)
        _ = sender.countDelivered(since: ack.sample.priorDelivered, net: &host.net)
        awaitReordering(ack, now: host.net.now)
        sendAfterAck(allowed, host: &host)
      }
      return .old
    }
    if acknowledged.isAfter(sender.sndNxt) { return .invalid }

    if acknowledged.isAfter(ack.priorUna) {
      ack.flags.insert(.unaAdvanced)
      sender.retransmits = 0
    }
    if segment.payload > 0 || segment.flags.contains(.syn) || segment.flags.contains(.fin) {
      ack.flags.insert(.data)
    } else {
      host.net.counters.count(.TcpExtTCPPureAcks)
    }
    if sender.ecn.contains(.isOn) && segment.flags.contains(.ece) && !segment.flags.contains(.syn) {
      ack.flags.insert(.congestion)
    }
    sender.updateWindow(segment, &ack)
    if sender.hasSACK && segment.options.sackBlockCount > 0 {
      sender.tagSACKed(segment, &ack, net: &host.net)
    }
    core.softError = nil
    timers.probesOut = 0
    receiver.lastReceived = host.net.now
    if sender.packetsOut == 0 {
      if sender.ecn.contains(.isAccurate) { noteAccurateECN(segment, &ack, net: &host.net) }
      // Nothing outstanding: news of a needless retransmission, an answer to a probe, or a window update.
      if ack.flags.contains(.duplicateSACK) {
        _ = sender.alertFastRetransmit(&ack, isDuplicate: false, net: &host.net)
      }
      if !isPlainData { probeAnswered(net: &host.net) }
      if sender.lossProbe != nil { sender.lossProbeAnswered(acknowledged, ack.flags, net: &host.net) }
      host.net.tracer.record(.tcp_ack, socket: id.rawValue, UInt64(acknowledged.rawValue), 0, 0)
      return .accepted
    }
    sender.cleanRetransmitQueue(&ack, net: &host.net)
    if sender.ecn.contains(.isAccurate) { noteAccurateECN(segment, &ack, net: &host.net) }
    if core.hasRareState && host.net.pool.hasStamps {
      describeStamps(timeToLive: segment.timeToLive, net: host.net)
    }
    if sender.scoreboard.queue.isEmpty && sender.writeQueue.isEmpty {
      statistics.note(.none, now: host.net.now)
    }
    controlCongestion(&ack, host: &host)
    host.net.tracer.record(
      .tcp_ack, socket: id.rawValue, UInt64(acknowledged.rawValue),
      UInt64(acknowledged.distance(from: ack.priorUna)), UInt64(max(0, sender.inFlight)))
    return .accepted
  }

  /// Congestion control's part of an ACK. Linux: the end of `tcp_ack()`, `tcp_cong_control()`.
  private mutating func controlCongestion(_ ack: inout Acknowledgment, host: inout Host) {
    if ack.flags.contains(.unaAdvanced), let route = core.route { host.confirmNeighbour(route) }
    if sender.congestion.usesMarks { sender.countMarks(ack) }
    let priorLost = sender.scoreboard.lostTotal
    sender.adaptReorderingWindow(ack.sample, net: host.net)
    if sender.lossProbe != nil { sender.lossProbeAnswered(sender.sndUna, ack.flags, net: &host.net) }
    var allowed = TCPSender.Retransmission.none
    if sender.isDubious(ack.flags) {
      if ack.flags.isSuperset(of: [.sackReneging, .unaAdvanced]) {
        // The receiver seems to have thrown away what it had SACKed (RFC 2018 section 8), or the ACK that covers it is
        // late: soon the timer will tell.
        let soon = max(.microseconds(sender.rtt.smoothed8 >> 4), Nanoseconds.milliseconds(10))
        timers.start(.retransmission, at: host.net.now + soon)
        ack.flags.remove(.setRetransmitTimer)
      } else {
        let isDuplicate = ack.flags.isDisjoint(
          with: AckFlags.notDuplicate.union([.unaAdvanced, .duplicateSACK]))
        let wasInLoss = sender.recovery.state == .loss
        allowed = sender.alertFastRetransmit(&ack, isDuplicate: isDuplicate, net: &host.net)
        if wasInLoss && sender.recovery.state != .loss { statistics.endTimeouts(now: host.net.now) }
      }
    }
    if !awaitReordering(ack, now: host.net.now), ack.flags.contains(.setRetransmitTimer),
      !scheduleLossProbe(isRestarting: true, net: host.net)
    {
      armRetransmit(net: &host.net)
    }
    sender.controlCongestion(&ack, lost: sender.scoreboard.lostTotal &- priorLost, net: &host.net)
    updatePacingRate()
    sendAfterAck(allowed, host: &host)
  }

  // MARK: Timers

  /// Looks for losses again when what has been overtaken has had its time.
  ///
  /// - Returns: false when nothing has been.
  @discardableResult
  private mutating func awaitReordering(_ ack: borrowing Acknowledgment, now: Instant) -> Bool {
    guard let wait = ack.reorderingWait else { return false }
    timers.start(.reordering, at: now + min(wait + Self.leastTimeout, sender.rtt.timeout))
    return true
  }

  /// (Re)starts the retransmission timer, or stops it when nothing is outstanding. Linux: `tcp_rearm_rto()`.
  mutating func armRetransmit(net: inout Net) {
    if sender.packetsOut == 0 {
      if timers.retransmitKind != .probe { timers.stopRetransmit() }
      return
    }
    // Another stood in for it: the time since the head was sent counts.
    if timers.retransmitKind == .lossProbe || timers.retransmitKind == .reordering {
      return resumeRetransmit(net: net)
    }
    restartRetransmit(net: net)
  }

  /// The timer runs anew from now, whatever ran.
  mutating func restartRetransmit(net: borrowing Net) {
    timers.start(.retransmission, at: max(net.now, sender.nextDeparture) + sender.rtt.timeout)
  }

  /// Arms the zero-window probe timer when nothing else would wake the connection. Linux: `tcp_check_probe_timer()`.
  mutating func armProbe(net: inout Net) {
    guard sender.packetsOut == 0, timers.retransmitKind == .none, !sender.writeQueue.isEmpty else { return }
    timers.start(.probe, at: net.now + probeInterval)
    clampToUserTimeout(since: timers.probeSince, now: net.now)
  }

  /// Linux: `tcp_probe0_when()`.
  var probeInterval: Nanoseconds {
    min(
      max(sender.rtt.timeout << min(sender.rtt.backoff, 10), RTTEstimator.minimumTimeout),
      sender.rtt.greatest)
  }

  /// The peer answered a probe. Linux: `tcp_ack_probe()`.
  private mutating func probeAnswered(net: inout Net) {
    guard let head = sender.writeQueue.first else { return }
    if !sender.writeQueue[tcp: head].endSequence.isAfter(sender.windowEnd) {
      sender.rtt.backoff = 0
      timers.probeSince = .origin
      timers.stopRetransmit()
    } else {
      timers.start(.probe, at: net.now + probeInterval)
      clampToUserTimeout(since: timers.probeSince, now: net.now)
    }
  }
}

// What an ACK changes in the sender alone.
extension TCPSender {
  /// Remembers the time stamp that comes back.
  mutating func noteEcho(_ options: TCPOptions, isNegotiated: Bool) {
    sawTimestamp = isNegotiated && options.hasTimestamps
    if sawTimestamp { receivedEcho = options.timestampEcho }
  }

  /// Congestion control counts marks, those that this ACK tells of among them. Linux: `tcp_in_ack_event()`.
  mutating func countMarks(_ ack: borrowing Acknowledgment) {
    // ECE of RFC 3168 is about all that the ACK is about; Accurate ECN has counted already.
    var marked = deliveredMarked
    let flags = ack.flags
    if ecn.contains(.isOn) && flags.contains(.congestion) {
      marked &+= delivered &- ack.sample.priorDelivered
    }
    congestion.countMarks(sndUna, next: sndNxt, arrived: delivered, marked: marked)
  }

  /// Whether loss recovery has to look at an ACK. Linux: `tcp_ack_is_dubious()`.
  func isDubious(_ flags: AckFlags) -> Bool {
    flags.isDisjoint(with: .notDuplicate) || !flags.isDisjoint(with: .alert) || recovery.state != .open
  }

  /// The congestion window after an ACK. Linux: `tcp_cong_control()`.
  ///
  /// - Parameter lost: segments that were taken for lost on it.
  mutating func controlCongestion(_ ack: inout Acknowledgment, lost: UInt32, net: inout Net) {
    ack.sample.newlyDelivered = countDelivered(since: ack.sample.priorDelivered, net: &net)
    if ack.flags.contains(.congestion) && ack.sample.newlyDelivered > 0 && ecn.contains(.isOn) {
      deliveredMarked &+= UInt32(truncatingIfNeeded: ack.sample.newlyDelivered)
      net.counters.count(.TcpExtTCPDeliveredCE, by: UInt64(ack.sample.newlyDelivered))
    }
    ack.sample.newlyLost = Int(lost)
    updateRate(&ack.sample, hasReneged: recovery.hasReneged, net: net)
    if recovery.isReducing && !congestion.setsWindow {
      reduceWindow(
        newlyDelivered: ack.sample.newlyDelivered, newlyLost: ack.sample.newlyLost, flags: ack.flags)
    } else {
      let mayRaise = mayRaiseWindow(ack.flags, net: net)
      if mayRaise { windowUsedSince = net.now }
      ack.sample.mayGrow = mayRaise && ack.sample.newlyDelivered > 0 && isWindowLimited
    }
    let wasUnknown = window.threshold == nil
    congestion.acked(ack.sample, congestionView(now: net.now), window: &window)
    if wasUnknown, window.threshold != nil, congestion.kind == .cubic {
      net.counters.count(.TcpExtTCPHystartDelayDetect)
      net.counters.count(.TcpExtTCPHystartDelayCwnd, by: UInt64(window.segments))
    }
    // Linux: in `bbr_update_min_rtt()`.
    if congestion.holdsBack { appLimited = max(1, delivered &+ UInt32(truncatingIfNeeded: inFlight)) }
  }

  @inline(__always)
  func congestionView(now: Instant) -> CongestionView {
    CongestionView(
      now: now, minimumRTT: rtt.minimum, smoothedRTT: rtt.hasSample ? rtt.smoothed : nil,
      state: recovery.state,
      inFlight: inFlight, delivered: delivered, deliveredAt: deliveredAt, nextDeparture: nextDeparture,
      mss: mssCache)
  }

  /// Linux: `tcp_may_raise_cwnd()`.
  private func mayRaiseWindow(_ flags: AckFlags, net: borrowing Net) -> Bool {
    if recovery.reordering > net.settings.tcpReordering {
      return !flags.isDisjoint(with: [.dataAcked, .dataSacked, .unaAdvanced])
    }
    return flags.contains(.dataAcked) || flags.contains(.unaAdvanced)
  }

  /// Segments that this ACK or its SACK blocks told of for the first time. Linux: `tcp_newly_delivered()`.
  func countDelivered(since prior: UInt32, net: inout Net) -> Int {
    let newlyDelivered = Int(delivered &- prior)
    if newlyDelivered > 0 { net.counters.count(.TcpExtTCPDelivered, by: UInt64(newlyDelivered)) }
    return newlyDelivered
  }

  /// The peer's window, when this segment is the newest word on it (RFC 9293 3.10.7.4). Linux:
  /// `tcp_ack_update_window()`.
  mutating func updateWindow(_ segment: IncomingSegment, _ ack: inout Acknowledgment) {
    let new = segment.flags.contains(.syn) ? segment.window : segment.window << sndWscale
    let isNewer =
      segment.acknowledgment.isAfter(sndUna) || segment.sequence.isAfter(sndWl1)
      || (segment.sequence == sndWl1 && (new > sndWnd || new == 0))
    if isNewer {
      ack.flags.insert(.windowUpdate)
      sndWl1 = segment.sequence
      if sndWnd != new {
        sndWnd = new
        if new > maxWindow {
          maxWindow = new
          if mssPathMTU > 0 { syncMSS(mtu: mssPathMTU) }
        }
      } else if segment.acknowledgment == sndUna && new > 0 {
        // Same window again and nothing new acknowledged: a duplicate as far as loss detection is concerned (RFC 5681
        // section 2), but for a closed window, which is told again and again without any loss.
        ack.flags.remove(.windowUpdate)
      }
    }
    if segment.acknowledgment.isAfter(sndUna) {
      bytesAcknowledged += UInt64(segment.acknowledgment.distance(from: sndUna))
      sndUna = segment.acknowledgment
      if urgentMode && !sndUp.isAfter(sndUna) { urgentMode = false }
    }
  }

  /// Takes acknowledged segments off the queue, and their round-trip times. Linux: `tcp_clean_rtx_queue()`.
  mutating func cleanRetransmitQueue(_ ack: inout Acknowledgment, net: inout Net) {
    var firstSent: Instant? = nil
    var lastSent: Instant? = nil
    let hadSACKed = sackedOut > 0
    var reorderedFrom: SequenceNumber? = nil
    while let acked = scoreboard.acknowledge(upTo: sndUna, memory: &writeQueuedMemory) {
      let block = acked.block
      if !block.sacked.isDisjoint(with: .sentAgain) {
        if !block.sacked.contains(.sacked) {
          let highest = ack.priorHighestSack.isAfter(sndUna) ? ack.priorHighestSack : sndUna
          recovery.undoDistance = max(recovery.undoDistance, highest.offset(from: block.sequence))
        }
        ack.flags.insert(.retransDataAcked)
      } else if !block.sacked.contains(.sacked) {
        if firstSent == nil { firstSent = block.sentAt }
        lastSent = block.sentAt
        if reorderedFrom == nil { reorderedFrom = block.sequence }
        if block.endSequence.isAtOrBefore(recovery.highSeq) { ack.flags.insert(.originalSacked) }
      }
      if block.sacked.contains(.sacked) {
        ack.sackedByteCount -= block.endSequence.offset(from: block.sequence)
      } else {
        ack.sample.note(block)
        if hasSACK && !isAnsweredByOriginal(block) { advanceRACK(block, now: net.now) }
      }
      ack.sample.acked += acked.segments
      ack.flags.insert(block.flags.contains(.syn) ? .synAcked : .dataAcked)
      if block.flags.contains(.syn) { retransmitStamp = .origin }
      if !acked.isWhole { break }
    }
    if scoreboard.isHeadSACKed { ack.flags.insert(.sackReneging) }
    // A runt alone: its ACK may have been held back.
    ack.sample.isMaybeDelayed =
      ack.sample.acked == 1 && !hadSACKed && sndUna.offset(from: ack.priorUna) < mssCache
    updateRTT(firstSent: firstSent, lastSent: lastSent, &ack, net: net)
    if !ack.flags.isDisjoint(with: [.dataAcked, .synAcked]) || isHeadNewer(than: ack.sample.sackRTTFirst) {
      ack.flags.insert(.setRetransmitTimer)
    }
    if pathMTU.probe > 0 && !pathMTU.end.isAfter(sndUna) { pathMTUProbeArrived(net: &net) }
    guard !ack.flags.isDisjoint(with: [.dataAcked, .synAcked]) else { return }
    if hasSACK {
      // An original below what was SACKed arrived late, not never.
      if let from = reorderedFrom, from.isBefore(ack.priorHighestSack) {
        noteReordering(from: from, net: &net)
      }
    } else {
      if scoreboard.removeRenoSACKs(acked: ack.sample.acked) {
        noteRenoReordering(addend: ack.sample.acked, net: &net)
      }
      // A duplicate ACK does not say which segment arrived.
      if ack.flags.contains(.retransDataAcked) { ack.flags.remove(.originalSacked) }
    }
  }

  /// A SACK is of what was sent before the head was sent last: the head's time is not over. Linux: in
  /// `tcp_clean_rtx_queue()`, `sack_rtt_us`.
  private func isHeadNewer(than sent: Instant?) -> Bool {
    guard let sent, let head = scoreboard.queue.first else { return false }
    return sent < scoreboard.queue[tcp: head].sentAt
  }

  /// RTT from the first segment that was sent once (Karn), else from the timestamp echo (RFC 7323 4).
  /// Linux: `tcp_ack_update_rtt()`.
  private mutating func updateRTT(
    firstSent: Instant?, lastSent: Instant?, _ ack: inout Acknowledgment, net: borrowing Net
  ) {
    var measured: Nanoseconds? = nil
    if let firstSent, !ack.flags.contains(.retransDataAcked) {
      measured = net.now - firstSent
      if let lastSent { ack.sample.rtt = net.now - lastSent }
    } else if let sacked = ack.sample.sackRTTFirst {
      measured = net.now - sacked
      ack.sample.rtt = net.now - (ack.sample.sackRTTLast ?? sacked)
    } else if sawTimestamp && receivedEcho != 0 && ack.flags.contains(.dataAcked) {
      measured = RTTEstimator.roundTrip(timestamp(net.now) &- receivedEcho)
    }
    guard let measured, measured >= .zero else { return }
    rtt.sample(measured, acknowledged: sndUna.rawValue, next: sndNxt.rawValue, now: net.now)
    rtt.backoff = 0
  }
}
