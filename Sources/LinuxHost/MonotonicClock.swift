import Glibc
import Timers

/// CLOCK_MONOTONIC: what deadlines and epoll timeouts are measured on. Read through the vDSO.
public enum MonotonicClock {
  @inline(__always)
  public static func now() -> Instant {
    var time = timespec()
    // Safe: one timespec is what clock_gettime writes; it cannot fail for this clock.
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(
      nanoseconds: UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000
        &+ UInt64(truncatingIfNeeded: time.tv_nsec))
  }
}
