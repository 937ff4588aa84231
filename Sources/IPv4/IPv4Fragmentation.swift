import Neighbour
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Wire

/// Cutting packets that exceed the MTU. Linux: `ip_do_fragment()`.
extension IPv4Layer {
  /// Sends a packet (data at its IP header) as fragments, of which the later ones have the options that are copied. Page fragments are shared, payload in pages is
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
    let headerByteCount = header.headerByteCount
    let room = (limit - headerByteCount) & ~7
    guard room > 0 else {
      net.counters.count(.IpFragFails)
      skb.drop(.deviceTooLong)
      return .dropped
    }
    var part = header
    let headroom = NetDevice.neededHeadroom + headerByteCount
    let later = Self.laterOptions(of: skb, from: IPv4Header.minimumByteCount, to: headerByteCount)
    var current = skb
    // It may be a piece itself.
    var offset = header.fragmentOffset
    var result = XmitResult.success
    while current.length - headerByteCount > room {
      guard var rest = current.split(at: headerByteCount + room, headroom: headroom) else {
        net.counters.count(.IpFragFails)
        current.drop(.noMemory)
        return .dropped
      }
      // The last fragment to leave frees the sender's charge.
      current.moveOwner(to: &rest)
      part.fragmentOffset = offset
      part.moreFragments = true
      // The first piece has its options already.
      let options = offset == header.fragmentOffset ? [] : later
      let sent = sendPiece(current, permit, header: part, options, route: &route, link: &link, net: &net)
      result = Self.worse(result, sent)
      offset += room
      rest.push(headerByteCount)
      rest.setNetworkHeader()
      rest.etherType = .ipv4
      current = rest
    }
    part.fragmentOffset = offset
    part.moreFragments = header.moreFragments
    let options = offset == header.fragmentOffset ? [] : later
    let sent = sendPiece(current, permit, header: part, options, route: &route, link: &link, net: &net)
    result = Self.worse(result, sent)
    net.counters.count(.IpFragOKs)
    return result
  }

  /// What fragments behind the first have of a packet's options.
  static func laterOptions(of skb: borrowing SkBuff, from start: Int, to end: Int) -> [UInt8] {
    guard end > start, end <= skb.headLength else { return [] }
    var options = (start..<end).map { skb.linear.load8($0) }
    IPv4Options.keepCopied(&options)
    return options
  }

  static func write(_ options: [UInt8], to skb: inout SkBuff, at offset: Int) -> Bool {
    if options.isEmpty { return true }
    guard var bytes = skb.writable() else { return false }
    for (index, byte) in options.enumerated() { bytes.store8(byte, offset + index) }
    return true
  }

  /// Writes the header of a piece, whose data is at its place, and sends it.
  ///
  /// - Parameter options: of a piece that is not the first; empty: it has its own.
  private mutating func sendPiece(
    _ skb: consuming SkBuff, _ permit: PiecesPermit, header: IPv4Header, _ options: [UInt8],
    route: inout Route,
    link: inout LinkLayer, net: inout Net
  ) -> XmitResult {
    var header = header
    header.totalByteCount = skb.length
    guard Self.write(options, to: &skb, at: IPv4Header.minimumByteCount), skb.write(header) else {
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
