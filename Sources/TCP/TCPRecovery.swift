import IPv4
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// The recovery state machine. Linux: `tcp_fastretrans_alert()` and around it.
extension TCPSocket {
  /// - Returns: whether lost segments may now be sent again.
  mutating func alertFastRetransmit(
    _ flags: AckFlags, priorUna: SequenceNumber, isDuplicate: Bool, newlyAcked: Int, net: inout Net
  ) -> Bool {
    if packetsOut == 0 { sackedOut = 0 }
    // The receiver threw away what it had SACKed (RFC 2018 section 8): forget the scoreboard.
    if flags.contains(.sackReneging) && flags.contains(.unaAdvanced) {
      net.counters.count(.TcpExtTCPSACKReneging)
      enterLoss(net: &net)
      return true
    }
    if recovery.state == .open {
      retransmitStamp = packetsOut == 0 ? .origin : retransmitStamp
    } else if !sndUna.isBefore(recovery.highSeq) {
      switch recovery.state {
      case .congestionWindowReduced:
        // Leave when something past the episode is acknowledged, so that late duplicates cannot start it again.
        if sndUna != recovery.highSeq {
          endReduction()
          setRecoveryState(.open)
        }
      case .recovery:
        if !hasSACK { sackedOut = 0 }
        if undoRecovery(net: &net) { return false }
        endReduction()
      default: break
      }
    }
    let markMore = isDuplicate || flags.contains(.dataSacked) && sackedOut > recovery.reordering
    switch recovery.state {
    case .recovery:
      if !flags.contains(.unaAdvanced) {
        if !hasSACK && isDuplicate { addRenoSACK() }
      } else if undoPartial(priorUna: priorUna, net: &net) {
        return true
      }
      if undoDuplicateSACK(net: &net) { setRecoveryState(.open) }
      if hasSACK ? (markMore || flags.contains(.unaAdvanced)) : flags.contains(.unaAdvanced) {
        markLosses(net: &net)
      }
      return true
    case .loss:
      processLoss(flags, isDuplicate: isDuplicate, net: &net)
      return true
    default:
      if !hasSACK {
        if flags.contains(.unaAdvanced) { sackedOut = 0 }
        if isDuplicate { addRenoSACK() }
      }
      if recovery.state == .disorder || recovery.state == .open { _ = undoDuplicateSACK(net: &net) }
      guard lostOut > 0 || sackedOut > 0 && sackedOut >= recovery.reordering else {
        if recovery.state != .congestionWindowReduced { keepOpen() }
        return false
      }
      enterRecovery(net: &net)
      markLosses(net: &net)
      return true
    }
  }

  mutating func setRecoveryState(_ new: CongestionState) { recovery.state = new }

  /// Linux: `tcp_try_keep_open()`.
  private mutating func keepOpen() {
    let next: CongestionState =
      sackedOut > 0 || retransOut > 0 || recovery.undoMarker != nil && !sndUna.isAtOrAfter(recovery.highSeq)
      ? .disorder : .open
    if recovery.state != next {
      setRecoveryState(next)
      recovery.highSeq = sndNxt
    }
  }

  // MARK: Entering

  /// Linux: `tcp_enter_recovery()`.
  private mutating func enterRecovery(net: inout Net) {
    net.counters.count(hasSACK ? .TcpExtTCPSackRecovery : .TcpExtTCPRenoRecovery)
    recovery.undoMarker = sndUna
    recovery.undoRetransmissions = retransOut > 0 ? retransOut : nil
    recovery.undoWindow = window.segments
    if recovery.state != .congestionWindowReduced {
      beginReduction()
    }
    setRecoveryState(.recovery)
    net.tracer.record(
      .tcp_enter_recovery, socket: id.rawValue, UInt64(window.threshold ?? 0),
      UInt64(recovery.highSeq.rawValue))
  }

  /// Linux: `tcp_init_cwnd_reduction()`.
  private mutating func beginReduction() {
    recovery.highSeq = sndNxt
    recovery.priorWindow = window.segments
    recovery.priorThreshold = window.threshold
    recovery.undoWindow = window.segments
    recovery.prrDelivered = 0
    recovery.prrOut = 0
    recovery.lostHint = nil
    recovery.lostHintSacked = 0
    window.threshold = congestion.slowStartThreshold(window: window.segments)
  }

  /// Local congestion or ECN: reduce without retransmitting. Linux: `tcp_enter_cwr()`.
  mutating func enterCongestionWindowReduced() {
    guard recovery.state == .open || recovery.state == .disorder else { return }
    recovery.undoMarker = nil
    beginReduction()
    setRecoveryState(.congestionWindowReduced)
  }

  /// Proportional rate reduction (RFC 6937). Linux: `tcp_cwnd_reduction()`.
  mutating func reduceWindow(newlyDelivered: Int, newlyLost: Int, flags: AckFlags) {
    guard newlyDelivered > 0, recovery.priorWindow > 0, let threshold = window.threshold else { return }
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

  /// Linux: `tcp_end_cwnd_reduction()`.
  private mutating func endReduction() {
    if let threshold = window.threshold,
      recovery.state == .congestionWindowReduced || recovery.undoMarker != nil || recovery.state == .recovery
    {
      window.segments = max(threshold, 2)
    }
    recovery.undoMarker = nil
    if recovery.state == .recovery { setRecoveryState(.open) }
  }

  /// The retransmission timer fired: everything not SACKed is taken for lost. Linux: `tcp_enter_loss()`.
  mutating func enterLoss(net: inout Net) {
    let isNew = recovery.state != .loss
    if recovery.state == .open || recovery.state == .disorder || recovery.state == .congestionWindowReduced
      || !recovery.highSeq.isAfter(sndUna) || (recovery.state == .loss && retransmits == 0)
    {
      recovery.priorThreshold = window.threshold
      recovery.priorWindow = window.segments
      recovery.undoWindow = window.segments
      window.threshold = congestion.slowStartThreshold(window: window.segments)
      recovery.undoMarker = sndUna
      recovery.undoRetransmissions = retransOut > 0 ? retransOut : nil
    }
    let reneged = retransmitQueue.first.map { retransmitQueue[tcp: $0].sacked.contains(.sacked) } ?? false
    if !hasSACK { sackedOut = 0 }
    var place = retransmitQueue.first
    lostOut = 0
    retransOut = 0
    if reneged { sackedOut = 0 }
    while let current = place {
      var block = retransmitQueue[tcp: current]
      if reneged { block.sacked.remove(.sacked) }
      block.sacked.remove(.retransmitted)
      if !block.sacked.contains(.sacked) {
        block.sacked.insert(.lost)
        lostOut += Int(block.segmentCount)
      }
      retransmitQueue[tcp: current] = block
      place = retransmitQueue.position(after: current)
    }
    recovery.clearHints()
    window.segments = max(1, inFlight + 1)
    window.clearFraction()
    if isNew { recovery.reordering = min(recovery.reordering, 3) }
    setRecoveryState(.loss)
    recovery.highSeq = sndNxt
  }

  /// Linux: `tcp_process_loss()`.
  private mutating func processLoss(_ flags: AckFlags, isDuplicate: Bool, net: inout Net) {
    let recovered = !sndUna.isBefore(recovery.highSeq)
    if flags.contains(.unaAdvanced), undoLoss(net: &net) { return }
    if recovered {
      recovery.undoMarker = nil
      recovery.undoRetransmissions = nil
      if !hasSACK { sackedOut = 0 }
      setRecoveryState(sackedOut > 0 ? .disorder : .open)
      return
    }
    if !hasSACK {
      if !sndUna.isBefore(recovery.highSeq) {
        addRenoSACK()
      } else if flags.contains(.unaAdvanced) {
        sackedOut = 0
      }
    }
  }

  // MARK: Undo

  /// Whether every retransmission of this episode was needless: all were reported as duplicates (RFC 3708), or the peer
  /// answered the original (Eifel, RFC 3522). Linux: `tcp_may_undo()`.
  private var mayUndo: Bool {
    recovery.undoMarker != nil && (recovery.undoRetransmissions == 0 || originalWasAnswered)
  }

  /// The echoed timestamp is older than the first retransmission. Linux: `tcp_packet_delayed()`.
  private var originalWasAnswered: Bool {
    guard hasTimestamps, sawTimestamp, receivedEcho != 0, retransmitStamp != .origin else { return false }
    return Int32(bitPattern: receivedEcho &- timestamp(retransmitStamp)) < 0
  }

  private mutating func undoReduction(unmark: Bool) {
    if unmark {
      var place = retransmitQueue.first
      while let current = place {
        retransmitQueue[tcp: current].sacked.remove(.lost)
        place = retransmitQueue.position(after: current)
      }
      lostOut = 0
      recovery.retransmitHint = nil
      recovery.lostHint = nil
      recovery.lostHintSacked = 0
    }
    window.segments = max(window.segments, recovery.undoWindow)
    if let prior = recovery.priorThreshold {
      window.threshold = max(window.threshold ?? 0, prior)
    } else {
      window.threshold = nil
    }
    recovery.undoMarker = nil
  }

  /// Recovery has reached its end. Linux: `tcp_try_undo_recovery()`.
  private mutating func undoRecovery(net: inout Net) -> Bool {
    if mayUndo {
      undoReduction(unmark: false)
      net.counters.count(.TcpExtTCPFullUndo)
    }
    if sndUna == recovery.highSeq && !hasSACK {
      // Without SACK, hold the state until something above highSeq is acknowledged (RFC 6582 section 6).
      return true
    }
    if recovery.undoMarker == nil {
      setRecoveryState(.open)
      return true
    }
    return false
  }

  private mutating func undoPartial(priorUna: SequenceNumber, net: inout Net) -> Bool {
    guard recovery.undoMarker != nil, originalWasAnswered else { return false }
    if retransOut > 0 { return true }
    undoReduction(unmark: true)
    net.counters.count(.TcpExtTCPPartialUndo)
    setRecoveryState(.open)
    return true
  }

  private mutating func undoDuplicateSACK(net: inout Net) -> Bool {
    guard recovery.undoMarker != nil, recovery.undoRetransmissions == 0 else { return false }
    undoReduction(unmark: false)
    net.counters.count(.TcpExtTCPDSACKUndo)
    return true
  }

  private mutating func undoLoss(net: inout Net) -> Bool {
    guard recovery.undoMarker != nil, originalWasAnswered else { return false }
    undoReduction(unmark: true)
    net.counters.count(.TcpExtTCPLossUndo)
    net.counters.count(.TcpExtTCPSpuriousRTOs)
    retransmits = 0
    rtt.backoff = 0
    rtt.setTimeout()
    setRecoveryState(.open)
    return true
  }

  // MARK: Retransmission

  /// Sends lost segments again while the window allows. Linux: `tcp_xmit_retransmit_queue()`.
  mutating func retransmitLost(ip: inout IPv4Layer, net: inout Net) {
    guard packetsOut > 0, lostOut > 0 else { return }
    var place = recovery.retransmitHint ?? retransmitQueue.first
    let mss = currentMSS(ip: &ip, net: &net)
    var rearm = false
    while let current = place {
      let block = retransmitQueue[tcp: current]
      let quota = window.segments - inFlight
      if quota <= 0 { break }
      if !block.sacked.contains(.lost) || !block.sacked.isDisjoint(with: [.sacked, .retransmitted]) {
        place = retransmitQueue.position(after: current)
        recovery.retransmitHint = place ?? current
        continue
      }
      guard retransmit(current, segments: min(quota, tsoSegments(mss: mss)), mss: mss, ip: &ip, net: &net)
      else { break }
      net.counters.count(recovery.state == .loss ? .TcpExtTCPSlowStartRetrans : .TcpExtTCPFastRetrans)
      if recovery.state == .recovery || recovery.state == .congestionWindowReduced {
        recovery.prrOut += Int(retransmitQueue[tcp: current].segmentCount)
      }
      if current == retransmitQueue.first { rearm = true }
      recovery.retransmitHint = current
      place = retransmitQueue.position(after: current)
    }
    if rearm { armRetransmit(net: &net) }
  }

  /// Sends up to `segments` of a queued packet again. Linux: `tcp_retransmit_skb()`.
  mutating func retransmit(
    _ place: SkBuffQueue.Position, segments: Int, mss: Int, ip: inout IPv4Layer, net: inout Net
  ) -> Bool {
    // Of the first attempt, whatever comes of it: the connection times out by it.
    if retransmitStamp == .origin { retransmitStamp = net.now }
    var block = retransmitQueue[tcp: place]
    if block.sequence.isBefore(sndUna) && !block.flags.contains(.syn) {
      // All of the data may be acknowledged and the FIN not: then the FIN goes alone.
      let bytes = sndUna.offset(from: block.sequence)
      guard bytes <= retransmitQueue.length(at: place), trimHead(place, bytes: bytes) else { return false }
      block = retransmitQueue[tcp: place]
    }
    // The peer has shrunk its window below what is outstanding: only the head may probe it (RFC 9293 3.8.6).
    var available = windowEnd.offset(from: block.sequence)
    if available <= 0 {
      if block.sequence != sndUna { return false }
      available = mss
    }
    // The urgent pointer is right for the first segment of a packet only.
    let segments = urgentMode && block.sequence.isBefore(sndUp) ? 1 : segments
    let limit = min(mss * segments, max(mss, available / mss * mss))
    if retransmitQueue.length(at: place) > limit {
      guard split(place, at: limit, in: .retransmit, mss: mss, net: &net) else { return false }
    } else if Int(block.segmentSize) != mss && retransmitQueue.length(at: place) > 0 {
      resegment(place, mss: mss)
    }
    net.tracer.record(
      .tcp_retransmit_skb, socket: id.rawValue, UInt64(block.sequence.rawValue),
      UInt64(retransmitQueue.length(at: place)), UInt64(block.flags.rawValue))
    let count = Int(max(1, retransmitQueue[tcp: place].segmentCount))
    statistics.totalRetransmissions += count
    statistics.bytesRetransmitted += UInt64(retransmitQueue.length(at: place))
    net.counters.count(.TcpRetransSegs, by: UInt64(count))
    if block.flags.contains(.syn) { net.counters.count(.TcpExtTCPSynRetrans) }
    let sent = transmitHead(place, in: .retransmit, ip: &ip, net: &net)
    recovery.undoRetransmissions = (recovery.undoRetransmissions ?? 0) + count
    guard sent else { return false }
    var after = retransmitQueue[tcp: place]
    if !after.sacked.contains(.retransmitted) { retransOut += Int(after.segmentCount) }
    after.sacked.insert([.retransmitted, .everRetransmitted])
    retransmitQueue[tcp: place] = after
    return true
  }

  /// The path MTU or options changed since the packet was cut. Linux: `tcp_set_skb_tso_segs()`.
  private mutating func resegment(_ place: SkBuffQueue.Position, mss: Int) {
    var block = retransmitQueue[tcp: place]
    let old = Int(block.segmentCount)
    let new = max(1, (retransmitQueue.length(at: place) + mss - 1) / mss)
    block.segmentSize = UInt16(truncatingIfNeeded: mss)
    block.segmentCount = UInt16(truncatingIfNeeded: new)
    retransmitQueue[tcp: place] = block
    let change = new - old
    packetsOut += change
    if block.sacked.contains(.sacked) { sackedOut += change }
    if block.sacked.contains(.retransmitted) { retransOut += change }
    if block.sacked.contains(.lost) { lostOut += change }
  }
}
