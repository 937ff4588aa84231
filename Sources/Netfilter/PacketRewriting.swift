import SkBuff
import Wire

/// Writes other addresses and ports into packets and mends their checksums (RFC 1624). Linux: `nf_nat_manip_pkt()`.
enum PacketRewriting {
  /// The port, or echo identifier, at an end of a tuple.
  static func port(of tuple: ConnectionTuple, isSource: Bool) -> UInt16 {
    // An echo has one identifier, whichever way it goes.
    isSource || tuple.protocol == .icmp ? tuple.sourcePort : tuple.destinationPort
  }
  static func tuple(_ tuple: ConnectionTuple, isSource: Bool, port: UInt16) -> ConnectionTuple {
    var other = tuple
    if isSource || tuple.protocol == .icmp { other.sourcePort = port } else { other.destinationPort = port }
    return other
  }

  /// Makes a packet's source, or its destination, that of a tuple.
  ///
  /// - Parameter skb: data at its IP header.
  /// - Returns: false without memory, or when the headers are not there.
  static func rewrite(
    _ skb: inout SkBuff, _ header: IPv4Header, to target: ConnectionTuple, isSource: Bool
  ) -> Bool {
    // What another engine vouched for is summed anew, by whoever sends it.
    guard skb.prepareToSend(header) else { return false }
    let start = header.headerByteCount
    let needed = start + transportByteCount(header.protocol)
    guard skb.mayPull(min(needed, skb.length)), skb.length >= needed, skb.unclone() else { return false }
    let isPartial = skb.checksumStatus == .partial
    guard var bytes = skb.writable() else { return false }
    let address = isSource ? target.source : target.destination
    let old = isSource ? header.source : header.destination
    rewritePort(
      &bytes, at: start, header.protocol, port(of: target, isSource: isSource), isSource: isSource,
      isPartial: isPartial)
    if header.protocol.hasPorts {
      let field = start + (header.protocol == .tcp ? TCPHeader.Offset.checksum : UDPHeader.Offset.checksum)
      if header.protocol != .udp || isPartial || bytes.bytes.load16(field) != 0 {
        mend(
          &bytes, field, from: old.rawValue, to: address.rawValue, isPartial: isPartial,
          isUDP: header.protocol != .tcp)
      }
    }
    writeAddress(&bytes, at: 0, address, isSource: isSource)
    return true
  }

  /// The message alone, whose checksum does not cover addresses.
  static func rewriteAddress(
    _ skb: inout SkBuff, _ header: IPv4Header, _ address: IPv4Address, isSource: Bool
  ) -> Bool {
    guard skb.unclone(), var bytes = skb.writable() else { return false }
    writeAddress(&bytes, at: 0, address, isSource: isSource)
    return true
  }

  /// What an ICMP error quotes; its own checksum is made anew.
  static func rewriteQuoted(
    _ skb: inout SkBuff, _ header: IPv4Header, from tuple: ConnectionTuple, isSource: Bool
  ) -> Bool {
    let message = header.headerByteCount
    let start = message + ICMPHeader.byteCount
    guard skb.unclone(), skb.linearize(), skb.length > start, var bytes = skb.writable(),
      let inner = IPv4Header(quoted: bytes.bytes.extracting(start..<bytes.byteCount))
    else { return false }
    let address = isSource ? tuple.source : tuple.destination
    let old = isSource ? inner.source : inner.destination
    let transport = start + inner.headerByteCount
    // Eight bytes of it are there, since its tuple was read.
    guard bytes.byteCount >= transport + 8 || !inner.protocol.hasPorts else {
      return false
    }
    let field: Int? =
      switch inner.protocol {
      case .tcp: transport + TCPHeader.Offset.checksum
      case .udp, .udpLite: transport + UDPHeader.Offset.checksum
      default: nil
      }
    let hasField =
      field.map { $0 + 2 <= bytes.byteCount && (inner.protocol != .udp || bytes.bytes.load16($0) != 0) }
      ?? false
    rewritePort(
      &bytes, at: transport, inner.protocol, port(of: tuple, isSource: isSource), isSource: isSource,
      isPartial: !hasField && inner.protocol != .icmp)
    if hasField, let field {
      mend(
        &bytes, field, from: old.rawValue, to: address.rawValue, isPartial: false,
        isUDP: inner.protocol != .tcp)
    }
    writeAddress(&bytes, at: start, address, isSource: isSource)
    bytes.store16(0, message + ICMPHeader.Offset.checksum)
    var sum = InternetChecksum()
    sum.add(bytes.bytes.extracting(message..<min(bytes.byteCount, header.totalByteCount)))
    bytes.store16(sum.checksum, message + ICMPHeader.Offset.checksum)
    return true
  }

  private static func transportByteCount(_ number: IPProtocol) -> Int {
    switch number {
    case .tcp: TCPHeader.minimumByteCount
    case .udp, .udpLite: UDPHeader.byteCount
    case .icmp: ICMPHeader.byteCount
    default: 0
    }
  }

  /// - Parameter isPartial: the checksum is not there, or yet to be made of what is written here.
  private static func rewritePort(
    _ bytes: inout MutableRawSpan, at transport: Int, _ number: IPProtocol, _ port: UInt16, isSource: Bool,
    isPartial: Bool
  ) {
    let place: Int
    let field: Int
    switch number {
    case .tcp:
      place = transport + (isSource ? TCPHeader.Offset.sourcePort : TCPHeader.Offset.destinationPort)
      field = transport + TCPHeader.Offset.checksum
    case .udp, .udpLite:
      place = transport + (isSource ? UDPHeader.Offset.sourcePort : UDPHeader.Offset.destinationPort)
      field = transport + UDPHeader.Offset.checksum
    case .icmp:
      place = transport + ICMPHeader.Offset.rest
      field = transport + ICMPHeader.Offset.checksum
    default: return
    }
    let old = bytes.bytes.load16(place)
    guard old != port else { return }
    bytes.store16(port, place)
    guard !isPartial, number != .udp || bytes.bytes.load16(field) != 0 else { return }
    mend(
      &bytes, field, from: UInt32(old), to: UInt32(port), isPartial: false,
      isUDP: number == .udp || number == .udpLite)
  }

  private static func writeAddress(
    _ bytes: inout MutableRawSpan, at header: Int, _ address: IPv4Address, isSource: Bool
  ) {
    let place = header + (isSource ? IPv4Header.Offset.source : IPv4Header.Offset.destination)
    let old = bytes.bytes.load32(place)
    bytes.store32(address.rawValue, place)
    mend(
      &bytes, header + IPv4Header.Offset.checksum, from: old, to: address.rawValue, isPartial: false,
      isUDP: false)
  }

  /// A checksum after a word under it has changed (RFC 1624 equation 3).
  ///
  /// - Parameter isPartial: the field has the sum itself, not its complement.
  private static func mend(
    _ bytes: inout MutableRawSpan, _ field: Int, from old: UInt32, to new: UInt32, isPartial: Bool,
    isUDP: Bool
  ) {
    let value = bytes.bytes.load16(field)
    var sum = UInt32(isPartial ? value : ~value)
    sum += UInt32(UInt16(truncatingIfNeeded: ~old)) + UInt32(UInt16(truncatingIfNeeded: ~old >> 16))
    sum += UInt32(UInt16(truncatingIfNeeded: new)) + UInt32(UInt16(truncatingIfNeeded: new >> 16))
    sum = sum & 0xFFFF + sum >> 16
    sum = sum & 0xFFFF + sum >> 16
    let folded = UInt16(truncatingIfNeeded: sum)
    let result = isPartial ? folded : ~folded
    bytes.store16(isUDP && !isPartial && result == 0 ? 0xFFFF : result, field)
  }
}
