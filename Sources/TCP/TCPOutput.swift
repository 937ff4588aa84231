import IPv4
import InetSocket
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
extension TCPConnection {
  var nagle: Nagle { sender.isPushForced ? .push : options.cork ? .cork : options.noDelay ? .off : .on }

  // MARK: Segment size

  /// Bytes of the options that every segment has.
  var fixedOptionByteCount: Int {
    (hasTimestamps ? 12 : 0) + Int(signedByteCount)
  }

  /// Those that the segment size of TCP_MAXSEG and TCP_INFO is without; an MD5 signature is not among them.
  /// Linux: `tcp_header_len`.
  var headerOptionByteCount: Int {
    fixedOptionByteCount - (signatureKey == nil ? 0 : SegmentSignature.optionByteCount)
  }

  /// Bytes of options on a data segment now.
  func establishedOptionByteCount(net: borrowing Net) -> Int {
    var count = fixedOptionByteCount
    let blocks = min(receiver.sack.count + (receiver.sack.duplicate == nil ? 0 : 1), (40 - count - 4) / 8)
    if sender.hasSACK && blocks > 0 { count += 4 + 8 * blocks }
    if sender.ecn.contains(.isAccurate) { count = accurateOptionByteCount(net: net) ?? count }
    if let programs = core.programs, programs.writesOptions {
      count += programs.optionByteCount(
        ProgramSegment(
          socket: id, ends: tuple, flags: .ack, sequence: sender.sndNxt, byteCount: 0,
          room: TCPOptions.maximumByteCount - count))
    }
    return count
  }

  /// Payload of a full segment, after the route's MTU, the peer's limit and the options. Linux: `tcp_current_mss()`.
  mutating func currentMSS(host: inout Host) -> Int {
    if let route = core.route, host.internet.isCurrent(route) {
      if route.mtu != sender.mssPathMTU { sender.syncMSS(mtu: route.mtu) }
    } else {
      _ = refreshRoute(host: &host)
    }
    return max(
      sender.mssCache + Int(sender.segmentOptionByteCount) - establishedOptionByteCount(net: host.net), 8)
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
    core.labelFlow(to: tuple.remote, from: tuple.local.address, by: core.options.boundDevice)
    do {
      let fresh = try host.route(
        to: core.firstHop ?? tuple.remote.address, from: tuple.local.address,
        onLink: core.options.dontRoute || core.isStrictRoute, by: core.options.boundDevice,
        flow: core.routingFlow(to: tuple.remote.port, if: host.routesByFlow))
      core.route = fresh
      sender.syncMSS(mtu: fresh.mtu)
      return nil
    } catch {
      // Connecting, only ENETUNREACH counts; a connection without a way always. Linux: `no_route` of `ip_queue_xmit()`.
      if error != .ENETUNREACH { host.net.counters.count(.IpOutNoRoutes) }
      return error
    }
  }

  // MARK: Pacing-derived sizes

  /// Segments per packet: about a millisecond's worth, more on short paths. Linux: `tcp_tso_autosize()`.
  func tsoSegments(mss: Int) -> Int {
    // A device that cuts segments cannot sign them. Linux: `sk_gso_disable()`.
    if signedByteCount > 0 { return 1 }
    let rate = sender.pacingRate
    var bytes = rate == .max ? UInt64(Self.gsoMaximum) : rate >> 10
    bytes += UInt64(Self.gsoMaximum) >> UInt64((sender.rtt.minimum?.microseconds ?? 0) >> 9)
    // Loopback's segments may be longer than what a device cuts.
    let most = max(Self.gsoMaximum / mss, 1)
    return min(max(Int(min(bytes, UInt64(Self.gsoMaximum))) / mss, sender.congestion.leastSegments), most)
  }

  // MARK: Small queues

  /// Too much of this socket sits below already. Linux: `tcp_small_queue_check()`.
  private func exceedsSmallQueue(truesize: Int, net: borrowing Net) -> Bool {
    var limit = max(2 * truesize, Int(min(sender.pacingRate >> 10, UInt64(net.settings.tcpLimitOutput))))
    limit = min(limit, net.settings.tcpLimitOutput)
    if options.transmitDelay > 0 {
      // What waits for its time below, twice as large as its payload.
      limit += Int((min(sender.pacingRate, 1 << 35) * UInt64(options.transmitDelay)) >> 19)
    }
    guard core.account.writeAllocated > limit else { return false }
    // With nothing or one packet in flight an ACK could not restart us.
    if sender.scoreboard.queue.count < 2 { return false }
    core.account.isThrottled = true
    return core.account.writeAllocated > limit
  }

  // MARK: Sending

  /// How much one run may send. Linux: `push_one`.
  enum Burst {
    case all
    /// One packet at most.
    case one
    /// One packet at most, though the congestion window be full.
    case lossProbe
  }

  /// Sends what windows allow. Linux: `tcp_write_xmit()`.
  ///
  /// - Returns: true when data stays queued with nothing in flight to bring an ACK: the probe timer is needed.
  @discardableResult
  mutating func writeXmit(mss: Int, nagle: Nagle, burst: Burst = .all, host: inout Host) -> Bool {
    var sent = 0
    var windowLimited = false
    var isWaiting = false
    if sender.packetsOut == 0 && host.net.settings.tcpSlowStartAfterIdle {
      sender.restartAfterIdle(now: host.net.now)
    }
    if sender.pathMTU.isOn && burst == .all {
      switch probePathMTU(mss: mss, host: &host) {
      case .notNow: break
      case .soon: return false
      case .ready: sent = 1
      }
    }
    let maxSegments = tsoSegments(mss: mss)
    while let head = sender.writeQueue.first {
      var length = sender.writeQueue.length(at: head)
      var segments = length <= mss ? 1 : (length + mss - 1) / mss
      if isInRepair && repairQueue == .send {
        // It was sent before, by whoever had the connection.
        sent += segments
        noteSentBefore(head, mss: mss, net: &host.net)
        continue
      }
      isWaiting = mustAwaitDeparture(now: host.net.now)
      if isWaiting { break }
      var quota = sender.congestionQuota()
      if quota == 0 {
        guard burst == .lossProbe else { break }
        quota = 1
      }
      quota = min(quota, maxSegments)
      // Of what follows, as much as may go with it.
      if length < quota * mss, sender.growUnsent(head, by: quota * mss - length) > 0 {
        length = sender.writeQueue.length(at: head)
        segments = length <= mss ? 1 : (length + mss - 1) / mss
      }
      let block = sender.writeQueue[tcp: head]
      let isLast = sender.writeQueue.last == head
      // The first MSS must fit the window. Linux: tcp_snd_wnd_test().
      if (length > mss ? block.sequence + mss : block.endSequence).isAfter(sender.windowEnd) {
        windowLimited = true
        break
      }
      // In urgent mode each segment is a packet: the device would copy one pointer to all of them.
      var limit = mss
      if segments == 1 {
        if !sender.passesNagle(block, length: length, mss: mss, nagle: isLast ? nagle : .push) { break }
      } else {
        if burst == .all,
          sender.shouldDefer(
            block, length: length, isLast: isLast, mss: mss, maxSegments: maxSegments, now: host.net.now)
        {
          break
        }
        // What says that the window was reduced goes alone, too.
        if !sender.urgentMode && !sender.ecn.contains(.owesCWR) {
          limit = sender.splitPoint(
            block, length: length, mss: mss, segments: quota, isLast: isLast, nagle: nagle)
        }
      }
      if length > limit {
        guard limit > 0, sender.splitUnsent(head, at: limit, mss: mss) else { break }
        segments = (limit + mss - 1) / mss
      }
      if exceedsSmallQueue(truesize: sender.writeQueue.truesize(at: head), net: host.net) { break }
      // A writer has made it and waits for memory to fill it.
      if block.sequence == block.endSequence { break }
      if sendHead(head, mss: mss, host: &host).isLost { break }
      sent += segments
      if burst != .all { break }
    }
    let isEmpty = sender.packetsOut == 0 && sender.writeQueue.isEmpty
    // A buffer that is too small counts until its writer has room.
    if isEmpty || statistics.limit != .sendBuffer {
      statistics.note(isEmpty ? .none : windowLimited ? .receiveWindow : .busy, now: host.net.now)
    }
    if sent > 0 || sender.inFlight >= sender.window.segments {
      sender.noteWindowUse(now: host.net.now, shrinks: host.net.settings.tcpSlowStartAfterIdle)
      if sender.noSpace { noteSmallBuffer(now: host.net.now) }
    }
    if sent > 0 {
      if sender.recovery.isReducing { sender.recovery.prrOut += sent }
      if burst != .lossProbe { scheduleLossProbe(isRestarting: false, net: host.net) }
      host.net.tracer.record(
        .tcp_write_xmit, socket: id.rawValue, UInt64(mss), UInt64(sender.window.segments),
        UInt64(max(0, sender.inFlight)))
      return false
    }
    return sender.packetsOut == 0 && !sender.writeQueue.isEmpty && !isWaiting
  }

  /// Something may have just gone, and a writer waits: its buffer is too small if the window would have taken more.
  /// Linux: the last part of `tcp_cwnd_validate()`.
  @inline(never)
  private mutating func noteSmallBuffer(now: Instant) {
    guard sender.writeQueue.isEmpty, !sender.isWindowLimited, state == .established || state == .closeWait
    else { return }
    statistics.note(.sendBuffer, now: now)
  }

  /// Linux: `__tcp_push_pending_frames()`.
  mutating func pushPending(mss: Int, nagle: Nagle, host: inout Host) {
    if state == .close || sender.writeQueue.isEmpty { return }
    if writeXmit(mss: mss, nagle: nagle, host: &host) { armProbe(net: &host.net) }
  }

  /// Linux: `tcp_push_one()`.
  mutating func pushOne(mss: Int, host: inout Host) {
    writeXmit(mss: mss, nagle: .push, burst: .one, host: &host)
  }

  /// After an ACK or a window update: send what has become possible. Linux: `tcp_data_snd_check()`.
  mutating func sendPending(host: inout Host) {
    guard !sender.writeQueue.isEmpty, state != .close else { return }
    let mss = currentMSS(host: &host)
    pushPending(mss: mss, nagle: nagle, host: &host)
  }

  /// What was held back may go: lost segments first. Linux: `tcp_tsq_write()`.
  mutating func continueSending(host: inout Host) {
    if sender.lostOut > sender.retransOut { retransmitLost(host: &host) }
    sendPending(host: &host)
  }

  /// Sends the head of the write queue, which is cut to what may go; when it is lost on the way it stays where it is.
  ///
  /// - Parameter isProbe: it goes though it is not its turn, and is not small for Minshall's sake. Linux:
  ///   `tcp_minshall_update()` stands in `tcp_write_xmit()` alone.
  mutating func sendHead(
    _ head: SkBuffQueue.Position, mss: Int, isProbe: Bool = false, host: inout Host
  ) -> XmitResult {
    let segments = max(1, (sender.writeQueue.length(at: head) + mss - 1) / mss)
    sender.writeQueue[tcp: head].segmentCount = UInt16(truncatingIfNeeded: segments)
    sender.writeQueue[tcp: head].segmentSize = UInt16(truncatingIfNeeded: mss)
    let result = transmitHead(head, in: .write, host: &host)
    if !result.isLost { eventNewDataSent(head, mss: mss, isProbe: isProbe, net: &host.net) }
    return result
  }

  /// A segment counts as sent now, for the retransmission timer. Linux: `repair` in `tcp_write_xmit()`.
  private mutating func noteSentBefore(_ head: SkBuffQueue.Position, mss: Int, net: inout Net) {
    let segments = max(1, (sender.writeQueue.length(at: head) + mss - 1) / mss)
    sender.writeQueue[tcp: head].segmentCount = UInt16(truncatingIfNeeded: segments)
    sender.writeQueue[tcp: head].segmentSize = UInt16(truncatingIfNeeded: mss)
    sender.writeQueue[tcp: head].sentAt = net.now
    sender.writeQueue[tcp: head].firstSentAt = net.now
    sender.writeQueue[tcp: head].deliveredAt = net.now
    eventNewDataSent(head, mss: mss, isProbe: false, net: &net)
  }

  /// A segment went out for the first time. Linux: `tcp_event_new_data_sent()`.
  private mutating func eventNewDataSent(
    _ head: SkBuffQueue.Position, mss: Int, isProbe: Bool, net: inout Net
  ) {
    let skb = sender.writeQueue.remove(at: head)
    let prior = sender.packetsOut
    sender.sndNxt = skb.tcp.endSequence
    if !isProbe && skb.length < Int(skb.tcp.segmentCount) * mss { sender.sndSml = skb.tcp.endSequence }
    net.counters.count(.TcpExtTCPOrigDataSent, by: UInt64(skb.tcp.segmentCount))
    sender.scoreboard.sent(skb)
    if prior == 0 || timers.retransmitKind == .probe || timers.retransmitKind == .lossProbe {
      armRetransmit(net: &net)
    }
  }
}
