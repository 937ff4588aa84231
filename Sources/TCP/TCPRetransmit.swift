import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// Sending again what is lost. Linux: `tcp_xmit_retransmit_queue()`, `tcp_retransmit_skb()`.
extension TCPSocket {
  /// Sends lost segments again while the window allows. Linux: `tcp_xmit_retransmit_queue()`.
  mutating func retransmitLost(host: inout Host) {
    guard packetsOut > 0 else { return }
    let mss = currentMSS(host: &host)
    var rearm = false
    while retransOut < lostOut {
      if mustAwaitDeparture(now: host.net.now) { break }
      let quota = window.segments - inFlight
      guard quota > 0, let current = scoreboard.nextToRetransmit() else { break }
      let limit = min(quota, tsoSegments(mss: mss))
      guard retransmit(current, segments: limit, mss: mss, host: &host) == .sent else { break }
      let sent = Int(scoreboard.queue[tcp: current].segmentCount)
      host.net.counters.count(
        recovery.state == .loss ? .TcpExtTCPSlowStartRetrans : .TcpExtTCPFastRetrans, by: UInt64(sent))
      if recovery.isReducing { recovery.prrOut += sent }
      if current == scoreboard.queue.first { rearm = true }
    }
    if rearm { armRetransmit(net: &host.net) }
  }

  /// What an ACK allows. Linux: `tcp_xmit_recovery()`.
  mutating func sendAfterAck(_ allowed: Retransmission, host: inout Host) {
    switch allowed {
    case .none: return
    case .lost: break
    case .new:
      let mss = currentMSS(host: &host)
      pushPending(mss: mss, nagle: .off, host: &host)
      if sndNxt.isAfter(recovery.highSeq) { return }
      recovery.isProbingTimeout = false
    }
    retransmitLost(host: &host)
  }

  /// The last transmission still waits in the qdisc or the ring: sending it twice helps nobody. When it leaves, the
  /// socket is run again. Linux: `skb_still_in_host_queue()`.
  private func isStillQueued(_ place: SkBuffQueue.Position, net: inout Net) -> Bool {
    guard core.account.writeAllocated > 0, scoreboard.queue.withPacket(at: place, { $0.isCloned }) else {
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
  mutating func retransmit(
    _ place: SkBuffQueue.Position, segments: Int, mss: Int, host: inout Host
  ) -> RetransmitResult {
    // Of the first attempt, whatever comes of it: the connection times out by it.
    if retransmitStamp == .origin { retransmitStamp = host.net.now }
    if isStillQueued(place, net: &host.net) { return .failed }
    var block = scoreboard.queue[tcp: place]
    if block.sequence.isBefore(sndUna) && !block.flags.contains(.syn) {
      // All of the data may be acknowledged and the FIN not: then the FIN goes alone.
      let bytes = sndUna.offset(from: block.sequence)
      guard bytes <= scoreboard.queue.length(at: place),
        scoreboard.trimHead(place, bytes: bytes, memory: &writeQueuedMemory)
      else { return .failed }
      block = scoreboard.queue[tcp: place]
    }
    guard hasRoute(host: &host) else { return .failed }
    // The peer has shrunk its window below what is outstanding: only the head may probe it (RFC 9293 3.8.6).
    var available = windowEnd.offset(from: block.sequence)
    if available <= 0 {
      if block.sequence != sndUna { return .failed }
      available = mss
    }
    // The urgent pointer is right for the first segment of a packet only.
    let segments = urgentMode && block.sequence.isBefore(sndUp) ? 1 : segments
    var limit = mss * segments
    if limit > available {
      let whole = available / mss * mss
      limit = whole > 0 ? whole : available
    }
    if scoreboard.queue.length(at: place) > limit {
      guard splitSent(place, at: limit, mss: mss, net: &host.net) else { return .failed }
    } else {
      if Int(block.segmentSize) != mss && scoreboard.queue.length(at: place) > 0 {
        scoreboard.resegment(place, mss: mss)
      }
      collapseFollowing(place, upTo: mss)
    }
    host.net.tracer.record(
      .tcp_retransmit_skb, socket: id.rawValue, UInt64(block.sequence.rawValue),
      UInt64(scoreboard.queue.length(at: place)), UInt64(block.flags.rawValue))
    let count = Int(max(1, scoreboard.queue[tcp: place].segmentCount))
    statistics.totalRetransmissions += count
    statistics.bytesRetransmitted += UInt64(scoreboard.queue.length(at: place))
    host.net.counters.count(.TcpRetransSegs, by: UInt64(count))
    if block.flags.contains(.syn) { host.net.counters.count(.TcpExtTCPSynRetrans) }
    let result = transmitHead(place, in: .retransmit, host: &host)
    scoreboard.retransmitted(place, hasLeft: !result.isLost)
    recovery.undoRetransmissions = (recovery.undoRetransmissions ?? 0) + count
    if result.isLost {
      host.net.counters.count(.TcpExtTCPRetransFail, by: UInt64(count))
      return result == .dropped ? .dropped : .failed
    }
    return .sent
  }

  /// Fills a short segment up with those that follow it, so that small ones that were lost together do not go again one by
  /// one. Linux: `tcp_retrans_try_collapse()`.
  private mutating func collapseFollowing(_ place: SkBuffQueue.Position, upTo space: Int) {
    guard !scoreboard.queue[tcp: place].flags.contains(.syn) else { return }
    while let next = scoreboard.queue.position(after: place) {
      let front = scoreboard.queue[tcp: place]
      let other = scoreboard.queue[tcp: next]
      guard !front.endOfRecord, front.segmentCount <= 1, other.segmentCount <= 1,
        !other.sacked.contains(.sacked),
        scoreboard.queue.length(at: place) + scoreboard.queue.length(at: next) <= space,
        !other.endSequence.isAfter(windowEnd),
        scoreboard.merge(next, into: place, memory: &writeQueuedMemory)
      else { return }
    }
  }

  // MARK: Path MTU

  /// The path takes less than was sent: cut what is outstanding to the new size and send it again.
  /// Linux: `tcp_v4_mtu_reduced()`, `tcp_simple_retransmit()`.
  mutating func pathMTUReduced(host: inout Host) {
    guard state != .listen, state != .close else { return }
    let mss = currentMSS(host: &host)
    var place = scoreboard.queue.first
    while let current = place {
      let block = scoreboard.queue[tcp: current]
      let largest = block.segmentCount > 1 ? Int(block.segmentSize) : scoreboard.queue.length(at: current)
      if largest > mss { markLostAgain(current, net: &host.net) }
      place = scoreboard.queue.position(after: current)
    }
    guard lostOut > 0 else { return }
    if !hasSACK { scoreboard.limitRenoSACKed() }
    if recovery.state != .loss {
      // Not congestion: the window stays, and there is nothing to undo.
      recovery.highSeq = sndNxt
      recovery.undoMarker = nil
      recovery.prior = nil
      recovery.isProbingTimeout = false
      setRecoveryState(.loss)
    }
    retransmitLost(host: &host)
  }
}
