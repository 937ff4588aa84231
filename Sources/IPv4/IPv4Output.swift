import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Wire

/// The way down: from a transport's packet to the neighbour. Linux: `net/ipv4/ip_output.c`.
extension IPv4Layer {
  /// Writes the IP header in front of a transport's packet and sends it. Linux: `ip_queue_xmit()` to
  /// `ip_finish_output2()`.
  ///
  /// The packet begins at its transport header, which is marked. A packet too large for a route with DF set is
  /// dropped, and a `TransportError` with EMSGSIZE and the MTU waits to be taken.
  public mutating func output(
    _ skb: consuming SkBuff, route: inout Route, options: IPv4SendOptions, link: inout LinkLayer,
    net: inout Net
  ) -> XmitResult {
    let total = skb.length + IPv4Header.minimumByteCount
    guard total <= 65535 else {
      net.counters.count(.IpOutDiscards)
      skb.drop(.deviceTooLong)
      return .dropped
    }
    let needed = IPv4Header.minimumByteCount + NetDevice.neededHeadroom
    if skb.headroom < needed {
      guard skb.expandHead(headroom: needed, tailroom: 0) else {
        net.counters.count(.IpOutDiscards)
        skb.drop(.noMemory)
        // Linux: `ip_finish_output2()`.
        return .failed(.ENOMEM)
      }
    }
    let limit = options.pmtuDiscovery.usesPathMTU ? route.mtu : route.linkMTU
    let largest = skb.isGSO ? Self.segmentByteCount(skb, optionByteCount: options.optionByteCount) : total
    let dontFragment: Bool
    switch options.pmtuDiscovery {
    case .dont, .interface, .omit: dontFragment = false
    case .want:
      // Of a datagram in segments the whole is asked. Linux: `__ip_make_skb()`.
      dontFragment = (options.protocol == .udp ? total : largest) <= limit && !route.isMTULocked
    case .do: dontFragment = true
    // Linux: `ip_dont_fragment()` says no, `__ip_make_skb()` yes.
    case .probe: dontFragment = options.protocol != .tcp
    }
    let segments = skb.isGSO ? max(1, skb.gsoSegments) : 1
    let identification: UInt16
    if let fixed = options.identification {
      identification = fixed
    } else if options.isZeroBesideDF && dontFragment {
      identification = 0
    } else if dontFragment || options.isConnected {
      // Atomic datagrams (RFC 6864): any value; consecutive ones let receivers merge segments.
      identification = route.identification
      route.identification &+= UInt16(truncatingIfNeeded: segments)
    } else {
      identification = identifications.reserve(
        segments, source: route.source, destination: route.destination, protocol: options.protocol,
        net: &net)
    }
    let header = IPv4Header(
      headerByteCount: IPv4Header.minimumByteCount + options.optionByteCount,
      typeOfService: options.typeOfService, totalByteCount: total, identification: identification,
      dontFragment: dontFragment, timeToLive: timeToLive(route, options, net: net),
      protocol: options.protocol, source: route.source, destination: route.destination)
    guard Self.push(header, onto: &skb, mark: options.mark) else {
      skb.drop(.noMemory)
      return .failed(.ENOBUFS)
    }
    leaves(skb, route: route, byteCount: total, protocol: options.protocol, net: &net)
    if !hooks.isIdleOut {
      return outputAsked(
        skb, route: &route, total: total, largest: largest, limit: limit, options: options, link: &link,
        net: &net)
    }
    let packet = hooks.pass(skb)
    passed(packet, route: route, byteCount: total, protocol: options.protocol, net: &net)
    if route.kind == .unicast && largest <= limit {
      return finishOutput(packet, route: &route, link: &link, net: &net)
    }
    return outputSlowly(
      packet, route: &route, header: header, largest: largest, limit: limit, options: options, link: &link,
      net: &net)
  }

  @inline(__always)
  func timeToLive(_ route: Route, _ options: IPv4SendOptions, net: borrowing Net) -> UInt8 {
    if options.timeToLive != 0 || options.staysHere { return options.timeToLive }
    return route.kind == .multicast ? 1 : net.settings.defaultTimeToLive
  }

  /// Puts the IP header in front of a transport's packet.
  ///
  /// - Returns: false when memory ran out while unsharing.
  @inline(__always)
  static func push(_ header: IPv4Header, onto skb: inout SkBuff, mark: UInt32) -> Bool {
    skb.push(IPv4Header.minimumByteCount)
    skb.setNetworkHeader()
    skb.etherType = .ipv4
    if mark != 0 { skb.mark = mark }
    return skb.write(header)
  }

  /// Puts IP options in front of a transport's packet, which has room for them.
  ///
  /// - Parameter destination: of a source route the last hop.
  /// - Returns: false when memory ran out while unsharing.
  public static func push(
    _ list: IPv4OptionList, onto skb: inout SkBuff, route: Route, destination: IPv4Address, net: borrowing Net
  ) -> Bool {
    if list.byteCount == 0 { return true }
    let needed = list.byteCount + IPv4Header.minimumByteCount + NetDevice.neededHeadroom
    guard skb.headroom >= needed || skb.expandHead(headroom: needed, tailroom: 0) else { return false }
    skb.push(list.byteCount)
    guard var bytes = skb.writable() else { return false }
    list.write(
      to: &bytes, source: route.source, destination: destination, time: net.millisecondsSinceMidnight)
    return true
  }

  /// Every packet of our own comes by once, its data at its IP header: whole, or the first piece of a datagram that was cut
  /// before. Linux: `__ip_local_out()`.
  ///
  /// - Parameter byteCount: of the whole.
  @inline(__always)
  func leaves(
    _ skb: borrowing SkBuff, route: Route, byteCount: Int, protocol number: IPProtocol, net: inout Net
  ) {
    net.counters.count(.IpOutRequests)
    net.tracer.record(
      .ip_queue_xmit, skb: skb.serial, socket: skb.socket, UInt64(byteCount), UInt64(number.rawValue),
      UInt64(route.destination.rawValue))
  }

  /// As it has passed the hooks. Linux: `ip_output()`.
  @inline(__always)
  func passed(
    _ packet: borrowing PassedPacket, route: Route, byteCount: Int, protocol number: IPProtocol,
    net: inout Net
  ) {
    net.tracer.record(
      .ip_output, skb: packet.skb.serial, socket: packet.skb.socket, UInt64(byteCount),
      UInt64(number.rawValue), UInt64(route.nextHop.rawValue))
  }

  /// The rest of `output` where somebody waits at a hook, who may change all that was decided before.
  @inline(never)
  private mutating func outputAsked(
    _ skb: consuming SkBuff, route: inout Route, total: Int, largest: Int, limit: Int,
    options: IPv4SendOptions, link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    switch ask(skb, route: route, by: options.device, byteCount: total, link: link, net: &net) {
    case .ended(let result): return result
    case .stopped(let skb, let verdict):
      return refuse(skb, verdict: verdict, by: route.answerInterface, link: &link, net: &net)
    case .passed(let packet, let other, let isCongested):
      guard let header = Self.header(of: packet.skb) else {
        packet.take().drop(.ipHeader)
        return .dropped
      }
      passed(packet, route: other ?? route, byteCount: total, protocol: options.protocol, net: &net)
      let sent: XmitResult
      if var other {
        let limit = options.pmtuDiscovery.usesPathMTU ? other.mtu : other.linkMTU
        sent = outputSlowly(
          packet, route: &other, header: header, largest: largest, limit: limit, options: options,
          link: &link,
          net: &net)
      } else {
        sent = outputSlowly(
          packet, route: &route, header: header, largest: largest, limit: limit, options: options,
          link: &link,
          net: &net)
      }
      return Self.result(sent, isCongested: isCongested)
    }
  }

  /// IP packet bytes of the largest segment that a GSO packet (data at its transport header, or at the options before it)
  /// makes. Linux: `skb_gso_network_seglen()`.
  static func segmentByteCount(_ skb: borrowing SkBuff, optionByteCount: Int) -> Int {
    var headers = IPv4Header.minimumByteCount + optionByteCount
    switch skb.gsoType {
    case .tcpv4, .tcpv4AccurateECN:
      headers +=
        skb.headLength > optionByteCount + TCPHeader.Offset.dataOffset
        ? Int(skb.linear.load8(optionByteCount + TCPHeader.Offset.dataOffset) >> 4) * 4 : 20
    case .udpL4: headers += UDPHeader.byteCount
    case .none: break
    }
    return headers + skb.gsoSize
  }

  /// Own addresses, groups, broadcast, and packets that exceed the MTU.
  @inline(never)
  mutating func outputSlowly(
    _ packet: consuming PassedPacket, route: inout Route, header: IPv4Header, largest: Int, limit: Int,
    options: IPv4SendOptions, link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    switch route.kind {
    case .multicast:
      if loops(route, options) { loopCopy(of: packet, by: route.interface, net: &net) }
      if header.timeToLive == 0 {
        packet.take().drop(.ipOutNoRoute)
        return .success
      }
    case .broadcast:
      if loops(route, options) { loopCopy(of: packet, by: route.interface, net: &net) }
    case .unicast, .local:
      break
    }
    if largest <= limit { return finishOutput(packet, route: &route, link: &link, net: &net) }
    if header.dontFragment {
      net.counters.count(.IpFragFails)
      post(
        Self.localError(
          about: packet.skb, code: ICMPHeader.Unreachable.fragmentationNeeded, mtu: limit,
          offender: route.source, by: route.answerInterface))
      packet.take().drop(.deviceTooLong)
      return .dropped
    }
    if packet.skb.isGSO {
      return segmentAndFragment(packet, route: &route, limit: limit, link: &link, net: &net)
    }
    return fragment(packet, header: header, limit: limit, route: &route, link: &link, net: &net)
  }

  /// Linux: `ip_finish_output2()`.
  mutating func finishOutput(
    _ packet: consuming PassedPacket, route: inout Route, link: inout LinkLayer, net: inout Net
  )
    -> XmitResult
  {
    net.counters.count(.IpOutTransmits)
    net.counters.count(.IpExtOutOctets, by: UInt64(packet.skb.length))
    net.tracer.record(
      .ip_finish_output2, skb: packet.skb.serial, socket: packet.skb.socket, UInt64(packet.skb.length),
      UInt64(packet.skb.linear.load8(IPv4Header.Offset.protocol)), UInt64(route.nextHop.rawValue))
    if route.tunnel != .none { return tunnelOutput(packet, route: &route, link: &link, net: &net) }
    return sendToNeighbour(packet, route: &route, link: &link, net: &net)
  }

  /// To the next hop. Linux: the rest of `ip_finish_output2()`.
  @inline(__always)
  mutating func sendToNeighbour(
    _ packet: consuming PassedPacket, route: inout Route, link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    let result: XmitResult
    switch route.kind {
    case .local:
      packet.route(by: route.addressInterface)
      result = link.neighbours.output(packet, to: .zero, device: &link.devices[route.interface], net: &net)
    case .unicast:
      result = link.neighbours.output(
        packet, nextHop: IPAddress(route.nextHop), cache: &route.neighbour,
        device: &link.devices[route.interface],
        net: &net)
      if link.neighbours.hasRequests { serveNeighbours(link: &link, net: &net) }
    case .broadcast:
      Self.countToMany(packet.skb, route: route, net: &net)
      if route.interface == .loopback { packet.route(by: .loopback) }
      result = link.neighbours.output(
        packet, to: .broadcast, device: &link.devices[route.interface], net: &net)
    case .multicast:
      Self.countToMany(packet.skb, route: route, net: &net)
      if route.interface == .loopback { packet.route(by: .loopback) }
      result = link.neighbours.output(
        packet, to: Self.hardwareGroup(of: route.nextHop), device: &link.devices[route.interface], net: &net)
    }
    return result
  }

  /// What goes to a group or to all of a network.
  static func countToMany(_ skb: borrowing SkBuff, route: Route, net: inout Net) {
    switch route.kind {
    case .unicast, .local: break
    case .broadcast:
      net.counters.count(.IpExtOutBcastPkts)
      net.counters.count(.IpExtOutBcastOctets, by: UInt64(skb.length))
    case .multicast:
      net.counters.count(.IpExtOutMcastPkts)
      net.counters.count(.IpExtOutMcastOctets, by: UInt64(skb.length))
    }
  }

  /// RFC 1112 section 6.4.
  static func hardwareGroup(of group: IPv4Address) -> MACAddress {
    MACAddress(0x0100_5E00_0000 | UInt64(group.rawValue & 0x7F_FFFF))
  }

  // MARK: Our copy

  private mutating func loopCopy(
    of packet: borrowing PassedPacket, by interface: InterfaceIndex, net: inout Net
  ) {
    guard let copy = packet.skb.copyHeader() else { return }
    loopAgain(copy, by: interface, net: &net)
  }

  /// Our copy of what goes out to many, which passes the last hook by itself, and no device.
  /// Linux: `ip_mc_output()`, `dev_loopback_xmit()`.
  mutating func loopAgain(_ copy: consuming SkBuff, by interface: InterfaceIndex, net: inout Net) {
    switch hooks.postrouting(copy, interface: interface, nextHop: .any, net: &net) {
    case .stopped(let stopped, let verdict):
      precondition(!verdict.passes, "what was stopped does not go on")
      stopped.drop(.netfilterDrop)
    case .passed(let packet):
      var skb = packet.take()
      skb.interface = interface
      _ = net.loopBack(skb)
    }
  }
}
