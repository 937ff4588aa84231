import SkBuff
import Wire

extension SkBuff {
  /// Writes the header that the data begins with.
  ///
  /// - Returns: false when memory ran out while unsharing.
  mutating func write(_ header: UDPHeader) -> Bool {
    guard var bytes = writable() else { return false }
    header.write(to: &bytes)
    return true
  }

  mutating func write(_ header: ICMPHeader, checksum: UInt16) -> Bool {
    guard var bytes = writable() else { return false }
    header.write(to: &bytes)
    bytes.store16(checksum, ICMPHeader.Offset.checksum)
    return true
  }
}
