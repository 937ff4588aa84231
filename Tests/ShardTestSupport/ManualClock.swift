import Timers

/// Virtual time: it passes when told to.
public struct ManualClock: Sendable {
  public private(set) var now: Instant

  public init(now: Instant = .origin) { self.now = now }

  public mutating func advance(by step: Nanoseconds) { now = now + step }
  /// Going back does nothing.
  public mutating func advance(to instant: Instant) { now = max(now, instant) }
}
