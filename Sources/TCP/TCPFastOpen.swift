import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Timers
import Wire

// Data in the SYN of a connection that is opened here (RFC 7413 section 4.1.3). Linux: `net/ipv4/tcp_fastopen.c`.
extension TCPLayer {
  /// What a send does that opens the connection: `MSG_FASTOPEN`, and the first one after a deferred `connect()`.
  /// Linux: `tcp_sendmsg_fastopen()`.
  ///
  /// - Returns: bytes that went in the SYN, more than none; `nil`: the connection is there, and the send goes on.
  /// - Throws: `EINPROGRESS` when the SYN went without data; `EOPNOTSUPP` when the system does not allow it; `EINVAL`
  ///   without an address; `EISCONN`, `EALREADY`, and as `connect`.
  mutating func sendOpening(
    _ index: Int, to remote: SocketAddress?, _ iter: inout IovIter, host: inout Host
  ) throws(Errno) -> Int? {
    guard host.net.settings.tcpFastOpen.contains(.client) else { throw .EOPNOTSUPP }
    switch sockets[index].connectPhase {
    case .connected: throw .EISCONN
    case .disconnecting: throw .EINVAL
    case .connecting:
      guard sockets[index].fastOpen.contains(.isDeferred) else {
        if sockets[index].isOpening { throw .EALREADY }
        if let error = connectOutcome(index, net: host.net) { throw error }
        return nil
      }
      sockets[index].fastOpen.remove(.isDeferred)
    case .unconnected:
      guard sockets[index].state == .close else { throw .EISCONN }
      guard let remote else { throw .EINVAL }
      try prepareToConnect(index, to: remote, host: &host)
    }
    let offer = fastOpenOffer(index, net: host.net)
    let count = sockets[index].sendSyn(offer, &iter, host: &host)
    let isOpening = sockets[index].isOpening
    settle(index, net: &host.net)
    if !isOpening, let error = connectOutcome(index, net: host.net) { throw error }
    guard count > 0 else { throw .EINPROGRESS }
    return count
  }

  /// What may go in a SYN now. Linux: `tcp_fastopen_cookie_check()`.
  mutating func fastOpenOffer(_ index: Int, net: borrowing Net) -> FastOpenOffer {
    let known = fastOpen[sockets[index].tuple] ?? FastOpenCache.Entry()
    switch fastOpen.pauseState(net: net) {
    case .none: break
    case .trial: sockets[index].fastOpen.insert(.isTrial)
    case .pausing: return .none
    }
    if sockets[index].options.fastOpenWithoutCookie || net.settings.tcpFastOpen.contains(.clientWithoutCookie)
    {
      return .data(nil, mss: known.mss)
    }
    if let cookie = known.cookie { return .data(cookie, mss: known.mss) }
    sockets[index].fastOpenFailure = .cookieUnavailable
    var request = FastOpenCookie.request
    request.isExperimental = known.form == .experimental
    return .request(request)
  }

  /// Forgets the cookies of all servers. Linux: `ip tcp_metrics flush`.
  public mutating func forgetFastOpenCookies() { fastOpen.forgetAll() }

  /// A connection is over: whether its path loses what follows a SYN with data. Linux:
  /// `tcp_fastopen_active_disable_ofo_check()`.
  mutating func judgeFastOpen(_ index: Int, net: inout Net) {
    guard sockets[index].fastOpen.contains(.offered) else { return }
    if sockets[index].fastOpen.contains(.hadOnlyFin) {
      fastOpen.pause(net: &net)
    } else if sockets[index].fastOpen.contains(.isTrial), sockets[index].statistics.dataSegmentsIn > 0,
      sockets[index].core.route?.interface != .loopback
    {
      fastOpen.endTrial()
    }
  }
}

extension TCPConnection {
  /// The option that a SYN carries.
  mutating func offeredCookie(_ offer: FastOpenOffer) -> FastOpenCookie? {
    switch offer {
    case .none, .data(nil, _): return nil
    case .data(.some(let cookie), _):
      // Without data it asks whether there is a new one.
      fastOpen.insert(cookie.isExperimental ? [.offered, .offeredExperimental] : .offered)
      return cookie
    case .request(let request):
      fastOpen.insert(request.isExperimental ? [.offered, .offeredExperimental] : .offered)
      return request
    }
  }

  /// Sends the SYN with as much data as it holds; the data stays queued behind it as a packet of its own, for if it is
  /// not taken. Linux: `tcp_send_syn_data()`.
  ///
  /// - Returns: bytes of data; 0: nothing was sent.
  mutating func sendSynData(_ offer: FastOpenOffer, _ iter: inout IovIter, host: inout Host) -> Int {
    guard case .data(let cookie, let known) = offer, iter.count > 0, let head = sender.scoreboard.queue.first,
      hasRoute(host: &host)
    else { return 0 }
    let mss = known > 0 ? known : receiver.advertisedMSS
    sender.peerMSS = options.maximumSegment.map { min($0, mss) } ?? mss
    sender.syncMSS(mtu: core.route?.mtu ?? 1500)
    // Room for every option, also for those that boxes on the way add.
    let room = sender.segmentSize(packet: sender.mssPathMTU) - TCPOptions.maximumByteCount
    guard room > 0,
      var skb = host.net.pool.allocate(headroom: Self.headroom, linear: 0, use: .guaranteed)
    else { return 0 }
    var count = 0
    while count < room && iter.count > 0 {
      let (taken, fault) = skb.append(from: &iter, count: min(room - count, iter.count), use: .guaranteed)
      count += taken
      if fault || taken == 0 && host.net.pool.refillFragment(use: .guaranteed) == 0 { break }
    }
    guard count > 0 else { return 0 }
    skb.tcp.sequence = sender.scoreboard.queue[tcp: head].sequence
    skb.tcp.endSequence = sender.writeSeq + count
    skb.tcp.flags = sender.ecn.isEmpty ? .syn : [.syn, .ece, .cwr]
    skb.tcp.segmentCount = 1
    skb.tcp.segmentSize = UInt16(truncatingIfNeeded: count)
    sender.firstSentAt = host.net.now
    sender.deliveredAt = host.net.now
    skb.tcp.sentAt = host.net.now
    skb.tcp.firstSentAt = host.net.now
    skb.tcp.deliveredAt = host.net.now
    skb.tcp.isAppLimited = sender.appLimited != 0
    skb.socket = id.rawValue
    sender.scoreboard.sentWithData(at: host.net.now)
    sender.writeSeq += count
    sender.writeQueuedMemory += skb.truesize
    statistics.note(.busy, now: host.net.now)
    var isLost = true
    if let copy = skb.transmissionClone() {
      isLost = transmit(copy, cookie: offeredCookie(.data(cookie, mss: mss)), host: &host).isLost
    }
    skb.tcp.sequence += 1
    skb.tcp.flags = [.ack, .psh]
    if isLost {
      // The SYN goes alone, and the data when the connection is there.
      sender.writeQueue.append(skb)
      _ = transmitHead(head, in: .retransmit, cookie: offeredCookie(.request(.request)), host: &host)
    } else {
      fastOpen.insert(.synData)
      sender.scoreboard.sent(skb)
      host.net.counters.count(.TcpExtTCPOrigDataSent)
    }
    return count
  }

  /// What a SYN-ACK says about the cookie and the data that went with the SYN. Linux: `tcp_rcv_fastopen_synack()`.
  ///
  /// - Returns: whether the data was not taken; it has gone again.
  mutating func learnFastOpen(
    from segment: IncomingSegment, _ cache: inout FastOpenCache, host: inout Host
  ) -> Bool {
    guard !fastOpen.isDisjoint(with: [.offered, .synData]) else { return false }
    let head = fastOpen.contains(.synData) ? sender.scoreboard.queue.first : nil
    var next = FastOpenCache.Form.unknown
    let isUnanswered = segment.options.fastOpen == nil && fastOpen.isDisjoint(with: .synData)
    if fastOpen.contains(.offered) && isUnanswered && sender.totalRetransmissions == 0 {
      next = fastOpen.contains(.offeredExperimental) ? .standard : .experimental
    }
    cache.learn(
      tuple, mss: segment.peerMSS, cookie: fastOpen.contains(.offered) ? segment.options.fastOpen : nil,
      next: next)
    guard head != nil else {
      if fastOpen.contains(.synData) {
        fastOpen.insert(.synDataAcked)
        host.net.counters.count(.TcpExtTCPFastOpenActive)
        sender.scoreboard.synDataDelivered()
      }
      return false
    }
    fastOpenFailure = sender.totalRetransmissions > 0 ? .synRetransmitted : .dataNotAcknowledged
    host.net.counters.count(.TcpExtTCPFastOpenActiveFail)
    var place = head
    while let current = place {
      sender.markLostAgain(current, net: &host.net)
      place = sender.scoreboard.queue.position(after: current)
    }
    retransmitUncongested(host: &host)
    return true
  }

  /// A path may lose a connection because its SYN had data, at once or later: what times out is counted against it.
  /// Linux: `tcp_fastopen_active_detect_blackhole()`.
  mutating func detectBlackhole(isExpired: Bool, _ cache: inout FastOpenCache, net: inout Net) {
    guard !fastOpen.isDisjoint(with: [.offered, .synData, .synDataAcked]),
      sender.retransmits == 2 || sender.retransmits < 2 && isExpired
    else { return }
    cache.pause(net: &net)
    net.counters.count(.TcpExtTCPFastOpenActiveFail)
  }

  /// The out-of-order queue is about to go: whether it tells that the path has lost all data.
  mutating func noteLostData() {
    guard fastOpen.contains(.offered), statistics.dataSegmentsIn == 0, receiver.outOfOrder.hasOnlyFin else {
      return
    }
    fastOpen.insert(.hadOnlyFin)
  }
}
