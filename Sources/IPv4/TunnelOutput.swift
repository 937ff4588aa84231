import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Wire

/// Routes that lead through a program. Linux: `net/core/lwtunnel.c`, `lwt_bpf.c`.
extension IPv4Layer {
  /// Packets inside packets that are on their way at once. Linux: `dev_xmit_recursion()`.
  static let tunnelDepthLimit = 9

  /// Asks the program of a packet's route, which has come as far as its next hop. Linux: `lwtunnel_xmit()`.
  @inline(never)
  mutating func tunnelOutput(
    _ packet: consuming PassedPacket, route: inout Route, link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    // Whoever sends through itself.
    guard tunnelDepth < Self.tunnelDepthLimit else {
      packet.take().drop(.lightweightTunnel)
      return .failed(.ENETDOWN)
    }
    tunnelDepth += 1
    defer { tunnelDepth -= 1 }
    let permit = packet.permit()
    guard packet.skb.isGSO else {
      return ask(packet.take(), permit, route: &route, link: &link, net: &net)
    }
    var segments = SkBuffQueue()
    guard GenericSegmentation.segment(packet.take(), features: [], into: &segments) else { return .dropped }
    var result = XmitResult.success
    while let segment = segments.popFirst() {
      result = Self.worse(result, ask(segment, permit, route: &route, link: &link, net: &net))
    }
    return result
  }

  private mutating func ask(
    _ skb: consuming SkBuff, _ permit: PiecesPermit, route: inout Route, link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    guard skb.unclone(), skb.completeChecksum(), skb.linearize() else {
      skb.drop(.noMemory)
      return .failed(.ENOMEM)
    }
    let verdict = hooks.tunnelVerdict(skb, by: route.tunnel, interface: route.interface)
    if case .pass = verdict {
      return sendToNeighbour(permit.piece(skb), route: &route, link: &link, net: &net)
    }
    Self.countToMany(skb, route: route, net: &net)
    switch verdict {
    case .pass, .taken:
      skb.consumed()
      return .success
    case .drop(let errno):
      skb.drop(.lightweightTunnel)
      return .failed(errno)
    case .encapsulate(let outer):
      return encapsulate(skb, in: outer, link: &link, net: &net)
    }
  }

  /// Sends a packet, data at its IP header, inside another one. Linux: `bpf_push_ip_encap()`, `bpf_lwt_xmit_reroute()`.
  private mutating func encapsulate(
    _ skb: consuming SkBuff, in outer: Encapsulation, link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    let count = outer.header.count
    guard count + IPv4Header.minimumByteCount <= Encapsulation.headroomLimit else {
      skb.drop(.lightweightTunnel)
      return .failed(.EINVAL)
    }
    let flow = RoutingFlow(outer.protocol, mark: skb.mark, typeOfService: outer.typeOfService)
    var way: Route
    do {
      way = try route(to: outer.destination, from: outer.source, flow: flow, link: link, net: &net)
    } catch {
      skb.drop(.ipOutNoRoute)
      return .failed(error)
    }
    let room = count + IPv4Header.minimumByteCount + NetDevice.neededHeadroom
    guard skb.headroom >= room || skb.expandHead(headroom: room, tailroom: 0) else {
      skb.drop(.noMemory)
      return .failed(.ENOMEM)
    }
    skb.push(count)
    guard Self.write(outer.header, to: &skb, at: 0) else {
      skb.drop(.noMemory)
      return .failed(.ENOMEM)
    }
    skb.setTransportHeader()
    // It is another packet: of no connection, and confirmed by nobody.
    skb.connection = 0
    skb.confirmsNeighbour = false
    let sent = outputOuter(skb, outer, route: &way, link: &link, net: &net)
    // What became of it is not what its sender asked for. Linux: `net_xmit_errno()`.
    return sent.isLost ? .dropped : sent
  }

  /// Puts the IP header in front and sends the packet, by the last hook alone: it is no sender's. Linux: `dst_output()`.
  private mutating func outputOuter(
    _ skb: consuming SkBuff, _ outer: Encapsulation, route: inout Route, link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    var options = IPv4SendOptions(protocol: outer.protocol)
    options.timeToLive = outer.timeToLive
    let total = skb.length + IPv4Header.minimumByteCount
    let header = IPv4Header(
      headerByteCount: IPv4Header.minimumByteCount, typeOfService: outer.typeOfService, totalByteCount: total,
      identification: identifications.reserve(
        1, source: route.source, destination: route.destination, protocol: outer.protocol, net: &net),
      dontFragment: outer.dontFragment, timeToLive: timeToLive(route, options, net: net),
      protocol: outer.protocol, source: route.source, destination: route.destination)
    guard total <= 65535, Self.push(header, onto: &skb, mark: 0) else {
      skb.drop(total <= 65535 ? .noMemory : .deviceTooLong)
      return .dropped
    }
    let isOwn = skb.socket != 0
    switch hooks.postrouting(skb, interface: route.interface, nextHop: route.nextHop, net: &net) {
    case .stopped(let stopped, let verdict):
      return refuse(stopped, verdict: verdict, by: route.interface, link: &link, net: &net)
    case .passed(let packet):
      let verdict = isOwn ? hooks.egressVerdict(packet, interface: route.interface, byteCount: total) : .pass
      guard verdict != .drop else {
        packet.take().drop(.bpfCgroupEgress)
        return .failed(.EPERM)
      }
      passed(packet, route: route, byteCount: total, protocol: outer.protocol, net: &net)
      let sent = outputSlowly(
        packet, route: &route, header: header, largest: total, limit: route.mtu, options: options,
        link: &link, net: &net)
      return Self.result(sent, isCongested: verdict == .passCongested)
    }
  }

  /// Whether any route leads through a program.
  public func leads(through id: TunnelID) -> Bool {
    func leads(_ entry: RouteEntry) -> Bool {
      entry.tunnel == id || entry.nextHops.contains { $0.tunnel == id }
    }
    return routes.entries.contains(where: leads)
      || policy.tableNumbers.contains { policy.entries(of: $0)?.contains(where: leads) ?? false }
  }
}
