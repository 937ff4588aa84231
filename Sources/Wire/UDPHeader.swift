/// A UDP header (RFC 768).
/// ```
///  | source port | destination port |
///  |   length    |     checksum     |
/// ```
@frozen
public struct UDPHeader: Sendable {
  public static let byteCount = 8

  /// Where each field begins.
  @frozen public enum Offset {
    @inlinable public static var sourcePort: Int { 0 }
    @inlinable public static var destinationPort: Int { 2 }
    @inlinable public static var length: Int { 4 }
    @inlinable public static var checksum: Int { 6 }
  }

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
    sourcePort = bytes.load16(Offset.sourcePort)
    destinationPort = bytes.load16(Offset.destinationPort)
    totalByteCount = Int(bytes.load16(Offset.length))
    checksum = bytes.load16(Offset.checksum)
    guard totalByteCount >= Self.byteCount else { return nil }
  }
  @inlinable public func write(to bytes: inout MutableRawSpan) {
    bytes.store16(sourcePort, Offset.sourcePort)
    bytes.store16(destinationPort, Offset.destinationPort)
    bytes.store16(UInt16(truncatingIfNeeded: totalByteCount), Offset.length)
    bytes.store16(checksum, Offset.checksum)
  }
}
