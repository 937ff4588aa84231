import LinuxHost
import Synchronization

/// What the stack's time is read from: the system's monotonic clock, or a caller's.
enum StackClock: Sendable {
  case monotonic
  case manual(ManualTime)

  var now: Instant {
    switch self {
    case .monotonic: MonotonicClock.now()
    case .manual(let time): time.now
    }
  }

  /// What the time of day is ahead of `now` at this moment; `nil`: a caller's clock that was given none.
  var timeOfDayOffset: UInt64? {
    switch self {
    case .monotonic: return WallClock.nanosecondsSinceEpoch() &- MonotonicClock.now().nanoseconds
    case .manual(let time):
      let offset = time.timeOfDayOffset.load(ordering: .relaxed)
      return offset == 0 ? nil : offset
    }
  }
}

/// The time of a simulated stack, moved by its caller.
final class ManualTime: Sendable {
  private let nanoseconds: Atomic<UInt64>
  /// What the time of day is ahead of this clock, nanoseconds.
  let timeOfDayOffset = Atomic<UInt64>(0)
  init(_ instant: Instant) { nanoseconds = Atomic(instant.nanoseconds) }
  var now: Instant { Instant(nanoseconds: nanoseconds.load(ordering: .acquiring)) }
  /// Time never goes back.
  func advance(to instant: Instant) {
    _ = nanoseconds.max(instant.nanoseconds, ordering: .acquiringAndReleasing)
  }
}
