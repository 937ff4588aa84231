import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// Opening from this side, and what both sides do once the handshake ends. Linux: `tcp_connect()`,
// `tcp_rcv_synsent_state_process()`, `tcp_finish_connect()`.
extension TCPConnection {
  /// The numbers of a connection whose SYN is to follow.
  mutating func prepareToConnect(initial: SequenceNumber, timestampOffset offset: UInt32, net: inout Net) {
    sender.begin(at: initial, next: initial)
    sender.timestampOffset = offset
    setState(.synSent, net: &net)
  }

  /// The MSS to name to a peer: what the way to it carries, or `TCP_MAXSEG`. Linux: `tcp_advertise_mss()`.
  func advertisedMSS(_ route: Route?) -> Int {
    min(options.maximumSegment ?? .max, TCPSender.segmentSize(mtu: route?.mtu ?? 1500))
  }

  /// Linux: `tcp_connect_init()`.
  mutating func prepareSyn(host: inout Host) {
    prepareCongestionControl(net: host.net)
    receiver.rcvNxt = SequenceNumber(0)
    receiver.copiedSeq = SequenceNumber(0)
    hasWindowScale = host.net.settings.tcpWindowScaling
    receiver.advertisedMSS = advertisedMSS(core.route)
    // Until the peer names its own (RFC 9293 section 3.7.1).
    sender.peerMSS = options.maximumSegment ?? 536
    sender.segmentOptionByteCount = host.net.settings.tcpTimestamps ? 12 : 0
    sender.syncMSS(mtu: core.route?.mtu ?? 1500)
    selectInitialWindow(segment: receiver.advertisedMSS, net: host.net)
    // Nothing was offered yet of which half could be a segment. Linux: `tcp_initialize_rcv_mss()`.
    receiver.rcvMSS = Self.leastMSS
    // Until the peer has agreed.
    hasWindowScale = false
    sender.rtt = RTTEstimator(limits: sender.rtt.limits)
  }

  /// Sends the SYN. The route and both ends are set. Linux: `tcp_connect()`, `tcp_send_syn_data()`.
  ///
  /// - Parameter iter: where data for the SYN is taken from.
  /// - Returns: how many bytes of data have gone with it.
  @discardableResult
  mutating func sendSyn(_ offer: FastOpenOffer, _ iter: inout IovIter, host: inout Host) -> Int {
    prepareSyn(host: &host)
    host.net.counters.count(.TcpActiveOpens)
    sender.retransmitStamp = host.net.now
    guard var skb = host.net.pool.allocate(headroom: Self.headroom, linear: 0, use: .guaranteed) else {
      fail(.ENOBUFS, net: &host.net)
      return 0
    }
    skb.tcp.sequence = sender.writeSeq
    skb.tcp.endSequence = sender.writeSeq + 1
    skb.tcp.flags = synFlags(net: host.net)
    skb.tcp.segmentCount = 1
    sender.writeSeq += 1
    sender.writeQueuedMemory += skb.truesize
    sender.scoreboard.sent(skb)
    let count = sendSynData(offer, &iter, host: &host)
    if count == 0, let head = sender.scoreboard.queue.first {
      _ = transmitHead(head, in: .retransmit, cookie: offeredCookie(offer), host: &host)
    }
    sender.sndNxt = sender.writeQueue.first.map { sender.writeQueue[tcp: $0].sequence } ?? sender.writeSeq
    sender.pushedSeq = sender.sndNxt
    armRetransmit(net: &host.net)
    return count
  }

  mutating func prepareCongestionControl(net: borrowing Net) {
    sender.congestion = CongestionControl(options.congestionControl ?? net.settings.tcpCongestionControl)
  }

  /// Linux: `tcp_init_congestion_control()`.
  mutating func beginCongestionControl(now: Instant) {
    sender.congestion.begin(sender.congestionView(now: now), window: &sender.window)
    if sender.congestion.needsECN {
      sender.congestion.beginMarks(
        isAgreed: !sender.ecn.isDisjoint(with: .agreed), next: sender.sndNxt, arrived: sender.delivered,
        marked: sender.deliveredMarked)
    }
    if sender.congestion.isPaced { updatePacingRate() }
  }

  /// RFC 9293 3.10.7.3.
  mutating func receiveInSynSent(
    _ skb: consuming SkBuff, _ segment: IncomingSegment, _ cache: inout FastOpenCache, host: inout Host
  ) -> SegmentVerdict {
    statistics.segmentsIn += 1
    let hasAck = segment.flags.contains(.ack)
    if hasAck {
      guard segment.acknowledgment.isAfter(sender.sndUna), !segment.acknowledgment.isAfter(sender.sndNxt)
      else {
        // Its old connection may be gone with our reset: ask again at once, the first time.
        if sender.retransmits == 0 {
          timers.start(.retransmission, at: host.net.now + Self.leastTimeout)
        }
        skb.drop(.tcpInvalidAcknowledgment)
        return segment.flags.contains(.rst) ? [] : .reset
      }
      if host.net.settings.tcpTimestamps && segment.options.hasTimestamps
        && !isOurTimestamp(segment, now: host.net.now)
      {
        host.net.counters.count(.TcpExtPAWSActive)
        skb.drop(.tcpPAWS)
        return segment.flags.contains(.rst) ? [] : .reset
      }
    }
    if segment.flags.contains(.rst) {
      if hasAck { resetByPeer(net: &host.net) }
      skb.drop(.tcpReset)
      return []
    }
    guard segment.flags.contains(.syn) else {
      skb.drop(.tcpFlags)
      return []
    }
    acceptPeerSyn(segment, net: host.net)
    agreeOnECN(segment, net: host.net)
    if core.programs != nil { showOptions(skb, segment) }
    sender.sndWl1 = segment.sequence
    if hasAck {
      let isSlow = hasLostHandshakeTwice(segment)
      _ = processAck(segment, host: &host)
      finishHandshake(isSlow: isSlow, net: &host.net)
      let isDataRefused = learnFastOpen(from: segment, &cache, host: &host)
      let isAlone = !segment.flags.contains(.fin) && segment.payload == 0
      if !isAlone {
        // Data or FIN on a SYN-ACK is legal: it follows the SYN.
        skb.tcp.sequence = segment.sequence + 1
        queueData(skb, host: &host)
        if receiver.peerFinSeen { _ = processFin(host: &host) }
      } else {
        _ = consume skb
      }
      // Data that goes again carries the ACK.
      if !isDataRefused { acknowledgeSynAck(isAlone: isAlone, host: &host) }
      sendPending(host: &host)
      return []
    }
    // Simultaneous open: answer with SYN-ACK (RFC 9293 3.5, figure 7).
    setState(.synReceived, net: &host.net)
    if let head = sender.scoreboard.queue.first {
      sender.scoreboard.answerSYN(sender.ecn)
      _ = transmitHead(head, in: .retransmit, host: &host)
    }
    _ = consume skb
    return []
  }

  /// The third segment of the handshake: at once, or, where the owner says that data is about to follow (`TCP_DEFER_ACCEPT`,
  /// `TCP_QUICKACK` off), with them. Linux: `tcp_rcv_synsent_state_process()`.
  ///
  /// - Parameter isAlone: neither data nor a FIN came with the second.
  private mutating func acknowledgeSynAck(isAlone: Bool, host: inout Host) {
    guard isAlone, options.deferAcceptRetransmits > 0 || receiver.ack.isInteractive else {
      accurateECN?.value.isAnsweringSynAck = true
      sendAck(host: &host)
      accurateECN?.value.isAnsweringSynAck = false
      return
    }
    receiver.ack.isScheduled = true
    receiver.enterQuickAck()
    timers.ackDeadline = host.net.now + DelayedAck.maximum
  }

  /// Whether a SYN-ACK echoes a time between our first SYN and now, or nothing: another is an old duplicate's
  /// (RFC 7323 section 3.2). Linux: `tcp_rcv_synsent_state_process()`.
  private func isOurTimestamp(_ segment: IncomingSegment, now: Instant) -> Bool {
    let echo = segment.options.timestampEcho
    let first = sender.timestamp(sender.retransmitStamp)
    return echo == 0 || sender.timestamp(now) &- first >= echo &- first
  }

  /// What the peer's SYN says about it.
  mutating func acceptPeerSyn(_ segment: IncomingSegment, net: borrowing Net) {
    receiver.begin(at: segment.sequence)
    if signedByteCount > 0 { authentication?.value.learn(remote: segment.sequence) }
    hasWindowScale = net.settings.tcpWindowScaling && segment.options.windowScale != nil
    if hasWindowScale {
      sender.sndWscale = Int(segment.options.windowScale ?? 0)
    } else {
      sender.sndWscale = 0
      receiver.rcvWscale = 0
      receiver.windowClamp = min(receiver.windowClamp, 65535)
    }
    sender.scoreboard.hasSACK = net.settings.tcpSack && segment.options.sackPermitted
    hasTimestamps = net.settings.tcpTimestamps && segment.options.hasTimestamps
    if hasTimestamps {
      receiver.recent = RecentTimestamp(value: segment.options.timestampValue, at: net.now)
    }
    sender.segmentOptionByteCount = UInt8(headerOptionByteCount)
    // TCP_MAXSEG counts until here: what the handshake has agreed on stays.
    sender.peerMSS = options.maximumSegment.map { min($0, segment.peerMSS) } ?? segment.peerMSS
    sender.sndWnd = segment.window
    sender.maxWindow = segment.window
    if state == .synSent { sender.beginPathMTUSearch(fixedOptions: fixedOptionByteCount, net: net) }
    sender.syncMSS(mtu: sender.mssPathMTU > 0 ? sender.mssPathMTU : 1500)
    receiver.rcvMSS = min(max(min(receiver.advertisedMSS, sender.mssCache), Self.leastMSS), 536)
  }

  /// Whether more than one SYN was lost, which asks for caution, while one may have been sent too soon (RFC 6928 section 2);
  /// so were all, where the first is answered. Linux: `tcp_try_undo_spurious_syn()`, `tcp_init_transfer()`.
  func hasLostHandshakeTwice(_ segment: IncomingSegment) -> Bool {
    guard sender.totalRetransmissions > 1 else { return false }
    return !segment.options.hasTimestamps
      || segment.options.timestampEcho != sender.timestamp(sender.retransmitStamp)
  }

  /// The handshake is done: sizes the buffers, starts keep-alive. Linux: `tcp_init_transfer()`.
  ///
  /// - Parameters:
  ///   - state: with Fast Open data flows before the handshake is over.
  ///   - isSlow: the window is one segment.
  mutating func finishHandshake(as state: TCPState = .established, isSlow: Bool = false, net: inout Net) {
    setState(state, net: &net)
    // What a time-out of the handshake has made of them says nothing of the path. Linux: `tcp_init_metrics()`.
    sender.window.threshold = nil
    sender.window.segments = isSlow ? 1 : CongestionWindow.initialSegments
    sender.syncMSS(mtu: sender.mssPathMTU > 0 ? sender.mssPathMTU : 1500)
    // What was accepted sends segments of the path's size until the next change of something. Linux: `tcp_init_transfer()`.
    sender.beginPathMTUSearch(fixedOptions: fixedOptionByteCount, net: net)
    sender.pushedSeq = sender.writeSeq
    receiver.readSpace.sequence = receiver.copiedSeq
    receiver.readSpace.since = net.now
    fitWindowToBuffer()
    sender.maxPacketsSeq = sender.sndNxt
    receiver.lastReceived = net.now
    receiver.ack.lastDataAt = net.now
    sender.lastSent = net.now
    sender.windowUsedSince = net.now
    sender.retransmitStamp = .origin
    sender.retransmits = 0
    if !sender.rtt.hasSample { sender.rtt.useInitialFallback() }
    beginCongestionControl(now: net.now)
    applyKeepAlive(net: net)
    expandSendBuffer(most: net.settings.tcpWriteMemory.most)
    sender.noSpace = true
    wakeWriter(net: &net)
    net.wake(id)
  }
}
