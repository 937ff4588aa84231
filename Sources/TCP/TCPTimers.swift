import IPv4
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// What happens when nothing happens. Linux: `net/ipv4/tcp_timer.c`.
extension TCPSocket {
  mutating func timersExpired(ip: inout IPv4Layer, net: inout Net) {
    let now = net.now
    if ackDeadline <= now {
      ackDeadline = .distantFuture
      delayedAckExpired(ip: &ip, net: &net)
    }
    if retransmitDeadline <= now {
      let kind = retransmitKind
      retransmitDeadline = .distantFuture
      retransmitKind = .none
      switch kind {
      case .retransmission: retransmissionExpired(ip: &ip, net: &net)
      case .probe: probeExpired(ip: &ip, net: &net)
      case .none: break
      }
    }
    if keepAliveDeadline <= now {
      keepAliveDeadline = .distantFuture
      keepAliveExpired(ip: &ip, net: &net)
    }
  }

  /// Linux: `tcp_delack_timer_handler()`.
  private mutating func delayedAckExpired(ip: inout IPv4Layer, net: inout Net) {
    guard ack.isScheduled, state != .close, state != .listen else { return }
    if !ack.isInteractive {
      ack.timeout = min(ack.timeout << 1, rtt.timeout)
    } else {
      // The conversation has paused: not interactive after all.
      ack.pingpong = 0
      ack.timeout = DelayedAck.minimum
    }
    net.counters.count(.TcpExtDelayedACKs)
    sendAck(ip: &ip, net: &net)
  }

  /// Linux: `tcp_retransmit_timer()`.
  private mutating func retransmissionExpired(ip: inout IPv4Layer, net: inout Net) {
    guard packetsOut > 0, let head = retransmitQueue.first else { return }
    net.tracer.record(
      .tcp_retransmit_timer, socket: id.rawValue, UInt64(rtt.timeout.microseconds), UInt64(rtt.backoff))
    if sndWnd == 0 && !isOrphan && state != .synSent && state != .synReceived {
      // The peer closed its window on data in flight: keep asking as long as it answers.
      if lastReceived != .origin && net.now - lastReceived > RTTEstimator.maximumTimeout {
        fail(.ETIMEDOUT, net: &net)
        return
      }
      enterLoss(net: &net)
      let mss = currentMSS(ip: &ip, net: &net)
      _ = retransmit(head, segments: 1, mss: mss, ip: &ip, net: &net)
      rtt.backOff()
      armRetransmit(net: &net)
      return
    }
    if hasGivenUp(net: net) {
      net.counters.count(.TcpExtTCPAbortOnTimeout)
      fail(softError ?? .ETIMEDOUT, net: &net)
      return
    }
    if retransmits == 0 { net.counters.count(.TcpExtTCPTimeouts) }
    enterLoss(net: &net)
    retransmits += 1
    let mss = currentMSS(ip: &ip, net: &net)
    let first = retransmitQueue.first ?? head
    if !retransmit(first, segments: 1, mss: mss, ip: &ip, net: &net) {
      // Local trouble: try again soon, without backing off for it.
      retransmitKind = .retransmission
      retransmitDeadline = net.now + min(rtt.timeout, .milliseconds(500))
      return
    }
    rtt.backOff()
    armRetransmit(net: &net)
  }

  /// RFC 9293 3.8.3 R2, RFC 5482. Linux: `tcp_write_timeout()`.
  private func hasGivenUp(net: borrowing Net) -> Bool {
    if state == .synSent || state == .synReceived {
      return retransmits >= (options.synCount ?? net.settings.tcpSynRetries)
    }
    guard retransmits > 0 else { return false }
    let start = retransmitStamp == .origin ? net.now : retransmitStamp
    if let timeout = options.userTimeout { return net.now - start >= timeout }
    let tries = isOrphan ? min(net.settings.tcpRetries2, 8) : net.settings.tcpRetries2
    return retransmits >= tries && net.now - start >= Self.backoffSum(tries)
  }

  /// How long `tries` retransmissions with doubling from 200 ms take. Linux: `tcp_model_timeout()`.
  private static func backoffSum(_ tries: Int) -> Nanoseconds {
    // 200 ms doubles nine times before it reaches 120 s.
    if tries <= 9 { return RTTEstimator.minimumTimeout * ((2 << Int64(tries)) - 1) }
    return RTTEstimator.minimumTimeout * ((2 << 9) - 1) + RTTEstimator.maximumTimeout * Int64(tries - 9)
  }

  /// Linux: `tcp_probe_timer()`.
  private mutating func probeExpired(ip: inout IPv4Layer, net: inout Net) {
    guard packetsOut == 0, !writeQueue.isEmpty else {
      probesOut = 0
      probeSince = .origin
      return
    }
    if let timeout = options.userTimeout, probeSince != .origin, net.now - probeSince >= timeout {
      fail(.ETIMEDOUT, net: &net)
      return
    }
    let most = isOrphan ? min(net.settings.tcpRetries2, 8) : net.settings.tcpRetries2
    if probesOut >= most {
      net.counters.count(.TcpExtTCPAbortOnTimeout)
      fail(softError ?? .ETIMEDOUT, net: &net)
      return
    }
    let sent = writeWakeup(ip: &ip, net: &net)
    if packetsOut > 0 || writeQueue.isEmpty {
      probesOut = 0
      rtt.backoff = 0
      probeSince = .origin
      return
    }
    if sent {
      if rtt.backoff < net.settings.tcpRetries2 { rtt.backoff += 1 }
      probesOut += 1
    }
    retransmitKind = .probe
    retransmitDeadline = net.now + probeInterval
  }

  /// Sends what the window allows, if only to draw an ACK: a probe even with no room and no data.
  /// Linux: `tcp_write_wakeup()`.
  mutating func writeWakeup(ip: inout IPv4Layer, net: inout Net) -> Bool {
    net.tracer.record(
      .tcp_write_wakeup, socket: id.rawValue, UInt64(rtt.timeout.microseconds), UInt64(rtt.backoff))
    net.counters.count(.TcpExtTCPWinProbe)
    if let head = writeQueue.first, writeQueue[tcp: head].sequence.isBefore(windowEnd) {
      let mss = currentMSS(ip: &ip, net: &net)
      let room = windowEnd.offset(from: writeQueue[tcp: head].sequence)
      let length = writeQueue.length(at: head)
      if room < length || length > mss {
        markPush(head)
        guard split(head, at: min(room, mss), in: .write, mss: mss, net: &net) else { return false }
      }
      writeQueue[tcp: head].flags.insert(.psh)
      return !writeXmit(mss: mss, nagle: .push, only: true, ip: &ip, net: &net) && packetsOut > 0
    }
    // An old sequence number with no data: the peer must answer (RFC 9293 3.8.6.1).
    if urgentMode && sndUp.isBetween(sndUna + 1, sndUna + 0xFFFF) {
      _ = sendControl(.ack, sequence: sndUna, ip: &ip, net: &net)
    }
    return sendControl(.ack, sequence: sndUna - 1, ip: &ip, net: &net)
  }

  /// Keep-alive, the orphan's wait in FIN-WAIT-2, lingering. Linux: `tcp_keepalive_timer()`.
  private mutating func keepAliveExpired(ip: inout IPv4Layer, net: inout Net) {
    if isOrphan && state == .finWait2 {
      fail(nil, net: &net)
      return
    }
    if isOrphan && (state == .finWait1 || state == .closing || state == .lastAck) {
      return
    }
    guard options.keepAlive, state != .close, state != .listen, state != .synSent else { return }
    let idle = options.keepAliveIdle ?? net.settings.tcpKeepaliveTime
    if packetsOut > 0 || !writeQueue.isEmpty {
      keepAliveDeadline = net.now + idle
      return
    }
    let elapsed = net.now - max(lastReceived, lastSent)
    guard elapsed >= idle else {
      keepAliveDeadline = net.now + (idle - elapsed)
      return
    }
    let most = options.keepAliveCount ?? net.settings.tcpKeepaliveProbes
    let expired =
      options.userTimeout.map { elapsed >= $0 && keepAliveProbes > 0 } ?? (keepAliveProbes >= most)
    if expired {
      sendReset(ip: &ip, net: &net)
      fail(.ETIMEDOUT, net: &net)
      return
    }
    net.counters.count(.TcpExtTCPKeepAlive)
    let interval = options.keepAliveInterval ?? net.settings.tcpKeepaliveInterval
    if sendControl(.ack, sequence: sndUna - 1, ip: &ip, net: &net) {
      keepAliveProbes += 1
      keepAliveDeadline = net.now + interval
    } else {
      keepAliveDeadline = net.now + .milliseconds(500)
    }
  }

  /// Starts or stops keep-alive as the option says.
  mutating func applyKeepAlive(net: borrowing Net) {
    guard !isOrphan else { return }
    if options.keepAlive && state != .close && state != .listen && state != .synSent {
      keepAliveDeadline = net.now + (options.keepAliveIdle ?? net.settings.tcpKeepaliveTime)
    } else {
      keepAliveDeadline = .distantFuture
    }
    keepAliveProbes = 0
  }
}
