import SkBuff
import Wire

extension SkBuff {
  /// Writes the header that the data begins with, and its options.
  ///
  /// - Returns: false when memory ran out while unsharing.
  @inline(__always)
  mutating func write(_ header: TCPHeader, _ options: TCPOptions) -> Bool {
    guard var bytes = writable() else { return false }
    header.write(to: &bytes)
    options.write(to: &bytes, at: TCPHeader.minimumByteCount)
    return true
  }
}
