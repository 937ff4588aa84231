import IPv4
import InetSocket
import Internet
import NetNamespace
import Timers
import Wire

// SYNs that are answered without keeping anything, when more wait than the listener has room for (RFC 4987 section 3.6).
// Linux: `tcp_syn_flood_action()`, `cookie_v4_check()`.
extension TCPLayer {
  /// Whether a SYN is answered by a cookie.
  mutating func answersByCookie(_ listener: Int, net: inout Net) -> Bool {
    let use = net.settings.tcpSynCookies
    guard use > 1 || use == 1 && listeners[listener].hasFullRequestQueue else { return false }
    net.counters.count(.TcpExtTCPReqQFullDoCookies)
    return true
  }

  private static func minute(_ now: Instant) -> UInt32 {
    UInt32(truncatingIfNeeded: now.nanoseconds / 60_000_000_000)
  }

  /// The number of the SYN-ACK, which the port remembers to have given.
  mutating func cookieNumber(
    _ segment: IncomingSegment, _ tuple: FourTuple, net: inout Net
  ) -> SequenceNumber {
    lastCookies[tuple.local.port] = net.now
    net.counters.count(.TcpExtSyncookiesSent)
    return SynCookie(tuple, keyed: keyed).number(
      initial: segment.sequence, segmentSize: segment.peerMSS, minute: Self.minute(net.now))
  }

  /// The request that an ACK's number tells of, made anew. Linux: `cookie_tcp_check()`, `cookie_timestamp_decode()`.
  ///
  /// - Returns: `nil` when it echoes no cookie of ours.
  mutating func requestFromCookie(
    _ listener: Int, _ segment: IncomingSegment, _ tuple: FourTuple, typeOfService: UInt8,
    options: SocketIPOptions?, host: inout Host
  ) -> Int? {
    let minutes = Nanoseconds.seconds(60 * Int64(SynCookie.age))
    guard host.net.settings.tcpSynCookies != 0, segment.flags.isDisjoint(with: [.syn, .rst]),
      let last = lastCookies[tuple.local.port], host.net.now - last <= minutes
    else { return nil }
    let (initialSend, initialReceive) = (segment.acknowledgment - 1, segment.sequence - 1)
    guard
      let peerMSS = SynCookie(tuple, keyed: keyed).segmentSize(
        of: initialSend, initial: initialReceive, minute: Self.minute(host.net.now))
    else {
      host.net.counters.count(.TcpExtSyncookiesFailed)
      return nil
    }
    host.net.counters.count(.TcpExtSyncookiesRecv)
    var asked = CookieOptions(windowScale: nil, sackPermitted: false, isECN: false)
    let offset = timestampOffset(tuple)
    if segment.options.hasTimestamps {
      guard host.net.settings.tcpTimestamps else { return nil }
      let echo = segment.options.timestampEcho
      asked = CookieOptions(timestamp: echo == 0 ? 0 : echo &- offset)
      // What was granted then and is not any more would be misunderstood.
      guard host.net.settings.tcpSack || !asked.sackPermitted,
        host.net.settings.tcpWindowScaling || asked.windowScale == nil
      else { return nil }
    }
    let device = self.device(ofListener: listener)
    let mss = advertisedMSS(listener, tuple, hop: options?.list.firstHop, by: device, host: &host)
    let window = initialWindow(
      listener, segment: mss - (segment.options.hasTimestamps ? 12 : 0), isScaled: asked.windowScale != nil,
      net: host.net)
    var request = RequestSocket(
      tuple: tuple, listener: listener, initialSend: initialSend, initialReceive: initialReceive,
      timestampOffset: offset, timestampRecent: segment.options.timestampValue, peerMSS: peerMSS,
      advertisedMSS: mss, windowScale: asked.windowScale,
      receiveWindowScale: UInt8(truncatingIfNeeded: window.scale), receiveWindow: window.offer,
      sackPermitted: asked.sackPermitted, hasTimestamps: segment.options.hasTimestamps,
      typeOfService: typeOfService, device: device, ecn: Self.grantedECN(asked, segment, net: host.net),
      authentication: segment.options.authentication.map(RequestAuthentication.init(asking:)),
      sentAt: host.net.now, sentTimestamps: (0, 0), timeout: RTTEstimator.initialTimeout)
    request.isCookie = true
    let slot = requests.insert(request)
    if let options { requestOptions[slot] = options }
    enqueueRequest(slot)
    enter(tuple, .request(slot))
    return slot
  }
}
