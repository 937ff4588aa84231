import SkBuff
import Wire

/// Puts datagrams of one flow that one poll brings together, for sockets with `UDP_GRO`; used only while there are such.
/// Linux: `udp_gro_receive_segment()`, `udp_gro_complete_segment()`.
///
/// All but the last have one size, so that they can be cut apart again for a socket that wants each by itself. Nothing is held
/// back.
enum DatagramReceiveOffload {
  /// Linux: `UDP_GRO_CNT_MAX`.
  static let maximumCount = 64
  private static let maximumByteCount = 65535
  private typealias IP = IPv4Header.Offset
  private static var transport: Int { IPv4Header.minimumByteCount }
  private static var headerByteCount: Int { transport + UDPHeader.byteCount }

  /// A whole datagram with a checksum that was found right, no IP options, its payload in page fragments: those are moved.
  static func isCandidate(_ skb: borrowing SkBuff) -> Bool {
    guard skb.etherType == .ipv4, skb.packetType == .host, skb.checksumStatus == .unnecessary,
      skb.gsoSize == 0, skb.headLength == headerByteCount, skb.dataLength > 0
    else { return false }
    let bytes = skb.linear
    return bytes.load8(IP.versionAndLength) == 0x45 && bytes.load8(IP.protocol) == IPProtocol.udp.rawValue
      && bytes.load16(IP.fragment) & 0x3FFF == 0 && Int(bytes.load16(IP.totalLength)) == skb.length
      && Int(bytes.load16(transport + UDPHeader.Offset.length)) == skb.length - transport
      && bytes.load16(transport + UDPHeader.Offset.checksum) != 0
  }

  /// Adds a candidate to the queue, put behind an earlier one of its flow where that loses nothing.
  ///
  /// - Parameter newest: how many packets at the queue's end this poll has brought.
  static func receive(_ skb: consuming SkBuff, into queue: inout SkBuffQueue, newest: Int) {
    var place = queue.last
    var left = min(newest, GenericReceiveOffload.lookBack)
    while let current = place, left > 0 {
      let isFlow = queue.withPacket(at: current) { isSameFlow($0, skb) }
      if isFlow {
        var pending: SkBuff? = skb
        queue.withMutablePacket(at: current) { head in
          guard let packet = pending.take() else { return }
          if takes(head, packet) {
            pending = merge(packet, into: &head)
          } else {
            pending = consume packet
          }
        }
        if let rest = pending.take() { queue.append(rest) }
        return
      }
      place = queue.position(before: current)
      left -= 1
    }
    queue.append(skb)
  }

  private static func isSameFlow(_ head: borrowing SkBuff, _ skb: borrowing SkBuff) -> Bool {
    guard head.etherType == .ipv4, head.headLength == headerByteCount else { return false }
    let (bytes, own) = (head.linear, skb.linear)
    return bytes.load8(IP.protocol) == IPProtocol.udp.rawValue && bytes.load8(IP.versionAndLength) == 0x45
      && bytes.load32(IP.source) == own.load32(IP.source)
      && bytes.load32(IP.destination) == own.load32(IP.destination)
      && bytes.load32(transport) == own.load32(transport)
  }

  /// Equal headers but for length, identification and checksums; no longer than those before, of which none is shorter.
  private static func takes(_ head: borrowing SkBuff, _ skb: borrowing SkBuff) -> Bool {
    let (bytes, own) = (head.linear, skb.linear)
    let size = head.gsoSize == 0 ? head.dataLength : head.gsoSize
    let count = max(head.gsoSegments, 1)
    guard head.packetType == .host, head.checksumStatus == .unnecessary, head.dataLength == count * size,
      skb.dataLength <= size, count < maximumCount, head.fragmentCount < SkBuff.maximumFragments,
      head.length + skb.dataLength <= maximumByteCount,
      bytes.load16(transport + UDPHeader.Offset.checksum) != 0,
      bytes.load8(IP.typeOfService) == own.load8(IP.typeOfService),
      bytes.load8(IP.timeToLive) == own.load8(IP.timeToLive),
      (bytes.load8(IP.fragment) ^ own.load8(IP.fragment)) & 0x40 == 0,
      IPv4Header.isChecksumValid(own, byteCount: 20), IPv4Header.isChecksumValid(bytes, byteCount: 20)
    else { return false }
    // Where fragments are forbidden all may have one identification (RFC 6864 section 4.1).
    let distance = own.load16(IP.identification) &- bytes.load16(IP.identification)
    return Int(distance) == count || distance == 0 && bytes.load8(IP.fragment) & 0x40 != 0
  }

  /// - Returns: the packet when there was no room for it after all.
  private static func merge(_ skb: consuming SkBuff, into head: inout SkBuff) -> SkBuff? {
    skb.pull(headerByteCount)
    let size = head.gsoSize == 0 ? head.dataLength : head.gsoSize
    let count = max(head.gsoSegments, 1)
    if var rest = head.absorb(skb) {
      rest.push(headerByteCount)
      return rest
    }
    head.gsoSize = size
    head.gsoType = .udpL4
    head.gsoSegments = count + 1
    let total = head.length
    // A packet that is being put together is nobody else's: no memory is needed to write to it.
    guard var bytes = head.writable() else { return nil }
    bytes.store16(UInt16(truncatingIfNeeded: total), IP.totalLength)
    bytes.store16(UInt16(truncatingIfNeeded: total - transport), transport + UDPHeader.Offset.length)
    bytes.store16(0, IP.checksum)
    var sum = InternetChecksum()
    sum.add(bytes.bytes.extracting(0..<transport))
    bytes.store16(sum.checksum, IP.checksum)
    return nil
  }
}
