import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

/// What an ACK brought. Linux: the `FLAG_` bits of `tcp_ack()`.
struct AckFlags: OptionSet {
  var rawValue: UInt32
  static let data = AckFlags(rawValue: 1 << 0)
  static let windowUpdate = AckFlags(rawValue: 1 << 1)
  static let dataAcked = AckFlags(rawValue: 1 << 2)
  static let retransDataAcked = AckFlags(rawValue: 1 << 3)
  static let synAcked = AckFlags(rawValue: 1 << 4)
  static let dataSacked = AckFlags(rawValue: 1 << 5)
  static let unaAdvanced = AckFlags(rawValue: 1 << 7)
  static let duplicateSACK = AckFlags(rawValue: 1 << 8)
  static let setRetransmitTimer = AckFlags(rawValue: 1 << 9)
  static let sackReneging = AckFlags(rawValue: 1 << 10)
  static let originalSacked = AckFlags(rawValue: 1 << 11)

  /// Not a sign of loss. Linux: `FLAG_NOT_DUP`.
  static let notDuplicate: AckFlags = [.data, .windowUpdate, .dataAcked, .synAcked]
  /// Something for loss recovery to look at, whatever the state. Linux: `FLAG_CA_ALERT`.
  static let alert: AckFlags = [.dataSacked, .duplicateSACK]
}

/// A segment as the receive path works on it.
struct IncomingSegment {
  var sequence: SequenceNumber
  var endSequence: SequenceNumber
  var acknowledgment: SequenceNumber
  var flags: TCPFlags
  var window: Int
  var payload: Int
  var options: TCPOptions
  var urgentPointer: UInt16

  /// RFC 9293 3.7.1: 536 when a SYN names none, or zero. Never below Linux's 48, `TCP_MIN_SND_MSS`.
  var peerMSS: Int {
    guard let named = options.maximumSegmentSize, named > 0 else { return 536 }
    return max(Int(named), 48)
  }
}

// What the peer has received, and what that allows. Linux: `tcp_ack()`.
extension TCPSocket {
  enum AckVerdict {
    case accepted
    /// Older than anything outstanding: the segment's data may still be of use.
    case old
    /// Acknowledges what was never sent.
    case invalid
    /// An old ACK that needs a challenge (RFC 5961 section 5).
    case challenge
  }

  mutating func processAck(_ segment: IncomingSegment, host: inout Host) -> AckVerdict {
    let priorUna = sndUna
    let acknowledged = segment.acknowledgment
    sawTimestamp = hasTimestamps && segment.options.hasTimestamps
    if sawTimestamp { receivedEcho = segment.options.timestampEcho }
    var flags: AckFlags = []
    var sample = RateSample(priorDelivered: delivered)
    if acknowledged.isBefore(priorUna) {
      // RFC 5961 5.2: only this far back is plausible, and nothing was acknowledged before the first byte.
      let plausible = min(UInt64(maxWindow), statistics.bytesAcknowledged)
      if acknowledged.isBefore(priorUna - UInt32(truncatingIfNeeded: plausible)) { return .challenge }
      if hasSACK && segment.options.sackBlockCount > 0 {
        tagSACKed(segment, priorUna: priorUna, flags: &flags, sample: &sample, net: &host.net)
        let allowed = alertFastRetransmit(&flags, priorUna: priorUna, isDuplicate: false, net: &host.net)
        _ = countDelivered(since: sample.priorDelivered, net: &host.net)
        sendAfterAck(allowed, host: &host)
      }
      return .old
    }
    if acknowledged.isAfter(sndNxt) { return .invalid }

    let priorHighestSack = highestSack
    if acknowledged.isAfter(priorUna) {
      flags.insert(.unaAdvanced)
      retransmits = 0
    }
    if segment.payload > 0 || segment.flags.contains(.syn) || segment.flags.contains(.fin) {
      flags.insert(.data)
    } else {
      host.net.counters.count(.TcpExtTCPPureAcks)
    }
    updateWindow(segment, flags: &flags)
    if hasSACK && segment.options.sackBlockCount > 0 {
      tagSACKed(segment, priorUna: priorUna, flags: &flags, sample: &sample, net: &host.net)
    }
    core.softError = nil
    probesOut = 0
    lastReceived = host.net.now
    if packetsOut == 0 {
      // Nothing outstanding: news of a needless retransmission, an answer to a probe, or a window update.
      if flags.contains(.duplicateSACK) {
        _ = alertFastRetransmit(&flags, priorUna: priorUna, isDuplicate: false, net: &host.net)
      }
      probeAnswered(net: &host.net)
      host.net.tracer.record(.tcp_ack, socket: id.rawValue, UInt64(acknowledged.rawValue), 0, 0)
      return .accepted
    }
    cleanRetransmitQueue(
      segment, priorUna: priorUna, priorHighestSack: priorHighestSack, flags: &flags, sample: &sample,
      net: &host.net)
    controlCongestion(&flags, priorUna: priorUna, sample: &sample, host: &host)
    host.net.tracer.record(
      .tcp_ack, socket: id.rawValue, UInt64(acknowledged.rawValue),
      UInt64(acknowledged.distance(from: priorUna)), UInt64(max(0, inFlight)))
    return .accepted
  }

  /// Congestion control's part of an ACK. Linux: the end of `tcp_ack()`, `tcp_cong_control()`.
  private mutating func controlCongestion(
    _ flags: inout AckFlags, priorUna: SequenceNumber, sample: inout RateSample, host: inout Host
  ) {
    if flags.contains(.unaAdvanced), let route = core.route { host.confirmNeighbour(route) }
    let priorLost = scoreboard.lostTotal
    let hasReneged = flags.contains(.sackReneging)
    var allowed = Retransmission.none
    let isDubious =
      flags.isDisjoint(with: .notDuplicate) || !flags.isDisjoint(with: .alert) || recovery.state != .open
    if isDubious {
      let isDuplicate = flags.isDisjoint(with: AckFlags.notDuplicate.union([.unaAdvanced, .duplicateSACK]))
      allowed = alertFastRetransmit(&flags, priorUna: priorUna, isDuplicate: isDuplicate, net: &host.net)
    }
    if flags.contains(.setRetransmitTimer) { armRetransmit(net: &host.net) }
    sample.newlyDelivered = countDelivered(since: sample.priorDelivered, net: &host.net)
    sample.newlyLost = Int(scoreboard.lostTotal &- priorLost)
    updateRate(&sample, hasReneged: hasReneged, net: host.net)
    if recovery.isReducing {
      reduceWindow(newlyDelivered: sample.newlyDelivered, newlyLost: sample.newlyLost, flags: flags)
    } else {
      sample.mayGrow = mayRaiseWindow(flags) && sample.newlyDelivered > 0 && isWindowLimited
    }
    congestion.acked(sample, window: &window, minimumRTT: rtt.minimum, now: host.net.now)
    sendAfterAck(allowed, host: &host)
  }

  /// Segments that this ACK or its SACK blocks told of for the first time. Linux: `tcp_newly_delivered()`.
  private func countDelivered(since prior: UInt32, net: inout Net) -> Int {
    let newlyDelivered = Int(delivered &- prior)
    if newlyDelivered > 0 { net.counters.count(.TcpExtTCPDelivered, by: UInt64(newlyDelivered)) }
    return newlyDelivered
  }

  /// Linux: `tcp_may_raise_cwnd()`.
  private func mayRaiseWindow(_ flags: AckFlags) -> Bool {
    if recovery.reordering > RecoveryState.initialReordering {
      return !flags.isDisjoint(with: [.dataAcked, .dataSacked, .unaAdvanced])
    }
    return flags.contains(.dataAcked) || flags.contains(.unaAdvanced)
  }

  /// The peer's window, when this segment is the newest word on it (RFC 9293 3.10.7.4). Linux:
  /// `tcp_ack_update_window()`.
  private mutating func updateWindow(_ segment: IncomingSegment, flags: inout AckFlags) {
    let new = segment.flags.contains(.syn) ? segment.window : segment.window << sndWscale
    let isNewer =
      segment.acknowledgment.isAfter(sndUna) || segment.sequence.isAfter(sndWl1)
      || (segment.sequence == sndWl1 && (new > sndWnd || new == 0))
    if isNewer {
      flags.insert(.windowUpdate)
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
        flags.remove(.windowUpdate)
      }
    }
    if segment.acknowledgment.isAfter(sndUna) {
      statistics.bytesAcknowledged += UInt64(segment.acknowledgment.distance(from: sndUna))
      sndUna = segment.acknowledgment
      if urgentMode && !sndUp.isAfter(sndUna) { urgentMode = false }
    }
  }

  /// Takes acknowledged segments off the queue, and their round-trip times. Linux: `tcp_clean_rtx_queue()`.
  private mutating func cleanRetransmitQueue(
    _ segment: IncomingSegment, priorUna: SequenceNumber, priorHighestSack: SequenceNumber,
    flags: inout AckFlags, sample: inout RateSample, net: inout Net
  ) {
    var firstSent: Instant? = nil
    var reorderedFrom: SequenceNumber? = nil
    while let acked = scoreboard.acknowledge(upTo: sndUna, memory: &writeQueuedMemory) {
      let block = acked.block
      if !block.sacked.isDisjoint(with: [.retransmitted, .everRetransmitted]) {
        if !block.sacked.contains(.sacked) {
          let highest = priorHighestSack.isAfter(sndUna) ? priorHighestSack : sndUna
          recovery.undoDistance = max(recovery.undoDistance, highest.offset(from: block.sequence))
        }
        flags.insert(.retransDataAcked)
      } else if !block.sacked.contains(.sacked) {
        if firstSent == nil { firstSent = block.sentAt }
        if reorderedFrom == nil { reorderedFrom = block.sequence }
        if block.endSequence.isAtOrBefore(recovery.highSeq) { flags.insert(.originalSacked) }
      }
      if !block.sacked.contains(.sacked) { sample.note(block) }
      sample.acked += acked.segments
      flags.insert(block.flags.contains(.syn) ? .synAcked : .dataAcked)
      if block.flags.contains(.syn) { retransmitStamp = .origin }
      if !acked.isWhole { break }
    }
    if scoreboard.queue.isEmpty && writeQueue.isEmpty { statistics.note(.none, now: net.now) }
    if scoreboard.isHeadSACKed { flags.insert(.sackReneging) }
    updateRTT(firstSent: firstSent, flags: flags, segment: segment, sample: &sample, net: net)
    if flags.contains(.unaAdvanced) { flags.insert(.setRetransmitTimer) }
    guard !flags.isDisjoint(with: [.dataAcked, .synAcked]) else { return }
    if hasSACK {
      // An original below what was SACKed arrived late, not never.
      if let from = reorderedFrom, from.isBefore(priorHighestSack) { noteReordering(from: from, net: &net) }
    } else {
      if scoreboard.removeRenoSACKs(acked: sample.acked) {
        noteRenoReordering(addend: sample.acked, net: &net)
      }
      // A duplicate ACK does not say which segment arrived.
      if flags.contains(.retransDataAcked) { flags.remove(.originalSacked) }
    }
  }

  /// RTT from the first segment that was sent once (Karn), else from the timestamp echo (RFC 7323 4).
  /// Linux: `tcp_ack_update_rtt()`.
  private mutating func updateRTT(
    firstSent: Instant?, flags: AckFlags, segment: IncomingSegment, sample: inout RateSample,
    net: borrowing Net
  ) {
    var measured: Nanoseconds? = nil
    if let firstSent, !flags.contains(.retransDataAcked) {
      measured = net.now - firstSent
    } else if let sacked = sample.sackRTTFirst {
      measured = net.now - sacked
    } else if hasTimestamps && segment.options.hasTimestamps && segment.options.timestampEcho != 0
      && flags.contains(.dataAcked)
    {
      let elapsed = Int64(Int32(bitPattern: timestamp(net.now) &- segment.options.timestampEcho))
      if elapsed >= 0 && elapsed < 240_000 { measured = .milliseconds(max(elapsed, 1)) }
    }
    guard let measured, measured >= .zero else { return }
    sample.rtt = measured
    rtt.sample(measured, acknowledged: sndUna.rawValue, next: sndNxt.rawValue, now: net.now)
    rtt.backoff = 0
  }

  // MARK: Timers

  /// (Re)starts the retransmission timer, or stops it when nothing is outstanding. Linux: `tcp_rearm_rto()`.
  mutating func armRetransmit(net: inout Net) {
    if packetsOut == 0 {
      if retransmitKind == .retransmission {
        retransmitKind = .none
        retransmitDeadline = .distantFuture
      }
      return
    }
    retransmitKind = .retransmission
    retransmitDeadline = max(net.now, nextDeparture) + rtt.timeout
  }

  /// Arms the zero-window probe timer when nothing else would wake the connection. Linux: `tcp_check_probe_timer()`.
  mutating func armProbe(net: inout Net) {
    guard packetsOut == 0, retransmitKind == .none, !writeQueue.isEmpty else { return }
    retransmitKind = .probe
    retransmitDeadline = net.now + probeInterval
    clampToUserTimeout(since: probeSince, now: net.now)
  }

  /// Linux: `tcp_probe0_when()`.
  var probeInterval: Nanoseconds {
    min(max(rtt.timeout << min(rtt.backoff, 10), RTTEstimator.minimumTimeout), RTTEstimator.maximumTimeout)
  }

  /// The peer answered a probe. Linux: `tcp_ack_probe()`.
  private mutating func probeAnswered(net: inout Net) {
    guard let head = writeQueue.first else { return }
    if !writeQueue[tcp: head].endSequence.isAfter(windowEnd) {
      rtt.backoff = 0
      probeSince = .origin
      retransmitKind = .none
      retransmitDeadline = .distantFuture
    } else {
      retransmitKind = .probe
      retransmitDeadline = net.now + probeInterval
      clampToUserTimeout(since: probeSince, now: net.now)
    }
  }
}
