import Glibc

/// CLOCK_REALTIME: for captures, daytime and log lines, never for deadlines.
public enum WallClock {
  /// Nanoseconds since 1970-01-01 00:00 UTC.
  public static func nanosecondsSinceEpoch() -> UInt64 {
    var time = timespec()
    // Safe: one timespec is what clock_gettime writes; it cannot fail for this clock.
    _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000
      &+ UInt64(truncatingIfNeeded: time.tv_nsec)
  }
}
