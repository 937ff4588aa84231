import Neighbour
import NetDevice
import NetNamespace
import SkBuff
import Wire

/// Control messages (RFC 792, RFC 1122 section 3.2.2). Linux: `net/ipv4/icmp.c`.
extension IPv4Layer {
  // MARK: Input

  /// Data at the ICMP header. Linux: `icmp_rcv()`.
  mutating func receiveICMP(
    _ skb: consuming SkBuff, header: IPv4Header, link: inout LinkLayer, net: inout Net
  ) -> Input {
    net.counters.count(.IcmpInMsgs)
    if skb.checksumStatus != .unnecessary, !skb.checksum(from: 0, count: skb.length).isValid {
      net.counters.count(.IcmpInCsumErrors)
      net.counters.count(.IcmpInErrors)
      skb.drop(.icmpChecksum)
      return .consumed
    }
    guard skb.mayPull(ICMPHeader.byteCount), let message = ICMPHeader(parsing: skb.linear) else {
      net.counters.count(.IcmpInErrors)
      skb.drop(.icmpInvalid)
      return .consumed
    }
    net.tracer.record(
      .icmp_rcv, skb: skb.serial, UInt64(message.kind.rawValue), UInt64(message.code))
    net.counters.countICMP(received: message.kind.rawValue)
    // RFC 8335, which nobody here asks or answers. Linux: `icmp_echo_enable_probe` 0.
    if message.kind == .extendedEchoRequest { return .consumed }
    if message.kind == .extendedEchoReply {
      skb.drop(.noSocket)
      return .consumed
    }
    if message.kind.rawValue > ICMPHeader.Kind.addressMaskReply.rawValue {
      // RFC 1122 section 3.2.2: a message of an unknown type is discarded.
      net.counters.count(.IcmpInErrors)
      skb.drop(.unknownEtherType)
      return .consumed
    }
    if !isLocal(header.destination) && !isForMany(message.kind, net: net) {
      net.counters.count(.IcmpInErrors)
      skb.drop(.invalidProtocol)
      return .consumed
    }
    switch message.kind {
    case .echoRequest:
      receiveEcho(skb, header: header, link: &link, net: &net)
      return .consumed
    case .timestampRequest:
      receiveTimestampRequest(skb, header: header, link: &link, net: &net)
      return .consumed
    case .echoReply:
      return .icmp(skb, header)
    case .destinationUnreachable, .timeExceeded, .parameterProblem, .redirect:
      if message.concernsNoSocket {
        skb.drop(.icmpInvalid)
        return .consumed
      }
      return receiveError(skb, message: message, header, net: &net)
    case .sourceQuench:
      // Obsolete (RFC 6633): nobody is told.
      guard skb.mayPull(min(skb.length, ICMPHeader.byteCount + IPv4Header.maximumByteCount + 8)),
        TransportError(
          about: skb.linear.extracting(droppingFirst: ICMPHeader.byteCount), kind: message.kind, code: 0,
          mtu: nil,
          offender: header.source, by: skb.interface, isLocal: false) != nil
      else {
        net.counters.count(.IcmpInErrors)
        skb.drop(.icmpInvalid)
        return .consumed
      }
      _ = consume skb
      return .consumed
    default:
      // The rest needs no answer.
      _ = consume skb
      return .consumed
    }
  }

  /// Whether a message sent to a group or to everybody is looked at: never one that would act on our sockets, questions
  /// only when we are to answer them (RFC 1122 sections 3.2.2.6 and 3.2.2.8).
  private func isForMany(_ kind: ICMPHeader.Kind, net: borrowing Net) -> Bool {
    switch kind {
    case .echoRequest, .timestampRequest: !net.settings.icmpIgnoreBroadcasts
    case .addressMaskRequest, .addressMaskReply: true
    default: false
    }
  }

  /// An error about a packet of ours. Linux: `icmp_unreach()`.
  private mutating func receiveError(
    _ skb: consuming SkBuff, message: ICMPHeader, _ header: IPv4Header, net: inout Net
  ) -> Input {
    let most = ICMPHeader.byteCount + TransportError.quotedByteCount
    guard skb.mayPull(min(skb.length, most)) else {
      skb.drop(.noMemory)
      return .consumed
    }
    var mtu: Int? = nil
    if message.kind == .destinationUnreachable,
      message.code == ICMPHeader.Unreachable.fragmentationNeeded
    {
      mtu = Int(message.rest & 0xFFFF)
    }
    var error = TransportError(
      about: skb.linear.extracting(droppingFirst: ICMPHeader.byteCount), kind: message.kind,
      code: message.code, mtu: mtu, offender: header.source, by: skb.interface, isLocal: false)
    if message.kind == .redirect { error?.gateway = IPv4Address(message.rest) }
    error?.bearer = ReportBearer(
      destination: header.destination, interface: skb.interface, timeToLive: header.timeToLive,
      typeOfService: header.typeOfService)
    // What it is about must have come from us.
    guard let error, let source = error.local.address.v4, isLocal(source) else {
      net.counters.count(.IcmpInErrors)
      skb.drop(.icmpInvalid)
      return .consumed
    }
    post(error)
    return .consumed
  }

  /// Sends an echo request back as its reply, in place. Linux: `icmp_echo()`.
  private mutating func receiveEcho(
    _ skb: consuming SkBuff, header: IPv4Header, link: inout LinkLayer, net: inout Net
  ) {
    guard let answer = answerOptions(to: skb) else { return skb.drop(.ipHeader) }
    guard Self.makeEchoReply(&skb) else {
      net.counters.count(.IcmpOutErrors)
      skb.drop(.noMemory)
      return
    }
    sendReply(skb, .echoReply, to: header, answer, link: &link, net: &net)
  }

  private static func makeEchoReply(_ skb: inout SkBuff) -> Bool {
    guard skb.unclone(), var bytes = skb.writable() else { return false }
    bytes.store8(ICMPHeader.Kind.echoReply.rawValue, ICMPHeader.Offset.kind)
    // Only the type changed, by 8 in the upper byte of the first word (RFC 1624).
    let old = UInt32(~bytes.bytes.load16(ICMPHeader.Offset.checksum))
    var sum = old &+ UInt32(~UInt16(0x0800))
    sum = (sum & 0xFFFF) + sum >> 16
    sum = (sum & 0xFFFF) + sum >> 16
    // All zeros would be wrong for a message of nothing but zeros; all ones are right for any.
    let checksum = ~UInt16(truncatingIfNeeded: sum)
    bytes.store16(checksum == 0 ? 0xFFFF : checksum, ICMPHeader.Offset.checksum)
    return true
  }

  /// Sends a timestamp request back with the time of day in it, as milliseconds since midnight UT (RFC 792).
  /// Linux: `icmp_timestamp()`.
  private mutating func receiveTimestampRequest(
    _ skb: consuming SkBuff, header: IPv4Header, link: inout LinkLayer, net: inout Net
  ) {
    // Of what it is sent with only the originator's time is looked at.
    guard skb.mayPull(ICMPHeader.byteCount + 4) else {
      net.counters.count(.IcmpInErrors)
      skb.drop(.packetTooSmall)
      return
    }
    guard let answer = answerOptions(to: skb) else { return skb.drop(.ipHeader) }
    guard Self.makeRoomForTimes(&skb),
      Self.makeTimestampReply(&skb, now: net.millisecondsSinceMidnight)
    else {
      net.counters.count(.IcmpOutErrors)
      skb.drop(.noMemory)
      return
    }
    sendReply(skb, .timestampReply, to: header, answer, link: &link, net: &net)
  }

  /// Makes a request as long as its answer. Linux: `icmp_param.head_len` of `icmp_timestamp()`.
  private static func makeRoomForTimes(_ skb: inout SkBuff) -> Bool {
    let byteCount = ICMPHeader.byteCount + 12
    if skb.length >= byteCount { return skb.mayPull(byteCount) && skb.unclone() && skb.trim(to: byteCount) }
    let missing = byteCount - skb.length
    guard skb.linearize(), skb.expandHead(headroom: skb.headroom, tailroom: missing) else { return false }
    skb.put(missing)
    return true
  }

  private static func makeTimestampReply(_ skb: inout SkBuff, now: UInt32) -> Bool {
    guard var bytes = skb.writable() else { return false }
    bytes.store8(ICMPHeader.Kind.timestampReply.rawValue, ICMPHeader.Offset.kind)
    bytes.store8(0, ICMPHeader.Offset.code)
    bytes.store16(0, ICMPHeader.Offset.checksum)
    bytes.store32(now, 12)
    bytes.store32(now, 16)
    var sum = InternetChecksum()
    sum.add(bytes.bytes)
    bytes.store16(sum.checksum, ICMPHeader.Offset.checksum)
    return true
  }

  /// The options of an answer to a packet whose header was taken off; `nil`: what it was to record has no room left, and it gets
  /// no answer. Linux: `ip_options_echo()`.
  private func answerOptions(to skb: borrowing SkBuff) -> IPv4OptionList? {
    let header = skb.pulledHeaders()
    // Safe: a byte has no padding.
    return header.count > IPv4Header.minimumByteCount
      ? answerOptions(toHeader: unsafe header.span.bytes) : IPv4OptionList()
  }
  /// - Parameter fault: where the option stands that an error is about.
  private func answerOptions(toHeader header: RawSpan, fault: Int? = nil) -> IPv4OptionList? {
    let end = Int(header.load8(IPv4Header.Offset.versionAndLength) & 0xF) * 4
    guard end > IPv4Header.minimumByteCount, end <= header.byteCount else { return IPv4OptionList() }
    let echo = IPv4Options.echo(of: header.extracting(0..<end), fault: fault)
    // Safe: a byte has no padding.
    return try? IPv4OptionList(
      sending: unsafe echo.span.bytes, isEcho: true, isPrivileged: true, isElsewhere: { isElsewhere($0) })
  }

  /// Sends the answer that a received packet was made into. Linux: `icmp_reply()`.
  private mutating func sendReply(
    _ skb: consuming SkBuff, _ kind: ICMPHeader.Kind, to header: IPv4Header, _ list: IPv4OptionList,
    link: inout LinkLayer, net: inout Net
  ) {
    let source = isLocal(header.destination) ? header.destination : nil
    let hop = list.firstHop ?? header.source
    guard
      var route = try? route(
        to: hop, from: source, onLink: list.isStrictRoute,
        flow: RoutingFlow(.icmp, typeOfService: header.typeOfService), counts: false, link: link, net: &net)
    else {
      skb.drop(.ipOutNoRoute)
      return
    }
    var reply = skb
    reply.orphan()
    reply.checksumStatus = .none
    reply.packetType = .host
    reply.timestamp = .origin
    reply.hash = 0
    reply.queueMapping = 0
    reply.priority = 0
    reply.setTransportHeader()
    var options = IPv4SendOptions(protocol: .icmp)
    options.typeOfService = header.typeOfService
    options.pmtuDiscovery = .dont
    options.optionByteCount = list.byteCount
    guard Self.push(list, onto: &reply, route: route, destination: header.source, net: net) else {
      net.counters.count(.IcmpOutErrors)
      reply.drop(.noMemory)
      return
    }
    net.counters.countICMP(sent: kind.rawValue)
    send(reply, route: &route, options: options, link: &link, net: &net)
  }

  /// Linux: `ip_push_pending_frames()`.
  private mutating func send(
    _ message: consuming SkBuff, route: inout Route, options: IPv4SendOptions, link: inout LinkLayer,
    net: inout Net
  ) {
    let result = output(message, route: &route, options: options, link: &link, net: &net)
    // A hook's refusal.
    if case .failed(.EPERM) = result { net.counters.count(.IpOutDiscards) }
  }

  // MARK: Errors

  /// Tells the sender of a received packet what was wrong with it, unless the rules or the limits forbid.
  /// Linux: `__icmp_send()`.
  ///
  /// - Parameters:
  ///   - skb: data at its transport header, network header marked; it ends here.
  ///   - reason: why the packet is thrown away, whether its sender hears of it or not; `nil`: it is a copy.
  ///   - info: the last four bytes of the ICMP header: the MTU, or the pointer in the upper byte.
  public mutating func sendICMPError(
    for skb: consuming SkBuff, reason: DropReason?, kind: ICMPHeader.Kind, code: UInt8, info: UInt32,
    link: inout LinkLayer, net: inout Net
  ) {
    guard let offset = skb.networkHeaderOffset, offset <= 0, -offset <= skb.headroom else {
      skb.end(reason)
      return
    }
    skb.push(-offset)
    guard let header = IPv4Header(parsing: skb.linear), mayReport(kind, about: skb, header) else {
      skb.end(reason)
      return
    }
    let isLimited =
      !(kind == .destinationUnreachable && code == ICMPHeader.Unreachable.fragmentationNeeded)
      && !header.source.isLoopback && kind != .redirect
    if isLimited {
      switch rateLimit.allow(header.source, net: &net) {
      case .allowed: break
      case .globalLimit:
        net.counters.count(.IcmpOutRateLimitGlobal)
        skb.end(reason)
        return
      case .hostLimit:
        net.counters.count(.IcmpOutRateLimitHost)
        skb.end(reason)
        return
      }
    }
    let own = isLocal(header.destination) ? header.destination : nil
    // Control precedence, ECN bits clear (RFC 1812 section 4.3.2.5).
    let typeOfService = (header.typeOfService & 0x1C) | 0xC0
    let flow = RoutingFlow.icmp(kind, code: code, typeOfService: typeOfService)
    // Of several next hops it goes by the one for what it is about. Linux: `icmp_route_lookup()`.
    let hash = routesByFlow ? pathHash(of: skb, header, net: net) : nil
    let fault = kind == .parameterProblem ? Int(info >> 24) : nil
    guard let list = answerOptions(toHeader: skb.linear, fault: fault),
      var route = try? route(
        to: list.firstHop ?? header.source, from: own, onLink: list.isStrictRoute, flow: flow, hash: hash,
        counts: false, link: link, net: &net)
    else {
      skb.end(reason)
      return
    }
    // As much of the packet as leaves the message within 576 bytes (RFC 1812 section 4.3.2.3).
    let room = min(route.mtu, 576) - IPv4Header.minimumByteCount - list.byteCount - ICMPHeader.byteCount
    let quoted = min(room, skb.length)
    // What was made ready for a device to sum is quoted as it came.
    if skb.checksumStatus == .partial && skb.socket == 0 && !skb.isGSO { _ = skb.completeChecksum() }
    let report = ICMPHeader(kind: kind, code: code, rest: info)
    guard var message = Self.message(report, quoting: skb, count: quoted, pool: net.pool) else {
      net.counters.count(.IcmpOutErrors)
      skb.end(reason)
      return
    }
    message.setTransportHeader()
    message.connection = hooks.connection(answering: skb, isError: true)
    var options = IPv4SendOptions(protocol: .icmp)
    options.typeOfService = typeOfService
    options.pmtuDiscovery = .dont
    options.optionByteCount = list.byteCount
    guard Self.push(list, onto: &message, route: route, destination: header.source, net: net) else {
      skb.end(reason)
      message.drop(.noMemory)
      net.counters.count(.IcmpOutErrors)
      return
    }
    net.counters.countICMP(sent: kind.rawValue)
    net.tracer.record(.icmp_send, skb: message.serial, UInt64(kind.rawValue), UInt64(code))
    skb.end(reason)
    send(message, route: &route, options: options, link: &link, net: &net)
  }

  private static func message(
    _ header: ICMPHeader, quoting skb: borrowing SkBuff, count: Int, pool: SkBuffPool
  ) -> SkBuff? {
    let headroom = NetDevice.neededHeadroom + IPv4Header.minimumByteCount
    guard
      var message = pool.allocate(headroom: headroom, linear: ICMPHeader.byteCount + count, use: .transit)
    else { return nil }
    message.put(ICMPHeader.byteCount)
    message.put(copying: skb, from: 0, count: count)
    guard write(header, to: &message) else { return nil }
    return message
  }

  private static func write(_ header: ICMPHeader, to message: inout SkBuff) -> Bool {
    guard var bytes = message.writable() else { return false }
    header.write(to: &bytes)
    var sum = InternetChecksum()
    sum.add(bytes.bytes)
    bytes.store16(sum.checksum, ICMPHeader.Offset.checksum)
    return true
  }

  private static let queries: [ICMPHeader.Kind] = [
    .echoRequest, .echoReply, .timestampRequest, .timestampReply, .addressMaskRequest, .addressMaskReply,
  ]

  /// RFC 1122 section 3.2.2: no error about an error, about what was sent to many, about a later fragment, or to a
  /// source that is no single host.
  private func mayReport(
    _ kind: ICMPHeader.Kind, about skb: borrowing SkBuff, _ header: IPv4Header
  ) -> Bool {
    guard skb.packetType == .host, header.fragmentOffset == 0 else {
      return false
    }
    if header.destination.isMulticast || local.lookup(header.destination)?.kind == .broadcast { return false }
    let source = header.source
    if source.isAny || source.isMulticast || source.isBroadcast { return false }
    if local.lookup(source)?.kind == .broadcast { return false }
    if header.protocol == .icmp {
      guard skb.headLength > header.headerByteCount else { return false }
      let inner = ICMPHeader.Kind(rawValue: skb.linear.load8(header.headerByteCount))
      // Of unknown types it is not known whether they are errors.
      return Self.queries.contains(inner)
    }
    return true
  }
}

extension SkBuff {
  /// Ends a packet that something was said about; a copy, which has no reason, is no drop.
  consuming func end(_ reason: DropReason?) {
    if let reason { drop(reason) } else { consumed() }
  }
}
