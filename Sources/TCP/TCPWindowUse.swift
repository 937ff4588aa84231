import Timers
import Wire

// Whether the congestion window is used: one that is not says nothing about the path (RFC 2861, RFC 7661).
extension TCPSender {
  /// Remembers whether the window was filled. One that has not been for a timeout says nothing about the path any more, and
  /// becomes smaller. Linux: `tcp_cwnd_validate()`.
  ///
  /// - Parameter shrinks: `tcp_slow_start_after_idle`.
  mutating func noteWindowUse(now: Instant, shrinks: Bool) {
    let limited =
      inFlight >= window.segments || !writeQueue.isEmpty && congestionQuota() == 0
    // Once filled, it counts as filled for the rest of the round trip.
    if sndUna.isAtOrAfter(maxPacketsSeq) || limited || !filledWindow && packetsOut > maxPacketsOut {
      maxPacketsOut = packetsOut
      maxPacketsSeq = sndNxt
      filledWindow = limited
    }
    if isWindowLimited {
      windowUsed = 0
      windowUsedSince = now
      return
    }
    windowUsed = max(windowUsed, packetsOut)
    if shrinks && !congestion.setsWindow && now - windowUsedSince >= rtt.timeout {
      shrinkUnusedWindow(now: now)
    }
  }

  /// Half way to what was used of it (RFC 2861 section 3.1). Linux: `tcp_cwnd_application_limited()`.
  private mutating func shrinkUnusedWindow(now: Instant) {
    windowUsedSince = now
    // A writer that waits for room would have used more.
    guard recovery.state == .open, !noSpace else { return }
    let used = max(windowUsed, CongestionWindow.initialSegments)
    if used < window.segments {
      window.threshold = currentThreshold
      window.segments = (window.segments + used) >> 1
    }
    windowUsed = 0
  }

  /// Whether the sender uses its window; only then does it grow (RFC 7661). Linux: `tcp_is_cwnd_limited()`.
  var isWindowLimited: Bool {
    filledWindow || window.isInSlowStart && window.segments < 2 * maxPacketsOut
  }

  /// Before the first segment after a pause: a window that nothing has used for longer than an RTO is halved for each,
  /// down to the initial one (RFC 2861, RFC 5681 4.1). Linux: `tcp_slow_start_after_idle_check()`, `tcp_cwnd_restart()`.
  mutating func restartAfterIdle(now: Instant) {
    guard lastSent != .origin, !congestion.setsWindow,
      now - max(lastSent, windowRestartedAt) > rtt.timeout
    else { return }
    let restart = min(CongestionWindow.initialSegments, window.segments)
    window.threshold = currentThreshold
    var idle = now - lastSent - rtt.timeout
    while idle > .zero && window.segments > restart {
      window.segments >>= 1
      idle = idle - rtt.timeout
    }
    window.segments = max(window.segments, restart)
    windowRestartedAt = now
    windowUsedSince = now
    windowUsed = 0
  }

  /// Slow start threshold as it would be if nothing were wrong. Linux: `tcp_current_ssthresh()`.
  var currentThreshold: Int? {
    if recovery.isReducing { return window.threshold }
    return window.threshold.map {
      max($0, (window.segments >> 1) + (window.segments >> 2))
    }
  }
}
