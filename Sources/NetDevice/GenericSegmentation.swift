import SkBuff
import Trace
import Wire

/// Cuts a packet larger than the MTU into the segments it stands for, in software. Linux: `skb_gso_segment()`,
/// `tcp_gso_segment()`, `__udp_gso_segment()`, `inet_gso_segment()`.
///
/// Segments share the packet's pages: no payload byte is copied where it lies in a page, unless the device takes only
/// packets in one piece.
public enum GenericSegmentation {
  /// Where the headers are and what repeats.
  private struct Layout {
    var network: Int
    var transport: Int
    var headerByteCount: Int
    var isTCP: Bool
    /// UDP without a checksum stays so.
    var hasChecksum: Bool
    var identification: UInt16
    var hasFixedIdentification: Bool
    var sequence: SequenceNumber
    var flags: TCPFlags
    var keepsCWR: Bool
    var source: IPv4Address
    var destination: IPv4Address
  }

  /// Adds the segments to `queue`, in order. The packet may begin at its Ethernet or at its network header; network and
  /// transport header are marked.
  ///
  /// A socket's charge for the packet ends with the last segment.
  ///
  /// - Parameter features: what the device does with the segments: without `.checksum` each is complete, without
  ///   `.scatterGather` each is in one piece.
  /// - Returns: false when the packet was dropped: its headers are not what its marks say, or memory ran out. Nothing
  ///   was added then.
  public static func segment(
    _ skb: consuming SkBuff, features: DeviceFeatures, into queue: inout SkBuffQueue
  ) -> Bool {
    guard let layout = layout(of: &skb) else {
      skb.drop(.gsoFailed)
      return false
    }
    var segments = SkBuffQueue()
    let size = skb.gsoSize
    let payloadEnd = skb.length
    var offset = layout.headerByteCount
    var index = 0
    while offset < payloadEnd {
      let count = min(size, payloadEnd - offset)
      guard var segment = makeSegment(of: skb, layout, from: offset, count: count, features) else {
        skb.drop(.noMemory)
        return false
      }
      let isLast = offset + count == payloadEnd
      if !skb.stamps.isEmpty && isStamped(skb, layout, from: offset, count: count) {
        segment.copyStamps(from: skb)
      }
      writeHeaders(
        &segment, layout, index: index, payloadOffset: offset - layout.headerByteCount, isLast: isLast)
      if layout.hasChecksum {
        segment.setPartialChecksum(
          start: layout.transport,
          offset: layout.isTCP ? TCPHeader.Offset.checksum : UDPHeader.Offset.checksum)
        if !features.contains(.checksum) && !segment.completeChecksum() {
          skb.drop(.noMemory)
          return false
        }
      }
      if isLast { skb.moveOwner(to: &segment) }
      segments.append(segment)
      offset += count
      index += 1
    }
    skb.pool.tracer.record(
      .skb_gso_segment, skb: skb.serial, socket: skb.socket, UInt64(skb.length), UInt64(size), UInt64(index))
    queue.append(contentsOf: &segments)
    return true
  }

  /// Of a stream the segment with the byte that the stamps are named after, of datagrams the first.
  /// Linux: `tcp_gso_tstamp()`, `__udp_gso_segment()`.
  private static func isStamped(
    _ skb: borrowing SkBuff, _ layout: Layout, from offset: Int, count: Int
  ) -> Bool {
    let start = offset - layout.headerByteCount
    guard layout.isTCP else { return start == 0 }
    return (0..<count).contains(SequenceNumber(skb.stampKey).offset(from: layout.sequence + start))
  }

  private static func layout(of skb: inout SkBuff) -> Layout? {
    guard skb.gsoSize > 0, let network = skb.networkHeaderOffset, network >= 0,
      let transport = skb.transportHeaderOffset, transport >= network + IPv4Header.minimumByteCount,
      skb.mayPull(transport + (skb.gsoType.isTCP ? TCPHeader.minimumByteCount : UDPHeader.byteCount)),
      let header = skb.segmentHeaderByteCount, header < skb.length, skb.mayPull(header)
    else { return nil }
    let bytes = skb.linear
    guard let ip = IPv4Header(parsing: bytes.extracting(network..<skb.headLength)),
      ip.headerByteCount == transport - network
    else { return nil }
    let isTCP = skb.gsoType.isTCP
    guard ip.protocol == (isTCP ? .tcp : .udp) else { return nil }
    return Layout(
      network: network, transport: transport, headerByteCount: header, isTCP: isTCP,
      hasChecksum: isTCP || skb.checksumStatus == .partial
        || bytes.load16(transport + UDPHeader.Offset.checksum) != 0,
      identification: ip.identification, hasFixedIdentification: skb.hasFixedIdentification,
      sequence: SequenceNumber(isTCP ? bytes.load32(transport + 4) : 0),
      flags: TCPFlags(rawValue: isTCP ? bytes.load8(transport + 13) : 0),
      keepsCWR: skb.gsoType == .tcpv4AccurateECN,
      source: ip.source, destination: ip.destination)
  }

  /// A packet with a copy of the headers and the payload's bytes `offset..<offset + count`. Linux: `skb_segment()`.
  private static func makeSegment(
    of skb: borrowing SkBuff, _ layout: Layout, from offset: Int, count: Int, _ features: DeviceFeatures
  ) -> SkBuff? {
    let header = layout.headerByteCount
    let isScattered = features.contains(.scatterGather)
    let linearPayload = isScattered ? max(0, min(count, skb.headLength - offset)) : count
    guard
      var segment = skb.pool.allocate(headroom: skb.headroom, linear: header + linearPayload, use: .transit)
    else {
      return nil
    }
    segment.put(skb.linear.extracting(0..<header))
    if isScattered {
      guard segment.append(of: skb, from: offset, count: count) else { return nil }
    } else {
      segment.put(copying: skb, from: offset, count: count)
    }
    segment.copyMetadata(from: skb)
    if let mac = skb.macHeaderOffset, mac >= 0 { segment.setMACHeader(mac) }
    segment.setNetworkHeader(layout.network)
    segment.setTransportHeader(layout.transport)
    return segment
  }

  /// Mends what differs from segment to segment: lengths, the identification, the IP checksum, sequence number, flags
  /// and the transport's pseudo-header sum.
  private static func writeHeaders(
    _ given: inout SkBuff, _ layout: Layout, index: Int, payloadOffset: Int, isLast: Bool
  ) {
    let networkByteCount = given.length - layout.network
    let transportByteCount = given.length - layout.transport
    // A packet that has just been made is nobody else's: no memory is needed to write to it.
    guard var bytes = given.writable() else { return }
    bytes.store16(
      UInt16(truncatingIfNeeded: networkByteCount), layout.network + 2)
    bytes.store16(
      layout.identification &+ UInt16(truncatingIfNeeded: layout.hasFixedIdentification ? 0 : index),
      layout.network + 4)
    bytes.store16(0, layout.network + 10)
    var sum = InternetChecksum()
    sum.add(bytes.bytes.extracting(layout.network..<layout.transport))
    bytes.store16(sum.checksum, layout.network + 10)

    if layout.isTCP {
      let sequence = layout.sequence + payloadOffset
      bytes.store16(UInt16(truncatingIfNeeded: sequence.rawValue >> 16), layout.transport + 4)
      bytes.store16(UInt16(truncatingIfNeeded: sequence.rawValue), layout.transport + 6)
      var flags = layout.flags
      if !isLast { flags.remove([.fin, .psh]) }
      // The answer to an echo is given once (RFC 3168 section 6.1.2).
      if index > 0 && !layout.keepsCWR { flags.remove(.cwr) }
      let offsetByte = UInt16(bytes.bytes.load8(layout.transport + 12))
      bytes.store16(offsetByte << 8 | UInt16(flags.rawValue), layout.transport + 12)
    } else {
      bytes.store16(UInt16(truncatingIfNeeded: transportByteCount), layout.transport + 4)
    }
    if layout.hasChecksum {
      let pseudo = InternetChecksum.pseudoHeader(
        source: layout.source, destination: layout.destination, protocol: layout.isTCP ? .tcp : .udp,
        byteCount: transportByteCount)
      bytes.store16(
        pseudo.partial,
        layout.transport + (layout.isTCP ? TCPHeader.Offset.checksum : UDPHeader.Offset.checksum))
    }
  }
}
