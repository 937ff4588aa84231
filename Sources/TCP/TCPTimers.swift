import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// What happens when nothing happens. Linux: `net/ipv4/tcp_timer.c`.
extension TCPConnection {
  mutating func timersExpired(_ cache: inout FastOpenCache, host: inout Host) {
    let now = host.net.now
    if timers.ackDeadline <= now {
      timers.ackDeadline = .distantFuture
      delayedAckExpired(host: &host)
    }
    if timers.pacingDeadline <= now {
      timers.pacingDeadline = .distantFuture
      continueSending(host: &host)
    }
    switch timers.takeExpired(now: now) {
    case .retransmission: retransmissionExpired(&cache, host: &host)
    case .lossProbe: lossProbeExpired(host: &host)
    case .reordering: reorderingExpired(host: &host)
    case .probe: probeExpired(host: &host)
    case .none: break
    }
    if timers.keepAliveDeadline <= now {
      timers.keepAliveDeadline = .distantFuture
      keepAliveExpired(host: &host)
    }
  }

  /// Linux: `tcp_delack_timer_handler()`.
  private mutating func delayedAckExpired(host: inout Host) {
    guard receiver.ack.isScheduled, state != .close, state != .listen else { return }
    if !receiver.ack.isInteractive {
      receiver.ack.timeout = min(receiver.ack.timeout << 1, sender.rtt.timeout)
    } else {
      // The conversation has paused: not interactive after all.
      receiver.ack.pingpong = 0
      receiver.ack.timeout = DelayedAck.minimum
    }
    host.net.counters.count(.TcpExtDelayedACKs)
    sendAck(host: &host)
  }

  /// Linux: `tcp_retransmit_timer()`.
  private mutating func retransmissionExpired(_ cache: inout FastOpenCache, host: inout Host) {
    guard sender.packetsOut > 0, let head = sender.scoreboard.queue.first else { return }
    if fastOpen.contains(.isPassive) { return synAckExpired(host: &host) }
    host.net.tracer.record(
      .tcp_retransmit_timer, socket: id.rawValue, UInt64(sender.rtt.timeout.microseconds),
      UInt64(sender.rtt.backoff))
    if !isOpening && sender.retransmits == 0 && sender.retransOut == 0
      && sender.recovery.state.rawValue < CongestionState.recovery.rawValue
    {
      // An earlier trouble that is over does not count.
      sender.retransmitStamp = .origin
    }
    if sender.sndWnd == 0 && !core.isOrphan && !isOpening {
      // The peer closed its window on data in flight: keep asking as long as it answers.
      if closedWindowTimedOut(sentAt: sender.scoreboard.queue[tcp: head].sentAt, now: host.net.now) {
        writeError(net: &host.net)
        return
      }
      sender.enterLoss(net: &host.net)
      let mss = currentMSS(host: &host)
      _ = retransmit(head, segments: 1, mss: mss, host: &host)
      sender.rtt.backOff()
      armRetransmit(net: &host.net)
      clampToUserTimeout(since: sender.retransmitStamp, now: host.net.now)
      return
    }
    host.net.counters.count(.TcpExtTCPTimeouts)
    let isExpired = hasGivenUp(net: host.net)
    detectBlackhole(isExpired: isExpired, &cache, net: &host.net)
    if !isOpening && isTimedOut(after: host.net.settings.tcpRetries1, net: host.net) {
      sender.suspectPathMTU(fixedOptions: fixedOptionByteCount, net: host.net)
    }
    if isExpired {
      writeError(net: &host.net)
      return
    }
    if sender.retransmits == 0, let counter = sender.failure { host.net.counters.count(counter) }
    sender.enterLoss(net: &host.net)
    noteTimeout(now: host.net.now)
    let mss = currentMSS(host: &host)
    if retransmit(head, segments: 1, mss: mss, host: &host) == .dropped {
      // Local trouble: try again soon, without backing off for it.
      timers.start(
        .retransmission, at: host.net.now + min(sender.rtt.timeout, Self.resourceProbeInterval))
      return
    }
    if state == .established && isThin && sender.retransmits <= Self.thinLinearRetries {
      sender.rtt.backoff = 0
      sender.rtt.setTimeout()
    } else if state != .synSent || sender.retransmits > host.net.settings.tcpSynLinearTimeouts {
      // The first SYNs follow each other at the same distance (`tcp_syn_linear_timeouts`).
      sender.rtt.backOff()
    }
    armRetransmit(net: &host.net)
    clampToUserTimeout(since: sender.retransmitStamp, now: host.net.now)
  }

  /// Linux: `tcp_update_rto_stats()`.
  mutating func noteTimeout(now: Instant) {
    if sender.retransmits == 0 { statistics.beginTimeouts(now: now) }
    sender.retransmits += 1
    statistics.timeouts &+= 1
  }

  /// How soon to try again what local trouble prevented. Linux: `TCP_RESOURCE_PROBE_INTERVAL`.
  static let resourceProbeInterval = Nanoseconds.milliseconds(500)
  /// Linux: `TCP_TIMEOUT_MIN`: two ticks of a kernel with HZ=1000.
  static let leastTimeout = Nanoseconds.milliseconds(2)

  /// Linux: `TCP_THIN_LINEAR_RETRIES`.
  private static let thinLinearRetries = 6

  /// So few segments are outstanding that nothing but the timer tells of a loss, and the owner has asked for help then.
  /// Linux: `tcp_stream_is_thin()`.
  private var isThin: Bool {
    options.thinLinearTimeouts && sender.packetsOut < 4 && sender.window.threshold != nil
  }

  var isOpening: Bool { state == .synSent || state == .synReceived }

  /// The connection ends because nobody answers. Linux: `tcp_write_err()`.
  mutating func writeError(net: inout Net) {
    net.counters.count(.TcpExtTCPAbortOnTimeout)
    fail(core.softError ?? .ETIMEDOUT, net: &net)
  }

  /// Whether the timer just armed must fire earlier for `TCP_USER_TIMEOUT` to end the connection in time (RFC 5482).
  /// Linux: `tcp_clamp_rto_to_user_timeout()`, `tcp_clamp_probe0_to_user_timeout()`.
  ///
  /// - Parameter since: when the trouble began; `.origin`: it has not.
  mutating func clampToUserTimeout(since: Instant, now: Instant) {
    guard let timeout = options.userTimeout, since != .origin else { return }
    timers.bringForward(to: max(since + timeout, now + Self.leastTimeout))
  }

  /// Linux: `tcp_rtx_probe0_timed_out()`.
  private func closedWindowTimedOut(sentAt: Instant, now: Instant) -> Bool {
    let waited = now - (sender.retransmitStamp == .origin ? sentAt : sender.retransmitStamp)
    var limit = sender.rtt.greatest * 2
    if let timeout = options.userTimeout {
      if waited >= timeout { return true }
      limit = min(limit, timeout)
    }
    return now - receiver.lastReceived > limit && waited > limit
  }

  /// RFC 9293 3.8.3 R2, RFC 5482. Linux: `tcp_write_timeout()`.
  private func hasGivenUp(net: borrowing Net) -> Bool {
    var tries = net.settings.tcpRetries2
    if isOpening {
      tries = options.synCount ?? net.settings.tcpSynRetries
      let linear = state == .synSent ? net.settings.tcpSynLinearTimeouts : 0
      if sender.retransmits >= tries + linear { return true }
    } else if core.isOrphan {
      tries = orphanRetries(isAlive: sender.rtt.timeout < sender.rtt.greatest, net: net)
    }
    return isTimedOut(after: tries, userTimeout: options.userTimeout, net: net)
  }

  /// Whether the trouble lasts for longer than so many retransmissions take. Linux: `retransmits_timed_out()`.
  private func isTimedOut(after tries: Int, userTimeout: Nanoseconds? = nil, net: borrowing Net) -> Bool {
    guard sender.retransmits > 0, sender.retransmitStamp != .origin else { return false }
    let base = isOpening ? RTTEstimator.initialTimeout : RTTEstimator.minimumTimeout
    return net.now - sender.retransmitStamp >= userTimeout
      ?? Self.backoffSum(tries, base: base, most: sender.rtt.greatest)
  }

  /// How often an orphan tries: `tcp_orphan_retries`, whose 0 means 8, and not at all once the back-off has reached its
  /// limit. Linux: `tcp_orphan_retries()`.
  private func orphanRetries(isAlive: Bool, net: borrowing Net) -> Int {
    let retries = core.softError != nil && !isAlive ? 0 : net.settings.tcpOrphanRetries
    return retries == 0 && isAlive ? 8 : retries
  }

  /// How long `tries` retransmissions take that begin at `base` and double up to `most`. Linux: `tcp_model_timeout()`.
  private static func backoffSum(_ tries: Int, base: Nanoseconds, most: Nanoseconds) -> Nanoseconds {
    var doublings = 0
    while base << (doublings + 1) <= most { doublings += 1 }
    if tries <= doublings { return base * ((2 << Int64(tries)) - 1) }
    return base * ((2 << Int64(doublings)) - 1) + most * Int64(tries - doublings)
  }

  /// Linux: `tcp_probe_timer()`.
  private mutating func probeExpired(host: inout Host) {
    if timers.probeSince == .origin {
      timers.probeSince = host.net.now
    } else if let timeout = options.userTimeout, host.net.now - timers.probeSince >= timeout {
      writeError(net: &host.net)
      return
    }
    var most = host.net.settings.tcpRetries2
    if core.isOrphan {
      // An orphan does not wait for ever for a peer that answers and keeps its window shut.
      let isAlive = probeInterval < sender.rtt.greatest
      most = orphanRetries(isAlive: isAlive, net: host.net)
      if !isAlive && sender.rtt.backoff >= most {
        writeError(net: &host.net)
        return
      }
    }
    if timers.probesOut >= most {
      writeError(net: &host.net)
      return
    }
    sendWindowProbe(host: &host)
  }

  /// Linux: `tcp_send_probe0()`.
  private mutating func sendWindowProbe(host: inout Host) {
    let sent = writeWakeup(.TcpExtTCPWinProbe, host: &host)
    if sender.packetsOut > 0 || sender.writeQueue.isEmpty {
      timers.probesOut = 0
      sender.rtt.backoff = 0
      timers.probeSince = .origin
      return
    }
    timers.probesOut += 1
    if sent && sender.rtt.backoff < host.net.settings.tcpRetries2 { sender.rtt.backoff += 1 }
    timers.start(.probe, at: host.net.now + (sent ? probeInterval : Self.resourceProbeInterval))
    clampToUserTimeout(since: timers.probeSince, now: host.net.now)
  }

  /// Sends what the window allows, if only to draw an ACK: a probe even with no room and no data.
  /// Linux: `tcp_write_wakeup()`.
  ///
  /// - Parameter counter: what a probe without data counts as.
  /// - Returns: false when a queue below had no room. A probe that fails otherwise, as without a route, counts as one.
  mutating func writeWakeup(_ counter: NetCounters.Name, host: inout Host) -> Bool {
    host.net.tracer.record(
      .tcp_write_wakeup, socket: id.rawValue, UInt64(sender.rtt.timeout.microseconds),
      UInt64(sender.rtt.backoff))
    if let head = sender.writeQueue.first, sender.writeQueue[tcp: head].sequence.isBefore(sender.windowEnd) {
      let mss = currentMSS(host: &host)
      let block = sender.writeQueue[tcp: head]
      let room = sender.windowEnd.offset(from: block.sequence)
      let length = sender.writeQueue.length(at: head)
      if sender.pushedSeq.isBefore(block.endSequence) { sender.pushedSeq = block.endSequence }
      // Data that fills the window goes without the FIN that does not fit any more.
      if room < block.endSequence.offset(from: block.sequence) || length > mss {
        guard sender.splitUnsent(head, at: min(room, mss, length), mss: mss) else { return true }
      }
      sender.writeQueue[tcp: head].flags.insert(.psh)
      return sendHead(head, mss: mss, isProbe: true, host: &host) != .dropped
    }
    // An old sequence number with no data: the peer must answer (RFC 9293 3.8.6.1).
    if sender.urgentMode && sender.sndUp.isBetween(sender.sndUna + 1, sender.sndUna + 0xFFFF) {
      host.net.counters.count(counter)
      _ = sendControl(.ack, sequence: sender.sndUna, host: &host)
    }
    host.net.counters.count(counter)
    return sendControl(.ack, sequence: sender.sndUna - 1, host: &host) != .dropped
  }

  /// Keep-alive, and the orphan's wait in FIN-WAIT-2. Linux: `tcp_keepalive_timer()`.
  private mutating func keepAliveExpired(host: inout Host) {
    if core.isOrphan && state == .finWait2 {
      fail(nil, net: &host.net)
      return
    }
    guard core.options.keepAlive, state != .close, state != .listen, state != .synSent else { return }
    let idle = options.keepAliveIdle ?? host.net.settings.tcpKeepaliveTime
    if sender.packetsOut > 0 || !sender.writeQueue.isEmpty {
      timers.keepAliveDeadline = host.net.now + idle
      return
    }
    let elapsed = host.net.now - receiver.lastReceived
    guard elapsed >= idle else {
      timers.keepAliveDeadline = host.net.now + (idle - elapsed)
      return
    }
    let most = options.keepAliveCount ?? host.net.settings.tcpKeepaliveProbes
    let expired =
      options.userTimeout.map { elapsed >= $0 && timers.probesOut > 0 } ?? (timers.probesOut >= most)
    if expired {
      sendReset(host: &host)
      writeError(net: &host.net)
      return
    }
    let interval = options.keepAliveInterval ?? host.net.settings.tcpKeepaliveInterval
    if writeWakeup(.TcpExtTCPKeepAlive, host: &host) {
      timers.probesOut += 1
      timers.keepAliveDeadline = host.net.now + interval
    } else {
      timers.keepAliveDeadline = host.net.now + Self.resourceProbeInterval
    }
  }

  /// Starts or stops keep-alive as the option says; time already spent idle counts. Linux: `tcp_set_keepalive()`,
  /// `tcp_sock_set_keepidle_locked()`.
  mutating func applyKeepAlive(idleChanged: Bool = false, net: borrowing Net) {
    guard !core.isOrphan else { return }
    guard core.options.keepAlive && state != .close && state != .listen && state != .synSent else {
      timers.keepAliveDeadline = .distantFuture
      return
    }
    let idle = options.keepAliveIdle ?? net.settings.tcpKeepaliveTime
    timers.keepAliveDeadline = idleChanged ? max(net.now, receiver.lastReceived + idle) : net.now + idle
  }
}

extension TCPSender {
  /// What did not mend the loss before the timer did. Linux: `mib_idx` of `tcp_retransmit_timer()`.
  fileprivate var failure: NetCounters.Name? {
    switch recovery.state {
    case .recovery: hasSACK ? .TcpExtTCPSackRecoveryFail : .TcpExtTCPRenoRecoveryFail
    case .loss: .TcpExtTCPLossFailures
    case .disorder: hasSACK ? .TcpExtTCPSackFailures : .TcpExtTCPRenoFailures
    case .open, .congestionWindowReduced:
      sackedOut == 0 ? nil : hasSACK ? .TcpExtTCPSackFailures : .TcpExtTCPRenoFailures
    }
  }
}
