/// The digest of TCP's MD5 signature option (RFC 2385): 16 bytes.
@frozen
public struct SegmentSignature: Hashable, Sendable {
  /// In the order of the wire.
  public var high: UInt64
  public var low: UInt64

  @inlinable public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  public init(_ digest: InlineArray<16, UInt8>) {
    high = 0
    low = 0
    for index in 0..<8 {
      high = high << 8 | UInt64(digest[index])
      low = low << 8 | UInt64(digest[index + 8])
    }
  }

  /// What stands in the option until the segment is whole.
  @inlinable public static var blank: SegmentSignature { SegmentSignature(high: 0, low: 0) }

  /// Bytes of the option, with the two no-operations before it. Linux: `TCPOLEN_MD5SIG_ALIGNED`.
  public static let optionByteCount = 20

  /// Where the digest is in a header that `TCPOptions.write(to:at:)` has filled: the option goes before all others.
  static let offset = TCPHeader.minimumByteCount + 4

  @usableFromInline init(parsing bytes: RawSpan, at offset: Int) {
    high = UInt64(bytes.load32(offset)) << 32 | UInt64(bytes.load32(offset + 4))
    low = UInt64(bytes.load32(offset + 8)) << 32 | UInt64(bytes.load32(offset + 12))
  }

  @usableFromInline func writeDigest(to bytes: inout MutableRawSpan, at offset: Int) {
    bytes.store32(UInt32(truncatingIfNeeded: high >> 32), offset)
    bytes.store32(UInt32(truncatingIfNeeded: high), offset + 4)
    bytes.store32(UInt32(truncatingIfNeeded: low >> 32), offset + 8)
    bytes.store32(UInt32(truncatingIfNeeded: low), offset + 12)
  }

  /// Fills the option of a header that is written.
  public func fill(header bytes: inout MutableRawSpan) { writeDigest(to: &bytes, at: Self.offset) }
}
