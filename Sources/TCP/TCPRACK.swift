import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Wire

// Which segments are lost, told by when they were sent (RFC 8985). Linux: `net/ipv4/tcp_recovery.c`.
extension TCPSender {
  /// A packet arrived, as SACK or the ACK tells.
  @inline(__always)
  mutating func advanceRACK(_ block: TCPControlBlock, now: Instant) {
    rack.advance(block, least: rtt.minimum, now: now)
  }

  /// The time stamp that came back is older than what was sent again last: the original has arrived (RFC 3522).
  /// Linux: `tcp_skb_spurious_retrans()`.
  func isAnsweredByOriginal(_ block: TCPControlBlock) -> Bool {
    !block.sacked.isDisjoint(with: .sentAgain) && hasEcho(before: block.sentAt)
  }

  /// How long a packet may come later than one that was sent after it (RFC 8985 section 6.2 step 4): not at all in recovery
  /// and behind three that arrived, until the path has been seen to reorder. Linux: `tcp_rack_reo_wnd()`.
  private func reorderingWindow(net: borrowing Net) -> Nanoseconds {
    if recovery.reorderSeen == 0 {
      if recovery.state == .recovery || recovery.state == .loss { return .zero }
      if sackedOut >= recovery.reordering && !net.settings.tcpRecovery.contains(.noThreshold) { return .zero }
    }
    return rack.window(least: rtt.minimum, smoothed: rtt.smoothed)
  }

  /// Marks what is lost by now. Linux: `tcp_rack_detect_loss()`.
  ///
  /// - Returns: how long the last of what has been overtaken still has; zero: nothing has.
  @discardableResult
  mutating func detectLosses(net: inout Net) -> Nanoseconds {
    let found = scoreboard.markLosses(rack, window: reorderingWindow(net: net), now: net.now)
    countLostAgain(found.again, net: &net)
    return found.wait
  }

  /// Marks losses as an ACK tells of them. Linux: `tcp_identify_packet_loss()`, `tcp_rack_mark_lost()`.
  mutating func identifyLosses(_ ack: inout Acknowledgment, net: inout Net) {
    guard hasSACK else { return markRenoLosses(ack.flags, net: &net) }
    guard rack.hasAdvanced, !scoreboard.queue.isEmpty else { return }
    rack.hasAdvanced = false
    let before = retransOut
    let wait = detectLosses(net: &net)
    if wait > .zero { ack.reorderingWait = wait }
    if retransOut < before { ack.flags.insert(.lostRetransmission) }
  }

  /// An ACK has told of deliveries, or of needless retransmissions.
  mutating func adaptReorderingWindow(_ sample: RateSample, net: borrowing Net) {
    guard sample.hasPacket, sample.sentDelivered != 0, !net.settings.tcpRecovery.contains(.staticWindow)
    else { return }
    rack.adapt(priorDelivered: sample.sentDelivered, delivered: delivered)
  }
}

extension TCPConnection {
  /// What was overtaken has had its time. Linux: `tcp_rack_reo_timeout()`.
  mutating func reorderingExpired(host: inout Host) {
    let before = sender.inFlight
    let lost = sender.scoreboard.lostTotal
    sender.detectLosses(net: &host.net)
    if sender.inFlight != before {
      if sender.recovery.state != .recovery {
        sender.enterRecovery(isMarked: false, socket: id, net: &host.net)
        if !sender.congestion.setsWindow {
          sender.reduceWindow(
            newlyDelivered: 1, newlyLost: Int(sender.scoreboard.lostTotal &- lost), flags: [])
        }
      }
      retransmitLost(host: &host)
    }
    if timers.retransmitKind == .none && sender.packetsOut > 0 { resumeRetransmit(net: host.net) }
  }
}
