import Digests
import SkBuff
import Wire

extension SkBuff {
  /// Puts a TCP header in front of the data, with its options, checksum and signature: every segment is made here.
  /// Linux: the middle of `__tcp_transmit_skb()`.
  ///
  /// - Parameters:
  ///   - header: its length and checksum are filled in.
  ///   - extra: `options.extraByteCount` bytes of options, behind all others.
  ///   - signing: what signs the segment.
  /// - Returns: false when memory ran out while unsharing.
  @inline(__always)
  mutating func pushSegment(
    _ header: TCPHeader, _ options: TCPOptions, _ extra: [UInt8] = [], from source: IPv4Address,
    to destination: IPv4Address, signedWith signing: SegmentSigning
  ) -> Bool {
    var (header, options) = (header, options)
    switch signing {
    case .none: break
    case .signature: options.signature = .blank
    case .authentication(let authentication): options.authentication = authentication.option
    }
    header.headerByteCount = TCPHeader.minimumByteCount + options.byteCount
    push(header.headerByteCount)
    setTransportHeader()
    let sum = InternetChecksum.pseudoHeader(
      source: source, destination: destination, protocol: .tcp, byteCount: length)
    header.checksum = sum.partial
    guard var bytes = writable() else { return false }
    header.write(to: &bytes)
    options.write(to: &bytes, at: TCPHeader.minimumByteCount)
    for index in 0..<extra.count {
      bytes.store8(extra[index], header.headerByteCount - extra.count + index)
    }
    switch signing {
    case .none: break
    case .signature(let key):
      let signature = signature(
        from: source, to: destination, headerByteCount: header.headerByteCount, key: key)
      guard var bytes = writable() else { return false }
      signature.fill(header: &bytes)
    case .authentication(let authentication):
      let code = code(
        from: source, to: destination, headerByteCount: header.headerByteCount, authentication)
      guard var bytes = writable() else { return false }
      for index in 0..<Int(authentication.option.codeByteCount) {
        bytes.store8(code[index], Int(authentication.option.offset) + index)
      }
    }
    setPartialChecksum(start: 0, offset: TCPHeader.Offset.checksum)
    return true
  }

  /// The signature of a segment that begins with its header: over the addresses, the header without options and with a
  /// checksum of zero, the data and the key (RFC 2385 2.0). Linux: `tcp_v4_md5_hash_skb()`.
  func signature(
    from source: IPv4Address, to destination: IPv4Address, headerByteCount: Int, key: [UInt8]
  ) -> SegmentSignature {
    var hash = MD5()
    hash.update(bigEndian: source.rawValue)
    hash.update(bigEndian: destination.rawValue)
    hash.update(bigEndian: UInt32(IPProtocol.tcp.rawValue) << 16 | UInt32(truncatingIfNeeded: length))
    let bytes = linear
    for offset in 0..<TCPHeader.minimumByteCount {
      let isChecksum = offset / 2 * 2 == TCPHeader.Offset.checksum
      hash.update(isChecksum ? 0 : bytes.load8(offset))
    }
    forEachSpan(from: headerByteCount, count: length - headerByteCount) { hash.update($0) }
    hash.update(key)
    return SegmentSignature(hash.finalize())
  }
}
