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

  /// Whether a packet's checksum is right, or is not there, or was looked at before. Data at its IP header, whole; the
  /// transport's first eight bytes lie in a row. Linux: `nf_ip_checksum()`.
  ///
  /// - Note: a protocol that is not known is taken to have the sum over all of its payload, as Linux does.
  public func isSumValid(_ header: IPv4Header) -> Bool {
    guard checksumStatus == .none else { return true }
    let start = header.headerByteCount
    let count = length - start
    var sum = InternetChecksum()
    if header.protocol == .tcp || header.protocol == .udp {
      let field = start + UDPHeader.Offset.checksum
      if header.protocol == .udp, headLength >= field + 2, linear.load16(field) == 0 { return true }
      sum = InternetChecksum.pseudoHeader(
        source: header.source, destination: header.destination, protocol: header.protocol, byteCount: count)
    }
    sum.add(checksum(from: start, count: count), at: 0)
    return sum.isValid
  }

  /// Whether a datagram of UDP-Lite says no more than is there and has the checksum that it must have (RFC 3828 section 3.1).
  ///
  /// - Note: Linux's `udplite_error()` sums with UDP's number, so that with `nf_conntrack_checksum` no datagram of UDP-Lite is
  ///   of any connection there. Here it is summed with its own.
  func isLiteDatagramValid(_ header: IPv4Header, verifies: Bool) -> Bool {
    let start = header.headerByteCount
    let count = length - start
    guard count >= UDPHeader.byteCount, headLength >= start + UDPHeader.byteCount else { return false }
    let stated = Int(linear.load16(start + UDPHeader.Offset.length))
    let covered = stated == 0 ? count : stated
    guard covered >= UDPHeader.byteCount, covered <= count,
      linear.load16(start + UDPHeader.Offset.checksum) != 0
    else { return false }
    guard verifies else { return true }
    var sum = InternetChecksum.pseudoHeader(
      source: header.source, destination: header.destination, protocol: .udpLite, byteCount: count)
    sum.add(checksum(from: start, count: covered), at: 0)
    return sum.isValid
  }
}

extension IPProtocol {
  /// Whether a refused packet's checksum is looked at before its sender is told. Linux: `nf_reject_verify_csum()`.
  public var isSummedWhole: Bool {
    switch rawValue {
    // GRE, ESP, AH, SCTP, DCCP and UDP-Lite: optional, of another kind, or of a part.
    case 47, 50, 51, 132, 33, 136: false
    default: true
    }
  }
}
