import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Wire

/// The way up: from a frame's payload to the transport. Linux: `net/ipv4/ip_input.c`, `route.c`.
extension IPv4Layer {
  /// What IP made of a received packet.
  public enum Input: ~Copyable {
    /// Dealt with here: ARP, ICMP, a fragment that waits, or dropped. News about a packet that was sent is what
    /// `takeTransportError()` has.
    case consumed
    /// Data at the transport header, which is marked, as is the network header; trimmed to the IP length, whole.
    case tcp(SkBuff, IPv4Header)
    case udp(SkBuff, IPv4Header)
    /// An echo reply, for a ping socket; its checksum is right.
    case icmp(SkBuff, IPv4Header)
  }

  /// A packet from a device or from the backlog, data at its network header. Linux: `ip_rcv()` to
  /// `ip_local_deliver()`, `arp_rcv()`.
  public mutating func receive(_ skb: consuming SkBuff, link: inout LinkLayer, net: inout Net) -> Input {
    guard skb.etherType == .ipv4 else {
      if skb.etherType == .arp {
        receiveARP(skb, link: &link, net: &net)
      } else if skb.etherType.isVLAN && skb.removePriorityTags() {
        return receive(skb, link: &link, net: &net)
      } else {
        skb.drop(.unknownEtherType)
      }
      return .consumed
    }
    let isLooped = skb.packetType == .loopback
    if isLooped {
      skb.packetType = .host
    } else if skb.packetType == .otherHost {
      skb.drop(.otherHost)
      return .consumed
    }
    net.counters.count(.IpInReceives)
    net.counters.count(.IpExtInOctets, by: UInt64(skb.length))
    guard skb.mayPull(IPv4Header.minimumByteCount) else {
      return headerError(skb, .packetTooSmall, net: &net)
    }
    let headerByteCount = Int(skb.linear.load8(IPv4Header.Offset.versionAndLength) & 0xF) &* 4
    guard skb.mayPull(headerByteCount), let header = IPv4Header(parsing: skb.linear) else {
      return refuseHeader(skb, net: &net)
    }
    skb.setNetworkHeader()
    net.tracer.record(
      .ip_rcv, skb: skb.serial, UInt64(header.totalByteCount), UInt64(header.protocol.rawValue),
      UInt64(header.source.rawValue))
    Self.countMark(header.typeOfService, segments: UInt64(max(1, skb.gsoSegments)), net: &net)
    if !isLooped {
      guard IPv4Header.isChecksumValid(skb.linear, byteCount: headerByteCount) else {
        net.counters.count(.IpExtInCsumErrors)
        return headerError(skb, .ipChecksum, net: &net)
      }
      guard header.totalByteCount <= skb.length else {
        net.counters.count(.IpExtInTruncatedPkts)
        skb.drop(.packetTooSmall)
        return .consumed
      }
      guard skb.trim(to: header.totalByteCount) else {
        net.counters.count(.IpInDiscards)
        skb.drop(.noMemory)
        return .consumed
      }
    }
    if !hooks.isEmpty(.prerouting) {
      return receiveAsked(skb, header: header, isLooped: isLooped, link: &link, net: &net)
    }
    return receivePassed(skb, header: header, isLooped: isLooped, link: &link, net: &net)
  }

  /// A packet that somebody wants to look at before its way is chosen.
  @inline(never)
  private mutating func receiveAsked(
    _ skb: consuming SkBuff, header: IPv4Header, isLooped: Bool, link: inout LinkLayer, net: inout Net
  ) -> Input {
    // Connections are told by ports, which only whole packets have. Linux: `nf_ct_ipv4_gather_frags()`.
    if header.isFragment && hooks.tracksConnections {
      return receiveFragment(skb, header: header, user: .tracking(isLooped: isLooped), link: &link, net: &net)
    }
    return passPrerouting(
      skb, header: header, isLooped: isLooped, largestFragment: 0, link: &link, net: &net)
  }

  /// - Parameter largestFragment: of what it was put together from just now; 0: it came whole.
  mutating func passPrerouting(
    _ skb: consuming SkBuff, header: IPv4Header, isLooped: Bool, largestFragment: Int, link: inout LinkLayer,
    net: inout Net
  ) -> Input {
    let interface = skb.interface
    let verdict = hooks.verdict(.prerouting, on: &skb, header, interface: interface, net: &net)
    guard verdict.passes else {
      skb.drop(.netfilterDrop)
      return .consumed
    }
    guard let header = Self.header(of: skb) else {
      skb.drop(.ipHeader)
      return .consumed
    }
    return receivePassed(
      skb, header: header, isLooped: isLooped, largestFragment: largestFragment, link: &link, net: &net)
  }

  /// Where to, and there. Linux: `ip_rcv_finish()`.
  @inline(__always)
  private mutating func receivePassed(
    _ skb: consuming SkBuff, header: IPv4Header, isLooped: Bool, largestFragment: Int = 0,
    link: inout LinkLayer, net: inout Net
  ) -> Input {
    // Most packets: for our first address, from a plain unicast source, no options, whole.
    let isPlain =
      header.destination == primary && !primary.isAny && skb.packetType == .host
      && header.headerByteCount == IPv4Header.minimumByteCount && !header.isFragment
      && net.settings.reversePathFilter == .off
    if !isPlain || !isPlainSource(header.source) {
      var audience = Audience.host
      switch destination(header, of: skb, isLooped: isLooped, net: &net) {
      case .here(let found): audience = found
      case .elsewhere:
        forward(skb, header: header, largestFragment: largestFragment, link: &link, net: &net)
        return .consumed
      case .nowhere(let reason):
        skb.drop(reason)
        return .consumed
      }
      if header.headerByteCount > IPv4Header.minimumByteCount {
        var recorded = IPv4Options.Recorded()
        switch takeOptions(of: &skb, header, &recorded, net: &net) {
        case .valid: break
        case .leadsOn(let place):
          return followRoute(
            skb, header, at: place, recorded, largestFragment: largestFragment, link: &link, net: &net)
        case let verdict:
          refuseOptions(verdict, of: skb, header, link: &link, net: &net)
          return .consumed
        }
      }
      count(audience, byteCount: skb.length, net: &net)
      if header.isFragment { return receiveFragment(skb, header: header, link: &link, net: &net) }
    }
    return deliver(skb, header: header, link: &link, net: &net)
  }

  /// Looks at a packet's options, and writes what they ask for, as far as they are well-formed. Linux: `ip_rcv_options()`.
  func takeOptions(
    of skb: inout SkBuff, _ header: IPv4Header, _ recorded: inout IPv4Options.Recorded,
    passesOn: Bool = false, net: inout Net
  ) -> IPv4Options.Verdict {
    let verdict = IPv4Options.check(
      skb.linear, headerByteCount: header.headerByteCount,
      acceptsSourceRoute: net.settings.acceptsSourceRoute, passesOn: passesOn)
    switch verdict {
    case .valid, .strictRoute, .leadsOn:
      recordOptions(of: &skb, header, to: header.headerByteCount, &recorded, net: net)
    case .sourceRoute: break
    case .malformed(let offset):
      net.counters.count(.IpInHdrErrors)
      recordOptions(of: &skb, header, to: offset, &recorded, net: net)
    }
    return verdict
  }

  mutating func refuseOptions(
    _ verdict: IPv4Options.Verdict, of skb: consuming SkBuff, _ header: IPv4Header, link: inout LinkLayer,
    net: inout Net
  ) {
    let offset: Int
    switch verdict {
    case .malformed(let place): offset = place
    // Where the destination lies: it should be ours.
    case .strictRoute: offset = IPv4Header.Offset.destination
    case .valid, .sourceRoute, .leadsOn:
      skb.drop(.ipHeader)
      return
    }
    skb.pull(header.headerByteCount)
    sendICMPError(
      for: skb, reason: .ipHeader, kind: .parameterProblem, code: 0, info: UInt32(offset) << 24, link: &link,
      net: &net)
  }

  /// Without memory they stay as they came.
  private func recordOptions(
    of skb: inout SkBuff, _ header: IPv4Header, to end: Int, _ recorded: inout IPv4Options.Recorded,
    net: borrowing Net
  ) {
    let own =
      isLocal(header.destination)
      ? header.destination : specificDestination(of: header.source, by: skb.interface)
    let time = net.millisecondsSinceMidnight
    guard skb.unclone(), var bytes = skb.writable() else { return }
    recorded = IPv4Options.record(
      in: &bytes, to: end, own: own, time: time,
      isElsewhere: { isElsewhere($0) })
    recorded.isChanged = true
  }

  /// Whether an address is another single host's. Linux: `inet_addr_type() == RTN_UNICAST`.
  public func isElsewhere(_ address: IPv4Address) -> Bool {
    !address.isMulticast && !address.isBroadcast && !address.isAny && local.lookup(address) == nil
  }

  /// The ECN field of what has come, whatever becomes of it.
  @inline(__always)
  private static func countMark(_ typeOfService: UInt8, segments: UInt64, net: inout Net) {
    switch typeOfService & 3 {
    case 0: net.counters.count(.IpExtInNoECTPkts, by: segments)
    case 1: net.counters.count(.IpExtInECT1Pkts, by: segments)
    case 2: net.counters.count(.IpExtInECT0Pkts, by: segments)
    default: net.counters.count(.IpExtInCEPkts, by: segments)
    }
  }

  /// A header that cannot be; of one that is only cut short, or longer than its packet, the ECN field counts all the same.
  @inline(never)
  private func refuseHeader(_ skb: consuming SkBuff, net: inout Net) -> Input {
    let first = skb.linear.load8(IPv4Header.Offset.versionAndLength)
    if first >> 4 == 4 && first & 0xF >= 5 {
      Self.countMark(skb.linear.load8(IPv4Header.Offset.typeOfService), segments: 1, net: &net)
    }
    return headerError(skb, .ipHeader, net: &net)
  }

  private func headerError(_ skb: consuming SkBuff, _ reason: DropReason, net: inout Net) -> Input {
    net.counters.count(.IpInHdrErrors)
    skb.drop(reason)
    return .consumed
  }

  /// Whether a source needs no second look: neither special nor ours nor a broadcast address of ours.
  @inline(__always)
  private mutating func isPlainSource(_ source: IPv4Address) -> Bool {
    if source == lastPlainSource && !source.isAny { return true }
    let first = source.rawValue >> 24
    guard first != 0 && first != 127 && first < 224 && local.lookup(source) == nil else { return false }
    lastPlainSource = source
    return true
  }

  /// What a received packet's destination is to us.
  private enum Destination {
    case here(Audience)
    case elsewhere
    case nowhere(DropReason)
  }
  /// Whom a packet that is for us is for, too.
  private enum Audience { case host, group, everybody }

  /// Only what has no bad options counts. Linux: the end of `ip_rcv_finish_core()`.
  private func count(_ audience: Audience, byteCount: Int, net: inout Net) {
    switch audience {
    case .host: break
    case .group:
      net.counters.count(.IpExtInMcastPkts)
      net.counters.count(.IpExtInMcastOctets, by: UInt64(byteCount))
    case .everybody:
      net.counters.count(.IpExtInBcastPkts)
      net.counters.count(.IpExtInBcastOctets, by: UInt64(byteCount))
    }
  }

  /// Source and destination validation. Linux: `ip_route_input_slow()`, `fib_validate_source()`.
  ///
  private func destination(
    _ header: IPv4Header, of skb: borrowing SkBuff, isLooped: Bool, net: inout Net
  ) -> Destination {
    let source = header.source
    let destination = header.destination
    let isGroup = destination.isMulticast
    let isBroadcast = destination.isBroadcast || local.lookup(destination)?.kind == .broadcast
    if source.isMulticast || source.isBroadcast { return .nowhere(.ipInvalidSource) }
    if !isLooped {
      if source.isLoopback || destination.isLoopback { return .nowhere(.ipLocalnet) }
      // 0.0.0.0 is the source of a host that has no address yet, and asks everybody on the link.
      if source.isAny && !destination.isBroadcast
        && !(isGroup && (destination.rawValue >> 8 == 0xE0_0000 || header.protocol == .igmp))
      {
        return .nowhere(.ipInvalidSource)
      }
      // Our own address comes from nobody else. A broadcast address is no host's (RFC 1122 3.2.1.3), but a packet that has it
      // for a source is passed on, as Linux does where sources are not looked at.
      if let own = local.lookup(source),
        own.kind == .local || isLocal(destination) || isBroadcast || isGroup
          || net.settings.reversePathFilter != .off
      {
        return .nowhere(own.kind == .local ? .ipLocalSource : .ipInvalidSource)
      }
    }
    if isGroup {
      guard
        isMember(
          of: destination, from: source, by: skb.interface, isIGMP: header.protocol == .igmp)
      else { return .nowhere(.ipNotForUs) }
    }
    if !isLooped && net.settings.reversePathFilter != .off && !isExpected(header, of: skb, net: net) {
      net.counters.count(.TcpExtIPReversePathFilter)
      return .nowhere(.ipReversePathFilter)
    }
    if isGroup { return .here(.group) }
    if isBroadcast { return .here(.everybody) }
    // What came by lo was sent there by a local route, or by one over lo. Linux: `skb_valid_dst()`.
    if isLooped || isLocal(destination) { return .here(.host) }
    // A host does not forward (RFC 1122 3.2.1.3), and nobody what is for no host (RFC 1812 section 5.3.7), which Linux takes
    // 0.0.0.0 alone for: `ipv4_is_zeronet()`.
    if destination.isAny { return .nowhere(.ipNotForUs) }
    guard net.settings.forwards else {
      net.counters.count(.IpInAddrErrors)
      return .nowhere(.ipNotForUs)
    }
    return .elsewhere
  }

  /// Whether packets to a packet's source would go where it came from. The rules are asked as for one that came in by the
  /// device this one goes out by. Linux: `__fib_validate_source()`.
  private func isExpected(_ header: IPv4Header, of skb: borrowing SkBuff, net: borrowing Net) -> Bool {
    // Who has no address yet.
    if header.source.isAny { return true }
    var key = RouteKey(
      destination: header.source, source: header.destination,
      flow: flow(of: skb, header, mark: net.settings.marksSources ? skb.mark : 0).reversed)
    if !policy.isDefault && !header.destination.isMulticast && local.lookup(header.destination) == nil {
      let onward = RouteKey(
        destination: header.destination, source: header.source, inputInterface: skb.interface,
        flow: flow(of: skb, header, mark: skb.mark))
      key.inputInterface = findRoute(onward)?.interface ?? .loopback
    }
    return isExpected(key, by: skb.interface, net: net)
  }

  /// - Parameter key: the source as the destination.
  func isExpected(_ key: RouteKey, by interface: InterfaceIndex, net: borrowing Net) -> Bool {
    // Nobody has a broadcast address, though the route to its subnet leads there.
    guard local.lookup(key.destination) == nil, let way = findRoute(key), way.kind == .unicast else {
      return false
    }
    return net.settings.reversePathFilter == .loose || leads(way, over: interface)
  }

  /// Linux: `ip_local_deliver_finish()`. The packet's data is at its network header.
  /// - Parameter largestFragment: of what it was put together from; 0: it came whole.
  mutating func deliver(
    _ skb: consuming SkBuff, header: IPv4Header, largestFragment: Int = 0, link: inout LinkLayer,
    net: inout Net
  ) -> Input {
    var header = header
    if !hooks.isEmpty(.input) {
      let interface = skb.interface
      let verdict = hooks.verdict(.input, on: &skb, header, interface: interface, net: &net)
      guard verdict.passes, let own = Self.header(of: skb) else {
        refuse(skb, verdict: verdict, by: interface, link: &link, net: &net)
        return .consumed
      }
      header = own
      // What a sender of this host left to the device is right. Linux: `skb_csum_unnecessary()`.
      if skb.checksumStatus == .partial { skb.checksumStatus = .unnecessary }
    }
    // Linux: `inet_iif()`.
    if skb.interface == .loopback { skb.interface = skb.routeInterface }
    skb.pull(header.headerByteCount)
    skb.setTransportHeader()
    switch header.protocol {
    case .tcp:
      net.counters.count(.IpInDelivers)
      return .tcp(skb, header)
    case .udp, .udpLite:
      net.counters.count(.IpInDelivers)
      skb.largestFragment = UInt16(truncatingIfNeeded: largestFragment)
      return .udp(skb, header)
    case .icmp:
      net.counters.count(.IpInDelivers)
      return receiveICMP(skb, header: header, link: &link, net: &net)
    case .igmp:
      net.counters.count(.IpInDelivers)
      receiveIGMP(skb, link: &link, net: &net)
      return .consumed
    default:
      net.counters.count(.IpInUnknownProtos)
      sendICMPError(
        for: skb, reason: .ipNoProtocol, kind: .destinationUnreachable,
        code: ICMPHeader.Unreachable.protocol, info: 0, link: &link, net: &net)
      return .consumed
    }
  }
}
