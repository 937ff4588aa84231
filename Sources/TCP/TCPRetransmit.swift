import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// Sending again what is lost. Linux: `tcp_xmit_retransmit_queue()`, `tcp_retransmit_skb()`.
extension TCPConnection {
  /// Sends lost segments again while the window allows. Linux: `tcp_xmit_retransmit_queue()`.
  mutating func retransmitLost(host: inout Host) {
    guard sender.packetsOut > 0 else { return }
    let mss = currentMSS(host: &host)
    var rearm = false
    while sender.retransOut < sender.lostOut {
      if mustAwaitDeparture(now: host.net.now) { break }
      let quota = sender.window.segments - sender.inFlight
      guard quota > 0, let current = sender.scoreboard.nextToRetransmit() else { break }
      let limit = min(quota, tsoSegments(mss: mss))
      guard retransmit(current, segments: limit, mss: mss, host: &host) == .sent else { break }
      let sent = Int(sender.scoreboard.queue[tcp: current].segmentCount)
      host.net.counters.count(
        sender.recovery.state == .loss ? .TcpExtTCPSlowStartRetrans : .TcpExtTCPFastRetrans, by: UInt64(sent))
      if sender.recovery.isReducing { sender.recovery.prrOut += sent }
      if current == sender.scoreboard.queue.first && timers.retransmitKind != .reordering { rearm = true }
    }
    if rearm { restartRetransmit(net: host.net) }
  }

  /// What an ACK allows. Linux: `tcp_xmit_recovery()`.
  mutating func sendAfterAck(_ allowed: TCPSender.Retransmission, host: inout Host) {
    switch allowed {
    case .none: return
    case .lost: break
    // Not congestion: the path is too narrow for it.
    case .tooLong: return pathMTUReduced(host: &host)
    case .new:
      let mss = currentMSS(host: &host)
      pushPending(mss: mss, nagle: .off, host: &host)
      if sender.sndNxt.isAfter(sender.recovery.highSeq) { return }
      sender.recovery.isProbingTimeout = false
    }
    retransmitLost(host: &host)
  }

  /// The last transmission still waits in the qdisc or the ring: sending it twice helps nobody. When it leaves, the
  /// socket is run again. Linux: `skb_still_in_host_queue()`.
  func isStillQueued(_ place: SkBuffQueue.Position, net: inout Net) -> Bool {
    guard core.account.writeAllocated > 0, sender.scoreboard.queue.withPacket(at: place, { $0.isCloned })
    else {
      return false
    }
    core.account.isThrottled = true
    net.counters.count(.TcpExtTCPSpuriousRtxHostQueues)
    return true
  }

  enum RetransmitResult {
    case sent
    /// A queue below had no room: worth another try soon.
    case dropped
    /// It may not go now, or memory or the way down are missing.
    case failed
  }

  /// Sends up to `segments` of a queued packet again; what was cut for it stays cut. Linux: `tcp_retransmit_skb()`.
  ///
  /// - Parameter isProbe: nothing is lost, as far as is known: it is no part of a recovery (`__tcp_retransmit_skb()`).
  mutating func retransmit(
    _ place: SkBuffQueue.Position, segments: Int, mss: Int, isProbe: Bool = false, host: inout Host
  ) -> RetransmitResult {
    // Of the first attempt, whatever comes of it: the connection times out by it.
    if sender.retransmitStamp == .origin && !isProbe { sender.retransmitStamp = host.net.now }
    // Whether the path takes so much is not known any more.
    sender.pathMTU.probe = 0
    if isStillQueued(place, net: &host.net) { return .failed }
    var block = sender.scoreboard.queue[tcp: place]
    if block.sequence.isBefore(sender.sndUna) && !block.flags.contains(.syn) {
      // All of the data may be acknowledged and the FIN not: then the FIN goes alone.
      let bytes = sender.sndUna.offset(from: block.sequence)
      guard bytes <= sender.scoreboard.queue.length(at: place),
        sender.scoreboard.trimHead(place, bytes: bytes, memory: &sender.writeQueuedMemory)
      else { return .failed }
      block = sender.scoreboard.queue[tcp: place]
    }
    guard hasRoute(host: &host) else { return .failed }
    // The peer has shrunk its window below what is outstanding: only the head may probe it (RFC 9293 3.8.6).
    var available = sender.windowEnd.offset(from: block.sequence)
    if available <= 0 {
      if block.sequence != sender.sndUna { return .failed }
      available = mss
    }
    // The urgent pointer is right for the first segment of a packet only.
    let segments = sender.urgentMode && block.sequence.isBefore(sender.sndUp) ? 1 : segments
    var limit = mss * segments
    if limit > available {
      let whole = available / mss * mss
      limit = whole > 0 ? whole : available
    }
    if sender.scoreboard.queue.length(at: place) > limit {
      guard
        sender.splitSent(
          place, at: limit, mss: mss, sendBuffer: core.sendBuffer, net: &host.net)
      else { return .failed }
    } else {
      if Int(block.segmentSize) != mss && sender.scoreboard.queue.length(at: place) > 0 {
        sender.scoreboard.resegment(place, mss: mss)
      }
      sender.collapseFollowing(place, upTo: mss)
    }
    host.net.tracer.record(
      .tcp_retransmit_skb, socket: id.rawValue, UInt64(block.sequence.rawValue),
      UInt64(sender.scoreboard.queue.length(at: place)), UInt64(block.flags.rawValue))
    let count = Int(max(1, sender.scoreboard.queue[tcp: place].segmentCount))
    sender.totalRetransmissions += count
    statistics.bytesRetransmitted += UInt64(sender.scoreboard.queue.length(at: place))
    host.net.counters.count(.TcpRetransSegs, by: UInt64(count))
    if block.flags.contains(.syn) { host.net.counters.count(.TcpExtTCPSynRetrans) }
    if block.flags.isSuperset(of: [.syn, .ece, .cwr]) && givesUpECN(net: host.net) {
      sender.scoreboard.giveUpECN(place)
    }
    let result = transmitHead(place, in: .retransmit, host: &host)
    sender.scoreboard.retransmitted(place, hasLeft: !result.isLost, isProbe: isProbe)
    if !isProbe { sender.recovery.undoRetransmissions = (sender.recovery.undoRetransmissions ?? 0) + count }
    if result.isLost {
      host.net.counters.count(.TcpExtTCPRetransFail, by: UInt64(count))
      return result == .dropped ? .dropped : .failed
    }
    return .sent
  }

  // MARK: Path MTU

  /// The path takes less than was sent: cut what is outstanding to the new size and send it again.
  /// Linux: `tcp_v4_mtu_reduced()`, `tcp_simple_retransmit()`.
  mutating func pathMTUReduced(host: inout Host) {
    guard state != .listen, state != .close else { return }
    let mss = currentMSS(host: &host)
    var place = sender.scoreboard.queue.first
    while let current = place {
      let block = sender.scoreboard.queue[tcp: current]
      let largest =
        block.segmentCount > 1 ? Int(block.segmentSize) : sender.scoreboard.queue.length(at: current)
      if largest > mss { sender.markLostAgain(current, net: &host.net) }
      place = sender.scoreboard.queue.position(after: current)
    }
    retransmitUncongested(host: &host)
  }

  /// Sends what was marked as lost, for a reason other than congestion. Linux: `tcp_non_congestion_loss_retransmit()`.
  mutating func retransmitUncongested(host: inout Host) {
    guard sender.lostOut > 0 else { return }
    if !sender.hasSACK { sender.scoreboard.limitRenoSACKed() }
    if sender.recovery.state != .loss {
      // Not congestion: the window stays, and there is nothing to undo.
      sender.recovery.highSeq = sender.sndNxt
      sender.recovery.undoMarker = nil
      sender.recovery.prior = nil
      sender.recovery.isProbingTimeout = false
      sender.setRecoveryState(.loss)
    }
    retransmitLost(host: &host)
  }
}
