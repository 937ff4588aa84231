import SkBuff
import Wire

extension SkBuff {
  /// Bytes from the packet's first to the first of the transport payload, as every segment repeats them; `nil` when the
  /// packet's marks or its TCP header are not what segmentation needs. Linux: `skb_gso_network_seglen()` and kin.
  @usableFromInline var segmentHeaderByteCount: Int? {
    guard let transport = transportHeaderOffset, transport >= 0 else { return nil }
    switch gsoType {
    case .tcpv4, .tcpv4AccurateECN:
      guard transport + TCPHeader.minimumByteCount <= headLength else { return nil }
      let count = Int(linear.load8(transport + 12) >> 4) * 4
      guard count >= TCPHeader.minimumByteCount, transport + count <= length else { return nil }
      return transport + count
    case .udpL4:
      guard transport + UDPHeader.byteCount <= length else { return nil }
      return transport + UDPHeader.byteCount
    case .none:
      return nil
    }
  }

  /// What the packet takes on the wire.
  @usableFromInline var wireSize: WireSize {
    guard isGSO, let header = segmentHeaderByteCount, length > header else {
      return WireSize(byteCount: length, segmentCount: 1, longestFrame: length)
    }
    let payload = length - header
    let segments = (payload + gsoSize - 1) / gsoSize
    return WireSize(
      byteCount: length + (segments - 1) * header, segmentCount: segments,
      longestFrame: header + min(gsoSize, payload))
  }
}

/// A packet as the wire sees it. Linux: `qdisc_pkt_len_init()`.
@frozen
@usableFromInline
struct WireSize {
  /// The headers that segmentation repeats are included, padding and check sequence are not.
  @usableFromInline var byteCount: Int
  @usableFromInline var segmentCount: Int
  /// Bytes of the longest frame that it makes.
  @usableFromInline var longestFrame: Int

  @usableFromInline init(byteCount: Int, segmentCount: Int, longestFrame: Int) {
    self.byteCount = byteCount
    self.segmentCount = segmentCount
    self.longestFrame = longestFrame
  }
}
