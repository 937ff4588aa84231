import SkBuff
import Wire

extension SkBuff {
  /// Bytes from the packet's first to the first of the transport payload, as every segment repeats them; `nil` when the
  /// packet's marks or its TCP header are not what segmentation needs. Linux: `skb_gso_network_seglen()` and kin.
  @usableFromInline var segmentHeaderByteCount: Int? {
    guard let transport = transportHeaderOffset, transport >= 0 else { return nil }
    switch gsoType {
    case .tcpv4:
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

  /// Segments the packet leaves as: 1 without segmentation.
  @usableFromInline var wireSegmentCount: Int {
    guard isGSO, let header = segmentHeaderByteCount, length > header else { return 1 }
    return (length - header + gsoSize - 1) / gsoSize
  }

  /// Bytes the packet takes on the wire: what a queueing discipline counts. The headers that segmentation repeats are
  /// included, padding and check sequence are not. Linux: `qdisc_pkt_len_init()`.
  @usableFromInline var wireByteCount: Int {
    guard isGSO, let header = segmentHeaderByteCount, length > header else { return length }
    return length + ((length - header + gsoSize - 1) / gsoSize - 1) * header
  }
}
