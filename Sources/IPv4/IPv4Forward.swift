import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Wire

/// A router's part: packets of others go on. Linux: `net/ipv4/ip_forward.c`, and the forwarding half of `route.c`.
extension IPv4Layer {
  /// Sends a packet for somebody else on its way (RFC 1812 section 5.2). Linux: `ip_forward()`, `ip_error()`.
  ///
  /// - Parameters:
  ///   - skb: data at its IP header, which was checked; trimmed.
  ///   - largestFragment: of what the packet was put together from on the way in; 0: it came whole.
  mutating func forward(
    _ skb: consuming SkBuff, header: IPv4Header, largestFragment: Int, link: inout LinkLayer, net: inout Net
  ) {
    var recorded = IPv4Options.Recorded()
    if header.headerByteCount > IPv4Header.minimumByteCount {
      switch takeOptions(of: &skb, header, &recorded, passesOn: true, net: &net) {
      case .valid: break
      case let verdict: return refuseOptions(verdict, of: skb, header, link: &link, net: &net)
      }
    }
    let route: Route
    do {
      route = try forwardingRoute(header, of: skb, link: link, net: &net)
    } catch {
      return unreachable(skb, header, error, link: &link, net: &net)
    }
    forward(
      skb, header: header, by: route, recorded, largestFragment: largestFragment, link: &link, net: &net)
  }

  /// - Parameters:
  ///   - route: to the destination, or to the next hop of a source route.
  ///   - recorded: what its options are to tell of the way on.
  @inline(__always)
  mutating func forward(
    _ skb: consuming SkBuff, header: IPv4Header, by route: Route, _ recorded: IPv4Options.Recorded,
    largestFragment: Int, link: inout LinkLayer, net: inout Net
  ) {
    var route = route
    // What went to everybody on the link is nobody's to pass on.
    guard skb.packetType == .host, route.kind == .unicast else {
      skb.drop(.ipNotForUs)
      return
    }
    guard header.timeToLive > 1 else {
      net.counters.count(.IpInHdrErrors)
      return report(
        skb, header, .ipHeader, kind: .timeExceeded, code: 0, info: 0, link: &link, net: &net)
    }
    if let hop = recorded.hop, hop.isStrict, route.nextHop != hop.address {
      return report(
        skb, header, .ipOutNoRoute, kind: .destinationUnreachable,
        code: ICMPHeader.Unreachable.sourceRouteFailed, info: 0, link: &link, net: &net)
    }
    net.counters.count(.IpForwDatagrams)
    let limit = net.settings.forwardUsesPathMTU || route.isMTULocked ? route.mtu : route.linkMTU
    guard Self.fits(skb, header, limit: limit, largestFragment: largestFragment) else {
      net.counters.count(.IpFragFails)
      return report(
        skb, header, .deviceTooLong, kind: .destinationUnreachable,
        code: ICMPHeader.Unreachable.fragmentationNeeded, info: UInt32(limit), link: &link, net: &net)
    }
    guard Self.takeHop(&skb, header) else {
      skb.drop(.noMemory)
      return
    }
    if route.interface == skb.interface && net.settings.sendsRedirects
      && !IPv4Options.hasSourceRoute(skb, header)
    {
      redirect(skb, header, to: route.nextHop, link: &link, net: &net)
    }
    if net.settings.forwardUpdatesPriority {
      skb.priority = TypeOfServicePriority.priority(of: header.typeOfService)
    }
    finishForward(
      skb, route: &route, recorded: recorded, limit: limit, largestFragment: largestFragment, link: &link,
      net: &net)
    if policy.isDefault { lastForwarded = route }
  }

  /// The hooks, and out. Linux: `ip_forward_finish()`, `ip_output()`, `__ip_finish_output()`.
  private mutating func finishForward(
    _ skb: consuming SkBuff, route: inout Route, recorded: IPv4Options.Recorded, limit: Int,
    largestFragment: Int, link: inout LinkLayer, net: inout Net
  ) {
    if !hooks.isEmpty(.forward) {
      let verdict = hooks.verdict(
        .forward, on: &skb, interface: skb.interface, output: route.interface, net: &net)
      guard verdict.passes else {
        refuse(skb, verdict: verdict, by: skb.interface, link: &link, net: &net)
        return
      }
    }
    guard recorded.write(route.source, to: &skb) else {
      skb.drop(.noMemory)
      return
    }
    // What it was received at is no time to send it at.
    skb.timestamp = .origin
    switch hooks.postrouting(skb, interface: route.interface, nextHop: route.nextHop, net: &net) {
    case .passed(let packet):
      sendForwarded(
        packet, route: &route, limit: limit, largestFragment: largestFragment, link: &link, net: &net)
    case .stopped(let stopped, let verdict):
      _ = refuse(stopped, verdict: verdict, by: route.interface, link: &link, net: &net)
    }
  }

  /// Whole or in pieces. Linux: `__ip_finish_output()`.
  private mutating func sendForwarded(
    _ packet: consuming PassedPacket, route: inout Route, limit: Int, largestFragment: Int,
    link: inout LinkLayer, net: inout Net
  ) {
    guard let header = Self.header(of: packet.skb) else {
      packet.take().drop(.ipHeader)
      return
    }
    net.tracer.record(
      .ip_output, skb: packet.skb.serial, UInt64(packet.skb.length), UInt64(header.protocol.rawValue),
      UInt64(route.nextHop.rawValue))
    if packet.skb.isGSO {
      if Self.segmentByteCount(forwarded: packet.skb, header) <= limit {
        _ = finishOutput(packet, route: &route, link: &link, net: &net)
      } else {
        _ = segmentAndFragment(packet, route: &route, limit: limit, link: &link, net: &net)
      }
      return
    }
    // A packet that was put together here goes out in pieces no larger than it came in.
    if packet.skb.length > limit || largestFragment > 0 {
      let most = largestFragment > 0 ? min(limit, largestFragment) : limit
      _ = fragment(packet, header: header, limit: most, route: &route, link: &link, net: &net)
      return
    }
    _ = finishOutput(packet, route: &route, link: &link, net: &net)
  }

  // MARK: The way

  /// Linux: `ip_route_input_slow()`, `__mkroute_input()`.
  ///
  /// - Throws: ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL as the routes say.
  mutating func forwardingRoute(
    _ header: IPv4Header, of skb: borrowing SkBuff, link: borrowing LinkLayer, net: inout Net
  ) throws(Errno) -> Route {
    if policy.isDefault && lastForwarded.destination == header.destination && isCurrent(lastForwarded) {
      return lastForwarded
    }
    let key = RouteKey(
      destination: header.destination, source: header.source, inputInterface: skb.interface,
      flow: flow(of: skb, header, mark: skb.mark))
    guard var entry = findRoute(key) else { throw .ENETUNREACH }
    // A way that was chosen for this flow is current for no other.
    let isChosen = entry.isMultipath
    if isChosen {
      choosePath(&entry, key, hash: pathHash(of: skb, header, net: net), link: link, net: net)
    }
    switch entry.kind {
    case .unreachable: throw .EHOSTUNREACH
    case .prohibit: throw .EACCES
    case .blackhole: throw .EINVAL
    case .unicast, .local, .broadcast: break
    }
    let linkMTU = min(link.mtu(of: entry.interface), Self.maximumMTU)
    let mtu = min(linkMTU, entry.mtu ?? linkMTU)
    var route = Route(
      destination: header.destination,
      source: entry.source ?? selectSource(for: entry.gateway ?? header.destination, on: entry.interface),
      nextHop: nextHop(to: header.destination, by: entry, now: net.now),
      kind: entry.interface == .loopback ? .local : .unicast, isMTULocked: false,
      interface: entry.interface, mtu: mtu, linkMTU: mtu, tunnel: .none,
      generation: isChosen ? generation &- 1 : generation,
      neighbour: .none,
      identification: 0, addressInterface: entry.interface)
    if !pathMTUs.isEmpty, let exception = pathMTUs.find(header.destination, by: entry.name, now: net.now) {
      route.mtu = min(route.mtu, exception.mtu)
      route.isMTULocked = exception.isLocked
    }
    if entry.tunnel != .none {
      route.linkMTU -= hooks.headroom(of: entry.tunnel, mtu: route.linkMTU)
      lead(&route, through: entry.tunnel)
    }
    return route
  }

  /// Whether a packet may go out by a link, whole or cut. Linux: `ip_exceeds_mtu()`.
  private static func fits(
    _ skb: borrowing SkBuff, _ header: IPv4Header, limit: Int, largestFragment: Int
  ) -> Bool {
    if skb.length <= limit || !header.dontFragment { return true }
    if largestFragment > 0 { return largestFragment <= limit }
    return skb.isGSO && segmentByteCount(forwarded: skb, header) <= limit
  }

  /// IP packet bytes of a GSO packet's largest segment, data at its IP header. Linux: `skb_gso_network_seglen()`.
  static func segmentByteCount(forwarded skb: borrowing SkBuff, _ header: IPv4Header) -> Int {
    let transport = header.headerByteCount
    var headers = transport + UDPHeader.byteCount
    if skb.gsoType.isTCP {
      let place = transport + TCPHeader.Offset.dataOffset
      headers = transport + (skb.headLength > place ? Int(skb.linear.load8(place) >> 4) * 4 : 20)
    }
    return headers + skb.gsoSize
  }

  /// One hop less, and ready to be sent. Linux: `skb_cow()`, `ip_decrease_ttl()`, `skb_forward_csum()`.
  ///
  /// - Returns: false without memory.
  private static func takeHop(_ skb: inout SkBuff, _ header: IPv4Header) -> Bool {
    if skb.headroom < NetDevice.neededHeadroom {
      guard skb.expandHead(headroom: NetDevice.neededHeadroom, tailroom: 0) else { return false }
    }
    guard skb.prepareToSend(header), var bytes = skb.writable() else { return false }
    bytes.store8(header.timeToLive - 1, IPv4Header.Offset.timeToLive)
    // RFC 1141: the sum's word with the time to live in its upper half is one less there.
    let sum = UInt32(bytes.bytes.load16(IPv4Header.Offset.checksum)) + 0x100
    bytes.store16(UInt16(truncatingIfNeeded: sum + sum >> 16), IPv4Header.Offset.checksum)
    return true
  }

  // MARK: What its sender is told

  /// No way on. Linux: `ip_error()`.
  private mutating func unreachable(
    _ skb: consuming SkBuff, _ header: IPv4Header, _ errno: Errno, link: inout LinkLayer, net: inout Net
  ) {
    let code: UInt8
    let reason = errno == .ENETUNREACH ? DropReason.ipInNoRoute : .ipOutNoRoute
    switch errno {
    case .ENETUNREACH:
      net.counters.count(.IpExtInNoRoutes)
      code = ICMPHeader.Unreachable.network
    case .EHOSTUNREACH: code = ICMPHeader.Unreachable.host
    case .EACCES: code = ICMPHeader.Unreachable.administrativelyProhibited
    default:
      skb.drop(.ipOutNoRoute)
      return
    }
    guard rateLimit.allowRouteError(to: header.source, now: net.now) else {
      skb.drop(reason)
      return
    }
    report(
      skb, header, reason, kind: .destinationUnreachable, code: code, info: 0, link: &link, net: &net)
  }

  /// As `sendICMPError`, about a packet with its data at its IP header.
  mutating func report(
    _ skb: consuming SkBuff, _ header: IPv4Header, _ reason: DropReason?, kind: ICMPHeader.Kind, code: UInt8,
    info: UInt32, link: inout LinkLayer, net: inout Net
  ) {
    skb.setNetworkHeader()
    skb.pull(header.headerByteCount)
    sendICMPError(for: skb, reason: reason, kind: kind, code: code, info: info, link: &link, net: &net)
  }

  /// The packet goes back out by the link that it came in by: its sender could have sent it to the next hop at once
  /// (RFC 1812 section 5.2.7.2). Linux: `ip_rt_send_redirect()`.
  private mutating func redirect(
    _ skb: borrowing SkBuff, _ header: IPv4Header, to gateway: IPv4Address, link: inout LinkLayer,
    net: inout Net
  ) {
    let key = RouteKey(
      destination: header.source, source: header.destination, inputInterface: skb.interface,
      flow: flow(of: skb, header, mark: 0).reversed)
    guard let way = findRoute(key), way.kind == .unicast, way.gateway == nil,
      way.interface == skb.interface, redirects.allow(header.source, now: net.now, net: &net),
      let copy = skb.clone()
    else { return }
    report(
      copy, header, nil, kind: .redirect, code: ICMPHeader.redirectHost, info: gateway.rawValue, link: &link,
      net: &net)
  }
}
