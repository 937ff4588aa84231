import Neighbour
import NetDevice
import NetNamespace
import SkBuff
import Wire

extension IPv4Layer {
  /// Sends what `AppendData` collected: one packet as any transport's, several as fragments. Linux: `ip_send_skb()`.
  ///
  /// - Parameter packets: emptied.
  public mutating func outputDatagram(
    _ packets: inout SkBuffQueue, priority: UInt32, route: inout Route, options: IPv4SendOptions,
    net: inout Net
  ) -> XmitResult {
    guard packets.count == 1, let only = packets.popFirst() else {
      return outputFragments(&packets, priority: priority, route: &route, options: options, net: &net)
    }
    only.priority = priority
    return output(only, route: &route, options: options, net: &net)
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
    net: inout Net
  ) -> XmitResult {
    let identification =
      options.identification
      ?? identifications.reserve(
        1, source: route.source, destination: route.destination, protocol: options.protocol, net: &net)
    var header = IPv4Header(
      typeOfService: options.typeOfService, totalByteCount: 0, identification: identification,
      timeToLive: timeToLive(route, options, net: net), protocol: options.protocol, source: route.source,
      destination: route.destination)
    net.counters.count(.IpOutRequests)
    var result = XmitResult.success
    while var skb = packets.popFirst() {
      let payload = skb.length
      header.totalByteCount = payload + IPv4Header.minimumByteCount
      header.moreFragments = !packets.isEmpty
      precondition(
        !header.moreFragments || payload & 7 == 0, "a fragment before the last carries a multiple of 8 bytes")
      skb.push(IPv4Header.minimumByteCount)
      skb.setNetworkHeader()
      skb.etherType = .ipv4
      skb.priority = priority
      if options.mark != 0 { skb.mark = options.mark }
      var bytes = skb.mutableLinear
      header.write(to: &bytes)
      if header.fragmentOffset == 0 {
        net.tracer.record(
          .ip_queue_xmit, skb: skb.serial, socket: skb.socket, UInt64(header.totalByteCount),
          UInt64(options.protocol.rawValue), UInt64(route.destination.rawValue))
        if !filter.isEmpty {
          let verdict = filter.verdict(.localOut, header: header, packet: skb)
          if verdict != .accept {
            refuse(skb, verdict: verdict, header: header, net: &net)
            packets.removeAll()
            return .dropped
          }
        }
      }
      net.tracer.record(
        .ip_fragment, skb: skb.serial, socket: skb.socket, UInt64(header.totalByteCount),
        UInt64(identification), UInt64(header.fragmentOffset))
      header.fragmentOffset += payload
      net.counters.count(.IpFragCreates)
      if route.kind != .unicast { loopFragment(of: skb, route: route, options: options, net: &net) }
      if route.kind == .local { continue }
      result = Self.worse(result, finishOutput(skb, route: &route, net: &net))
      if result.isLost {
        net.counters.count(.IpFragFails)
        packets.removeAll()
        return result
      }
    }
    net.counters.count(.IpFragOKs)
    return result
  }

  private func timeToLive(_ route: Route, _ options: IPv4SendOptions, net: borrowing Net) -> UInt8 {
    if options.timeToLive != 0 { return options.timeToLive }
    return route.kind == .multicast ? 1 : net.settings.defaultTimeToLive
  }

  /// A copy for ourselves of what goes to a group or to everybody. Linux: `ip_mc_output()`, `ip_dev_loopback_xmit()`.
  private mutating func loopFragment(
    of skb: borrowing SkBuff, route: Route, options: IPv4SendOptions, net: inout Net
  ) {
    if route.kind == .multicast && !(options.multicastLoop && isMember(of: route.destination)) { return }
    guard looped.count < Self.loopbackLimit, let copy = skb.copyHeader() else { return }
    copy.packetType = .outgoing
    copy.timestamp = .origin
    looped.append(copy)
  }
}
