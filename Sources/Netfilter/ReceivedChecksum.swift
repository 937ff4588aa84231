import SkBuff
import Wire

extension SkBuff {
  /// Makes of a received packet, data at its IP header, one that can be sent: what was vouched for may have its checksum yet
  /// to be written. Linux: `tcp_gro_complete()`, `skb_forward_csum()`.
  ///
  /// - Returns: false without memory.
  public mutating func prepareToSend(_ header: IPv4Header) -> Bool {
    setNetworkHeader()
    if header.fragmentOffset == 0 { setTransportHeader(header.headerByteCount) }
    guard checksumStatus == .unnecessary else { return true }
    checksumStatus = .none
    guard !header.isFragment, header.protocol == .tcp || header.protocol == .udp else { return true }
    let start = header.headerByteCount
    let field = header.protocol == .tcp ? TCPHeader.Offset.checksum : UDPHeader.Offset.checksum
    guard length >= start + field + 2, mayPull(start + field + 2) else { return true }
    // A datagram without a checksum stays so.
    if header.protocol == .udp && linear.load16(start + field) == 0 { return true }
    if header.protocol == .udp && !isGSO {
      let stated = Int(linear.load16(start + UDPHeader.Offset.length))
      if stated != length - start { return sumDatagram(header, at: start, byteCount: stated) }
    }
    let pseudo = InternetChecksum.pseudoHeader(
      source: header.source, destination: header.destination, protocol: header.protocol,
      byteCount: length - start)
    guard var bytes = writable() else { return false }
    bytes.store16(pseudo.partial, start + field)
    setPartialChecksum(start: start, offset: field)
    return true
  }

  /// Of a datagram that ends before its packet does only the datagram is summed (RFC 768): no device can do that.
  private mutating func sumDatagram(_ header: IPv4Header, at start: Int, byteCount: Int) -> Bool {
    guard byteCount >= UDPHeader.byteCount, byteCount < length - start else { return true }
    guard var bytes = writable() else { return false }
    bytes.store16(0, start + UDPHeader.Offset.checksum)
    var sum = InternetChecksum.pseudoHeader(
      source: header.source, destination: header.destination, protocol: .udp, byteCount: byteCount)
    sum.add(checksum(from: start, count: byteCount), at: 0)
    guard var summed = writable() else { return false }
    summed.store16(sum.checksum == 0 ? 0xFFFF : sum.checksum, start + UDPHeader.Offset.checksum)
    return true
  }
}
