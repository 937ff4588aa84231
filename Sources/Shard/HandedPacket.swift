import SkBuff
import Sockets
import Wire

/// A packet on its way from one shard to another, which works in other packet memory: its bytes from the network header
/// on and what is known about them. What a link-layer header was in front of does not matter any more.
package struct HandedPacket: Sendable {
  package var bytes: [UInt8]
  package var etherType: EtherType
  package var packetType: PacketType
  package var interface: InterfaceIndex
  package var routeInterface: InterfaceIndex
  package var checksumStatus: ChecksumStatus
  package var gsoSize: Int
  package var gsoSegments: Int
  package var gsoType: SegmentationType

  /// - Parameter skb: data at its network header or behind it, with the network header marked then.
  package init?(_ skb: inout SkBuff, networkHeader offset: Int) {
    guard offset <= 0, -offset <= skb.headroom else { return nil }
    skb.push(-offset)
    defer { skb.pull(-offset) }
    bytes = skb.copyBytes()
    etherType = skb.etherType
    packetType = skb.packetType
    interface = skb.interface
    routeInterface = skb.routeInterface
    checksumStatus = skb.checksumStatus
    gsoSize = skb.gsoSize
    gsoSegments = skb.gsoSegments
    gsoType = skb.gsoType
  }

  /// Bytes that are laid out in one piece: every header there can be.
  private static let linearByteCount = 256

  /// The packet in the memory of `pool`, data at its network header; `nil` when there is no memory.
  package func makePacket(in pool: SkBuffPool) -> SkBuff? {
    let linear = min(bytes.count, Self.linearByteCount)
    guard var skb = pool.allocate(headroom: 64, linear: linear, use: .transit) else { return nil }
    unsafe skb.put(bytes.span.bytes.extracting(0..<linear))
    // Safe: the bytes outlive the span and the iterator.
    let isWhole = unsafe bytes.withUnsafeBytes { buffer in
      var iter = unsafe IovIter(source: UnsafeRawBufferPointer(rebasing: buffer[linear...]))
      var left = buffer.count - linear
      while left > 0 {
        let (added, _) = skb.append(from: &iter, count: left)
        if added == 0 { return false }
        left -= added
      }
      return true
    }
    guard isWhole else { return nil }
    skb.etherType = etherType
    skb.packetType = packetType
    skb.interface = interface
    skb.routeInterface = routeInterface
    skb.checksumStatus = checksumStatus
    skb.gsoSize = gsoSize
    skb.gsoSegments = gsoSegments
    skb.gsoType = gsoType
    return skb
  }
}
