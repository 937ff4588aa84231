import SkBuff
import Wire

extension SkBuff {
  /// Writes the IP header that the data begins with.
  ///
  /// - Returns: false when memory ran out while unsharing.
  @inline(__always)
  mutating func write(_ header: IPv4Header) -> Bool {
    guard var bytes = writable() else { return false }
    header.write(to: &bytes)
    return true
  }

  mutating func write(_ packet: ARPPacket) -> Bool {
    guard var bytes = writable() else { return false }
    packet.write(to: &bytes)
    return true
  }
  mutating func write(_ header: EthernetHeader) -> Bool {
    guard var bytes = writable() else { return false }
    header.write(to: &bytes)
    return true
  }
}
