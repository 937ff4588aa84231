/// A TCP sequence number, compared modulo 2^32 (RFC 9293 section 3.4).
///
/// Deliberately not `Comparable`: the relation is not transitive.
@frozen
public struct SequenceNumber: Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt32

  @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  @inlinable public func isBefore(_ other: SequenceNumber) -> Bool {
    Int32(bitPattern: rawValue &- other.rawValue) < 0
  }
  @inlinable public func isAfter(_ other: SequenceNumber) -> Bool { other.isBefore(self) }
  @inlinable public func isAtOrBefore(_ other: SequenceNumber) -> Bool { !other.isBefore(self) }
  @inlinable public func isAtOrAfter(_ other: SequenceNumber) -> Bool { !isBefore(other) }

  /// How far `self` is past `origin`, modulo 2^32.
  @inlinable public func distance(from origin: SequenceNumber) -> UInt32 { rawValue &- origin.rawValue }
  /// The signed distance past `origin`.
  @inlinable public func offset(from origin: SequenceNumber) -> Int {
    Int(Int32(bitPattern: rawValue &- origin.rawValue))
  }
  /// `low <= self <= high` on the circle. Linux: `between()`.
  @inlinable public func isBetween(_ low: SequenceNumber, _ high: SequenceNumber) -> Bool {
    high.rawValue &- low.rawValue >= rawValue &- low.rawValue
  }
  @inlinable public static func + (a: SequenceNumber, b: UInt32) -> SequenceNumber {
    SequenceNumber(a.rawValue &+ b)
  }
  @inlinable public static func + (a: SequenceNumber, b: Int) -> SequenceNumber {
    SequenceNumber(a.rawValue &+ UInt32(truncatingIfNeeded: b))
  }
  @inlinable public static func - (a: SequenceNumber, b: UInt32) -> SequenceNumber {
    SequenceNumber(a.rawValue &- b)
  }
  @inlinable public static func += (a: inout SequenceNumber, b: Int) { a = a + b }
  public var description: String { "\(rawValue)" }
}
