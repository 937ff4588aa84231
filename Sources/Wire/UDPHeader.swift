/// A UDP header (RFC 768).
/// ```
///  | source port | destination port |
///  |   length    |     checksum     |
/// ```
@frozen
public struct UDPHeader: Sendable {
  public static let byteCount = 8
  public static let checksumOffset = 6

  public var sourcePort: UInt16
  public var destinationPort: UInt16
  /// Header and payload.
  public var totalByteCount: Int
  /// 0: the sender did not compute one.
  public var checksum: UInt16

  @inlinable public init(
    sourcePort: UInt16, destinationPort: UInt16, totalByteCount: Int, checksum: UInt16 = 0
  ) {
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
    self.totalByteCount = totalByteCount
    self.checksum = checksum
  }
  /// `nil` when short or when the length field is under 8.
  @inlinable public init?(parsing bytes: RawSpan) {
    guard bytes.byteCount >= Self.byteCount else { return nil }
    sourcePort = bytes.load16(0)
    destinationPort = bytes.load16(2)
    totalByteCount = Int(bytes.load16(4))
    checksum = bytes.load16(6)
    guard totalByteCount >= Self.byteCount else { return nil }
  }
  @inlinable public func write(to bytes: inout MutableRawSpan) {
    bytes.store16(sourcePort, 0)
    bytes.store16(destinationPort, 2)
    bytes.store16(UInt16(truncatingIfNeeded: totalByteCount), 4)
    bytes.store16(checksum, 6)
  }
}
