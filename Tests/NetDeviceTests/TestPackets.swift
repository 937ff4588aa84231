import SkBuff
import Testing
import Wire

/// `#expect` for expressions over values that cannot be copied, which the macro would want to keep.
func check(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(condition, sourceLocation: sourceLocation)
}

/// RFC 1071 section 4.1, byte by byte: the folded sum.
func folded(_ bytes: some Sequence<UInt8>) -> UInt16 {
  var sum: UInt32 = 0
  var isHigh = true
  for byte in bytes {
    sum += isHigh ? UInt32(byte) << 8 : UInt32(byte)
    isHigh.toggle()
  }
  while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
  return UInt16(sum)
}

func word(_ bytes: [UInt8], _ offset: Int) -> UInt16 {
  UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
}
func long(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
  UInt32(word(bytes, offset)) << 16 | UInt32(word(bytes, offset + 2))
}

/// Bytes that tell their place.
func pattern(_ range: Range<Int>) -> [UInt8] { range.map { UInt8($0 % 251) } }

extension SkBuff {
  var bytes: [UInt8] { copyBytes() }
}

extension DeviceBench {
  /// A frame without offloads whose last byte is `tag`.
  func frame(_ tag: UInt8, length: Int = 60, priority: UInt32 = 0) -> SkBuff {
    var bytes: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xB5]
    bytes += [UInt8](repeating: 0, count: length - 15) + [tag]
    return packet(bytes, priority: priority)
  }

  func packet(_ bytes: [UInt8], headroom: Int = 64, priority: UInt32 = 0) -> SkBuff {
    var skb = pool.allocate(headroom: headroom, linear: bytes.count)!
    // Safe: `UInt8` has no padding.
    skb.put(unsafe bytes.span.bytes)
    skb.priority = priority
    return skb
  }

  func addFragment(_ bytes: [UInt8], to skb: inout SkBuff) {
    let page = pool.allocatePage(large: bytes.count > 4000)!
    page.fill(unsafe bytes.span.bytes, at: 0)
    skb.appendFragment(page, offset: 0, byteCount: bytes.count, truesize: bytes.count)
  }

  /// Ethernet, IPv4 (identification `id`) and TCP with timestamps, 66 bytes, in front of the pattern; the given part of
  /// the payload linear, the rest in fragments of up to `piece` bytes. Checksum partial.
  func tcp(
    payload: Int, linear: Int = 0, piece: Int = 4000, mss: Int, flags: TCPFlags = [.ack, .psh],
    sequence: UInt32 = 1000, id: UInt16 = 1
  ) -> SkBuff {
    let total = UInt16(truncatingIfNeeded: 52 + payload)
    var header: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]
    header += [0x45, 0x02, UInt8(total >> 8), UInt8(total & 0xFF), UInt8(id >> 8), UInt8(id & 0xFF), 0x40, 0]
    header += [64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]
    let ipSum = ~folded(header[14..<34])
    header[24] = UInt8(ipSum >> 8)
    header[25] = UInt8(ipSum & 0xFF)
    header += [0x13, 0x89, 0x9C, 0x40] + (0..<4).map { UInt8(truncatingIfNeeded: sequence >> (24 - 8 * $0)) }
    header += [0, 0, 0x55, 0x55, 0x80, flags.rawValue, 0x01, 0x00]
    let length = 32 + payload
    let pseudo = folded([
      10, 0, 0, 2, 10, 0, 0, 1, 0, 6, UInt8(truncatingIfNeeded: length >> 8), UInt8(length & 0xFF),
    ])
    header += [UInt8(pseudo >> 8), UInt8(pseudo & 0xFF), 0, 0]
    header += [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8]
    var skb = packet(header + pattern(0..<linear))
    var offset = linear
    while offset < payload {
      let count = min(piece, payload - offset)
      addFragment(pattern(offset..<offset + count), to: &skb)
      offset += count
    }
    skb.etherType = .ipv4
    skb.setMACHeader(0)
    skb.setNetworkHeader(14)
    skb.setTransportHeader(34)
    skb.setPartialChecksum(start: 34, offset: 16)
    if mss > 0 && payload > mss {
      skb.gsoSize = mss
      skb.gsoType = .tcpv4
      skb.gsoSegments = (payload + mss - 1) / mss
    }
    return skb
  }

  /// Ethernet, IPv4 and UDP, 42 bytes, in front of the pattern in fragments.
  func udp(payload: Int, segment: Int, hasChecksum: Bool = true) -> SkBuff {
    let total = UInt16(28 + payload)
    var header: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]
    header += [0x45, 0, UInt8(total >> 8), UInt8(total & 0xFF), 0x12, 0x34, 0, 0, 64, 17, 0, 0]
    header += [10, 0, 0, 2, 10, 0, 0, 1]
    let ipSum = ~folded(header[14..<34])
    header[24] = UInt8(ipSum >> 8)
    header[25] = UInt8(ipSum & 0xFF)
    let length = 8 + payload
    header += [0x13, 0x89, 0x9C, 0x40, UInt8(length >> 8), UInt8(length & 0xFF)]
    let pseudo =
      hasChecksum
      ? folded([10, 0, 0, 2, 10, 0, 0, 1, 0, 17, UInt8(length >> 8), UInt8(length & 0xFF)]) : 0
    header += [UInt8(pseudo >> 8), UInt8(pseudo & 0xFF)]
    var skb = packet(header)
    addFragment(pattern(0..<payload), to: &skb)
    skb.etherType = .ipv4
    skb.setMACHeader(0)
    skb.setNetworkHeader(14)
    skb.setTransportHeader(34)
    if hasChecksum { skb.setPartialChecksum(start: 34, offset: 6) }
    skb.gsoSize = segment
    skb.gsoType = .udpL4
    return skb
  }
}
