import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// What happens when nothing happens. Linux: `net/ipv4/tcp_timer.c`.
extension TCPSocket {
  mutating func timersExpired(host: inout Host) {
    let now = host.net.now
    if ackDeadline <= now {
      ackDeadline = .distantFuture
      delayedAckExpired(host: &host)
    }
    if pacingDeadline <= now {
      pacingDeadline = .distantFuture
      continueSending(host: &host)
    }
    if retransmitDeadline <= now {
      let kind = retransmitKind
      retransmitDeadline = .distantFuture
      retransmitKind = .none
      switch kind {
      case .retransmission: retransmissionExpired(host: &host)
      case .probe: probeExpired(host: &host)
      case .none: break
      }
    }
    if keepAliveDeadline <= now {
      keepAliveDeadline = .distantFuture
      keepAliveExpired(host: &host)
    }
  }

  /// Linux: `tcp_delack_timer_handler()`.
  private mutating func delayedAckExpired(host: inout Host) {
    guard ack.isScheduled, state != .close, state != .listen else { return }
    if !ack.isInteractive {
      ack.timeout = min(ack.timeout << 1, rtt.timeout)
    } else {
      // The conversation has paused: not interactive after all.
      ack.pingpong = 0
      ack.timeout = DelayedAck.minimum
    }
    host.net.counters.count(.TcpExtDelayedACKs)
    sendAck(host: &host)
  }

  /// Linux: `tcp_retransmit_timer()`.
  private mutating func retransmissionExpired(host: inout Host) {
    guard packetsOut > 0, let head = scoreboard.queue.first else { return }
    host.net.tracer.record(
      .tcp_retransmit_timer, socket: id.rawValue, UInt64(rtt.timeout.microseconds), UInt64(rtt.backoff))
    if !isOpening && retransmits == 0 && retransOut == 0
      && recovery.state.rawValue < CongestionState.recovery.rawValue
    {
      // An earlier trouble that is over does not count.
      retransmitStamp = .origin
    }
    if sndWnd == 0 && !core.isOrphan && !isOpening {
      // The peer closed its window on data in flight: keep asking as long as it answers.
      if closedWindowTimedOut(sentAt: scoreboard.queue[tcp: head].sentAt, now: host.net.now) {
        writeError(net: &host.net)
        return
      }
      enterLoss(net: &host.net)
      let mss = currentMSS(host: &host)
      _ = retransmit(head, segments: 1, mss: mss, host: &host)
      rtt.backOff()
      armRetransmit(net: &host.net)
      clampToUserTimeout(since: retransmitStamp, now: host.net.now)
      return
    }
    if hasGivenUp(net: host.net) {
      writeError(net: &host.net)
      return
    }
    if retransmits == 0 { host.net.counters.count(.TcpExtTCPTimeouts) }
    enterLoss(net: &host.net)
    retransmits += 1
    let mss = currentMSS(host: &host)
    if retransmit(head, segments: 1, mss: mss, host: &host) == .dropped {
      // Local trouble: try again soon, without backing off for it.
      retransmitKind = .retransmission
      retransmitDeadline = host.net.now + min(rtt.timeout, Self.resourceProbeInterval)
      return
    }
    // The first SYNs follow each other at the same distance (`tcp_syn_linear_timeouts`).
    if state != .synSent || retransmits > host.net.settings.tcpSynLinearTimeouts { rtt.backOff() }
    armRetransmit(net: &host.net)
    clampToUserTimeout(since: retransmitStamp, now: host.net.now)
  }

  /// How soon to try again what local trouble prevented. Linux: `TCP_RESOURCE_PROBE_INTERVAL`.
  static let resourceProbeInterval = Nanoseconds.milliseconds(500)
  /// Linux: `TCP_TIMEOUT_MIN`: two ticks of a kernel with HZ=1000.
  static let leastTimeout = Nanoseconds.milliseconds(2)

  var isOpening: Bool { state == .synSent || state == .synReceived }

  /// The connection ends because nobody answers. Linux: `tcp_write_err()`.
  private mutating func writeError(net: inout Net) {
    net.counters.count(.TcpExtTCPAbortOnTimeout)
    fail(core.softError ?? .ETIMEDOUT, net: &net)
  }

  /// Whether the timer just armed must fire earlier for `TCP_USER_TIMEOUT` to end the connection in time (RFC 5482).
  /// Linux: `tcp_clamp_rto_to_user_timeout()`, `tcp_clamp_probe0_to_user_timeout()`.
  ///
  /// - Parameter since: when the trouble began; `.origin`: it has not.
  mutating func clampToUserTimeout(since: Instant, now: Instant) {
    guard let timeout = options.userTimeout, since != .origin, retransmitKind != .none else { return }
    retransmitDeadline = min(retransmitDeadline, max(since + timeout, now + Self.leastTimeout))
  }

  /// Linux: `tcp_rtx_probe0_timed_out()`.
  private func closedWindowTimedOut(sentAt: Instant, now: Instant) -> Bool {
    let waited = now - (retransmitStamp == .origin ? sentAt : retransmitStamp)
    var limit = RTTEstimator.maximumTimeout * 2
    if let timeout = options.userTimeout {
      if waited >= timeout { return true }
      limit = min(limit, timeout)
    }
    return now - lastReceived > limit && waited > limit
  }

  /// RFC 9293 3.8.3 R2, RFC 5482. Linux: `tcp_write_timeout()`, `retransmits_timed_out()`.
  private func hasGivenUp(net: borrowing Net) -> Bool {
    var tries = net.settings.tcpRetries2
    if isOpening {
      tries = options.synCount ?? net.settings.tcpSynRetries
      let linear = state == .synSent ? net.settings.tcpSynLinearTimeouts : 0
      if retransmits >= tries + linear { return true }
    } else if core.isOrphan {
      tries = orphanRetries(isAlive: rtt.timeout < RTTEstimator.maximumTimeout, net: net)
    }
    guard retransmits > 0, retransmitStamp != .origin else { return false }
    let base = isOpening ? RTTEstimator.initialTimeout : RTTEstimator.minimumTimeout
    return net.now - retransmitStamp >= options.userTimeout ?? Self.backoffSum(tries, base: base)
  }

  /// How often an orphan tries: `tcp_orphan_retries`, whose 0 means 8, and not at all once the back-off has reached its
  /// limit. Linux: `tcp_orphan_retries()`.
  private func orphanRetries(isAlive: Bool, net: borrowing Net) -> Int {
    let retries = core.softError != nil && !isAlive ? 0 : net.settings.tcpOrphanRetries
    return retries == 0 && isAlive ? 8 : retries
  }

  /// How long `tries` retransmissions take that begin at `base` and double up to 120 s. Linux: `tcp_model_timeout()`.
  private static func backoffSum(_ tries: Int, base: Nanoseconds) -> Nanoseconds {
    var doublings = 0
    while base << (doublings + 1) <= RTTEstimator.maximumTimeout { doublings += 1 }
    if tries <= doublings { return base * ((2 << Int64(tries)) - 1) }
    return base * ((2 << Int64(doublings)) - 1) + RTTEstimator.maximumTimeout * Int64(tries - doublings)
  }

  /// Linux: `tcp_probe_timer()`.
  private mutating func probeExpired(host: inout Host) {
    if probeSince == .origin {
      probeSince = host.net.now
    } else if let timeout = options.userTimeout, host.net.now - probeSince >= timeout {
      writeError(net: &host.net)
      return
    }
    var most = host.net.settings.tcpRetries2
    if core.isOrphan {
      // An orphan does not wait for ever for a peer that answers and keeps its window shut.
      let isAlive = probeInterval < RTTEstimator.maximumTimeout
      most = orphanRetries(isAlive: isAlive, net: host.net)
      if !isAlive && rtt.backoff >= most {
        writeError(net: &host.net)
        return
      }
    }
    if probesOut >= most {
      writeError(net: &host.net)
      return
    }
    sendWindowProbe(host: &host)
  }

  /// Linux: `tcp_send_probe0()`.
  private mutating func sendWindowProbe(host: inout Host) {
    let sent = writeWakeup(.TcpExtTCPWinProbe, host: &host)
    if packetsOut > 0 || writeQueue.isEmpty {
      probesOut = 0
      rtt.backoff = 0
      probeSince = .origin
      return
    }
    probesOut += 1
    if sent && rtt.backoff < host.net.settings.tcpRetries2 { rtt.backoff += 1 }
    retransmitKind = .probe
    retransmitDeadline = host.net.now + (sent ? probeInterval : Self.resourceProbeInterval)
    clampToUserTimeout(since: probeSince, now: host.net.now)
  }

  /// Sends what the window allows, if only to draw an ACK: a probe even with no room and no data.
  /// Linux: `tcp_write_wakeup()`.
  ///
  /// - Parameter counter: what a probe without data counts as.
  /// - Returns: false when a queue below had no room. A probe that fails otherwise, as without a route, counts as one.
  mutating func writeWakeup(_ counter: NetCounters.Name, host: inout Host) -> Bool {
    host.net.tracer.record(
      .tcp_write_wakeup, socket: id.rawValue, UInt64(rtt.timeout.microseconds), UInt64(rtt.backoff))
    if let head = writeQueue.first, writeQueue[tcp: head].sequence.isBefore(windowEnd) {
      let mss = currentMSS(host: &host)
      let block = writeQueue[tcp: head]
      let room = windowEnd.offset(from: block.sequence)
      let length = writeQueue.length(at: head)
      if pushedSeq.isBefore(block.endSequence) { pushedSeq = block.endSequence }
      // Data that fills the window goes without the FIN that does not fit any more.
      if room < block.endSequence.offset(from: block.sequence) || length > mss {
        guard splitUnsent(head, at: min(room, mss, length), mss: mss) else { return true }
      }
      writeQueue[tcp: head].flags.insert(.psh)
      return sendHead(head, mss: mss, host: &host) != .dropped
    }
    // An old sequence number with no data: the peer must answer (RFC 9293 3.8.6.1).
    if urgentMode && sndUp.isBetween(sndUna + 1, sndUna + 0xFFFF) {
      host.net.counters.count(counter)
      _ = sendControl(.ack, sequence: sndUna, host: &host)
    }
    host.net.counters.count(counter)
    return sendControl(.ack, sequence: sndUna - 1, host: &host) != .dropped
  }

  /// Keep-alive, and the orphan's wait in FIN-WAIT-2. Linux: `tcp_keepalive_timer()`.
  private mutating func keepAliveExpired(host: inout Host) {
    if core.isOrphan && state == .finWait2 {
      fail(nil, net: &host.net)
      return
    }
    guard core.options.keepAlive, state != .close, state != .listen, state != .synSent else { return }
    let idle = options.keepAliveIdle ?? host.net.settings.tcpKeepaliveTime
    if packetsOut > 0 || !writeQueue.isEmpty {
      keepAliveDeadline = host.net.now + idle
      return
    }
    let elapsed = host.net.now - lastReceived
    guard elapsed >= idle else {
      keepAliveDeadline = host.net.now + (idle - elapsed)
      return
    }
    let most = options.keepAliveCount ?? host.net.settings.tcpKeepaliveProbes
    let expired = options.userTimeout.map { elapsed >= $0 && probesOut > 0 } ?? (probesOut >= most)
    if expired {
      sendReset(host: &host)
      writeError(net: &host.net)
      return
    }
    let interval = options.keepAliveInterval ?? host.net.settings.tcpKeepaliveInterval
    if writeWakeup(.TcpExtTCPKeepAlive, host: &host) {
      probesOut += 1
      keepAliveDeadline = host.net.now + interval
    } else {
      keepAliveDeadline = host.net.now + Self.resourceProbeInterval
    }
  }

  /// Starts or stops keep-alive as the option says; time already spent idle counts. Linux: `tcp_set_keepalive()`,
  /// `tcp_sock_set_keepidle_locked()`.
  mutating func applyKeepAlive(idleChanged: Bool = false, net: borrowing Net) {
    guard !core.isOrphan else { return }
    guard core.options.keepAlive && state != .close && state != .listen && state != .synSent else {
      keepAliveDeadline = .distantFuture
      return
    }
    let idle = options.keepAliveIdle ?? net.settings.tcpKeepaliveTime
    keepAliveDeadline = idleChanged ? max(net.now, lastReceived + idle) : net.now + idle
  }
}
