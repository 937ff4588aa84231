import IPv4
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// Opening from this side, and what both sides do once the handshake ends. Linux: `tcp_connect()`,
// `tcp_rcv_synsent_state_process()`, `tcp_finish_connect()`.
extension TCPSocket {
  /// Sends the SYN. The route and both ends are set.
  mutating func connect(initial: SequenceNumber, timestampOffset offset: UInt32, host: inout Host) {
    prepareBuffers(net: host.net)
    initialSend = initial
    timestampOffset = offset
    sndUna = initial
    sndNxt = initial
    sndUp = initial
    writeSeq = initial
    pushedSeq = initial
    sndSml = initial
    rcvNxt = SequenceNumber(0)
    copiedSeq = SequenceNumber(0)
    hasWindowScale = host.net.settings.tcpWindowScaling
    advertisedMSS = min(options.maximumSegment ?? .max, max((core.route?.mtu ?? 1500) - 40, 48))
    syncMSS(mtu: core.route?.mtu ?? 1500)
    selectInitialWindow(segment: advertisedMSS, net: host.net)
    setState(.synSent, net: &host.net)
    rtt = RTTEstimator()
    retransmitStamp = host.net.now
    guard let skb = host.net.pool.allocate(headroom: Self.headroom, linear: 0, use: .guaranteed) else {
      fail(.ENOBUFS, net: &host.net)
      return
    }
    skb.tcp.sequence = writeSeq
    skb.tcp.endSequence = writeSeq + 1
    skb.tcp.flags = .syn
    skb.tcp.segmentCount = 1
    writeSeq += 1
    writeQueuedMemory += skb.truesize
    scoreboard.sent(skb)
    if let head = scoreboard.queue.first { _ = transmitHead(head, in: .retransmit, host: &host) }
    sndNxt = writeSeq
    armRetransmit(net: &host.net)
  }

  mutating func prepareBuffers(net: borrowing Net) {
    if !core.isSendBufferFixed { core.sendBuffer = net.settings.tcpWriteMemory.initial }
    if !core.isReceiveBufferFixed { core.receiveBuffer = net.settings.tcpReadMemory.initial }
    congestion = CongestionControl(options.congestionControl ?? net.settings.tcpCongestionControl)
  }

  /// RFC 9293 3.10.7.3.
  mutating func receiveInSynSent(
    _ skb: consuming SkBuff, _ segment: IncomingSegment, host: inout Host
  ) -> SegmentVerdict {
    statistics.segmentsIn += 1
    let hasAck = segment.flags.contains(.ack)
    if hasAck {
      guard segment.acknowledgment.isAfter(sndUna), !segment.acknowledgment.isAfter(sndNxt) else {
        // Its old connection may be gone with our reset: ask again at once, the first time.
        if retransmits == 0 { retransmitDeadline = host.net.now + Self.leastTimeout }
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
    sndWl1 = segment.sequence
    if hasAck {
      _ = processAck(segment, host: &host)
      finishHandshake(net: &host.net)
      if statistics.totalRetransmissions > 0 { window.segments = 1 }
      if segment.flags.contains(.fin) || segment.payload > 0 {
        // Data or FIN on a SYN-ACK is legal: it follows the SYN.
        skb.tcp.sequence = segment.sequence + 1
        queueData(skb, host: &host)
        if peerFinSeen { _ = processFin(host: &host) }
      } else {
        _ = consume skb
      }
      sendAck(host: &host)
      sendPending(host: &host)
      return []
    }
    // Simultaneous open: answer with SYN-ACK (RFC 9293 3.5, figure 7).
    setState(.synReceived, net: &host.net)
    if let head = scoreboard.queue.first {
      scoreboard.answerSYN()
      _ = transmitHead(head, in: .retransmit, host: &host)
    }
    _ = consume skb
    return []
  }

  /// Whether a SYN-ACK echoes a time between our first SYN and now, or nothing: another is an old duplicate's
  /// (RFC 7323 section 3.2). Linux: `tcp_rcv_synsent_state_process()`.
  private func isOurTimestamp(_ segment: IncomingSegment, now: Instant) -> Bool {
    let echo = segment.options.timestampEcho
    let first = timestamp(retransmitStamp)
    return echo == 0 || timestamp(now) &- first >= echo &- first
  }

  /// What the peer's SYN says about it.
  mutating func acceptPeerSyn(_ segment: IncomingSegment, net: borrowing Net) {
    rcvNxt = segment.sequence + 1
    rcvWup = rcvNxt
    copiedSeq = rcvNxt
    initialReceive = segment.sequence
    hasWindowScale = net.settings.tcpWindowScaling && segment.options.windowScale != nil
    if hasWindowScale {
      sndWscale = Int(segment.options.windowScale ?? 0)
    } else {
      sndWscale = 0
      rcvWscale = 0
      windowClamp = min(windowClamp, 65535)
    }
    scoreboard.hasSACK = net.settings.tcpSack && segment.options.sackPermitted
    hasTimestamps = net.settings.tcpTimestamps && segment.options.hasTimestamps
    if hasTimestamps {
      tsRecent = segment.options.timestampValue
      tsRecentAt = net.now
    }
    // TCP_MAXSEG counts until here: what the handshake has agreed on stays.
    peerMSS = options.maximumSegment.map { min($0, segment.peerMSS) } ?? segment.peerMSS
    sndWnd = segment.window
    maxWindow = segment.window
    syncMSS(mtu: mssPathMTU > 0 ? mssPathMTU : 1500)
    rcvMSS = min(max(min(advertisedMSS, mssCache), Self.leastMSS), 536)
  }

  /// The handshake is done: sizes the buffers, starts keep-alive. Linux: `tcp_init_transfer()`.
  mutating func finishHandshake(net: inout Net) {
    setState(.established, net: &net)
    syncMSS(mtu: mssPathMTU > 0 ? mssPathMTU : 1500)
    pushedSeq = writeSeq
    readSpace.sequence = copiedSeq
    readSpace.since = net.now
    readSpace.space = min(rcvWnd, CongestionWindow.initialSegments * advertisedMSS)
    maxPacketsSeq = sndNxt
    lastReceived = net.now
    lastSent = net.now
    retransmitStamp = .origin
    retransmits = 0
    if !rtt.hasSample { rtt.useInitialFallback() }
    applyKeepAlive(net: net)
    noSpace = true
    checkWriterSpace(net: &net)
    net.wake(id)
  }
}
