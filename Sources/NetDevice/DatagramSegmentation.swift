import SkBuff
import Wire

/// Undoes UDP segmentation offload: the datagrams that a sender's kernel handed over in one frame, each with its headers
/// of its own again, before any floor above sees them. Linux: `udp_rcv_segment()`.
enum DatagramSegmentation {
  /// Most datagrams in one frame; what says more is no sender's. Linux: `UDP_MAX_SEGMENTS`.
  static let maximumSegments = 128

  /// Adds the datagrams to `queue`; a frame that is not what its metadata says is dropped.
  ///
  /// - Parameters:
  ///   - skb: data at the network header.
  ///   - keepsWhole: some socket takes datagrams as they came; for another they are cut apart there.
  static func receive(_ skb: consuming SkBuff, into queue: inout SkBuffQueue, keepsWhole: Bool = false) {
    let hasGoodChecksum = skb.checksumStatus == .unnecessary
    guard !skb.etherType.isVLAN || skb.removePriorityTags() else {
      skb.drop(.unknownEtherType)
      return
    }
    guard prepare(&skb) else {
      skb.drop(.deviceHeader)
      return
    }
    if keepsWhole && hasGoodChecksum && skb.packetType == .host {
      queue.append(skb)
      return
    }
    var datagrams = SkBuffQueue()
    guard GenericSegmentation.segment(skb, features: [.scatterGather, .checksum], into: &datagrams) else {
      return
    }
    while var datagram = datagrams.popFirst() {
      // What the wire vouched for holds for every part of it; else the field, now a partial sum, is found wrong above.
      datagram.checksumStatus = hasGoodChecksum ? .unnecessary : .none
      queue.append(datagram)
    }
  }

  /// Whole, of the length that its IP header says, with its transport header marked.
  private static func prepare(_ skb: inout SkBuff) -> Bool {
    guard skb.etherType == .ipv4, skb.mayPull(IPv4Header.minimumByteCount),
      let ip = IPv4Header(parsing: skb.linear), !ip.isFragment, ip.totalByteCount <= skb.length,
      skb.trim(to: ip.totalByteCount)
    else { return false }
    let payload = ip.totalByteCount - ip.headerByteCount - UDPHeader.byteCount
    guard payload > 0, skb.gsoSize > 0, payload <= skb.gsoSize * maximumSegments else { return false }
    skb.setTransportHeader(ip.headerByteCount)
    return true
  }
}
