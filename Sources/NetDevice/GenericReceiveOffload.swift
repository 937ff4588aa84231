import SkBuff
import Wire

/// Merges consecutive segments of one TCP stream that one poll brings, so that the floors above work once for many.
/// Linux: `napi_gro_receive()`, `inet_gro_receive()`, `tcp_gro_receive()`.
///
/// What is merged could be cut apart again without loss: equal headers but for length, sequence and checksum. Nothing
/// is held back: a packet is merged into one that already waits in the same poll's queue.
enum GenericReceiveOffload {
  /// How far back in the queue a packet of the same stream is looked for. Linux: `MAX_GRO_SKBS`.
  static let lookBack = 8
  private static let maximumByteCount = 65535
  private static let push = UInt32(TCPFlags.psh.rawValue) << 16
  /// Flags after which nothing more is added to a packet; as both must have the same flags but for PSH, no segment with
  /// one of the others is added either.
  private static let ending =
    UInt32(([.urg, .psh, .rst, .syn, .fin, .cwr] as TCPFlags).rawValue) << 16

  /// The fields that decide; `nil` when the packet is not one that may be merged.
  private typealias IP = IPv4Header.Offset
  private typealias TCP = TCPHeader.Offset
  /// Where the TCP header begins: there are no IP options.
  fileprivate static var transport: Int { IPv4Header.minimumByteCount }

  private struct Segment {
    var ports: UInt32
    var source: UInt32
    var destination: UInt32
    var sequence: SequenceNumber
    var acknowledgment: UInt32
    /// Data offset, reserved bits, flags and window. Linux: `tcp_flag_word()`.
    var flagWord: UInt32
    var tcpByteCount: Int
    var payload: Int

    init?(_ skb: borrowing SkBuff) {
      guard skb.etherType == .ipv4, skb.packetType == .host, skb.checksumStatus == .unnecessary else {
        return nil
      }
      let bytes = skb.linear
      // No IP options, TCP, whole.
      guard bytes.byteCount >= 40, bytes.load8(IP.versionAndLength) == 0x45,
        bytes.load8(IP.protocol) == IPProtocol.tcp.rawValue,
        bytes.load16(IP.fragment) & 0x3FFF == 0, Int(bytes.load16(IP.totalLength)) == skb.length
      else { return nil }
      tcpByteCount = Int(bytes.load8(GenericReceiveOffload.transport + TCP.dataOffset) >> 4) &* 4
      // The payload must lie in page fragments: those are moved, not copied.
      guard tcpByteCount >= 20, bytes.byteCount == 20 &+ tcpByteCount, skb.dataLength > 0 else { return nil }
      source = bytes.load32(IP.source)
      destination = bytes.load32(IP.destination)
      ports = bytes.load32(GenericReceiveOffload.transport + TCP.sourcePort)
      sequence = SequenceNumber(bytes.load32(GenericReceiveOffload.transport + TCP.sequence))
      acknowledgment = bytes.load32(GenericReceiveOffload.transport + TCP.acknowledgment)
      flagWord = bytes.load32(GenericReceiveOffload.transport + TCP.dataOffset)
      payload = skb.dataLength
    }
  }

  /// Adds a packet to the queue, merged into an earlier one where that loses nothing.
  ///
  /// - Parameter newest: how many packets at the queue's end this poll has brought.
  static func receive(_ skb: consuming SkBuff, into queue: inout SkBuffQueue, newest: Int) {
    guard let segment = Segment(skb), skb.gsoSize == 0 else {
      queue.append(skb)
      return
    }
    var place = queue.last
    var left = min(newest, lookBack)
    while let current = place, left > 0 {
      let match = queue.withPacket(at: current) { head in compare(head, skb, segment) }
      switch match {
      case .otherStream: break
      case .merge:
        var pending: SkBuff? = skb
        queue.withMutablePacket(at: current) { head in
          if let packet = pending.take() { pending = merge(packet, segment, into: &head) }
        }
        if let rest = pending.take() { queue.append(rest) }
        return
      case .sameStream:
        queue.append(skb)
        return
      }
      place = queue.position(before: current)
      left -= 1
    }
    queue.append(skb)
  }

  private enum Match { case otherStream, sameStream, merge }

  private static func compare(_ head: borrowing SkBuff, _ skb: borrowing SkBuff, _ segment: Segment) -> Match
  {
    let bytes = head.linear
    guard head.etherType == .ipv4, bytes.byteCount >= 40, bytes.load32(IP.source) == segment.source,
      bytes.load32(IP.destination) == segment.destination,
      bytes.load8(IP.protocol) == IPProtocol.tcp.rawValue,
      bytes.load32(GenericReceiveOffload.transport + TCP.sourcePort) == segment.ports
    else { return .otherStream }
    guard let before = Segment(head), head.fragmentCount < SkBuff.maximumFragments else { return .sameStream }
    let size = head.gsoSize == 0 ? before.payload : head.gsoSize
    guard before.flagWord & ending == 0,
      (before.flagWord ^ segment.flagWord) & ~push == 0,
      before.sequence + before.payload == segment.sequence, before.acknowledgment == segment.acknowledgment,
      segment.payload <= size, before.payload == max(head.gsoSegments, 1) &* size,
      head.length + segment.payload <= maximumByteCount
    else { return .sameStream }
    let own = skb.linear
    // Type of service, time to live and DF alike; both header checksums right, as one of them is about to go.
    guard bytes.load8(IP.typeOfService) == own.load8(IP.typeOfService),
      bytes.load8(IP.timeToLive) == own.load8(IP.timeToLive),
      (bytes.load8(IP.fragment) ^ own.load8(IP.fragment)) & 0x40 == 0,
      continuesIdentification(head, own.load16(IP.identification)),
      IPv4Header.isChecksumValid(bytes, byteCount: 20), IPv4Header.isChecksumValid(own, byteCount: 20)
    else { return .sameStream }
    var offset = 40
    while offset < 20 + segment.tcpByteCount {
      if bytes.load32(offset) != own.load32(offset) { return .sameStream }
      offset += 4
    }
    return .merge
  }

  /// Identifications go up by one from segment to segment; where fragments are forbidden all may be the same, and the
  /// second segment decides which (RFC 6864 section 4.1). Linux: `inet_gro_flush()`.
  private static func continuesIdentification(_ head: borrowing SkBuff, _ identification: UInt16) -> Bool {
    let bytes = head.linear
    let distance = identification &- bytes.load16(IP.identification)
    let count = max(head.gsoSegments, 1)
    if distance == 0 {
      return bytes.load8(IP.fragment) & 0x40 != 0 && (count == 1 || head.hasFixedIdentification)
    }
    return Int(distance) == count && !head.hasFixedIdentification
  }

  /// - Returns: the packet when there was no room for it after all.
  private static func merge(_ skb: consuming SkBuff, _ segment: Segment, into head: inout SkBuff)
    -> SkBuff?
  {
    let headerByteCount = skb.headLength
    let isFixed = skb.linear.load16(IP.identification) == head.linear.load16(IP.identification)
    skb.pull(headerByteCount)
    if head.gsoSize == 0 { head.gsoSize = head.dataLength }
    let segments = max(head.gsoSegments, 1)
    if var rest = head.absorb(skb) {
      rest.push(headerByteCount)
      return rest
    }
    head.gsoType = .tcpv4
    head.gsoSegments = segments + 1
    head.hasFixedIdentification = isFixed
    head.rewriteMergedHeader(push: segment.flagWord & push != 0)
    return nil
  }
}

extension SkBuff {
  /// Total length and header checksum of the packet as it is now; PSH when a part had it.
  fileprivate mutating func rewriteMergedHeader(push: Bool) {
    let total = UInt16(truncatingIfNeeded: length)
    // A packet that is being put together is nobody else's: no memory is needed to write to it.
    guard var bytes = writable() else { return }
    bytes.store16(total, IPv4Header.Offset.totalLength)
    bytes.store16(0, IPv4Header.Offset.checksum)
    var sum = InternetChecksum()
    sum.add(bytes.bytes.extracting(0..<20))
    bytes.store16(sum.checksum, IPv4Header.Offset.checksum)
    let flags = GenericReceiveOffload.transport + TCPHeader.Offset.flags
    if push { bytes.store8(bytes.bytes.load8(flags) | TCPFlags.psh.rawValue, flags) }
  }
}
