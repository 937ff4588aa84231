import Timers

/// What a simulated wire does to frames in one direction.
public struct WireFault: Sendable {
  /// One-way delay.
  public var delay = Nanoseconds.microseconds(50)
  /// Share of frames lost, 0 to 1.
  public var loss = 0.0
  /// Share of frames held back behind later ones, and for how long.
  public var reorder = 0.0
  public var reorderDelay = Nanoseconds.milliseconds(1)
  /// Share of frames that arrive twice.
  public var duplicate = 0.0
  /// Share of frames with one bit flipped behind the Ethernet header.
  public var corrupt = 0.0
  /// Bits per second; `nil`: no limit.
  public var rate: UInt64?
  /// A frame of ECT that has to wait longer for that is marked CE (RFC 3168); `nil`: none is.
  public var markBeyond: Nanoseconds?

  public init() {}

  public static func loss(_ share: Double) -> WireFault {
    var fault = WireFault()
    fault.loss = share
    return fault
  }
}
