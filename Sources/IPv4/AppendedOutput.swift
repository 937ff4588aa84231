import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Wire

extension IPv4Layer {
  /// Sends what `AppendData` collected: one packet as any transport's, several as fragments. Linux: `ip_send_skb()`.
  ///
  /// - Parameter packets: emptied.
  public mutating func outputDatagram(
    _ packets: inout SkBuffQueue, priority: UInt32, route: inout Route, options: IPv4SendOptions,
    link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    let result: XmitResult
    if packets.count == 1, var only = packets.popFirst() {
      only.priority = priority
      result = output(only, route: &route, options: options, link: &link, net: &net)
    } else {
      result = outputFragments(
        &packets, priority: priority, route: &route, options: options, link: &link, net: &net)
    }
    if result.isLost { net.counters.count(.IpOutDiscards) }
    return result
  }

  /// Sends a datagram that `AppendData` has already cut: one IP header in front of each packet, same identification,
  /// rising offsets. DF is not set: a sender that wants it is refused a datagram over the MTU earlier.
  /// Linux: `__ip_make_skb()` and the fast path of `ip_do_fragment()`.
  ///
  /// - Parameters:
  ///   - packets: emptied. Each but the last carries a multiple of 8 bytes; transport checksum complete.
  ///   - priority: for every one of them.
  /// - Returns: the worst of the results. After a drop the rest is not sent: the receiver could not use it.
  mutating func outputFragments(
    _ packets: inout SkBuffQueue, priority: UInt32, route: inout Route, options: IPv4SendOptions,
    link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    let identification: UInt16
    if options.isConnected {
      identification = route.identification
      route.identification &+= 1
    } else {
      identification =
        options.identification
        ?? identifications.reserve(
          1, source: route.source, destination: route.destination, protocol: options.protocol, net: &net)
    }
    let optionByteCount = options.optionByteCount
    // The first packet has them already.
    let later = packets.first.map { first in
      packets.withPacket(at: first) { Self.laterOptions(of: $0, from: 0, to: optionByteCount) }
    }
    var isFirst = true
    var header = IPv4Header(
      headerByteCount: IPv4Header.minimumByteCount + optionByteCount,
      typeOfService: options.typeOfService, totalByteCount: 0, identification: identification,
      timeToLive: timeToLive(route, options, net: net), protocol: options.protocol, source: route.source,
      destination: route.destination)
    var result = XmitResult.success
    var permit: PiecesPermit?
    var other: Route?
    var isCongested = false
    let whole = Self.byteCount(of: packets)
    var loopCopy = loops(route, options) ? LoopCopy(header: header, net: &net) : nil
    while var skb = packets.popFirst() {
      if !isFirst { skb.push(optionByteCount) }
      let payload = skb.length - optionByteCount
      header.totalByteCount = skb.length + IPv4Header.minimumByteCount
      header.moreFragments = !packets.isEmpty
      precondition(
        !header.moreFragments || payload & 7 == 0, "a fragment before the last carries a multiple of 8 bytes")
      skb.priority = priority
      let isWritten = isFirst || Self.write(later ?? [], to: &skb, at: 0)
      isFirst = false
      guard isWritten, Self.push(header, onto: &skb, mark: options.mark) else {
        skb.drop(.noMemory)
        packets.removeAll()
        return .failed(.ENOBUFS)
      }
      let packet: PassedPacket
      if let permit {
        packet = permit.piece(skb)
      } else {
        // The hooks see the datagram, not its first piece. Linux: the list of fragments behind one packet.
        leaves(skb, route: route, byteCount: whole, protocol: options.protocol, net: &net)
        if hooks.isIdleOut {
          packet = hooks.pass(skb)
        } else {
          switch ask(skb, route: route, by: options.device, byteCount: whole, link: link, net: &net) {
          case .passed(let passed, let way, let says):
            packet = passed
            other = way
            isCongested = says
            // What was changed in the first piece holds for all of them.
            if let changed = Self.header(of: packet.skb) {
              header.source = changed.source
              header.destination = changed.destination
            }
          case .stopped(let skb, let verdict):
            packets.removeAll()
            return refuse(skb, verdict: verdict, by: route.answerInterface, link: &link, net: &net)
          case .ended(let result):
            packets.removeAll()
            return result
          }
        }
        passed(packet, route: other ?? route, byteCount: whole, protocol: options.protocol, net: &net)
        permit = packet.permit()
      }
      loopCopy?.add(packet.skb, net: &net)
      if header.timeToLive == 0 {
        header.fragmentOffset += payload
        packet.take().drop(.ipOutNoRoute)
        continue
      }
      let sent: XmitResult
      if var way = other.take() {
        sent = sendPieces(packet, header: header, route: &way, options: options, link: &link, net: &net)
        other = way
      } else {
        sent = sendFragment(packet, header: header, route: &route, link: &link, net: &net)
      }
      header.fragmentOffset += payload
      result = Self.worse(result, sent)
      if result.isLost {
        net.counters.count(.IpFragFails)
        packets.removeAll()
        return result
      }
    }
    net.counters.count(.IpFragOKs)
    if let whole = loopCopy.take()?.finish() { loopAgain(whole, by: route.interface, net: &net) }
    return Self.result(result, isCongested: isCongested)
  }

  /// A piece that goes another way than it was cut for: it may have to be cut once more.
  private mutating func sendPieces(
    _ packet: consuming PassedPacket, header: IPv4Header, route: inout Route, options: IPv4SendOptions,
    link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    let limit = options.pmtuDiscovery.usesPathMTU ? route.mtu : route.linkMTU
    if packet.skb.length > limit {
      return fragment(packet, header: header, limit: limit, route: &route, link: &link, net: &net)
    }
    return sendFragment(packet, header: header, route: &route, link: &link, net: &net)
  }

  /// The datagram that the packets make, with its IP header.
  private static func byteCount(of packets: borrowing SkBuffQueue) -> Int {
    var sum = IPv4Header.minimumByteCount
    var place = packets.first
    while let here = place {
      sum += packets.withPacket(at: here) { $0.length }
      place = packets.position(after: here)
    }
    return sum
  }

  /// Whether a copy of what is sent there comes back to us. Linux: `ip_mc_output()`.
  func loops(_ route: Route, _ options: IPv4SendOptions) -> Bool {
    switch route.kind {
    // What goes out by `lo` comes in by it.
    case .broadcast: route.interface != .loopback
    case .multicast:
      options.multicastLoop && route.interface != .loopback
        && isMember(of: route.destination, from: route.source, by: route.interface)
    case .unicast, .local: false
    }
  }
}

/// A copy for ourselves of a datagram that leaves in fragments to a group or to everybody: one packet, as it was before it
/// was cut. Linux: `dev_loopback_xmit()`, which sees the list of fragments as one.
private struct LoopCopy: ~Copyable {
  private var whole: SkBuff?
  private var page: Page? = nil
  private var filled = 0
  private var header: IPv4Header
  private var hasOptions = false

  init(header: IPv4Header, net: inout Net) {
    self.header = header
    whole = net.pool.allocate(headroom: 64, linear: SkBuff.smallHeadByteCount - 64)
    whole?.put(header.headerByteCount)
  }

  /// - Parameter fragment: data at its IP header. Without memory the copy is lost, as a packet may be.
  mutating func add(_ fragment: borrowing SkBuff, net: inout Net) {
    guard var packet = whole.take() else { return }
    if !hasOptions {
      hasOptions = true
      let start = IPv4Header.minimumByteCount
      let options = (start..<header.headerByteCount).map { fragment.linear.load8($0) }
      guard IPv4Layer.write(options, to: &packet, at: start) else { return }
    }
    guard
      IPv4Layer.copyPayload(of: fragment, into: &packet, page: &page, filled: &filled, net: &net)
    else { return }
    whole = consume packet
  }

  consuming func finish() -> SkBuff? {
    guard var packet = whole.take() else { return nil }
    if let page = page.take(), filled > 0 {
      packet.appendFragment(page, offset: 0, byteCount: filled, truesize: SkBuffPool.pageByteCount)
    }
    header.totalByteCount = packet.length
    header.moreFragments = false
    header.fragmentOffset = 0
    packet.setNetworkHeader()
    packet.etherType = .ipv4
    guard packet.write(header) else { return nil }
    return packet
  }
}
