import IPv4
import Internet
import NetDevice
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

/// Whether small segments wait. Linux: `TCP_NAGLE_OFF`, `TCP_NAGLE_CORK`, `TCP_NAGLE_PUSH`.
enum Nagle {
  /// RFC 896 with Minshall's change.
  case on
  case off
  case cork
  /// Send now whatever the rules say.
  case push
}

// From the write queue to packets. Linux: `tcp_write_xmit()` and what it asks.
extension TCPSocket {
  var nagle: Nagle { isPushForced ? .push : options.cork ? .cork : options.noDelay ? .off : .on }

  // MARK: Segment size

  /// Bytes of options on a data segment now.
  var establishedOptionByteCount: Int {
    var count = hasTimestamps ? 12 : 0
    let blocks = min(sackBlockCount + (duplicateSACK == nil ? 0 : 1), (40 - count - 4) / 8)
    if hasSACK && blocks > 0 { count += 4 + 8 * blocks }
    return count
  }

  /// Payload of a full segment, after the route's MTU, the peer's limit and the options. Linux: `tcp_current_mss()`.
  mutating func currentMSS(host: inout Host) -> Int {
    if let route = core.route, host.internet.isCurrent(route) {
      if route.mtu != mssPathMTU { syncMSS(mtu: route.mtu) }
    } else {
      _ = refreshRoute(host: &host)
    }
    return max(mssCache - establishedOptionByteCount, 28)
  }

  /// Whether there is a way to the peer, found again if need be; why not is the soft error.
  /// Linux: `inet_sk_rebuild_header()`.
  mutating func hasRoute(host: inout Host) -> Bool {
    if let route = core.route, host.internet.isCurrent(route) { return true }
    guard let error = refreshRoute(host: &host) else { return true }
    core.softError = error
    return false
  }

  /// Finds the route again. Linux: `__sk_dst_check()`.
  mutating func refreshRoute(host: inout Host) -> Errno? {
    guard let remote = tuple.remote.address.v4, let local = tuple.local.address.v4 else {
      return .EAFNOSUPPORT
    }
    do {
      let fresh = try host.route(
        to: remote, from: local.isAny ? nil : local, onLink: core.options.dontRoute)
      core.route = fresh
      syncMSS(mtu: fresh.mtu)
      return nil
    } catch {
      return error
    }
  }

  /// Linux: `tcp_sync_mss()`.
  mutating func syncMSS(mtu: Int) {
    mssPathMTU = mtu
    mssCache = boundToHalfWindow(min(max(mtu - 40, 48), peerMSS))
  }

  // MARK: Pacing-derived sizes

  /// As the congestion control says, which has no limit before the first RTT sample; never more than `SO_MAX_PACING_RATE`.
  /// Linux: `sk_pacing_rate`.
  var pacingBytesPerSecond: UInt64 {
    guard rtt.hasSample else { return core.options.maximumPacingRate }
    let rate = congestion.pacingRate(
      window: window, packetsOut: packetsOut, mss: mssCache, smoothed8: rtt.smoothed8)
    return min(rate, core.options.maximumPacingRate)
  }

  /// Segments per packet: about a millisecond's worth, more on short paths. Linux: `tcp_tso_autosize()`.
  func tsoSegments(mss: Int) -> Int {
    let rate = pacingBytesPerSecond
    var bytes = rate == .max ? UInt64(Self.gsoMaximum) : rate >> 10
    bytes += UInt64(Self.gsoMaximum) >> UInt64((rtt.minimum?.microseconds ?? 0) >> 9)
    return min(max(Int(min(bytes, UInt64(Self.gsoMaximum))) / mss, 2), Self.gsoMaximum / mss)
  }

  // MARK: Questions tcp_write_xmit asks

  /// Segments the congestion window still allows. Linux: `tcp_cwnd_test()`.
  func congestionQuota() -> Int {
    let inFlight = self.inFlight
    if inFlight >= window.segments { return 0 }
    // Never more than half the window in one packet, so that ACKs keep clocking.
    return max(1, min(window.segments >> 1, window.segments - inFlight))
  }

  /// Linux: `tcp_nagle_test()`, RFC 896 and Minshall.
  func passesNagle(_ block: TCPControlBlock, length: Int, mss: Int, nagle: Nagle) -> Bool {
    if nagle == .push { return true }
    if urgentMode || block.flags.contains(.fin) { return true }
    if length >= mss { return true }
    if nagle == .cork { return false }
    if nagle == .off { return true }
    // A small segment waits only while an earlier small one is not acknowledged.
    let smallOutstanding = sndSml.isAfter(sndUna) && sndSml.isAtOrBefore(sndNxt)
    return !(packetsOut > 0 && smallOutstanding)
  }

  /// A burst that could soon be a larger one waits for the next ACK. Linux: `tcp_tso_should_defer()`.
  private func shouldDefer(
    _ block: TCPControlBlock, length: Int, isLast: Bool, mss: Int, maxSegments: Int, now: Instant
  ) -> Bool {
    if recovery.state == .recovery || recovery.state == .loss { return false }
    if now - lastSent > .milliseconds(1) { return false }
    let sendWindow = windowEnd.offset(from: block.sequence)
    let congestion = (window.segments - inFlight) * mss
    let limit = min(sendWindow, congestion)
    if limit >= maxSegments * mss { return false }
    if !isLast && limit >= length { return false }
    // Linux's tcp_tso_win_divisor of 3.
    let chunk = min(sndWnd, window.segments * mss) / 3
    if chunk > 0 && limit >= chunk { return false }
    // Nothing in flight: no ACK would come to end the wait.
    guard let head = scoreboard.queue.first else { return false }
    // Nor is one waited for that is far off.
    let untilAck = scoreboard.queue[tcp: head].sentAt + rtt.smoothed - now
    if untilAck > min(rtt.smoothed / 2, .milliseconds(1)) { return false }
    if limit <= length { return true }
    return !block.flags.contains(.fin) && !block.endOfRecord
  }

  /// Too much of this socket sits below already. Linux: `tcp_small_queue_check()`.
  private func exceedsSmallQueue(truesize: Int, net: borrowing Net) -> Bool {
    var limit = max(2 * truesize, Int(min(pacingBytesPerSecond >> 10, UInt64(net.settings.tcpLimitOutput))))
    limit = min(limit, net.settings.tcpLimitOutput)
    guard core.account.writeAllocated > limit else { return false }
    // With nothing or one packet in flight an ACK could not restart us.
    if scoreboard.queue.count < 2 { return false }
    core.account.isThrottled = true
    return core.account.writeAllocated > limit
  }

  // MARK: Sending

  /// Sends what windows allow. Linux: `tcp_write_xmit()`.
  ///
  /// - Parameter only: send one packet at most (`tcp_push_one()`).
  /// - Returns: true when data stays queued with nothing in flight to bring an ACK: the probe timer is needed.
  @discardableResult
  mutating func writeXmit(mss: Int, nagle: Nagle, only: Bool = false, host: inout Host) -> Bool {
    var sent = 0
    var windowLimited = false
    var isWaiting = false
    if packetsOut == 0 { restartAfterIdle(now: host.net.now) }
    let maxSegments = tsoSegments(mss: mss)
    while let head = writeQueue.first {
      let length = writeQueue.length(at: head)
      var segments = length <= mss ? 1 : (length + mss - 1) / mss
      let block = writeQueue[tcp: head]
      isWaiting = mustAwaitDeparture(now: host.net.now)
      if isWaiting { break }
      let quota = congestionQuota()
      if quota == 0 { break }
      let isLast = writeQueue.last == head
      // The first MSS must fit the window. Linux: tcp_snd_wnd_test().
      if (length > mss ? block.sequence + mss : block.endSequence).isAfter(windowEnd) {
        windowLimited = true
        break
      }
      // In urgent mode each segment is a packet: the device would copy one pointer to all of them.
      var limit = mss
      if segments == 1 {
        if !passesNagle(block, length: length, mss: mss, nagle: isLast ? nagle : .push) { break }
      } else {
        if !only,
          shouldDefer(
            block, length: length, isLast: isLast, mss: mss, maxSegments: maxSegments, now: host.net.now)
        {
          break
        }
        if !urgentMode {
          limit = splitPoint(
            block, length: length, mss: mss, segments: min(quota, maxSegments), isLast: isLast, nagle: nagle)
        }
      }
      if length > limit {
        guard limit > 0, splitUnsent(head, at: limit, mss: mss) else { break }
        segments = (limit + mss - 1) / mss
      }
      if exceedsSmallQueue(truesize: writeQueue.truesize(at: head), net: host.net) { break }
      if sendHead(head, mss: mss, host: &host).isLost { break }
      sent += segments
      if only { break }
    }
    statistics.note(
      windowLimited ? .receiveWindow : packetsOut > 0 || !writeQueue.isEmpty ? .busy : .none,
      now: host.net.now)
    if sent > 0 || inFlight >= window.segments { noteWindowUse() }
    if sent > 0 {
      if recovery.isReducing { recovery.prrOut += sent }
      host.net.tracer.record(
        .tcp_write_xmit, socket: id.rawValue, UInt64(mss), UInt64(window.segments), UInt64(max(0, inFlight)))
      return false
    }
    return packetsOut == 0 && !writeQueue.isEmpty && !isWaiting
  }

  /// How many bytes of a long packet to send now: what the peer's window takes, to its last byte unless Nagle's rule keeps
  /// the partial segment back. Linux: `tcp_mss_split_point()`.
  private func splitPoint(
    _ block: TCPControlBlock, length: Int, mss: Int, segments: Int, isLast: Bool, nagle: Nagle
  ) -> Int {
    let window = windowEnd.offset(from: block.sequence)
    let most = mss * segments
    if most <= window && !isLast { return min(most, length) }
    let needed = min(length, window)
    if most <= needed { return most }
    let partial = needed % mss
    if partial == 0 || passesNagle(block, length: partial, mss: mss, nagle: nagle) { return needed }
    return needed - partial
  }

  /// Linux: `__tcp_push_pending_frames()`.
  mutating func pushPending(mss: Int, nagle: Nagle, host: inout Host) {
    if state == .close || writeQueue.isEmpty { return }
    if writeXmit(mss: mss, nagle: nagle, host: &host) { armProbe(net: &host.net) }
  }

  /// Linux: `tcp_push_one()`.
  mutating func pushOne(mss: Int, host: inout Host) {
    writeXmit(mss: mss, nagle: .push, only: true, host: &host)
  }

  /// After an ACK or a window update: send what has become possible. Linux: `tcp_data_snd_check()`.
  mutating func sendPending(host: inout Host) {
    guard !writeQueue.isEmpty, state != .close else { return }
    let mss = currentMSS(host: &host)
    pushPending(mss: mss, nagle: nagle, host: &host)
  }

  /// What was held back may go: lost segments first. Linux: `tcp_tsq_write()`.
  mutating func continueSending(host: inout Host) {
    if lostOut > retransOut { retransmitLost(host: &host) }
    sendPending(host: &host)
  }

  /// Sends the head of the write queue, which is cut to what may go; when it is lost on the way it stays where it is.
  mutating func sendHead(_ head: SkBuffQueue.Position, mss: Int, host: inout Host) -> XmitResult {
    let segments = max(1, (writeQueue.length(at: head) + mss - 1) / mss)
    writeQueue[tcp: head].segmentCount = UInt16(truncatingIfNeeded: segments)
    writeQueue[tcp: head].segmentSize = UInt16(truncatingIfNeeded: mss)
    let result = transmitHead(head, in: .write, host: &host)
    if !result.isLost { eventNewDataSent(head, mss: mss, net: &host.net) }
    return result
  }

  /// A segment went out for the first time. Linux: `tcp_event_new_data_sent()`.
  private mutating func eventNewDataSent(_ head: SkBuffQueue.Position, mss: Int, net: inout Net) {
    let skb = writeQueue.remove(at: head)
    let prior = packetsOut
    sndNxt = skb.tcp.endSequence
    if skb.length < Int(skb.tcp.segmentCount) * mss { sndSml = skb.tcp.endSequence }
    net.counters.count(.TcpExtTCPOrigDataSent, by: UInt64(skb.tcp.segmentCount))
    scoreboard.sent(skb)
    if prior == 0 || retransmitKind == .probe { armRetransmit(net: &net) }
  }

  // MARK: Splitting

  enum Queue { case write, retransmit }

  /// Cuts a segment in two that waits to be sent. Linux: `tso_fragment()`.
  ///
  /// - Returns: false when memory ran out; nothing has changed.
  mutating func splitUnsent(_ place: SkBuffQueue.Position, at offset: Int, mss: Int) -> Bool {
    writeQueue.split(place, at: offset, mss: mss, memory: &writeQueuedMemory) != nil
  }

  /// Cuts a sent segment in two. Linux: `tcp_fragment()`.
  ///
  /// - Returns: false when memory ran out, or the peer would have a sent packet cut into ever smaller ones; nothing has
  ///   changed.
  mutating func splitSent(_ place: SkBuffQueue.Position, at offset: Int, mss: Int, net: inout Net) -> Bool {
    if isTooLarge(toSplit: place) {
      net.counters.count(.TcpExtTCPWqueueTooBig)
      return false
    }
    return scoreboard.split(place, at: offset, mss: mss, memory: &writeQueuedMemory)
  }

  /// SACKs of single small segments cost a packet header each: no further than twice the buffer and two large packets
  /// more. The first packet may always be cut, or the timer could not send it. Linux: `tcp_fragment()`, which cuts the
  /// last one too.
  private func isTooLarge(toSplit place: SkBuffQueue.Position) -> Bool {
    writeQueuedMemory >> 1 > core.sendBuffer + 2 * (65536 + SkBuff.overhead)
      && place != scoreboard.queue.first
  }
}
