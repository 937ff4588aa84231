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
    /// Dealt with here: ARP, ICMP, a fragment that waits, or dropped.
    case consumed
    /// Data at the transport header, which is marked, as is the network header; trimmed to the IP length, whole.
    case tcp(SkBuff, IPv4Header)
    case udp(SkBuff, IPv4Header)
    /// An echo reply, for a ping socket; its checksum is right.
    case icmp(SkBuff, IPv4Header)
    /// News about a packet that was sent.
    case error(TransportError)
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
      return headerError(skb, .ipHeader, net: &net)
    }
    skb.setNetworkHeader()
    net.tracer.record(
      .ip_rcv, skb: skb.serial, UInt64(header.totalByteCount), UInt64(header.protocol.rawValue),
      UInt64(header.source.rawValue))
    let segments = UInt64(max(1, skb.gsoSegments))
    switch header.typeOfService & 3 {
    case 0: net.counters.count(.IpExtInNoECTPkts, by: segments)
    case 1: net.counters.count(.IpExtInECT1Pkts, by: segments)
    case 2: net.counters.count(.IpExtInECT0Pkts, by: segments)
    default: net.counters.count(.IpExtInCEPkts, by: segments)
    }
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
      if hooks.verdict(.prerouting, on: &skb, interface: skb.interface) != .accept {
        skb.drop(.netfilterDrop)
        return .consumed
      }
    }
    // Most packets: for our first address, from a plain unicast source, no options, whole.
    let isPlain =
      header.destination == primary && !primary.isAny && skb.packetType == .host
      && headerByteCount == IPv4Header.minimumByteCount && !header.isFragment
    if !isPlain || !isPlainSource(header.source) {
      if let reason = refusal(header, of: skb, isLooped: isLooped, net: &net) {
        skb.drop(reason)
        return .consumed
      }
      if headerByteCount > IPv4Header.minimumByteCount {
        switch IPv4Options.check(skb.linear, headerByteCount: headerByteCount) {
        case .valid: recordOptions(of: &skb, header, to: headerByteCount, net: net)
        case .sourceRoute:
          skb.drop(.ipHeader)
          return .consumed
        case .malformed(let offset):
          net.counters.count(.IpInHdrErrors)
          recordOptions(of: &skb, header, to: offset, net: net)
          skb.pull(headerByteCount)
          sendICMPError(
            for: skb, reason: .ipHeader, kind: .parameterProblem, code: 0, info: UInt32(offset) << 24,
            link: &link, net: &net)
          return .consumed
        }
      }
      if header.isFragment { return receiveFragment(skb, header: header, link: &link, net: &net) }
    }
    return deliver(skb, header: header, link: &link, net: &net)
  }

  /// Linux: `ip_rcv_options()`, as far as they are well-formed. Without memory they stay as they came.
  private func recordOptions(of skb: inout SkBuff, _ header: IPv4Header, to end: Int, net: borrowing Net) {
    let own =
      isLocal(header.destination)
      ? header.destination : specificDestination(of: header.source, by: skb.interface)
    let time = net.millisecondsSinceMidnight
    guard skb.unclone(), var bytes = skb.writable() else { return }
    IPv4Options.record(
      in: &bytes, to: end, own: own, time: time,
      isElsewhere: { isElsewhere($0) })
  }

  /// Whether an address is another single host's. Linux: `inet_addr_type() == RTN_UNICAST`.
  public func isElsewhere(_ address: IPv4Address) -> Bool {
    !address.isMulticast && !address.isBroadcast && !address.isZeroNet && local.lookup(address) == nil
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

  /// Source and destination validation. Linux: `ip_route_input_slow()`, `fib_validate_source()`.
  ///
  /// - Returns: why the packet is not accepted; `nil` when it is.
  private func refusal(
    _ header: IPv4Header, of skb: borrowing SkBuff, isLooped: Bool, net: inout Net
  ) -> DropReason? {
    let source = header.source
    let destination = header.destination
    let isGroup = destination.isMulticast
    let isBroadcast = destination.isBroadcast || local.lookup(destination)?.kind == .broadcast
    if source.isMulticast || source.isBroadcast { return martian(.ipInvalidSource, net: &net) }
    if !isLooped {
      if source.isLoopback || destination.isLoopback { return martian(.ipInvalidSource, net: &net) }
      // 0.0.0.0 is the source of a host that has no address yet, and asks everybody.
      if source.isZeroNet && !(source.isAny && (isBroadcast || isGroup)) {
        return martian(.ipInvalidSource, net: &net)
      }
      // Our own address, or a broadcast address, comes from nobody else.
      if local.lookup(source) != nil { return martian(.ipInvalidSource, net: &net) }
    }
    if isGroup {
      guard
        isMember(
          of: destination, from: source, by: skb.interface, isIGMP: header.protocol == .igmp)
      else { return .ipNotForUs }
      net.counters.count(.IpExtInMcastPkts)
      net.counters.count(.IpExtInMcastOctets, by: UInt64(skb.length))
      return nil
    }
    if isBroadcast {
      net.counters.count(.IpExtInBcastPkts)
      net.counters.count(.IpExtInBcastOctets, by: UInt64(skb.length))
      return nil
    }
    // What came by lo was sent there by a local route, or by one over lo. Linux: `skb_valid_dst()`.
    if isLooped || isLocal(destination) { return nil }
    // A host does not forward (RFC 1122 3.2.1.3).
    return martian(.ipNotForUs, net: &net)
  }

  private func martian(_ reason: DropReason, net: inout Net) -> DropReason {
    net.counters.count(.IpInAddrErrors)
    return reason
  }

  /// Linux: `ip_local_deliver_finish()`. The packet's data is at its network header.
  mutating func deliver(_ skb: consuming SkBuff, header: IPv4Header, link: inout LinkLayer, net: inout Net)
    -> Input
  {
    if !hooks.isEmpty(.input) {
      let interface = skb.interface
      let verdict = hooks.verdict(.input, on: &skb, interface: interface)
      if verdict != .accept {
        refuse(skb, verdict: verdict, by: interface, link: &link, net: &net)
        return .consumed
      }
    }
    // Linux: `inet_iif()`.
    if skb.interface == .loopback { skb.interface = skb.routeInterface }
    skb.pull(header.headerByteCount)
    skb.setTransportHeader()
    switch header.protocol {
    case .tcp:
      net.counters.count(.IpInDelivers)
      return .tcp(skb, header)
    case .udp:
      net.counters.count(.IpInDelivers)
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
