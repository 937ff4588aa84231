import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Timers
import Wire

/// Address resolution (RFC 826, RFC 5227). Linux: `net/ipv4/arp.c`.
extension IPv4Layer {
  /// An ARP packet, data at its first byte. Linux: `arp_rcv()`, `arp_process()`.
  mutating func receiveARP(_ skb: consuming SkBuff, link: inout LinkLayer, net: inout Net) {
    net.counters.count(.ArpInPackets)
    let interface = skb.interface
    guard skb.packetType != .otherHost, link.devices[interface].resolvesAddresses else {
      skb.drop(.otherHost)
      return
    }
    guard skb.mayPull(ARPPacket.byteCount), let packet = ARPPacket(parsing: skb.linear) else {
      skb.drop(.packetTooSmall)
      return
    }
    net.tracer.record(
      .arp_rcv, skb: skb.serial, UInt64(packet.operation.rawValue), UInt64(packet.senderAddress.rawValue))
    let wasSentToUs = skb.packetType == .host
    // With our own link-layer address: no answer would leave this host.
    guard !Self.isOwnStation(packet.senderMAC, link) else {
      skb.drop(.ownLinkAddress)
      return
    }
    _ = consume skb
    guard isPlausible(packet) else { return }
    noteConflict(with: packet, on: interface, link: &link, net: &net)
    let sender = packet.senderAddress
    // A probe asks whether the address is in use (RFC 5227 section 2.1); who uses ours learns nothing from us.
    if isOwn(sender) { return }
    if packet.operation == .request && isOwn(packet.targetAddress) {
      guard answers(packet, on: interface, net: &net) else { return }
      // Who asks for us will want to hear from us: the only way a stranger gets into the table.
      if !sender.isAny {
        link.neighbours.update(
          IPAddress(sender), hardwareAddress: packet.senderMAC, state: .stale, override: true,
          create: isOnLink(sender, interface), device: &link.devices[interface], net: &net)
      }
      reply(to: packet, on: interface, link: &link, net: &net)
    } else if packet.operation == .request && !sender.isAny
      && isProxied(packet, on: interface, net: net)
    {
      replyAsProxy(to: packet, wasSentToUs: wasSentToUs, on: interface, link: &link, net: &net)
    } else if !sender.isAny {
      learn(
        packet, wasSentToUs: wasSentToUs, create: accepts(packet, on: interface, net: net), on: interface,
        link: &link, net: &net)
    }
    if link.neighbours.hasRequests { serveNeighbours(link: &link, net: &net) }
  }

  /// An ARP packet that another shard behind the same address has taken in and answered: what it tells about this
  /// one's neighbours is learned here too.
  public mutating func overhearARP(_ skb: consuming SkBuff, link: inout LinkLayer, net: inout Net) {
    guard skb.packetType != .otherHost, skb.mayPull(ARPPacket.byteCount),
      let packet = ARPPacket(parsing: skb.linear)
    else {
      skb.drop(.otherHost)
      return
    }
    let wasSentToUs = skb.packetType == .host
    let interface = skb.interface
    _ = consume skb
    guard !Self.isOwnStation(packet.senderMAC, link), isPlausible(packet) else { return }
    noteConflict(with: packet, on: interface, link: &link, net: &net, isOverheard: true)
    guard !packet.senderAddress.isAny, !isOwn(packet.senderAddress) else { return }
    let isForUs = packet.operation == .request && isOwn(packet.targetAddress)
    if isForUs && !answers(packet, on: interface, net: &net) { return }
    learn(packet, wasSentToUs: wasSentToUs, create: false, on: interface, link: &link, net: &net)
    if link.neighbours.hasRequests { serveNeighbours(link: &link, net: &net) }
  }

  /// One of ours, on whatever link: two of a host's interfaces may share one (RFC 5227 section 2.4).
  private static func isOwnStation(_ address: MACAddress, _ link: borrowing LinkLayer) -> Bool {
    for index in link.devices.indices where link.devices[index].macAddress == address { return true }
    return false
  }

  /// Nobody is found at such addresses, and no group address may become a neighbour's.
  private func isPlausible(_ packet: ARPPacket) -> Bool {
    let sender = packet.senderAddress
    let target = packet.targetAddress
    return packet.senderMAC.isValidStation && !target.isMulticast
      && !target.isLoopback && !target.isBroadcast && !sender.isMulticast && !sender.isLoopback
      && !sender.isBroadcast
  }

  private mutating func learn(
    _ packet: ARPPacket, wasSentToUs: Bool, create: Bool, on interface: InterfaceIndex, link: inout LinkLayer,
    net: inout Net
  ) {
    let sender = packet.senderAddress
    if packet.operation == .request && isOwn(packet.targetAddress) {
      link.neighbours.update(
        IPAddress(sender), hardwareAddress: packet.senderMAC, state: .stale, override: true,
        device: &link.devices[interface], net: &net)
      return
    }
    link.neighbours.learn(
      IPAddress(sender), hardwareAddress: packet.senderMAC,
      isReplyToUs: packet.operation == .reply && wasSentToUs,
      isGratuitous: isGratuitous(packet), create: create, device: &link.devices[interface], net: &net)
  }

  /// Somebody announces himself. Linux: `arp_is_garp()`.
  private func isGratuitous(_ packet: ARPPacket) -> Bool {
    packet.senderAddress == packet.targetAddress
      && (packet.operation == .request || packet.targetMAC == packet.senderMAC)
  }

  // MARK: Rules

  /// Whether a request for an address of ours is answered: `arp_ignore`, `arp_filter`. Linux: `arp_ignore()`, `arp_filter()`.
  private func answers(_ request: ARPPacket, on interface: InterfaceIndex, net: inout Net) -> Bool {
    let (sender, target) = (request.senderAddress, request.targetAddress)
    let isIgnored: Bool
    switch net.settings.arpIgnore {
    case 1: isIgnored = !addresses.contains { $0.address == target && $0.interface == interface }
    case 2:
      isIgnored =
        !addresses.contains { $0.address == target && $0.interface == interface }
        || !addresses.contains {
          $0.interface == interface && $0.prefix.contains(target)
            && (sender.isAny || $0.prefix.contains(sender))
        }
    // Those of host scope are 127.0.0.0/8 here, which nobody may ask for.
    case 3: isIgnored = !addresses.contains { $0.address == target }
    case 8: isIgnored = true
    default: isIgnored = false
    }
    if isIgnored { return false }
    let key = RouteKey(destination: sender, source: target)
    // Who asks from where nobody of his address is gets no answer. Linux: `ip_route_input_noref()` in `arp_process()`.
    if net.settings.reversePathFilter != .off, !sender.isAny, !isExpected(key, by: interface, net: net) {
      return false
    }
    guard net.settings.arpFilter, !sender.isAny else { return true }
    guard let way = findRoute(key), way.kind == .unicast else { return false }
    if way.interface == interface { return true }
    net.counters.count(.TcpExtArpFilter)
    return false
  }

  /// Whether somebody becomes a neighbour by announcing himself, or by an answer that nobody waits for. Linux:
  /// `arp_accept()`.
  private func accepts(_ packet: ARPPacket, on interface: InterfaceIndex, net: borrowing Net) -> Bool {
    let sender = packet.senderAddress
    guard net.settings.arpAccept > 0, packet.operation == .reply || isGratuitous(packet),
      local.lookup(sender) == nil
    else { return false }
    return net.settings.arpAccept == 1
      || addresses.contains { $0.interface == interface && $0.prefix.contains(sender) }
  }

  /// The sender of our own request. Linux: `arp_solicit()`, `arp_announce`.
  private func sender(
    of wanted: NeighbourSolicitation, for target: IPv4Address, net: borrowing Net
  ) -> IPv4Address {
    let best = selectSource(for: target, on: wanted.interface)
    guard net.settings.arpAnnounce < 2, let source = wanted.source?.v4, isOwn(source) else { return best }
    if net.settings.arpAnnounce == 0 { return source }
    let isKnown = addresses.contains {
      $0.interface == wanted.interface && $0.prefix.contains(target) && $0.prefix.contains(source)
    }
    return isKnown ? source : best
  }

  mutating func reply(
    to request: ARPPacket, on interface: InterfaceIndex, link: inout LinkLayer, net: inout Net
  ) {
    sendARP(
      .reply, to: request.senderMAC, sender: request.targetAddress, target: request.senderMAC,
      request.senderAddress, on: interface, link: &link, net: &net)
  }

  /// Not 127.0.0.0/8, which never is on a link.
  func isOwn(_ address: IPv4Address) -> Bool { !address.isLoopback && isLocal(address) }

  /// Whether a neighbour may have this address: requests from elsewhere make no entry (Linux's source validation).
  func isOnLink(_ address: IPv4Address, _ interface: InterfaceIndex) -> Bool {
    guard local.lookup(address) == nil, let way = findRoute(RouteKey(destination: address)) else {
      return false
    }
    return way.kind == .unicast && way.gateway == nil && way.interface == interface
  }

  /// Sets a neighbour by hand; packets that waited for it go out. Linux: `ip neigh replace`.
  ///
  /// - Throws: EINVAL for a state without an address or a group address.
  public mutating func setNeighbour(
    _ address: IPv4Address, on interface: InterfaceIndex, hardwareAddress: MACAddress,
    state: NeighbourState = .permanent, link: inout LinkLayer, net: inout Net
  ) throws(Errno) {
    try link.neighbours.set(
      IPAddress(address), hardwareAddress: hardwareAddress, state: state, device: &link.devices[interface],
      net: &net)
  }

  /// Forgets every neighbour but those that need no resolution. Linux: `ip neigh flush all`.
  public mutating func flushNeighbours(
    on interface: InterfaceIndex?, link: inout LinkLayer, net: inout Net
  ) {
    for entry in link.neighbours.snapshot(now: net.now) where entry.state.isDynamic {
      if let interface, entry.interface != interface { continue }
      link.neighbours.delete(entry.address, on: entry.interface, net: &net)
    }
  }

  /// Sends the requests that the neighbour table asks for, and reports the packets it gave up.
  mutating func serveNeighbours(link: inout LinkLayer, net: inout Net) {
    while let wanted = link.neighbours.takeSolicitation(of: .inet), let target = wanted.address.v4 {
      sendARP(
        .request, to: wanted.hardwareAddress ?? .broadcast, sender: sender(of: wanted, for: target, net: net),
        target: .zero, target, on: wanted.interface, link: &link, net: &net)
    }
    // Linux: `arp_error_report()`, `ipv4_link_failure()`.
    while let skb = link.neighbours.takeFailed() {
      // A masqueraded packet has our address and somebody else's socket: the message finds its way back as the packets do.
      if let header = Self.header(of: skb),
        !isLocal(header.source) || skb.socket == 0 && hooks.tracksConnections
      {
        report(
          skb, header, .neighbourFailed, kind: .destinationUnreachable, code: ICMPHeader.Unreachable.host,
          info: 0, link: &link, net: &net)
        continue
      }
      post(
        Self.localError(
          about: skb, code: ICMPHeader.Unreachable.host, mtu: nil, offender: primary, by: skb.interface))
      skb.drop(.neighbourFailed)
    }
  }

  /// Linux: `arp_send()`.
  func makeARP(
    _ packet: ARPPacket, to destination: MACAddress, on device: borrowing NetDevice, net: inout Net
  ) -> SkBuff? {
    guard
      let skb = net.pool.allocate(
        headroom: NetDevice.neededHeadroom, linear: ARPPacket.byteCount, use: .transit)
    else {
      return nil
    }
    var frame = skb
    frame.put(ARPPacket.byteCount)
    frame.setNetworkHeader()
    frame.etherType = .arp
    // Control traffic goes before data in pfifo_fast. Linux: `TC_PRIO_CONTROL`.
    frame.priority = 7
    guard frame.write(packet) else { return nil }
    frame.push(EthernetHeader.byteCount)
    let header = EthernetHeader(destination: destination, source: device.macAddress, type: .arp)
    guard frame.write(header) else { return nil }
    return frame
  }

  mutating func sendARP(
    _ operation: ARPPacket.Operation, to destination: MACAddress, sender: IPv4Address,
    target targetMAC: MACAddress, _ target: IPv4Address, on interface: InterfaceIndex, link: inout LinkLayer,
    net: inout Net
  ) {
    // Nobody is to be told on a device that does without. Linux: IFF_NOARP in `arp_send_dst()`.
    guard link.devices[interface].resolvesAddresses else { return }
    let packet = ARPPacket(
      operation: operation, senderMAC: link.devices[interface].macAddress, senderAddress: sender,
      targetMAC: targetMAC,
      targetAddress: target)
    guard let skb = makeARP(packet, to: destination, on: link.devices[interface], net: &net) else { return }
    net.counters.count(operation == .request ? .ArpOutRequests : .ArpOutReplies)
    net.tracer.record(
      .arp_send, skb: skb.serial, UInt64(operation.rawValue), UInt64(target.rawValue))
    _ = link.devices[interface].queueXmit(PassedPacket(arp: skb), net: &net)
  }
}
