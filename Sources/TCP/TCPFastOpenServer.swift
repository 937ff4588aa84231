import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

/// What Fast Open makes of a SYN.
struct FastOpenAnswer {
  /// The connection that takes its data; `nil`: the handshake comes first.
  var child: Int?
  /// For the SYN-ACK.
  var cookie: FastOpenCookie?
}

// Data taken from the SYN of others (RFC 7413 section 4.2.2). Linux: `tcp_try_fastopen()`, `tcp_fastopen_create_child()`.
extension TCPLayer {
  /// `TCP_FASTOPEN`. Linux: `fastopen_queue_tune()`.
  public mutating func setFastOpenQueue(_ id: SocketID, _ length: Int, net: borrowing Net) throws(Errno) {
    let index = try slot(id)
    guard sockets[index].state == .close || sockets[index].state == .listen else { throw .EINVAL }
    sockets[index].options.fastOpenQueue = min(length, net.settings.maximumBacklog)
  }

  /// `TCP_FASTOPEN_KEY`.
  public mutating func setFastOpenKeys(_ id: SocketID, _ keys: FastOpenKeys) throws(Errno) {
    fastOpenKeys.bySocket[try slot(id)] = keys
  }

  /// What was set for the socket; `nil`: nothing. Linux: `tcp_fastopen_get_cipher()`.
  public func fastOpenKeys(_ id: SocketID) throws(Errno) -> FastOpenKeys? {
    fastOpenKeys.bySocket[try slot(id)]
  }

  /// The socket's keys, else the system's, else the stack's own. Linux: `tcp_fastopen_get_ctx()`.
  private func keys(_ index: Int, net: borrowing Net) -> FastOpenKeys {
    fastOpenKeys.bySocket[index] ?? net.settings.tcpFastOpenKeys ?? fastOpenKeys.own
  }

  public func state(_ id: SocketID) throws(Errno) -> TCPState { sockets[try slot(id)].state }

  // MARK: A SYN

  /// Whether the data of a SYN may be taken now, and the cookie to answer with.
  ///
  /// - Returns: whether it may.
  mutating func tryFastOpen(
    _ listener: Int, _ segment: IncomingSegment, _ tuple: FourTuple, _ answer: inout FastOpenAnswer,
    net: inout Net
  ) -> Bool {
    let use = net.settings.tcpFastOpen
    let parent = listeners[listener].socket
    let offered = segment.options.fastOpen
    if offered?.isRequest ?? false { net.counters.count(.TcpExtTCPFastOpenCookieReqd) }
    guard use.contains(.server), segment.payload > 0 || offered != nil,
      listeners[listener].fastOpen.hasRoom(sockets[parent].options.fastOpenQueue, net: &net)
    else { return false }
    if use.contains(.serverWithoutCookie) || sockets[parent].options.fastOpenWithoutCookie { return true }
    guard let offered else { return false }
    let keys = keys(parent, net: net)
    guard var cookie = Self.cookie(for: tuple, keys.primary) else { return false }
    cookie.isExperimental = offered.isExperimental
    if offered.isRequest {
      answer.cookie = cookie
      return false
    }
    if offered.hasBytes(of: cookie) { return true }
    // A client that does not know the new key yet gets in, and is told.
    answer.cookie = cookie
    if let backup = keys.backup, let old = Self.cookie(for: tuple, backup), offered.hasBytes(of: old) {
      net.counters.count(.TcpExtTCPFastOpenPassiveAltKey)
      return true
    }
    net.counters.count(.TcpExtTCPFastOpenPassiveFail)
    return false
  }

  /// SipHash of both addresses. Linux: `__tcp_fastopen_cookie_gen_cipher()`.
  private static func cookie(for tuple: FourTuple, _ key: FastOpenKeys.Key) -> FastOpenCookie? {
    guard let client = tuple.remote.address.v4, let server = tuple.local.address.v4 else { return nil }
    let hash = SipHash(key: (key.first, key.second))
    let addresses = UInt64(client.rawValue.byteSwapped) | UInt64(server.rawValue.byteSwapped) << 32
    return FastOpenCookie(low: hash.hash(addresses), byteCount: 8)
  }

  /// A child that exists before its handshake is over: takes the data, answers SYN-ACK, and waits to be accepted.
  mutating func openWithData(
    _ child: Int, listener: Int, _ skb: consuming SkBuff, _ segment: IncomingSegment,
    _ cookie: FastOpenCookie?, host: inout Host
  ) {
    sockets[child].takeSynData(skb, segment, cookie, host: &host)
    listeners[listener].fastOpen.enter()
    fastOpenParents[child] = listeners[listener].id
    listeners[listener].append(sockets[child].id)
    host.net.counters.count(.TcpExtTCPFastOpenPassive)
    host.net.counters.count(.TcpPassiveOpens)
    host.net.wake(listeners[listener].id)
    settle(child, net: &host.net)
  }

  // MARK: Until the handshake is over

  /// A segment for such a child. Linux: `tcp_check_req()` with `fastopen`, SYN-RECEIVED in `tcp_rcv_state_process()`.
  mutating func receiveForPassive(
    _ index: Int, _ skb: consuming SkBuff, _ segment: IncomingSegment, host: inout Host
  ) -> SegmentVerdict {
    let isSyn = segment.flags.contains(.syn) && segment.flags.isDisjoint(with: [.ack, .rst])
    if isSyn && segment.sequence == sockets[index].receiver.initialReceive {
      // The SYN again: our SYN-ACK was lost.
      skb.drop(.tcpInvalidSYN)
      if sockets[index].receiver.answers.admits(.TcpExtTCPACKSkippedSynRecv, net: &host.net) {
        sockets[index].repeatSynAck(host: &host)
      }
      return []
    }
    let next = sockets[index].receiver.rcvNxt
    if segment.flags.contains(.syn), !segment.flags.contains(.rst), !segment.sequence.isBefore(next),
      !segment.sequence.isAfter(next + sockets[index].receiver.receiveWindow)
    {
      // Another SYN: its sender is reset, the connection is not. Linux: `embryonic_reset` of `tcp_check_req()`.
      skb.drop(.tcpInvalidSYN)
      return .reset
    }
    let wasOpen = sockets[index].state
    if let refusal = sockets[index].refuse(segment, host: &host) {
      skb.drop(refusal.reason)
      if sockets[index].state == .close && wasOpen != .close {
        endFastOpen(index, isReset: true, now: host.net.now)
      }
      return refusal.answer
    }
    guard segment.flags.contains(.ack) else {
      skb.drop(.tcpFlags)
      return []
    }
    guard segment.acknowledgment.isAfter(sockets[index].sender.sndUna),
      !segment.acknowledgment.isAfter(sockets[index].sender.sndNxt)
    else {
      // It is of another connection (RFC 9293 3.10.7.4, SYN-RECEIVED): its sender is reset, this one is not.
      skb.drop(.tcpInvalidAcknowledgment)
      return .reset
    }
    endFastOpen(index, isReset: false, now: host.net.now)
    sockets[index].finishPassiveHandshake(net: &host.net)
    let verdict = sockets[index].receiveSynchronised(skb, segment, host: &host)
    // The SYN-ACK's number was none of its bytes.
    if sockets[index].sender.bytesAcknowledged > 0 { sockets[index].sender.bytesAcknowledged -= 1 }
    sendAwaitedFin(index, host: &host)
    return verdict
  }

  /// The handshake of such a child is over, or the child. Linux: `reqsk_fastopen_remove()`.
  mutating func endFastOpen(_ index: Int, isReset: Bool, now: Instant) {
    guard let parent = fastOpenParents.removeValue(forKey: index) else { return }
    sockets[index].fastOpen.remove(.isPassive)
    guard sockets.holds(parent), let listener = sockets[parent.index].listener else { return }
    // A child that nobody has accepted still counts in the backlog.
    listeners[listener].fastOpen.leave(
      isReset: isReset && sockets[index].connectPhase == .connected, now: now)
  }
}

/// Keys of cookies. Linux: `tcp_fastopen_ctx`.
struct FastOpenKeyTable {
  var bySocket: [Int: FastOpenKeys] = [:]
  /// What nobody has set: one for all shards of a stack.
  var own: FastOpenKeys
}

extension TCPConnection {
  /// Data that came with the SYN, and the SYN-ACK that acknowledges it. Linux: `tcp_fastopen_add_skb()`.
  mutating func takeSynData(
    _ skb: consuming SkBuff, _ segment: IncomingSegment, _ cookie: FastOpenCookie?, host: inout Host
  ) {
    fastOpen.formUnion([.isPassive, .isChild])
    if segment.payload > 0 {
      fastOpen.insert(.synDataAcked)
      skb.tcp.sequence = segment.sequence + 1
      skb.tcp.flags.remove(.syn)
      // The SYN-ACK acknowledges it, which tells nothing about how the peer goes on.
      let ack = receiver.ack
      queueData(skb, host: &host)
      receiver.ack = ack
      receiver.rcvWup = receiver.rcvNxt
    } else {
      skb.consumed()
    }
    guard var answer = host.net.pool.allocate(headroom: Self.headroom, linear: 0, use: .guaranteed) else {
      return fail(.ENOBUFS, net: &host.net)
    }
    answer.tcp.sequence = sender.writeSeq
    answer.tcp.endSequence = sender.writeSeq + 1
    answer.tcp.flags = sender.ecn.contains(.isOn) ? [.syn, .ack, .ece] : [.syn, .ack]
    answer.tcp.segmentCount = 1
    sender.writeSeq += 1
    sender.writeQueuedMemory += answer.truesize
    sender.scoreboard.sent(answer)
    sender.scoreboard.synAckSent()
    if let head = sender.scoreboard.queue.first {
      _ = transmitHead(head, in: .retransmit, cookie: cookie, host: &host)
    }
    statistics.segmentsOut = 0
    sender.sndNxt = sender.writeSeq
    sender.pushedSeq = sender.writeSeq
    // Whatever the connection's own timeout is.
    timers.start(.retransmission, at: host.net.now + RTTEstimator.initialTimeout)
  }

  /// The SYN-ACK goes again, and nothing else before it is answered. As with the first, it is the listener's, and not counted
  /// among the connection's segments. Linux: `tcp_rtx_synack()`.
  mutating func repeatSynAck(host: inout Host) {
    guard let head = sender.scoreboard.queue.first else { return }
    let mss = currentMSS(host: &host)
    let before = statistics.segmentsOut
    _ = retransmit(head, segments: 1, mss: mss, host: &host)
    statistics.segmentsOut = before
    sender.scoreboard.synAckSent()
  }

  /// Linux: `tcp_fastopen_synack_timer()`.
  mutating func synAckExpired(host: inout Host) {
    // One more than without Fast Open.
    host.net.counters.count(.TcpExtTCPTimeouts)
    let most = options.synCount ?? host.net.settings.tcpSynackRetries + 1
    guard sender.retransmits < most else { return writeError(net: &host.net) }
    if sender.retransmits == 1 { sender.enterLoss(net: &host.net) }
    noteTimeout(now: host.net.now)
    repeatSynAck(host: &host)
    let wait = min(RTTEstimator.initialTimeout << sender.retransmits, sender.rtt.greatest)
    timers.start(.retransmission, at: host.net.now + wait)
  }

  /// The ACK of the SYN-ACK has come, and is still to be processed. Linux: `tcp_rcv_synrecv_state_fastopen()`.
  mutating func finishPassiveHandshake(net: inout Net) {
    sender.scoreboard.synAckAnswered()
    sender.retransmitStamp = .origin
    sender.retransmits = 0
    statistics.endTimeouts(now: net.now)
    guard state == .synReceived else { return }
    setState(.established, net: &net)
    applyKeepAlive(net: net)
    net.wake(id)
  }
}
