import IPv4
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// The recovery state machine. Linux: `tcp_fastretrans_alert()` and around it.
extension TCPSender {
  /// What may be sent after an ACK. Linux: `REXMIT_NONE`, `REXMIT_LOST`, `REXMIT_NEW`.
  enum Retransmission {
    case none
    case lost
    /// New data first, to find out whether a timeout was needless (RFC 5682).
    case new
    /// What is too long for the path.
    case tooLong
  }

  /// - Parameter isDuplicate: the ACK counts as a duplicate (RFC 5681 section 2).
  mutating func alertFastRetransmit(
    _ ack: inout Acknowledgment, isDuplicate: Bool, net: inout Net
  ) -> Retransmission {
    let flags = ack.flags
    let isMarked = flags.contains(.congestion)
    // Congestion that was told of is no mistake.
    if isMarked { recovery.prior = nil }
    if recovery.state != .open && !sndUna.isBefore(recovery.highSeq) {
      switch recovery.state {
      case .congestionWindowReduced:
        // Leave when something past the episode is acknowledged, so that late duplicates cannot start it again.
        if sndUna != recovery.highSeq {
          endReduction()
          setRecoveryState(.open)
        }
      case .recovery:
        scoreboard.forgetRenoSACKs()
        if undoRecovery(net: &net) { return .none }
        endReduction()
      default: break
      }
    }
    switch recovery.state {
    case .recovery:
      if !flags.contains(.unaAdvanced) {
        if !hasSACK && isDuplicate { addRenoSACK(net: &net) }
      } else if undoPartial(priorUna: ack.priorUna, net: &net) {
        return .none
      }
      if undoDuplicateSACK(net: &net) { tryToOpen(flags) }
      identifyLosses(&ack, net: &net)
      if recovery.state != .recovery {
        // Undone; but a loss that is plain all the same begins another episode.
        guard lostOut > 0 else { return .none }
        enterRecovery(isMarked: isMarked, socket: ack.socket, net: &net)
      }
    case .loss:
      let answer = processLoss(flags, isDuplicate: isDuplicate, net: &net)
      identifyLosses(&ack, net: &net)
      // What the timer sent again is lost, too: that is another loss.
      if recovery.state != .open && !ack.flags.contains(.lostRetransmission) { return answer }
      fallthrough
    default:
      if !hasSACK {
        if flags.contains(.unaAdvanced) { scoreboard.forgetRenoSACKs() }
        if isDuplicate { addRenoSACK(net: &net) }
      }
      if recovery.state == .disorder || recovery.state == .open {
        _ = undoDuplicateSACK(net: &net)
      }
      identifyLosses(&ack, net: &net)
      guard lostOut > 0 else {
        tryToOpen(flags)
        return .none
      }
      if recovery.state.rawValue < CongestionState.congestionWindowReduced.rawValue, pathMTU.probe > 0,
        sndUna == pathMTU.start
      {
        pathMTUProbeLost(net: &net)
        return .tooLong
      }
      enterRecovery(isMarked: isMarked, socket: ack.socket, net: &net)
    }
    return .lost
  }

  mutating func setRecoveryState(_ new: CongestionState) {
    recovery.state = new
    // The clock of what was sent again would time out what is sent later; Linux stops it with the next ACK in this state.
    if new == .open && sndUna != initialSend && !hasRetransmissionsOut { retransmitStamp = .origin }
  }

  /// A segment in the network, or at the head, was sent more than once. Linux: `tcp_any_retrans_done()`.
  var hasRetransmissionsOut: Bool {
    if retransOut > 0 { return true }
    guard let head = scoreboard.queue.first else { return false }
    return scoreboard.queue[tcp: head].sacked.contains(.everRetransmitted)
  }

  /// Linux: `tcp_try_to_open()`.
  private mutating func tryToOpen(_ flags: AckFlags) {
    if !hasRetransmissionsOut { retransmitStamp = .origin }
    if flags.contains(.congestion) { enterCongestionWindowReduced() }
    if recovery.state != .congestionWindowReduced { keepOpen() }
  }

  /// Linux: `tcp_try_keep_open()`.
  mutating func keepOpen() {
    let next: CongestionState =
      sackedOut > 0 || lostOut > 0 || hasRetransmissionsOut ? .disorder : .open
    if recovery.state != next {
      setRecoveryState(next)
      recovery.highSeq = sndNxt
    }
  }

  // MARK: Entering

  private var snapshotForUndo: CongestionSnapshot {
    CongestionSnapshot(window: window.segments, threshold: currentThreshold, control: congestion.memory)
  }

  /// Linux: `tcp_init_undo()`.
  private mutating func beginUndo() {
    recovery.undoMarker = sndUna
    // A loss probe that is out was a retransmission too.
    let out = retransOut + (lossProbe?.isRetransmission == true ? 1 : 0)
    recovery.undoRetransmissions = out > 0 ? out : nil
    recovery.undoDistance = 0
  }

  /// Linux: `tcp_enter_recovery()`.
  ///
  /// - Parameter isMarked: the same ACK tells of congestion, which is not undone.
  mutating func enterRecovery(isMarked: Bool, socket: SocketID, net: inout Net) {
    // The clock of this episode starts with its first retransmission.
    if !hasRetransmissionsOut { retransmitStamp = .origin }
    net.counters.count(hasSACK ? .TcpExtTCPSackRecovery : .TcpExtTCPRenoRecovery)
    recovery.prior = nil
    beginUndo()
    if !recovery.isReducing {
      if !isMarked { recovery.prior = snapshotForUndo }
      beginReduction()
    } else {
      window.threshold = congestion.lostAfterMarks(window: window.segments, threshold: window.threshold)
    }
    setRecoveryState(.recovery)
    net.tracer.record(
      .tcp_enter_recovery, socket: socket.rawValue, UInt64(window.threshold ?? 0),
      UInt64(recovery.highSeq.rawValue))
  }

  /// Linux: `tcp_init_cwnd_reduction()`.
  ///
  /// - Parameter isMarked: nothing was lost.
  mutating func beginReduction(isMarked: Bool = false) {
    recovery.highSeq = sndNxt
    lossProbe = nil
    window.clearFraction()
    recovery.priorWindow = window.segments
    recovery.prrDelivered = 0
    recovery.prrOut = 0
    window.threshold = congestion.lost(
      window: window.segments, threshold: window.threshold, isMarked: isMarked)
    if ecn.contains(.isOn) { ecn.insert(.owesCWR) }
  }

  /// Local congestion or ECN: reduce without retransmitting, and without undo. Linux: `tcp_enter_cwr()`.
  mutating func enterCongestionWindowReduced() {
    recovery.prior = nil
    guard recovery.state == .open || recovery.state == .disorder else { return }
    recovery.undoMarker = nil
    beginReduction(isMarked: true)
    setRecoveryState(.congestionWindowReduced)
  }

  /// Proportional rate reduction (RFC 6937). Linux: `tcp_cwnd_reduction()`.
  mutating func reduceWindow(newlyDelivered: Int, newlyLost: Int, flags: AckFlags) {
    guard newlyDelivered > 0, recovery.priorWindow > 0 else { return }
    // None where another algorithm began the recovery.
    let threshold = window.threshold ?? Int(Int32.max)
    recovery.prrDelivered += newlyDelivered
    let delta = threshold - inFlight
    var allowed: Int
    if delta < 0 {
      let dividend = threshold * recovery.prrDelivered + recovery.priorWindow - 1
      allowed = dividend / recovery.priorWindow - recovery.prrOut
    } else {
      allowed = max(recovery.prrDelivered - recovery.prrOut, newlyDelivered)
      if flags.contains(.unaAdvanced) && newlyLost == 0 { allowed += 1 }
      allowed = min(delta, allowed)
    }
    // The first ACK of recovery always lets the fast retransmission out.
    allowed = max(allowed, recovery.prrOut > 0 ? 0 : 1)
    window.segments = max(1, inFlight + allowed)
  }

  /// The window ends at the threshold unless the reduction was undone. Linux: `tcp_end_cwnd_reduction()`.
  mutating func endReduction() {
    guard let threshold = window.threshold, !congestion.setsWindow,
      recovery.state == .congestionWindowReduced || recovery.undoMarker != nil
    else { return }
    window.segments = max(threshold, 2)
  }

  /// The retransmission timer fired: everything not SACKed is taken for lost. Linux: `tcp_enter_loss()`.
  mutating func enterLoss(net: inout Net) {
    let isNew = recovery.state != .recovery && recovery.state != .loss
    markAllLost(net: &net)
    let wasPatient =
      (recovery.state == .open || recovery.state == .disorder) && sackedOut >= net.settings.tcpReordering
    // Once for each window of data.
    if recovery.state == .open || recovery.state == .disorder
      || !recovery.highSeq.isAfter(sndUna)
      || (recovery.state == .loss && retransmits == 0)
    {
      recovery.prior = snapshotForUndo
      recovery.priorWindow = window.segments
      window.threshold = congestion.lost(window: window.segments, threshold: window.threshold)
      beginUndo()
    }
    window.segments = max(1, inFlight + 1)
    window.clearFraction()
    // So much arrived above the hole that the degree of reordering must have been overestimated.
    if wasPatient {
      recovery.reordering = min(recovery.reordering, net.settings.tcpReordering)
    }
    congestion.timedOut()
    setRecoveryState(.loss)
    if ecn.contains(.isOn) { ecn.insert(.owesCWR) }
    recovery.highSeq = sndNxt
    lossProbe = nil
    recovery.isProbingTimeout =
      net.settings.tcpFRTO != 0 && (isNew || retransmits > 0) && pathMTU.probe == 0
  }

  /// Linux: `tcp_process_loss()`, with F-RTO (RFC 5682 section 3.1).
  private mutating func processLoss(
    _ flags: AckFlags, isDuplicate: Bool, net: inout Net
  ) -> Retransmission {
    let recovered = !sndUna.isBefore(recovery.highSeq)
    if flags.contains(.unaAdvanced), undoLoss(isProven: false, net: &net) { return .none }
    if recovery.isProbingTimeout {
      // Step 3b: what was sent once and never again has arrived, so not everything was lost.
      if flags.contains(.originalSacked), undoLoss(isProven: true, net: &net) { return .none }
      if sndNxt.isAfter(recovery.highSeq) {
        // Step 3a: the new data arrived, what the timer sent again did not: the loss was real.
        if flags.contains(.dataSacked) || isDuplicate { recovery.isProbingTimeout = false }
      } else if flags.contains(.unaAdvanced) && !recovered {
        recovery.highSeq = sndNxt
        // Step 2b.
        if !writeQueue.isEmpty && windowEnd.isAfter(sndNxt) { return .new }
        recovery.isProbingTimeout = false
      }
    }
    if recovered {
      _ = undoRecovery(net: &net)
      return .none
    }
    if !hasSACK {
      if sndNxt.isAfter(recovery.highSeq) && isDuplicate {
        addRenoSACK(net: &net)
      } else if flags.contains(.unaAdvanced) {
        scoreboard.forgetRenoSACKs()
      }
    }
    return .lost
  }
}
