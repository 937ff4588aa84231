/// A span of time in nanoseconds. Linux: `ktime_t` differences.
@frozen
public struct Nanoseconds: Comparable, Hashable, Sendable, AdditiveArithmetic, CustomStringConvertible {
  public var rawValue: Int64

  @inlinable public init(_ rawValue: Int64) { self.rawValue = rawValue }

  @inlinable public static var zero: Nanoseconds { Nanoseconds(0) }
  @inlinable public static func seconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count &* 1_000_000_000) }
  @inlinable public static func milliseconds(_ count: Int64) -> Nanoseconds {
    Nanoseconds(count &* 1_000_000)
  }
  @inlinable public static func microseconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count &* 1_000) }

  @inlinable public static func < (a: Nanoseconds, b: Nanoseconds) -> Bool { a.rawValue < b.rawValue }
  @inlinable public static func + (a: Nanoseconds, b: Nanoseconds) -> Nanoseconds {
    Nanoseconds(a.rawValue &+ b.rawValue)
  }
  @inlinable public static func - (a: Nanoseconds, b: Nanoseconds) -> Nanoseconds {
    Nanoseconds(a.rawValue &- b.rawValue)
  }
  @inlinable public static func * (a: Nanoseconds, b: Int64) -> Nanoseconds { Nanoseconds(a.rawValue &* b) }
  @inlinable public static func / (a: Nanoseconds, b: Int64) -> Nanoseconds { Nanoseconds(a.rawValue / b) }
  @inlinable public static func << (a: Nanoseconds, shift: Int) -> Nanoseconds {
    Nanoseconds(a.rawValue << Int64(shift))
  }

  /// Whole milliseconds, rounded towards zero.
  @inlinable public var milliseconds: Int64 { rawValue / 1_000_000 }
  /// Whole microseconds, rounded towards zero.
  @inlinable public var microseconds: Int64 { rawValue / 1_000 }

  public var duration: Duration { .nanoseconds(rawValue) }
  /// The whole nanoseconds of a duration; one of more than 292 years is as long as can be.
  public init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    let whole = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let sum = whole.partialValue.addingReportingOverflow(attoseconds / 1_000_000_000)
    self.init(whole.overflow || sum.overflow ? (seconds < 0 ? .min : .max) : sum.partialValue)
  }
  public var description: String { "\(rawValue)ns" }
}

/// A point on the caller's monotonic clock, in nanoseconds since an origin of the caller's choice.
/// The stack never reads a clock: `now` comes in as a parameter, so tests run in virtual time.
@frozen
public struct Instant: Comparable, Hashable, Sendable, CustomStringConvertible {
  public var nanoseconds: UInt64

  @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  @inlinable public static var origin: Instant { Instant(nanoseconds: 0) }
  /// Later than every deadline: "not armed".
  @inlinable public static var distantFuture: Instant { Instant(nanoseconds: .max) }

  @inlinable public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
  @inlinable public static func + (a: Instant, b: Nanoseconds) -> Instant {
    Instant(nanoseconds: a.nanoseconds &+ UInt64(bitPattern: b.rawValue))
  }
  @inlinable public static func - (a: Instant, b: Nanoseconds) -> Instant {
    Instant(nanoseconds: a.nanoseconds &- UInt64(bitPattern: b.rawValue))
  }
  @inlinable public static func - (a: Instant, b: Instant) -> Nanoseconds {
    Nanoseconds(Int64(bitPattern: a.nanoseconds &- b.nanoseconds))
  }

  /// Milliseconds since the origin, truncated to 32 bits: the TCP timestamp clock.
  @inlinable public var milliseconds32: UInt32 { UInt32(truncatingIfNeeded: nanoseconds / 1_000_000) }
  /// In seconds, as `dmesg` has them: `1.002200000s`.
  public var description: String {
    // Ten digits, of which the first is there to keep the zeros behind it.
    let fraction = String(1_000_000_000 + nanoseconds % 1_000_000_000).dropFirst()
    return "\(nanoseconds / 1_000_000_000).\(fraction)s"
  }
}
