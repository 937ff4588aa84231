import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Wire

/// Cutting packets that exceed the MTU. Linux: `ip_do_fragment()`.
extension IPv4Layer {
  /// Sends a packet (data at its IP header, no options) as fragments. Page fragments are shared, payload in pages is
  /// not copied.
  mutating func fragment(
    _ packet: consuming PassedPacket, header: IPv4Header, limit: Int, route: inout Route,
    link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    let permit = packet.permit()
    var skb = packet.take()
    // A checksum over the whole datagram cannot be left to a device that sees pieces.
    guard skb.unclone(), skb.completeChecksum() else {
      net.counters.count(.IpFragFails)
      skb.drop(.noMemory)
      return .dropped
    }
    // Every fragment but the last carries a multiple of 8 bytes (RFC 791).
    let room = (limit - IPv4Header.minimumByteCount) & ~7
    guard room > 0 else {
      net.counters.count(.IpFragFails)
      skb.drop(.deviceTooLong)
      return .dropped
    }
    var part = header
    let headroom = NetDevice.neededHeadroom + IPv4Header.minimumByteCount
    var current = skb
    var offset = 0
    var result = XmitResult.success
    while current.length - IPv4Header.minimumByteCount > room {
      guard var rest = current.split(at: IPv4Header.minimumByteCount + room, headroom: headroom) else {
        net.counters.count(.IpFragFails)
        current.drop(.noMemory)
        return .dropped
      }
      // The last fragment to leave frees the sender's charge.
      current.moveOwner(to: &rest)
      part.fragmentOffset = offset
      part.moreFragments = true
      let sent = sendPiece(current, permit, header: part, route: &route, link: &link, net: &net)
      result = Self.worse(result, sent)
      offset += room
      rest.push(IPv4Header.minimumByteCount)
      rest.setNetworkHeader()
      rest.etherType = .ipv4
      current = rest
    }
    part.fragmentOffset = offset
    part.moreFragments = false
    let sent = sendPiece(current, permit, header: part, route: &route, link: &link, net: &net)
    result = Self.worse(result, sent)
    net.counters.count(.IpFragOKs)
    return result
  }

  /// Writes the header of a piece, whose data is at its place, and sends it.
  private mutating func sendPiece(
    _ skb: consuming SkBuff, _ permit: PiecesPermit, header: IPv4Header, route: inout Route,
    link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    var header = header
    header.totalByteCount = skb.length
    guard skb.write(header) else {
      skb.drop(.noMemory)
      return .failed(.ENOBUFS)
    }
    return sendFragment(permit.piece(skb), header: header, route: &route, link: &link, net: &net)
  }

  /// Sends a piece that has its header.
  mutating func sendFragment(
    _ packet: consuming PassedPacket, header: IPv4Header, route: inout Route, link: inout LinkLayer,
    net: inout Net
  ) -> XmitResult {
    net.tracer.record(
      .ip_fragment, skb: packet.skb.serial, socket: packet.skb.socket, UInt64(packet.skb.length),
      UInt64(header.identification), UInt64(header.fragmentOffset))
    net.counters.count(.IpFragCreates)
    return finishOutput(packet, route: &route, link: &link, net: &net)
  }

  static func worse(_ a: XmitResult, _ b: XmitResult) -> XmitResult {
    if a.isLost { return a }
    if b.isLost { return b }
    return a == .congestion ? a : b
  }

  /// A GSO packet (data at its IP header) whose segments exceed the MTU: segmented here, then each segment
  /// fragmented. Linux: `ip_finish_output_gso()`.
  mutating func segmentAndFragment(
    _ packet: consuming PassedPacket, route: inout Route, limit: Int, link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    let permit = packet.permit()
    var segments = SkBuffQueue()
    // Complete checksums: the device sees pieces only.
    guard GenericSegmentation.segment(packet.take(), features: [.scatterGather], into: &segments) else {
      net.counters.count(.IpFragFails)
      return .dropped
    }
    var result = XmitResult.success
    while let segment = segments.popFirst() {
      guard let header = Self.header(of: segment) else {
        segment.drop(.gsoFailed)
        continue
      }
      let sent =
        segment.length > limit
        ? fragment(permit.piece(segment), header: header, limit: limit, route: &route, link: &link, net: &net)
        : finishOutput(permit.piece(segment), route: &route, link: &link, net: &net)
      result = Self.worse(result, sent)
    }
    return result
  }
}
