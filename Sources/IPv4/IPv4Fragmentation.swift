import Neighbour
import NetDevice
import NetNamespace
import SkBuff
import Wire

/// Cutting packets that exceed the MTU. Linux: `ip_do_fragment()`.
extension IPv4Layer {
  /// Sends a packet (data at its IP header, no options) as fragments. Page fragments are shared, payload in pages is
  /// not copied.
  mutating func fragment(
    _ skb: consuming SkBuff, header: IPv4Header, limit: Int, route: inout Route, net: inout Net
  ) -> XmitResult {
    guard skb.unclone() else {
      net.counters.count(.IpFragFails)
      skb.drop(.noMemory)
      return .dropped
    }
    // A checksum over the whole datagram cannot be left to a device that sees pieces.
    if skb.checksumStatus == .partial { Self.completeChecksum(&skb) }
    // Every fragment but the last carries a multiple of 8 bytes (RFC 791).
    let room = (limit - IPv4Header.minimumByteCount) & ~7
    guard room > 0 else {
      net.counters.count(.IpFragFails)
      skb.drop(.deviceTooLong)
      return .dropped
    }
    var part = header
    let headroom = device.neededHeadroom + IPv4Header.minimumByteCount
    var current = skb
    var offset = 0
    var result = XmitResult.success
    while current.length - IPv4Header.minimumByteCount > room {
      guard let rest = current.split(at: IPv4Header.minimumByteCount + room, headroom: headroom) else {
        net.counters.count(.IpFragFails)
        current.drop(.noMemory)
        return .dropped
      }
      // The last fragment to leave frees the sender's charge.
      current.moveOwner(to: rest)
      part.fragmentOffset = offset
      part.moreFragments = true
      let sent = sendFragment(current, header: part, route: &route, net: &net)
      result = Self.worse(result, sent)
      offset += room
      rest.push(IPv4Header.minimumByteCount)
      rest.setNetworkHeader()
      rest.etherType = .ipv4
      current = rest
    }
    part.fragmentOffset = offset
    part.moreFragments = false
    result = Self.worse(result, sendFragment(current, header: part, route: &route, net: &net))
    net.counters.count(.IpFragOKs)
    return result
  }

  private mutating func sendFragment(
    _ skb: consuming SkBuff, header: IPv4Header, route: inout Route, net: inout Net
  ) -> XmitResult {
    var header = header
    header.totalByteCount = skb.length
    var bytes = skb.mutableLinear
    header.write(to: &bytes)
    net.tracer.record(
      .ip_fragment, skb: skb.serial, UInt64(skb.length), UInt64(header.identification),
      UInt64(header.fragmentOffset))
    net.counters.count(.IpFragCreates)
    return finishOutput(skb, route: &route, net: &net)
  }

  static func worse(_ a: XmitResult, _ b: XmitResult) -> XmitResult {
    if a == .dropped || b == .dropped { return .dropped }
    return a == .congestion ? a : b
  }

  /// Finishes a partial checksum in software. Linux: `skb_checksum_help()`.
  static func completeChecksum(_ skb: inout SkBuff) {
    let start = skb.checksumStart
    let field = start + skb.checksumOffset
    // The field holds the pseudo-header's sum, so it is summed along with the rest.
    let value = skb.checksum(from: start, count: skb.length - start).checksum
    precondition(field + 2 <= skb.headLength, "a checksum field lies in the linear area")
    var bytes = skb.mutableLinear
    // UDP has no negative zero to spare: 0 means "none" (RFC 768); TCP's 0 may as well be 0xFFFF.
    bytes.store16(value == 0 ? 0xFFFF : value, field)
    skb.checksumStatus = .none
  }

  /// A GSO packet whose segments exceed the MTU. Linux: `ip_finish_output_gso()`.
  mutating func segmentAndFragment(
    _ skb: consuming SkBuff, route: inout Route, limit: Int, net: inout Net
  ) -> XmitResult {
    net.counters.count(.IpFragFails)
    skb.drop(.gsoFailed)
    return .dropped
  }
}
