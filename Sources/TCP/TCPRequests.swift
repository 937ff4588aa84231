import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

// Connections that others open. Linux: `tcp_conn_request()`, `tcp_check_req()`.
extension TCPLayer {
  /// A SYN for a listener: remembers little, answers SYN-ACK.
  ///
  /// - Parameters:
  ///   - saved: the SYN's headers, where the listener keeps them.
  ///   - answer: says whether there is a child already, which is still to take the data and to answer.
  /// - Returns: why the SYN is to be dropped; `nil` when it was answered.
  mutating func requestConnection(
    _ listener: Int, _ segment: IncomingSegment, _ tuple: FourTuple, initial: SequenceNumber?,
    typeOfService: UInt8, options: SocketIPOptions?, saved: [UInt8], _ answer: inout FastOpenAnswer,
    host: inout Host
  ) -> DropReason? {
    guard let remote = tuple.remote.address.v4, !remote.isBroadcast, !remote.isMulticast,
      tuple.remote.port != 0
    else { return .ipInvalidSource }
    // Who comes back out of TIME-WAIT has shown that it is there.
    let isCookie = initial == nil && answersByCookie(listener, net: &host.net)
    if listeners[listener].isFull {
      host.net.counters.count(.TcpExtListenOverflows)
      host.net.counters.count(.TcpExtListenDrops)
      return .tcpListenOverflow
    }
    // Of no requests at all Linux takes one, too: it drops when more of them wait than the setting leaves room for.
    if host.net.settings.tcpSynCookies == 0,
      listeners[listener].requestCount >= max(1, host.net.settings.maximumSynBacklog)
    {
      // Under a flood the newest has the best chance: a real client answers within a round trip (RFC 4987 3.4).
      host.net.counters.count(.TcpExtTCPReqQFullDrop)
      host.net.counters.count(.TcpExtListenDrops)
      guard let oldest = listeners[listener].oldestRequest else { return .tcpListenOverflow }
      removeRequest(oldest, net: &host.net)
    }
    // Both leave no room for a block beside a signature. Linux: `tcp_synack_options()`.
    let isSigned = signatureKey(ofListener: listener, for: tuple.remote.address) != nil
    var hasSACK = host.net.settings.tcpSack && segment.options.sackPermitted
    let hasTimestamps =
      host.net.settings.tcpTimestamps && segment.options.hasTimestamps && !(isSigned && hasSACK)
    var windowScale = host.net.settings.tcpWindowScaling ? segment.options.windowScale : nil
    var ecn = Self.grantsECN(segment, isNeeded: needsECN(listener, net: host.net), net: host.net)
    if isCookie && !hasTimestamps {
      // Nothing would remember them.
      (hasSACK, windowScale, ecn) = (false, nil, [])
    }
    let device = self.device(ofListener: listener)
    let mss = advertisedMSS(listener, tuple, hop: options?.list.firstHop, by: device, host: &host)
    let window = initialWindow(
      listener, segment: mss - (hasTimestamps ? 12 : 0), isScaled: windowScale != nil, net: host.net)
    let number =
      isCookie
      ? cookieNumber(segment, tuple, net: &host.net)
      : initial ?? initialSequence(tuple, net: host.net)
    let request = RequestSocket(
      tuple: tuple, listener: listener, initialSend: number, initialReceive: segment.sequence,
      timestampOffset: timestampOffset(tuple), timestampRecent: segment.options.timestampValue,
      peerMSS: segment.peerMSS, advertisedMSS: mss, windowScale: windowScale,
      receiveWindowScale: UInt8(truncatingIfNeeded: window.scale), receiveWindow: window.offer,
      sackPermitted: hasSACK, hasTimestamps: hasTimestamps, typeOfService: typeOfService, device: device,
      ecn: ecn, synMark: segment.networkMark, isCookie: isCookie,
      authentication: segment.options.authentication.map(RequestAuthentication.init(asking:)),
      sentAt: host.net.now,
      sentTimestamps: (host.net.now.milliseconds32, host.net.now.milliseconds32),
      timeout: RTTEstimator.initialTimeout)
    let slot = requests.insert(request)
    if let options { requestOptions[slot] = options }
    if isCookie {
      sendSynAck(slot, host: &host)
      forget(slot)
      return nil
    }
    if !saved.isEmpty { savedSyns[slot] = saved }
    enqueueRequest(slot)
    enter(tuple, .request(slot))
    if tryFastOpen(listener, segment, tuple, &answer, net: &host.net) {
      if sockets.count < host.net.settings.maximumSockets {
        answer.child = makeChild(slot, segment, host: &host)
        return nil
      }
      host.net.counters.count(.TcpExtTCPFastOpenPassiveFail)
    }
    sendSynAck(slot, answer.cookie, host: &host)
    armRequest(slot, net: &host.net)
    return nil
  }

  /// What the options of a request's SYN answer with. Linux: `ireq_opt`.
  private func networkOptions(ofRequest slot: Int) -> SocketIPOptions? {
    requestOptions.isEmpty ? nil : requestOptions[slot]
  }

  /// The first window that a listener's connection offers: what the child will offer, too.
  func initialWindow(_ listener: Int, segment: Int, isScaled: Bool, net: borrowing Net) -> InitialWindow {
    let parent = listeners[listener].socket
    return InitialWindow(
      sockets[parent].options, buffer: sockets[parent].core.receiveBuffer,
      isFixed: sockets[parent].core.isReceiveBufferFixed, segment: segment, isScaled: isScaled, net: net)
  }

  mutating func enqueueRequest(_ slot: Int) {
    let older = listeners[requests[slot].listener].append(request: slot)
    requests[slot].older = older
    if let older { requests[older].newer = slot }
  }

  private mutating func armRequest(_ slot: Int, net: inout Net) {
    requests[slot].timer.arm(
      TimerKey(kind: .tcp, id: Self.requestTag | UInt32(slot), generation: requests.generation(slot)),
      at: net.now + requests[slot].timeout, in: &net.timers)
  }

  private mutating func sendSynAck(_ slot: Int, _ cookie: FastOpenCookie? = nil, host: inout Host) {
    let tuple = requests[slot].tuple
    guard let signing = requestSigning(slot, requests[slot].initialSend) else { return }
    var reply = ControlReply(
      tuple: tuple, sequence: requests[slot].initialSend, acknowledgment: requests[slot].initialReceive + 1,
      flags: requests[slot].ecn.contains(.isOn) ? [.syn, .ack, .ece] : [.syn, .ack], signing: signing)
    // The third one says nothing, so that it comes through (RFC 9768 section 3.2.3.2.2).
    if requests[slot].ecn.contains(.isAccurate) && requests[slot].timeouts <= 1 {
      reply.ace = AccurateECN.ace(answering: requests[slot].synMark)
    }
    reply.window = UInt16(truncatingIfNeeded: min(requests[slot].receiveWindow, 65535))
    reply.options.maximumSegmentSize = UInt16(truncatingIfNeeded: requests[slot].advertisedMSS)
    if requests[slot].hasTimestamps {
      reply.options.hasTimestamps = true
      var stamp = host.net.now.milliseconds32
      if requests[slot].isCookie { stamp = requests[slot].cookieOptions.timestamp(at: stamp) }
      reply.options.timestampValue = stamp &+ requests[slot].timestampOffset
      reply.options.timestampEcho = requests[slot].timestampRecent
      requests[slot].sentTimestamps.last = stamp
    }
    reply.options.sackPermitted = requests[slot].sackPermitted
    if requests[slot].windowScale != nil { reply.options.windowScale = requests[slot].receiveWindowScale }
    reply.options.fastOpen = cookie
    let room = TCPOptions.maximumByteCount - reply.signing.optionByteCount
    if reply.options.byteCount > room { reply.options.fastOpen = nil }
    // What tells that it is understood; again it may be what is not let through.
    if requests[slot].ecn.contains(.isAccurate) && requests[slot].retransmits == 0
      && host.net.settings.tcpECNOption > 0
    {
      reply.options.fit(MarkedByteCounts().option, least: 0, reserving: reply.signing.optionByteCount)
    }
    if let programs = sockets[listeners[requests[slot].listener].socket].core.programs, programs.writesOptions
    {
      reply.extra = programs.options(
        of: ProgramSegment(
          socket: sockets[listeners[requests[slot].listener].socket].id, ends: tuple, flags: reply.flags,
          sequence: reply.sequence, byteCount: 0, room: room - reply.options.byteCount))
      reply.options.extraByteCount = UInt8(reply.extra.count)
    }
    let listener = listeners[requests[slot].listener].socket
    reply.sendOptions = sockets[listener].core.options.sendOptions(.tcp)
    // RFC 8257 section 3.4.
    if !requests[slot].ecn.isEmpty && needsECN(requests[slot].listener, net: host.net) {
      reply.sendOptions.typeOfService |= ECNCodepoint.capable
    }
    if let options = networkOptions(ofRequest: slot) { reply.networkOptions = options.list }
    send(reply, for: slot, host: &host)
  }

  /// The congestion control of a listener's connections works by ECN. Linux: `tcp_ca_needs_ecn()`.
  private func needsECN(_ listener: Int, net: borrowing Net) -> Bool {
    let options = sockets[listeners[listener].socket].options
    return (options.congestionControl ?? net.settings.tcpCongestionControl) == .dctcp
  }

  /// Sends what answers for a request: by its device, with its listener's mark, as its listener's user.
  /// Linux: `inet_csk_route_req()`, `tcp_v4_send_ack()`.
  private func send(_ reply: ControlReply, for slot: Int, host: inout Host) {
    let listener = listeners[requests[slot].listener].socket
    var reply = reply
    reply.device = requests[slot].device
    reply.sendOptions.mark = sockets[listener].core.options.mark
    reply.user = sockets[listener].core.user
    reply.send(host: &host)
  }

  /// The SYN-ACK again, by the timer or because the SYN came again. Linux: `tcp_rtx_synack()`.
  private mutating func repeatSynAck(_ slot: Int, host: inout Host) {
    requests[slot].retransmits += 1
    host.net.counters.count(.TcpRetransSegs)
    host.net.counters.count(.TcpExtTCPSynRetrans)
    requests[slot].advertisedMSS = advertisedMSS(
      requests[slot].listener, requests[slot].tuple, hop: networkOptions(ofRequest: slot)?.list.firstHop,
      by: requests[slot].device, host: &host)
    sendSynAck(slot, host: &host)
  }

  func advertisedMSS(
    _ listener: Int, _ tuple: FourTuple, hop: IPv4Address? = nil, by device: InterfaceIndex, host: inout Host
  ) -> Int {
    let route = try? host.route(
      to: hop.map { IPAddress($0) } ?? tuple.remote.address, from: tuple.local.address, by: device,
      flow: requestFlow(listener, tuple, if: host.routesByFlow))
    return sockets[listeners[listener].socket].advertisedMSS(route)
  }

  /// What rules about routing tables may ask of a request's segments. Linux: `inet_csk_route_req()`.
  private func requestFlow(_ listener: Int, _ tuple: FourTuple, if isAsked: Bool) -> RoutingFlow {
    var flow = sockets[listeners[listener].socket].core.routingFlow(to: tuple.remote.port, if: isAsked)
    flow.sourcePort = tuple.local.port
    return flow
  }

  /// SYN-ACK again, or give up. Linux: `reqsk_timer_handler()`.
  mutating func requestExpired(_ slot: Int, host: inout Host) {
    // Linux: `tcp_syn_ack_timeout()`.
    host.net.counters.count(.TcpExtTCPTimeouts)
    guard !isHopeless(slot, net: host.net) else {
      removeRequest(slot, net: &host.net)
      return
    }
    let deferral = Int(sockets[listeners[requests[slot].listener].socket].options.deferAcceptRetransmits)
    // While a deferred connection waits for data nothing is sent; the last round of the deferral asks once more.
    let isDue = !requests[slot].isAcknowledged || requests[slot].timeouts >= deferral - 1
    requests[slot].timeouts += 1
    requests[slot].timeout = min(
      requests[slot].timeout << 1, sockets[listeners[requests[slot].listener].socket].sender.rtt.greatest)
    if isDue {
      repeatSynAck(slot, host: &host)
    }
    armRequest(slot, net: &host.net)
  }

  /// Whether a request has been asked often enough; a deferred one that was acknowledged may wait out its deferral.
  /// Linux: `syn_ack_recalc()`.
  private func isHopeless(_ slot: Int, net: borrowing Net) -> Bool {
    let timeouts = requests[slot].timeouts
    let deferral = Int(sockets[listeners[requests[slot].listener].socket].options.deferAcceptRetransmits)
    return timeouts >= net.settings.tcpSynackRetries
      && (!requests[slot].isAcknowledged || timeouts >= deferral)
  }

  mutating func removeRequest(_ slot: Int, net: inout Net) {
    requests[slot].timer.cancel(in: &net.timers)
    let request = forget(slot)
    connections.remove(request.tuple, .request(slot))
    if let older = request.older { requests[older].newer = request.newer }
    if let newer = request.newer { requests[newer].older = request.older }
    listeners[request.listener].remove(request: slot, older: request.older, newer: request.newer)
  }

  /// A request leaves its place; who knows of it has to be told first.
  @discardableResult
  private mutating func forget(_ slot: Int) -> RequestSocket {
    if !requestOptions.isEmpty { requestOptions[slot] = nil }
    if !savedSyns.isEmpty { savedSyns[slot] = nil }
    return requests.remove(slot)
  }

  private mutating func resetRequest(
    _ slot: Int, _ segment: IncomingSegment, typeOfService: UInt8, host: inout Host
  ) {
    let sequence = segment.flags.contains(.ack) ? segment.acknowledgment : SequenceNumber(0)
    guard let signing = requestSigning(slot, sequence) else { return }
    let reset = ControlReply.reset(
      for: segment, typeOfService: typeOfService, tuple: requests[slot].tuple, signing: signing)
    send(reset, for: slot, host: &host)
  }

  func signatureKey(ofRequest slot: Int) -> [UInt8]? {
    signatureKey(ofListener: requests[slot].listener, for: requests[slot].tuple.remote.address)
  }

  /// The ACK that an unacceptable segment is owed. Linux: `tcp_v4_reqsk_send_ack()`.
  ///
  /// - Parameter typeOfService: the segment's.
  private mutating func acknowledgeForRequest(_ slot: Int, typeOfService: UInt8, host: inout Host) {
    guard let signing = requestSigning(slot, requests[slot].initialSend + 1) else { return }
    var reply = ControlReply(
      tuple: requests[slot].tuple, sequence: requests[slot].initialSend + 1,
      acknowledgment: requests[slot].initialReceive + 1, flags: .ack, signing: signing)
    reply.sendOptions.typeOfService = typeOfService & ~ECNCodepoint.mask
    let window = requests[slot].receiveWindow >> Int(requests[slot].scale)
    reply.window = UInt16(truncatingIfNeeded: min(window, 65535))
    if requests[slot].hasTimestamps {
      reply.options.hasTimestamps = true
      reply.options.timestampValue = host.net.now.milliseconds32 &+ requests[slot].timestampOffset
      reply.options.timestampEcho = requests[slot].timestampRecent
    }
    send(reply, for: slot, host: &host)
  }

  /// An ICMP error that quotes our SYN-ACK: the peer cannot be reached, so nobody waits for it. Linux: `tcp_req_err()`.
  mutating func requestFailed(_ slot: Int, _ report: TransportError, net: inout Net) {
    guard report.isLocal || SequenceNumber(report.sequence) == requests[slot].initialSend else {
      net.counters.count(.TcpExtOutOfWindowIcmps)
      return
    }
    switch report.errno {
    case .EHOSTUNREACH, .ENETUNREACH, .EPROTO:
      net.counters.count(.TcpExtListenDrops)
      removeRequest(slot, net: &net)
    default: break
    }
  }

  /// Whether a segment echoes a time stamp that no SYN-ACK of the request had: it is forged, or another connection's.
  private func echoesOtherTime(_ slot: Int, _ segment: IncomingSegment) -> Bool {
    guard requests[slot].hasTimestamps, segment.options.hasTimestamps, !segment.flags.contains(.rst) else {
      return false
    }
    let echo = segment.options.timestampEcho &- requests[slot].timestampOffset
    guard segment.options.timestampEcho != 0 else { return false }
    let (first, last) = requests[slot].sentTimestamps
    return last &- first < echo &- first
  }

  /// A segment for a connection that waits for its last ACK. Linux: `tcp_check_req()`.
  mutating func receiveForRequest(
    _ slot: Int, _ skb: consuming SkBuff, _ segment: IncomingSegment, typeOfService: UInt8, host: inout Host
  ) {
    let next = requests[slot].initialReceive + 1
    var isOld = false
    if requests[slot].hasTimestamps && segment.options.hasTimestamps && !segment.flags.contains(.rst) {
      let recent = RecentTimestamp(value: requests[slot].timestampRecent, at: requests[slot].sentAt)
      isOld = !recent.admits(segment.options.timestampValue, now: host.net.now)
    }
    // ECN's bits on it are no matter (RFC 3168 6.1.1).
    let isSyn = segment.flags.contains(.syn) && segment.flags.isDisjoint(with: [.ack, .rst])
    if isSyn && segment.sequence == requests[slot].initialReceive && !isOld {
      // The SYN again: our SYN-ACK was lost. Not faster than twice a second (RFC 9293 3.10.7.4).
      skb.drop(.tcpInvalidSYN)
      if requests[slot].outOfWindow.admits(.TcpExtTCPACKSkippedSynRecv, net: &host.net) {
        repeatSynAck(slot, host: &host)
        // The answer to this one may come: the next is later.
        requests[slot].timer.cancel(in: &host.net.timers)
        armRequest(slot, net: &host.net)
      }
      return
    }
    if segment.flags.contains(.ack), !segment.flags.contains(.rst),
      segment.acknowledgment != requests[slot].initialSend + 1
    {
      // Wherever it stands it is of another connection: reset, and the request stays.
      skb.drop(.tcpInvalidAcknowledgment)
      resetRequest(slot, segment, typeOfService: typeOfService, host: &host)
      return
    }
    // Linux: `tcp_in_window()`.
    let end = next + max(requests[slot].receiveWindow, 1)
    let inWindow =
      segment.sequence == next || segment.endSequence.isAfter(next) && segment.sequence.isBefore(end)
      || segment.sequence == end && segment.endSequence == end
    let isForeign = echoesOtherTime(slot, segment)
    guard inWindow, !isOld, !isForeign else {
      if isOld {
        host.net.counters.count(.TcpExtPAWSEstab)
      } else if isForeign {
        host.net.counters.count(.TcpExtTSEcrRejected)
      }
      skb.drop(isOld || isForeign ? .tcpPAWS : .tcpInvalidSequence)
      if !segment.flags.contains(.rst)
        && requests[slot].outOfWindow.admits(segment, .TcpExtTCPACKSkippedSynRecv, net: &host.net)
      {
        acknowledgeForRequest(slot, typeOfService: typeOfService, host: &host)
      }
      return
    }
    if segment.flags.contains(.rst) {
      // RFC 5961 3.2: exact, or challenged.
      skb.drop(.tcpReset)
      if segment.sequence == next {
        host.net.counters.count(.TcpAttemptFails)
        host.net.counters.count(.TcpExtEmbryonicRsts)
        removeRequest(slot, net: &host.net)
      } else if requests[slot].outOfWindow.admits(.TcpExtTCPACKSkippedChallenge, net: &host.net) {
        host.net.counters.count(.TcpExtTCPChallengeACK)
        acknowledgeForRequest(slot, typeOfService: typeOfService, host: &host)
      }
      return
    }
    if segment.flags.contains(.syn) {
      skb.drop(.tcpInvalidSYN)
      resetRequest(slot, segment, typeOfService: typeOfService, host: &host)
      host.net.counters.count(.TcpAttemptFails)
      host.net.counters.count(.TcpExtEmbryonicRsts)
      removeRequest(slot, net: &host.net)
      return
    }
    guard segment.flags.contains(.ack) else {
      skb.drop(.tcpFlags)
      return
    }
    let listener = requests[slot].listener
    if requests[slot].timeouts < Int(sockets[listeners[listener].socket].options.deferAcceptRetransmits)
      && segment.endSequence == next
    {
      requests[slot].isAcknowledged = true
      host.net.counters.count(.TcpExtTCPDeferAcceptDrop)
      skb.drop(.tcpFlags)
      return
    }
    finishRequest(slot, skb, segment, host: &host)
  }

  /// The ACK that ends a handshake: there is a connection, if there is room for one.
  mutating func finishRequest(
    _ slot: Int, _ skb: consuming SkBuff, _ segment: IncomingSegment, host: inout Host
  ) {
    let listener = requests[slot].listener
    let isFull = listeners[listener].isFull
    guard !isFull, sockets.count < host.net.settings.maximumSockets else {
      // No room: the ACK is lost for now, the SYN-ACK's timer brings it again, or the peer's data, of a cookie.
      if isFull { host.net.counters.count(.TcpExtListenOverflows) }
      host.net.counters.count(.TcpExtListenDrops)
      if requests[slot].isCookie { removeRequest(slot, net: &host.net) }
      skb.drop(.tcpListenOverflow)
      return
    }
    let child = makeChild(slot, segment, host: &host)
    let verdict = sockets[child].receiveSynchronised(skb, segment, host: &host)
    listeners[listener].append(sockets[child].id)
    host.net.counters.count(.TcpPassiveOpens)
    host.net.wake(listeners[listener].id)
    settle(child, verdict, net: &host.net)
  }

  /// Keys of the listener that are for the peer.
  private mutating func takeAuthentication(_ slot: Int, _ child: inout TCPConnection) {
    let parent = listeners[requests[slot].listener].socket
    guard let asked = requests[slot].authentication, let peer = child.tuple.remote.address.v4 else { return }
    let taken = sockets[parent].authentication?.value.child(
      of: peer, asked: asked, local: requests[slot].initialSend, remote: requests[slot].initialReceive)
    // Without a key any more nothing that it sends or hears counts. Linux refuses to make it.
    child.authentication = Box((taken ?? nil) ?? Authentication())
  }

  /// A full socket from a request, which its SYN or the ACK that ends the handshake has brought about. Linux: `tcp_v4_syn_recv_sock()`, `tcp_create_openreq_child()`.
  private mutating func makeChild(_ slot: Int, _ segment: IncomingSegment, host: inout Host) -> Int {
    let index = sockets.reserve()
    let id = SocketID(.tcp, index: index, generation: sockets.generation(index))
    let listener = requests[slot].listener
    let parent = listeners[listener].socket
    var child = TCPConnection(id: id, family: sockets[parent].core.family, net: host.net)
    child.options = sockets[parent].options
    child.sender.rtt.limit(sockets[parent].sender.rtt.limits)
    child.core.inherit(sockets[parent].core)
    let device = requests[slot].device
    if child.core.options.boundDevice != device {
      child.core.options.boundIndex = Int32(device.rawValue)
    }
    child.core.tuple = requests[slot].tuple
    // The address that the listener asked for is the child's too, the port is not. Linux: `inet_csk_clone_lock()`.
    child.core.boundTo.address = sockets[parent].core.boundTo.address
    if let key = signatureKey(ofRequest: slot) {
      child.signatureKey = key
      if let peer = child.core.tuple.remote.address.v4, let only = IPv4Prefix(peer, length: 32) {
        signatures.set(key, of: index, for: only)
      }
    }
    takeAuthentication(slot, &child)
    child.noteSigning()
    if let options = networkOptions(ofRequest: slot) {
      child.core.ipOptions = options
      child.sender.networkOptionByteCount = UInt8(options.list.byteCount)
    }
    if let saved = savedSyns[slot] { child.core.savedSyn = saved }
    child.options.deferAcceptRetransmits = 0
    child.prepareCongestionControl(net: host.net)
    child.hasWindowScale = requests[slot].windowScale != nil
    _ = child.refreshRoute(host: &host)
    child.receiver.advertisedMSS = child.advertisedMSS(child.core.route)
    let headerOptions = requests[slot].hasTimestamps ? 12 : 0
    child.selectInitialWindow(segment: child.receiver.advertisedMSS - headerOptions, net: host.net)

    var opening = segment
    opening.sequence = requests[slot].initialReceive
    opening.options.windowScale = requests[slot].windowScale
    opening.options.sackPermitted = requests[slot].sackPermitted
    opening.options.hasTimestamps = requests[slot].hasTimestamps
    opening.options.maximumSegmentSize = UInt16(truncatingIfNeeded: requests[slot].peerMSS)
    // Only what a SYN says is not scaled.
    if !segment.flags.contains(.syn) { opening.window <<= Int(requests[slot].windowScale ?? 0) }
    child.acceptPeerSyn(opening, net: host.net)
    child.sender.ecn = requests[slot].ecn
    if requests[slot].ecn.contains(.isAccurate) {
      child.acceptAccurateECN(segment, mark: requests[slot].synMark, net: host.net)
    }
    child.receiver.recent.value = requests[slot].timestampRecent
    child.sender.timestampOffset = requests[slot].timestampOffset
    let initial = requests[slot].initialSend
    // With data in its SYN: the SYN-ACK is still to go, and the window is that of a SYN.
    let isEarly = segment.flags.contains(.syn)
    child.sender.begin(at: initial, next: isEarly ? initial : initial + 1)
    child.sender.sndWl1 = segment.sequence
    child.receiver.offer(requests[slot].receiveWindow)
    child.sender.sndWnd = isEarly ? segment.window : segment.window << child.sender.sndWscale
    child.sender.maxWindow = child.sender.sndWnd
    if isEarly {
      // Its RTT is yet to be known.
    } else if requests[slot].isCookie {
      // Only the echo tells when the SYN-ACK went. Linux: `tcp_ack_update_rtt()`.
      if let elapsed = requests[slot].elapsed(segment, now: host.net.now) {
        child.sender.rtt.sample(
          elapsed, acknowledged: child.sender.sndUna.rawValue, next: child.sender.sndNxt.rawValue,
          now: host.net.now)
      }
    } else if requests[slot].retransmits == 0 {
      child.sender.rtt.sample(
        host.net.now - requests[slot].sentAt, acknowledged: child.sender.sndUna.rawValue,
        next: child.sender.sndNxt.rawValue,
        now: host.net.now)
    } else {
      // RFC 6298 5.7: a lost SYN-ACK asks for caution.
      child.sender.rtt.useInitialFallback()
    }
    // The SYN-ACK arrived, and so had the SYN. Linux: `tcp_rcv_state_process()`, `tcp_create_openreq_child()`.
    if !isEarly { child.sender.scoreboard.handshakeDelivered() }
    child.statistics.segmentsIn = 1
    if requests[slot].timeouts > 0 {
      child.statistics.noteHandshakeTimeouts(
        requests[slot].timeouts, lasting: host.net.now - requests[slot].sentAt)
    }
    child.sender.pacingRate = child.core.options.maximumPacingRate
    child.isPacingAsked = sockets[parent].isPacingAsked
    child.finishHandshake(
      as: isEarly ? .synReceived : .established, isSlow: requests[slot].wasLostTwice(segment), net: &host.net)
    if !isEarly { child.updatePacingRate() }
    let tuple = child.core.tuple
    removeRequest(slot, net: &host.net)
    ports.share(
      &child.core.binding, with: sockets[parent].core.binding, address: tuple.local.address,
      port: tuple.local.port, device: device)
    let taken = sockets.insert(child)
    precondition(taken == index, "a reserved slab slot is the next one used")
    insert(tuple, socket: index)
    return index
  }
}
