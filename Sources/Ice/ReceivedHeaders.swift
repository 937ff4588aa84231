import Wire

/// How many bytes of a received frame are headers, to be copied into the linear area so that every floor
/// above reads its header in place. Linux: `eth_get_headlen()`.
enum ReceivedHeaders {
  /// Ethernet, one VLAN tag, IPv4 with options, TCP with options fit; as in `ICE_RX_HDR_SIZE`.
  static var maximum: Int { 256 }

  /// - Returns: 14...`maximum`, no more than the bytes given; the frame's own claims never reach further.
  static func byteCount(_ bytes: RawSpan) -> Int {
    let available = min(bytes.byteCount, maximum)
    guard available >= 14 else { return available }
    var offset = 14
    var type = EtherType(rawValue: bytes.load16(EthernetHeader.Offset.type))
    if type == .vlan {
      guard available >= 18 else { return available }
      type = EtherType(rawValue: bytes.load16(16))
      offset = 18
    }
    guard type == .ipv4 else { return type == .arp ? available : offset }
    guard available >= offset + 20 else { return available }
    let octet = bytes.load8(offset)
    let header = Int(octet & 0xF) * 4
    guard octet >> 4 == 4, header >= 20 else { return offset }
    let transport = offset + header
    // A later fragment carries no transport header.
    if bytes.load16(offset + 6) & 0x1FFF != 0 { return min(transport, available) }
    switch IPProtocol(rawValue: bytes.load8(offset + 9)) {
    case .tcp:
      guard available >= transport + 20 else { return available }
      let size = Int(bytes.load8(transport + 12) >> 4) * 4
      return min(transport + max(size, 20), available)
    case .udp, .icmp:
      return min(transport + 8, available)
    default:
      return min(transport, available)
    }
  }
}
