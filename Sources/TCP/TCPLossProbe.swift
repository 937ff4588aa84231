import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Wire

// Tail loss probes. The loss of what nothing follows is seen by its acknowledgment's absence only: the probe makes it one that
// SACK tells of.
extension TCPConnection {
  /// Arms the loss probe in place of the retransmission timer: with SACK, while nothing is known to be wrong, after two
  /// round trips, and for a lone segment as long as its ACK may be held back; never later than the timer would fire.
  /// Linux: `tcp_schedule_loss_probe()`.
  ///
  /// - Parameter isRestarting: the timer would run anew from now; else it runs since the head was sent.
  /// - Returns: false where none is due; nothing has changed.
  @discardableResult
  mutating func scheduleLossProbe(isRestarting: Bool, net: borrowing Net) -> Bool {
    guard net.settings.probesTails, sender.packetsOut > 0, sender.hasSACK, !fastOpen.contains(.isPassive),
      sender.recovery.state == .open || sender.recovery.state == .congestionWindowReduced
    else { return false }
    var wait = RTTEstimator.initialTimeout
    if sender.rtt.hasSample {
      wait = .microseconds(sender.rtt.smoothed8 >> 2)
      wait = wait + (sender.packetsOut == 1 ? sender.rtt.least : Self.leastTimeout)
    }
    let left = isRestarting ? sender.rtt.timeout : sender.timeUntilTimeout(now: net.now)
    if left > .zero { wait = min(wait, left) }
    timers.start(.lossProbe, at: max(net.now, sender.nextDeparture) + wait)
    return true
  }

  /// Sends the probe: new data where the peer's window takes it, though the congestion window be full, else the last
  /// segment again. There is one at a time. Linux: `tcp_send_loss_probe()`.
  mutating func lossProbeExpired(host: inout Host) {
    guard sender.packetsOut > 0 else { return }
    // Once something behind a hole is known to have arrived there is no tail to ask for (RFC 8985 section 7.2).
    if sender.lossProbe == nil, sender.sackedOut == 0, let isRetransmission = sendLossProbe(host: &host) {
      sender.lossProbe = LossProbe(end: sender.sndNxt, isRetransmission: isRetransmission)
      host.net.counters.count(.TcpExtTCPLossProbes)
      restartRetransmit(net: host.net)
    } else {
      resumeRetransmit(net: host.net)
    }
  }

  /// - Returns: whether it was sent before; `nil`: none has gone.
  private mutating func sendLossProbe(host: inout Host) -> Bool? {
    let mss = currentMSS(host: &host)
    if let head = sender.writeQueue.first {
      let block = sender.writeQueue[tcp: head]
      let isLong = sender.writeQueue.length(at: head) > mss
      if !(isLong ? block.sequence + mss : block.endSequence).isAfter(sender.windowEnd) {
        let before = sender.packetsOut
        writeXmit(mss: mss, nagle: .off, burst: .lossProbe, host: &host)
        return sender.packetsOut > before ? false : nil
      }
    }
    guard var last = sender.scoreboard.queue.last, !isStillQueued(last, net: &host.net) else { return nil }
    let before = (Int(sender.scoreboard.queue[tcp: last].segmentCount) - 1) * mss
    if before > 0 && sender.scoreboard.queue.length(at: last) > before {
      guard
        sender.splitSent(last, at: before, mss: mss, sendBuffer: core.sendBuffer, net: &host.net),
        let tail = sender.scoreboard.queue.position(after: last)
      else { return nil }
      last = tail
    }
    let result = retransmit(last, segments: 1, mss: mss, isProbe: true, host: &host)
    return result == .sent ? true : nil
  }

  /// The retransmission timer as if no probe had stood in for it. Linux: `tcp_rearm_rto()`.
  mutating func resumeRetransmit(net: borrowing Net) {
    let left = max(sender.timeUntilTimeout(now: net.now), .microseconds(1))
    timers.start(.retransmission, at: max(net.now, sender.nextDeparture) + left)
  }
}

extension TCPSender {
  /// Until the timeout of what was sent first; below zero: it is over. Linux: `tcp_rto_delta_us()`.
  func timeUntilTimeout(now: Instant) -> Nanoseconds {
    guard let head = scoreboard.queue.first else { return rtt.timeout }
    return scoreboard.queue[tcp: head].sentAt + rtt.timeout - now
  }

  /// An ACK of all that was sent when the probe went tells what became of the tail: it is there, twice, or the probe has
  /// repaired a loss, which the congestion window then answers for. Linux: `tcp_process_tlp_ack()`.
  mutating func lossProbeAnswered(_ acknowledged: SequenceNumber, _ flags: AckFlags, net: inout Net) {
    guard let probe = lossProbe, !acknowledged.isBefore(probe.end) else { return }
    if !probe.isRetransmission || flags.contains(.probeDuplicated) {
      lossProbe = nil
    } else if acknowledged.isAfter(probe.end) {
      // Takes the probe back.
      beginReduction()
      setRecoveryState(.congestionWindowReduced)
      endReduction()
      keepOpen()
      net.counters.count(.TcpExtTCPLossProbeRecovery)
    } else if flags.isDisjoint(with: AckFlags.notDuplicate.union([.unaAdvanced, .dataSacked])) {
      // A bare duplicate: the probe was one.
      lossProbe = nil
    }
  }
}
