import NetDevice
import Neighbour
import NetNamespace
import Netfilter
import SkBuff
import Wire

/// What becomes of packets that somebody waits for at the hooks.
extension IPv4Layer {
  /// Ends a packet (data at its IP header) that a hook did not accept. Linux: `NF_DROP`, `nf_send_unreach()`.
  ///
  /// - Parameter interface: the device it came in by, or was to leave by.
  /// - Returns: what its sender hears: EPERM, whether it is told by an error too or not.
  @discardableResult
  mutating func refuse(
    _ skb: consuming SkBuff, verdict: HookVerdict, by interface: InterfaceIndex, link: inout LinkLayer,
    net: inout Net
  ) -> XmitResult {
    guard case .reject(let kind) = verdict.action, let header = Self.header(of: skb) else {
      skb.drop(.netfilterDrop)
      return .failed(.EPERM)
    }
    // What is damaged may be another's. Linux: `nf_ip_checksum()`.
    let isFromHere = isLocal(header.source)
    guard isFromHere || !header.protocol.isSummedWhole || skb.isSumValid(header) else {
      skb.drop(.netfilterDrop)
      return .failed(.EPERM)
    }
    guard let code = kind.code else {
      if let reset = resetSegment(answering: skb, header, net: &net) {
        sendReset(reset, to: header, link: &link, net: &net)
      }
      skb.drop(.netfilterDrop)
      return .failed(.EPERM)
    }
    if isFromHere {
      post(Self.localError(about: skb, code: code, mtu: nil, offender: header.source, by: interface))
      skb.drop(.netfilterDrop)
    } else {
      report(
        skb, header, .netfilterDrop, kind: .destinationUnreachable, code: code, info: 0, link: &link,
        net: &net)
    }
    return .failed(.EPERM)
  }

  /// What ends the connection of a segment that was not let through. Linux: `nf_reject_ip_tcphdr_put()`.
  ///
  /// - Returns: `nil` for a reset, for what is no segment, and for what was for many.
  private func resetSegment(answering skb: borrowing SkBuff, _ header: IPv4Header, net: inout Net) -> SkBuff?
  {
    // Linux: `RTCF_BROADCAST`, `RTCF_MULTICAST` of its way.
    guard !header.destination.isMulticast, !header.destination.isBroadcast,
      local.lookup(header.destination)?.kind != .broadcast
    else { return nil }
    guard header.protocol == .tcp, header.fragmentOffset == 0, skb.headLength >= header.headerByteCount,
      let segment = TCPHeader(parsing: skb.linear.extracting(droppingFirst: header.headerByteCount)),
      !segment.flags.contains(.rst)
    else { return nil }
    let payload = skb.length - header.headerByteCount - segment.headerByteCount
    var reset = TCPHeader(
      sourcePort: segment.destinationPort, destinationPort: segment.sourcePort,
      sequence: SequenceNumber(0), flags: [.rst])
    if segment.flags.contains(.ack) {
      reset.sequence = segment.acknowledgment
    } else {
      reset.flags.insert(.ack)
      reset.acknowledgment =
        segment.sequence + payload + (segment.flags.contains(.syn) ? 1 : 0)
        + (segment.flags.contains(.fin) ? 1 : 0)
    }
    let room = IPv4Header.minimumByteCount + NetDevice.neededHeadroom
    guard
      var packet = net.pool.allocate(headroom: room, linear: TCPHeader.minimumByteCount, use: .transit)
    else { return nil }
    packet.put(TCPHeader.minimumByteCount)
    packet.connection = hooks.connection(answering: skb, isError: false)
    guard var bytes = packet.writable() else { return nil }
    reset.write(to: &bytes)
    var sum = InternetChecksum.pseudoHeader(
      source: header.destination, destination: header.source, protocol: .tcp,
      byteCount: TCPHeader.minimumByteCount)
    sum.add(bytes.bytes)
    bytes.store16(sum.checksum, TCPHeader.Offset.checksum)
    return packet
  }

  /// From whom the segment was meant for, whether that is us or not. Linux: `nf_send_reset()`.
  private mutating func sendReset(
    _ packet: consuming SkBuff, to header: IPv4Header, link: inout LinkLayer, net: inout Net
  ) {
    let ports = Self.ports(of: packet, at: 0)
    let flow = RoutingFlow(
      .tcp, sourcePort: ports?.source ?? 0, destinationPort: ports?.destination ?? 0)
    guard var route = try? route(to: header.source, from: nil, flow: flow, link: link, net: &net) else {
      packet.drop(.ipOutNoRoute)
      return
    }
    route.source = header.destination
    packet.setTransportHeader()
    var options = IPv4SendOptions(protocol: .tcp)
    options.pmtuDiscovery = .do
    _ = output(packet, route: &route, options: options, link: &link, net: &net)
  }

  // MARK: The way out

  /// What became of a packet of our own at the hooks of the way out.
  enum AskedPassage: ~Copyable {
    /// It goes on: by another way than it came with, if there is one.
    case passed(PassedPacket, Route?, isCongested: Bool)
    case stopped(SkBuff, HookVerdict)
    /// By an egress program, or without a way.
    case ended(XmitResult)
  }

  /// Asks who waits at `output`, looks for another way where what it depends on has changed, and asks who waits at
  /// `postrouting` and behind it. Linux: `__ip_local_out()`, `ip_route_me_harder()`, `ip_output()`, `ip_finish_output()`.
  ///
  /// - Parameters:
  ///   - asked: the device that its socket is bound to; `.none`: none. Whose socket it is does not count any more.
  ///   - byteCount: of the datagram that `skb` is the first piece of, or is.
  @inline(never)
  mutating func ask(
    _ skb: consuming SkBuff, route: Route, by asked: InterfaceIndex, byteCount: Int,
    link: borrowing LinkLayer, net: inout Net
  ) -> AskedPassage {
    var way = route
    var isOther = false
    if !hooks.isEmpty(.output) {
      guard let before = Self.header(of: skb) else {
        skb.drop(.ipHeader)
        return .ended(.dropped)
      }
      let mark = skb.mark
      let verdict = hooks.verdict(
        .output, on: &skb, before, interface: route.interface, nextHop: route.nextHop, byteCount: byteCount,
        net: &net)
      if !verdict.passes { return .stopped(skb, verdict) }
      guard let after = Self.header(of: skb) else {
        skb.drop(.ipHeader)
        return .ended(.dropped)
      }
      if after.destination != before.destination || after.source != before.source
        || skb.mark != mark && !policy.isDefault
      {
        let source = isLocal(after.source) ? after.source : nil
        guard
          let found = try? self.route(
            to: after.destination, from: source, by: asked, flow: flow(of: skb, after, mark: skb.mark),
            link: link, net: &net)
        else {
          skb.drop(.ipOutNoRoute)
          return .ended(.failed(.EHOSTUNREACH))
        }
        way = found
        isOther = true
      }
    }
    switch hooks.postrouting(
      skb, interface: way.interface, nextHop: way.nextHop, byteCount: byteCount, net: &net)
    {
    case .stopped(let skb, let verdict): return .stopped(skb, verdict)
    case .passed(let packet):
      switch hooks.egressVerdict(packet, interface: way.interface, byteCount: byteCount) {
      case .drop:
        packet.take().drop(.bpfCgroupEgress)
        return .ended(.failed(.EPERM))
      case .passCongested: return .passed(packet, isOther ? way : nil, isCongested: true)
      case .pass: return .passed(packet, isOther ? way : nil, isCongested: false)
      }
    }
  }

  /// A packet that was let go although its sender is to hear of congestion. Linux: `NET_XMIT_CN`.
  static func result(_ sent: XmitResult, isCongested: Bool) -> XmitResult {
    isCongested && sent == .success ? .congestion : sent
  }
}
