import NetNamespace
import SkBuff
import Timers
import Wire

// Taking a reduction back that proved needless: Eifel (RFC 3522, RFC 4015), D-SACK (RFC 3708), F-RTO (RFC 5682).
extension TCPSender {
  /// Every retransmission of this episode was needless: all were reported as duplicates, or the peer answered the
  /// original. Linux: `tcp_may_undo()`.
  private var mayUndo: Bool {
    recovery.undoMarker != nil && (recovery.undoRetransmissions == 0 || originalWasAnswered)
  }

  /// The echoed timestamp is older than the first retransmission, or nothing was sent again yet.
  /// Linux: `tcp_packet_delayed()`.
  private var originalWasAnswered: Bool {
    guard retransmitStamp != .origin else {
      // Without SACK the stamp is cleared while the end of the episode is still awaited.
      return hasSACK || sndUna.isBefore(recovery.highSeq)
    }
    return hasEcho(before: retransmitStamp)
  }

  /// The time stamp that came back is older than something sent then. Linux: `tcp_tsopt_ecr_before()`.
  func hasEcho(before sent: Instant) -> Bool {
    sawTimestamp && receivedEcho != 0 && Int32(bitPattern: receivedEcho &- timestamp(sent)) < 0
  }

  /// Linux: `tcp_undo_cwnd_reduction()`; RFC 9438 section 4.9.
  private mutating func undoReduction(unmark: Bool) {
    if unmark { scoreboard.unmarkLost() }
    if let prior = recovery.prior {
      if congestion.setsWindow || window.segments <= prior.window {
        if !congestion.setsWindow { window.segments = prior.window }
        congestion.undone(prior.control)
      }
      if let before = prior.threshold {
        window.threshold = window.threshold.map { max($0, before) }
      } else {
        window.threshold = nil
      }
      ecn.remove(.owesCWR)
    }
    recovery.prior = nil
    recovery.undoMarker = nil
    // What still is in the order of sending may be lost all the same.
    rack.hasAdvanced = true
  }

  /// Without SACK an episode lasts until something above its end is acknowledged, or late duplicates would begin another
  /// (RFC 6582 section 6). Linux: `tcp_is_non_sack_preventing_reopen()`.
  private mutating func mustStayForReno() -> Bool {
    guard !hasSACK, sndUna == recovery.highSeq else { return false }
    if !hasRetransmissionsOut { retransmitStamp = .origin }
    return true
  }

  /// Recovery has reached its end. Linux: `tcp_try_undo_recovery()`.
  ///
  /// - Returns: whether its state stays for now.
  mutating func undoRecovery(net: inout Net) -> Bool {
    if mayUndo {
      net.counters.count(recovery.state == .loss ? .TcpExtTCPLossUndo : .TcpExtTCPFullUndo)
      undoReduction(unmark: false)
    } else {
      rack.recovered()
    }
    if mustStayForReno() { return true }
    setRecoveryState(.open)
    recovery.hasReneged = false
    return false
  }

  /// The hole was filled by an original that came late. Linux: `tcp_try_undo_partial()`.
  ///
  /// - Returns: whether nothing more is to be sent again on this ACK.
  mutating func undoPartial(priorUna: SequenceNumber, net: inout Net) -> Bool {
    guard recovery.undoMarker != nil, originalWasAnswered else { return false }
    noteReordering(from: priorUna, counter: .TcpExtTCPTSReorder, net: &net)
    // The retransmissions that are under way will tell.
    if retransOut > 0 { return true }
    if !hasRetransmissionsOut { retransmitStamp = .origin }
    undoReduction(unmark: true)
    net.counters.count(.TcpExtTCPPartialUndo)
    keepOpen()
    return false
  }

  /// Linux: `tcp_try_undo_dsack()`.
  mutating func undoDuplicateSACK(net: inout Net) -> Bool {
    guard recovery.undoMarker != nil, recovery.undoRetransmissions == 0 else { return false }
    rack.undone()
    undoReduction(unmark: false)
    // Linux learns nothing from it, and without time stamps may take every late segment for lost.
    noteReordering(distance: recovery.undoDistance, counter: .TcpExtTCPSACKReorder, net: &net)
    net.counters.count(.TcpExtTCPDSACKUndo)
    return true
  }

  /// Linux: `tcp_try_undo_loss()`.
  ///
  /// - Parameter isProven: new data has shown that the timeout was needless (F-RTO).
  mutating func undoLoss(isProven: Bool, net: inout Net) -> Bool {
    guard isProven || mayUndo else { return false }
    undoReduction(unmark: true)
    net.counters.count(.TcpExtTCPLossUndo)
    if isProven { net.counters.count(.TcpExtTCPSpuriousRTOs) }
    retransmits = 0
    if mustStayForReno() { return true }
    if isProven || hasSACK {
      setRecoveryState(.open)
      recovery.hasReneged = false
    }
    return true
  }
}
