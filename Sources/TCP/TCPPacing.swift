import SkBuff
import Timers

// Packets of a paced connection leave one after the other, not as a burst. Linux: `tcp_pacing_check()`,
// `tcp_update_skb_after_send()`.
extension TCPConnection {
  /// Linux: `sk_pacing_status`.
  var isPaced: Bool { isPacingAsked || sender.congestion.isPaced }

  /// An ACK has come: as the congestion control says, never more than `SO_MAX_PACING_RATE`.
  /// Linux: `tcp_update_pacing_rate()`.
  @inline(__always)
  mutating func updatePacingRate() {
    let rate = sender.congestion.pacingRate(
      window: sender.window, packetsOut: sender.packetsOut, mss: sender.mssCache,
      smoothed8: sender.rtt.smoothed8)
    sender.pacingRate = min(rate, core.options.maximumPacingRate)
  }

  /// `SO_MAX_PACING_RATE` was set: what is lower holds at once, what is higher from the next ACK on. Linux:
  /// `sk_setsockopt()`.
  mutating func maximumPacingRateChanged() {
    if core.options.maximumPacingRate != .max { isPacingAsked = true }
    sender.pacingRate = min(sender.pacingRate, core.options.maximumPacingRate)
  }

  /// Whether the time of the next packet has not come; then its timer is armed.
  @inline(__always)
  mutating func mustAwaitDeparture(now: Instant) -> Bool {
    guard sender.nextDeparture > now else { return false }
    timers.pacingDeadline = sender.nextDeparture
    return true
  }

  /// A packet has left: the next one leaves after the time that its bytes take at the pacing rate, less up to half of that
  /// if it was itself late. The first window goes as it stands.
  mutating func departed(byteCount: Int, now: Instant) {
    let due = sender.nextDeparture
    sender.nextDeparture = max(due, now)
    let rate = sender.pacingRate
    guard rate != .max, rate > 0, statistics.dataSegmentsOut >= UInt64(CongestionWindow.initialSegments)
    else { return }
    let takes = Nanoseconds(Int64(UInt64(byteCount) &* 1_000_000_000 / rate))
    let credit = min(takes / 2, sender.nextDeparture - due)
    sender.nextDeparture = sender.nextDeparture + (takes - credit)
  }
}
