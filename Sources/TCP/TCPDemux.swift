import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import Timers
import Trace
import Wire

// A segment arrives. Linux: `tcp_v4_rcv()`.
extension TCPLayer {
  /// Takes a segment whose data begins at its TCP header.
  public mutating func receive(_ skb: consuming SkBuff, header: IPv4Header, host: inout Host) {
    // What was sent to everybody on the link counts for nothing.
    guard skb.packetType == .host else {
      skb.drop(.otherHost)
      return
    }
    host.net.counters.count(.TcpInSegs, by: UInt64(max(1, skb.gsoSegments)))
    guard skb.mayPull(TCPHeader.minimumByteCount) else {
      skb.drop(.packetTooSmall)
      return
    }
    guard
      skb.mayPull(Int(skb.linear.load8(TCPHeader.Offset.dataOffset) >> 4) * 4),
      let tcp = TCPHeader(parsing: skb.linear)
    else {
      host.net.counters.count(.TcpInErrs)
      skb.drop(.packetTooSmall)
      return
    }
    if skb.checksumStatus != .unnecessary && skb.checksumStatus != .partial {
      var sum = InternetChecksum.pseudoHeader(
        source: header.source, destination: header.destination, protocol: .tcp, byteCount: skb.length)
      sum.add(skb.checksum(from: 0, count: skb.length), at: 0)
      guard sum.isValid else {
        host.net.counters.count(.TcpInCsumErrors)
        host.net.counters.count(.TcpInErrs)
        skb.drop(.tcpChecksum)
        return
      }
    }
    let options = TCPOptions(parsing: skb.linear, headerByteCount: tcp.headerByteCount)
    let tuple = FourTuple(
      local: SocketAddress(header.destination, port: tcp.destinationPort),
      remote: SocketAddress(header.source, port: tcp.sourcePort))
    if options.isSigned || options.isMalformed || signatures.areInUse || authenticates {
      return receiveSigned(skb, header, tcp, options, tuple, host: &host)
    }
    receive(skb, header, tcp, options, tuple, nil, host: &host)
  }

  /// A segment whose signature is looked at, or missed.
  private mutating func receiveSigned(
    _ skb: consuming SkBuff, _ header: IPv4Header, _ tcp: TCPHeader, _ options: TCPOptions,
    _ tuple: FourTuple,
    host: inout Host
  ) {
    let refusal = refuseSignature(skb, tcp, options, tuple, by: skb.interface, net: &host.net)
    if let refusal { return skb.drop(refusal) }
    let resetKey = options.signature.flatMap {
      self.resetKey(for: skb, tcp, $0, tuple, by: skb.interface)
    }
    receive(skb, header, tcp, options, tuple, resetKey, host: &host)
  }

  /// - Parameter resetKey: what a reset is signed with, if there is nobody for the segment.
  @inline(__always)
  private mutating func receive(
    _ skb: consuming SkBuff, _ header: IPv4Header, _ tcp: TCPHeader, _ options: TCPOptions,
    _ tuple: FourTuple,
    _ resetKey: [UInt8]?, host: inout Host
  ) {
    skb.pull(tcp.headerByteCount)
    let extra = (tcp.flags.contains(.syn) ? 1 : 0) + (tcp.flags.contains(.fin) ? 1 : 0)
    let segment = IncomingSegment(
      sequence: tcp.sequence, endSequence: tcp.sequence + skb.length + extra,
      acknowledgment: tcp.acknowledgment,
      flags: tcp.flags, window: Int(tcp.window), payload: skb.length, options: options,
      urgentPointer: tcp.urgentPointer, headerByteCount: UInt8(tcp.headerByteCount),
      networkMark: header.typeOfService & ECNCodepoint.mask, reserved: tcp.reserved,
      timeToLive: header.timeToLive)
    skb.tcp.sequence = segment.sequence
    skb.tcp.endSequence = segment.endSequence
    skb.tcp.flags = tcp.flags
    host.net.tracer.record(
      .tcp_v4_rcv, skb: skb.serial, UInt64(segment.sequence.rawValue), UInt64(segment.payload),
      UInt64(tcp.flags.rawValue))
    dispatch(
      skb, segment, tuple, by: skb.interface, typeOfService: header.typeOfService, resetKey, host: &host)
  }

  private mutating func dispatch(
    _ skb: consuming SkBuff, _ segment: IncomingSegment, _ tuple: FourTuple, by interface: InterfaceIndex,
    typeOfService: UInt8, _ resetKey: [UInt8]?, host: inout Host
  ) {
    switch findConnection(tuple, by: interface) {
    case .socket(let index):
      if isTooFar(segment, for: index, net: &host.net) { return skb.drop(.tcpMinimumTTL) }
      let verdict: SegmentVerdict
      switch sockets[index].state {
      case .synSent:
        verdict = sockets[index].receiveInSynSent(skb, segment, &fastOpen, host: &host)
      case .synReceived where sockets[index].fastOpen.contains(.isPassive),
        .finWait1 where sockets[index].fastOpen.contains(.isPassive):
        verdict = receiveForPassive(index, skb, segment, host: &host)
      case .synReceived:
        verdict = receiveInSimultaneousOpen(index, skb, segment, host: &host)
      default:
        verdict = sockets[index].receiveSynchronised(skb, segment, host: &host)
      }
      if verdict.contains(.reset) {
        let device = sockets[index].core.options.boundDevice
        if let signing = sockets[index].resetSigning(segment) {
          var reset = ControlReply.reset(
            for: segment, typeOfService: typeOfService, tuple: tuple, by: device, signing: signing)
          reset.sendOptions.mark = sockets[index].core.options.mark
          reset.user = sockets[index].core.user
          reset.send(host: &host)
        }
      }
      settle(index, verdict, net: &host.net)
    case .request(let slot):
      receiveForRequest(slot, skb, segment, typeOfService: typeOfService, host: &host)
    case .timeWait(let slot):
      if isNewConnection(slot, segment, now: host.net.now),
        let listener = findListener(tuple, by: interface)
      {
        if isTooFar(segment, for: listeners[listener].socket, net: &host.net) {
          return skb.drop(.tcpMinimumTTL)
        }
        let floor = timeWaits[slot].nextInitialSequence
        endTimeWait(slot, net: &host.net)
        host.net.counters.count(.TcpExtTWRecycled)
        openRequest(
          listener, skb, segment, tuple, initial: floor, typeOfService: typeOfService, host: &host)
      } else {
        receiveInTimeWait(slot, segment, host: &host)
        skb.drop(.tcpClose)
      }
    case nil:
      receiveForStranger(
        skb, segment, tuple, by: interface, typeOfService: typeOfService, resetKey, host: &host)
    }
  }

  /// RFC 9293 3.10.7.1 and 3.10.7.2: a listener, or nobody.
  private mutating func receiveForStranger(
    _ skb: consuming SkBuff, _ segment: IncomingSegment, _ tuple: FourTuple, by interface: InterfaceIndex,
    typeOfService: UInt8, _ resetKey: [UInt8]?, host: inout Host
  ) {
    // TCP is between two hosts: nothing sent to a group is answered, not even with a reset (RFC 1122 4.2.3.10).
    guard !segment.flags.contains(.rst), host.isLocal(tuple.local.address) else {
      let isListener = segment.flags.contains(.rst) && findListener(tuple, by: interface) != nil
      skb.drop(isListener ? .tcpReset : .noSocket)
      return
    }
    let listener = findListener(tuple, by: interface)
    if let listener, isTooFar(segment, for: listeners[listener].socket, net: &host.net) {
      return skb.drop(.tcpMinimumTTL)
    }
    if let listener, segment.flags.contains(.ack),
      let slot = requestFromCookie(
        listener, segment, tuple, typeOfService: typeOfService,
        options: Self.answerOptions(to: skb, host.internet), host: &host)
    {
      return finishRequest(slot, skb, segment, host: &host)
    }
    guard let listener, !segment.flags.contains(.ack) else {
      let options = Self.resetOptions(to: skb, host.internet)
      skb.drop(listener == nil ? .noSocket : .tcpFlags)
      // Whoever signs believes only what is signed.
      guard segment.options.signature == nil || resetKey != nil, segment.options.authentication == nil
      else { return }
      guard let options else { return }
      var reset = ControlReply.reset(
        for: segment, typeOfService: typeOfService, tuple: tuple, signing: SegmentSigning(resetKey))
      reset.networkOptions = options
      reset.send(host: &host)
      return
    }
    guard segment.flags.contains(.syn), !segment.flags.contains(.fin) else {
      skb.drop(.tcpFlags)
      return
    }
    openRequest(listener, skb, segment, tuple, initial: nil, typeOfService: typeOfService, host: &host)
  }

  /// A neighbour's segments, which nobody further away can send: `IP_MINTTL` (RFC 5082).
  @inline(__always)
  private func isTooFar(_ segment: IncomingSegment, for socket: Int, net: inout Net) -> Bool {
    guard segment.timeToLive < sockets[socket].core.options.minimumTimeToLive else { return false }
    net.counters.count(.TcpExtTCPMinTTLDrop)
    return true
  }

  /// A SYN for a listener.
  private mutating func openRequest(
    _ listener: Int, _ skb: consuming SkBuff, _ segment: IncomingSegment, _ tuple: FourTuple,
    initial: SequenceNumber?, typeOfService: UInt8, host: inout Host
  ) {
    var answer = FastOpenAnswer()
    // Linux: `tcp_reqsk_record_syn()`.
    let saving = sockets[listeners[listener].socket].options.saveSyn
    let saved = saving == 0 ? [] : skb.pulledHeaders(fromLink: saving == 2)
    let refusal = requestConnection(
      listener, segment, tuple, initial: initial, typeOfService: typeOfService,
      options: Self.answerOptions(to: skb, host.internet), saved: saved, &answer, host: &host)
    if let refusal {
      skb.drop(refusal)
    } else if let child = answer.child {
      openWithData(child, listener: listener, skb, segment, answer.cookie, host: &host)
    } else {
      skb.consumed()
    }
  }

  /// The IP options of a reset that answers a packet; `nil`: they leave no room for what they ask for, and there is no reset.
  /// Linux: `ip_send_unicast_reply()`.
  private static func resetOptions(
    to skb: borrowing SkBuff, _ internet: borrowing IPv4Layer
  ) -> IPv4OptionList? {
    let echo = echo(of: skb)
    return echo.isEmpty ? IPv4OptionList() : list(of: echo, internet)
  }

  /// The IP options that the connection of a SYN has; `nil`: none. Linux: `tcp_v4_save_options()`.
  private static func answerOptions(
    to skb: borrowing SkBuff, _ internet: borrowing IPv4Layer
  ) -> SocketIPOptions? {
    let echo = echo(of: skb)
    guard !echo.isEmpty, let list = list(of: echo, internet) else { return nil }
    return SocketIPOptions(echo, list)
  }

  /// Empty: there are none to answer with.
  private static func echo(of skb: borrowing SkBuff) -> [UInt8] {
    guard let network = skb.networkHeaderOffset, let transport = skb.transportHeaderOffset,
      transport - network > IPv4Header.minimumByteCount
    else { return [] }
    let header = skb.pulledHeaders()
    guard header.count >= transport - network else { return [] }
    // Safe: a byte has no padding.
    return IPv4Options.echo(of: unsafe header.span.bytes.extracting(0..<transport - network))
  }

  private static func list(of echo: [UInt8], _ internet: borrowing IPv4Layer) -> IPv4OptionList? {
    // Safe: as above.
    try? IPv4OptionList(
      sending: unsafe echo.span.bytes, isEcho: true, isPrivileged: true,
      isElsewhere: { internet.isElsewhere($0) })
  }

  /// The ACK that ends a simultaneous open (RFC 9293 3.5, figure 7), or a repeated SYN.
  private mutating func receiveInSimultaneousOpen(
    _ index: Int, _ skb: consuming SkBuff, _ segment: IncomingSegment, host: inout Host
  ) -> SegmentVerdict {
    // The peer's SYN-ACK is older than what is expected now, and still the answer that is waited for. Linux: the exception
    // in `tcp_validate_incoming()`.
    let isAnswer =
      segment.flags.isSuperset(of: [.syn, .ack]) && !segment.flags.contains(.rst)
      && segment.sequence + 1 == sockets[index].receiver.rcvNxt
      && !segment.acknowledgment.isAfter(sockets[index].sender.sndNxt)
    if !isAnswer,
      let verdict = sockets[index].refuse(segment, host: &host)
    {
      skb.drop(verdict.reason)
      return verdict.answer
    }
    guard segment.flags.contains(.ack), segment.acknowledgment.isAfter(sockets[index].sender.sndUna),
      !segment.acknowledgment.isAfter(sockets[index].sender.sndNxt)
    else {
      skb.drop(.tcpFlags)
      return segment.flags.contains(.ack) ? .reset : []
    }
    let isSlow = sockets[index].hasLostHandshakeTwice(segment)
    _ = sockets[index].processAck(segment, host: &host)
    sockets[index].sender.sndWnd =
      segment.flags.contains(.syn) ? segment.window : segment.window << sockets[index].sender.sndWscale
    sockets[index].finishHandshake(isSlow: isSlow, net: &host.net)
    if segment.flags.contains(.syn) {
      _ = consume skb
      sendAwaitedFin(index, host: &host)
      sockets[index].sendAck(host: &host)
      return []
    }
    let verdict = sockets[index].receiveSynchronised(skb, segment, host: &host)
    sendAwaitedFin(index, host: &host)
    return verdict
  }

  // MARK: ICMP

  /// An error message about one of our segments, already found to quote it. Linux: `tcp_v4_err()`.
  public mutating func error(_ report: TransportError, host: inout Host) {
    let tuple = FourTuple(local: report.local, remote: report.remote)
    let index: Int
    switch findConnection(tuple, by: report.interface) {
    case .socket(let found): index = found
    case .request(let slot):
      if report.gateway == nil { requestFailed(slot, report, net: &host.net) }
      return
    case nil:
      if !report.isLocal { host.net.counters.count(.IcmpInErrors) }
      return
    default: return
    }
    guard report.isLocal || report.timeToLive >= sockets[index].core.options.minimumTimeToLive else {
      host.net.counters.count(.TcpExtTCPMinTTLDrop)
      return
    }
    // Only a report that quotes something outstanding is believed (RFC 5927 4.1).
    if sockets[index].authentication != nil && ignores(report, for: index, net: &host.net) { return }
    let quoted = SequenceNumber(report.sequence)
    guard report.isLocal || quoted.isBetween(sockets[index].sender.sndUna, sockets[index].sender.sndNxt)
    else {
      host.net.counters.count(.TcpExtOutOfWindowIcmps)
      return
    }
    if let gateway = report.gateway {
      let flow = sockets[index].core.routingFlow(to: tuple.remote.port, if: host.routesByFlow)
      return host.learnNextHop(gateway, from: report, flow: flow)
    }
    if let mtu = report.mtu {
      let discovery = sockets[index].core.options.pathMTUDiscovery
      if discovery.acceptsPathMTU {
        let flow = sockets[index].core.routingFlow(to: tuple.remote.port, if: host.routesByFlow)
        host.learnPathMTU(
          destination: tuple.remote.address, from: tuple.local.address, flow: flow, mtu: mtu)
      }
      // Without DF a router cuts what is on its way; what follows is cut to the new size here.
      if discovery != .dont && discovery.acceptsPathMTU {
        sockets[index].pathMTUReduced(host: &host)
      }
    } else {
      // One with Fast Open that was accepted is a connection like others. Linux: `fastopen && !fastopen->sk`.
      let isAccepted =
        sockets[index].fastOpen.contains(.isPassive) && sockets[index].connectPhase == .connected
      switch sockets[index].state {
      case .synSent where !isAccepted, .synReceived where !isAccepted:
        // Queued whoever asks, so that a connect() that fails can tell who refused it. Linux: `ip_icmp_error()`.
        sockets[index].core.queueError(ExtendedError(report))
        sockets[index].fail(report.errno, net: &host.net)
      default:
        if sockets[index].core.options.receiveErrors {
          // IP_RECVERR asks to be told at once; the connection goes on. Linux: `tcp_v4_err()`.
          sockets[index].core.pendingError = report.errno
          host.net.wake(sockets[index].id)
        } else {
          // RFC 1122 4.2.3.9: soft; reported if the connection then times out, or to who asks for SO_ERROR.
          sockets[index].core.softError = report.errno
        }
      }
    }
    settle(index, net: &host.net)
  }
}
