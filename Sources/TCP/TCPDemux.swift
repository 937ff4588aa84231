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
    host.net.counters.count(.TcpInSegs, by: UInt64(max(1, skb.gsoSegments)))
    guard skb.packetType == .host else {
      skb.drop(.otherHost)
      return
    }
    guard skb.mayPull(TCPHeader.minimumByteCount),
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
    var resetKey: [UInt8]?
    if options.isSigned || signatures.areInUse || authenticates {
      let refusal = refuseSignature(skb, tcp, options, tuple, by: skb.interface, net: &host.net)
      if let refusal { return skb.drop(refusal) }
      if let signature = options.signature {
        resetKey = self.resetKey(for: skb, tcp, signature, tuple, by: skb.interface)
      }
    }
    skb.pull(tcp.headerByteCount)
    let extra = (tcp.flags.contains(.syn) ? 1 : 0) + (tcp.flags.contains(.fin) ? 1 : 0)
    let segment = IncomingSegment(
      sequence: tcp.sequence, endSequence: tcp.sequence + skb.length + extra,
      acknowledgment: tcp.acknowledgment,
      flags: tcp.flags, window: Int(tcp.window), payload: skb.length, options: options,
      urgentPointer: tcp.urgentPointer, headerByteCount: UInt8(tcp.headerByteCount),
      networkMark: header.typeOfService & ECNCodepoint.mask)
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
          var reset = ControlReply.reset(for: segment, tuple: tuple, by: device, signing: signing)
          reset.sendOptions.mark = sockets[index].core.options.mark
          reset.user = sockets[index].core.user
          reset.send(host: &host)
        }
      }
      settle(index, verdict, net: &host.net)
    case .request(let slot):
      receiveForRequest(slot, skb, segment, host: &host)
    case .timeWait(let slot):
      if isNewConnection(slot, segment, now: host.net.now),
        let listener = findListener(tuple, by: interface)
      {
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
      skb.drop(.noSocket)
      return
    }
    let listener = findListener(tuple, by: interface)
    guard let listener, !segment.flags.contains(.ack) else {
      skb.drop(.noSocket)
      // Whoever signs believes only what is signed.
      guard segment.options.signature == nil || resetKey != nil, segment.options.authentication == nil
      else { return }
      ControlReply.reset(for: segment, tuple: tuple, signing: SegmentSigning(resetKey)).send(host: &host)
      return
    }
    guard segment.flags.contains(.syn), !segment.flags.contains(.fin) else {
      skb.drop(.tcpFlags)
      return
    }
    openRequest(listener, skb, segment, tuple, initial: nil, typeOfService: typeOfService, host: &host)
  }

  /// A SYN for a listener.
  private mutating func openRequest(
    _ listener: Int, _ skb: consuming SkBuff, _ segment: IncomingSegment, _ tuple: FourTuple,
    initial: SequenceNumber?, typeOfService: UInt8, host: inout Host
  ) {
    var answer = FastOpenAnswer()
    let refusal = requestConnection(
      listener, segment, tuple, initial: initial, typeOfService: typeOfService,
      options: Self.answerOptions(to: skb, host.internet), &answer, host: &host)
    if let refusal {
      skb.drop(refusal)
    } else if let child = answer.child {
      openWithData(child, listener: listener, skb, segment, answer.cookie, host: &host)
    } else {
      skb.consumed()
    }
  }

  /// The IP options that the connection of a SYN has; `nil`: none. Linux: `tcp_v4_save_options()`.
  private static func answerOptions(
    to skb: borrowing SkBuff, _ internet: borrowing IPv4Layer
  ) -> SocketIPOptions? {
    guard let network = skb.networkHeaderOffset, let transport = skb.transportHeaderOffset,
      transport - network > IPv4Header.minimumByteCount
    else { return nil }
    let header = skb.pulledHeaders()
    guard header.count >= transport - network else { return nil }
    // Safe: a byte has no padding.
    let echo = IPv4Options.echo(of: unsafe header.span.bytes.extracting(0..<transport - network))
    guard !echo.isEmpty,
      // Safe: as above.
      let list = try? IPv4OptionList(
        sending: unsafe echo.span.bytes, isPrivileged: true, isElsewhere: { internet.isElsewhere($0) })
    else { return nil }
    return SocketIPOptions(echo, list)
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
    _ = sockets[index].processAck(segment, host: &host)
    sockets[index].sender.sndWnd =
      segment.flags.contains(.syn) ? segment.window : segment.window << sockets[index].sender.sndWscale
    sockets[index].finishHandshake(net: &host.net)
    if segment.flags.contains(.syn) {
      _ = consume skb
      sockets[index].sendAck(host: &host)
      return []
    }
    return sockets[index].receiveSynchronised(skb, segment, host: &host)
  }

  // MARK: ICMP

  /// An error message about one of our segments, already found to quote it. Linux: `tcp_v4_err()`.
  public mutating func error(_ report: TransportError, host: inout Host) {
    let tuple = FourTuple(local: report.local, remote: report.remote)
    let index: Int
    switch findConnection(tuple, by: report.interface) {
    case .socket(let found): index = found
    case .request(let slot):
      requestFailed(slot, report, net: &host.net)
      return
    default: return
    }
    // Only a report that quotes something outstanding is believed (RFC 5927 4.1).
    if sockets[index].authentication != nil && ignores(report, for: index, net: &host.net) { return }
    let quoted = SequenceNumber(report.sequence)
    guard report.isLocal || quoted.isBetween(sockets[index].sender.sndUna, sockets[index].sender.sndNxt)
    else {
      host.net.counters.count(.TcpExtOutOfWindowIcmps)
      return
    }
    if let mtu = report.mtu {
      let discovery = sockets[index].core.options.pathMTUDiscovery
      if discovery.acceptsPathMTU {
        let flow = sockets[index].core.routingFlow(to: tuple.remote.port)
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
