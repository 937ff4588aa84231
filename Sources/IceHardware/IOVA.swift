/// An address as the device sees it. Only the IOMMU can turn it into memory.
@frozen public struct IOVA: Hashable, BitwiseCopyable, Sendable {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The address `byteCount` further on in the same mapping.
  @inlinable public func advanced(by byteCount: Int) -> IOVA {
    IOVA(rawValue: rawValue &+ UInt64(truncatingIfNeeded: byteCount))
  }
}
