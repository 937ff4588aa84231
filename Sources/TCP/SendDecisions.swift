import SkBuff
import Timers
import Wire

// Whether and how much may go now: the questions that `tcp_write_xmit()` asks.
extension TCPSender {
  /// Segments the congestion window still allows. Linux: `tcp_cwnd_test()`.
  func congestionQuota() -> Int {
    let inFlight = self.inFlight
    if inFlight >= window.segments { return 0 }
    // Never more than half the window in one packet, so that ACKs keep clocking.
    return max(1, min(window.segments >> 1, window.segments - inFlight))
  }

  /// Linux: `tcp_nagle_test()`, RFC 896 and Minshall.
  func passesNagle(_ block: TCPControlBlock, length: Int, mss: Int, nagle: Nagle) -> Bool {
    if nagle == .push { return true }
    if urgentMode || block.flags.contains(.fin) { return true }
    if length >= mss { return true }
    if nagle == .cork { return false }
    if nagle == .off { return true }
    // A small segment waits only while an earlier small one is not acknowledged.
    let smallOutstanding = sndSml.isAfter(sndUna) && sndSml.isAtOrBefore(sndNxt)
    return !(packetsOut > 0 && smallOutstanding)
  }

  /// A burst that could soon be a larger one waits for the next ACK. Linux: `tcp_tso_should_defer()`.
  func shouldDefer(
    _ block: TCPControlBlock, length: Int, isLast: Bool, mss: Int, maxSegments: Int, now: Instant
  ) -> Bool {
    if recovery.state == .recovery || recovery.state == .loss { return false }
    if now - lastSent > .milliseconds(1) { return false }
    let sendWindow = windowEnd.offset(from: block.sequence)
    let congestion = (window.segments - inFlight) * mss
    let limit = min(sendWindow, congestion)
    if limit >= maxSegments * mss { return false }
    if !isLast && limit >= length { return false }
    // Linux's tcp_tso_win_divisor of 3.
    let chunk = min(sndWnd, window.segments * mss) / 3
    if chunk > 0 && limit >= chunk { return false }
    // Nothing in flight: no ACK would come to end the wait.
    guard let head = scoreboard.queue.first else { return false }
    // Nor is one waited for that is far off.
    let untilAck = scoreboard.queue[tcp: head].sentAt + rtt.smoothed - now
    if untilAck > min(rtt.smoothed / 2, .milliseconds(1)) { return false }
    if limit <= length { return true }
    return !block.flags.contains(.fin) && !block.endOfRecord
  }

  /// How many bytes of a long packet to send now: what the peer's window takes, to its last byte unless Nagle's rule keeps
  /// the partial segment back. Linux: `tcp_mss_split_point()`.
  func splitPoint(
    _ block: TCPControlBlock, length: Int, mss: Int, segments: Int, isLast: Bool, nagle: Nagle
  ) -> Int {
    let window = windowEnd.offset(from: block.sequence)
    let most = mss * segments
    if most <= window && !isLast { return min(most, length) }
    let needed = min(length, window)
    if most <= needed { return most }
    let partial = needed % mss
    if partial == 0 || passesNagle(block, length: partial, mss: mss, nagle: nagle) { return needed }
    return needed - partial
  }
}
