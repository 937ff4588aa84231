import Tables
import NetNamespace
import Timers

/// The algorithm that opens the congestion window and says how far to close it. Linux: `struct tcp_congestion_ops`.
///
/// It hears of what happened (`acked`, `lost`, `timedOut`, `undone`, `transmitted`) and says how fast to send (`pacingRate`):
/// the sender and loss recovery call nothing else of it.
enum CongestionControl {
  case reno
  case cubic(Cubic)

  init(_ kind: CongestionControlKind) {
    switch kind {
    case .reno: self = .reno
    case .cubic: self = .cubic(Cubic())
    }
  }
  var kind: CongestionControlKind {
    switch self {
    case .reno: .reno
    case .cubic: .cubic
    }
  }

  // MARK: What happened

  /// Segments were lost, or the network marks congestion: an episode begins. RFC 5681 equation 4 for Reno, RFC 9438 4.6 for
  /// CUBIC. Linux: `ssthresh()`.
  ///
  /// - Returns: the slow start threshold in segments, 2 or more.
  mutating func lost(window: Int) -> Int {
    switch self {
    case .reno: return max(window >> 1, 2)
    case .cubic(var cubic):
      let threshold = cubic.slowStartThreshold(window: window)
      self = .cubic(cubic)
      return threshold
    }
  }

  /// An ACK came, with all that it tells: in recovery too, where the window follows the reduction (RFC 6937) unless it is
  /// set here. Linux: `cong_avoid()`, `pkts_acked()`, `cong_control()`.
  mutating func acked(
    _ sample: RateSample, window: inout CongestionWindow, minimumRTT: Nanoseconds?, now: Instant
  ) {
    guard sample.mayGrow else { return }
    var acked = sample.newlyDelivered
    if window.isInSlowStart {
      acked = window.slowStart(acked)
      if acked == 0 { return }
    }
    switch self {
    case .reno: window.additiveIncrease(per: window.segments, acked: acked)
    case .cubic(var cubic):
      let per = cubic.update(window: window.segments, acked: acked, minimumRTT: minimumRTT, now: now)
      window.additiveIncrease(per: per, acked: acked)
      self = .cubic(cubic)
    }
  }

  /// The retransmission timer fired: what was learned of the path is forgotten. Linux: `set_state(TCP_CA_Loss)`,
  /// `cubictcp_state()`.
  mutating func timedOut() {
    if case .cubic(var cubic) = self {
      cubic.timedOut()
      self = .cubic(cubic)
    }
  }

  /// The reduction was needless: as it was before (RFC 9438 section 4.9). Linux: `undo_cwnd()`.
  mutating func undone(_ before: CongestionControl) { self = before }

  /// New data leaves, with `inFlight` segments in the network before it. Time spent idle does not count as time since the
  /// last reduction (RFC 9438 section 5.8). Linux: `cwnd_event(CA_EVENT_TX_START)`.
  @inline(__always)
  mutating func transmitted(inFlight: Int, lastSent: Instant, now: Instant) {
    if inFlight == 0, case .cubic(var cubic) = self {
      cubic.resumedAfterIdle(now: now, lastSent: lastSent)
      self = .cubic(cubic)
    }
  }

  // MARK: How fast

  /// Packets leave at `pacingRate`, not as the window allows. Linux: `SK_PACING_NEEDED`.
  var isPaced: Bool {
    switch self {
    case .reno, .cubic: false
    }
  }

  /// In bytes a second: a window in each round trip, and room to grow: 200 % of it in slow start, 120 % after.
  /// Linux: `tcp_update_pacing_rate()`.
  ///
  /// - Parameters:
  ///   - packetsOut: segments not acknowledged, which may be more than the window.
  ///   - smoothed8: eight times the smoothed RTT, in microseconds.
  @inline(__always)
  func pacingRate(window: CongestionWindow, packetsOut: Int, mss: Int, smoothed8: Int64) -> UInt64 {
    let slow = window.threshold.map { window.segments < $0 / 2 } ?? true
    let perSegment = UInt64(mss) &* (slow ? 16_000_000 : 9_600_000)
    return perSegment &* UInt64(max(window.segments, packetsOut)) / UInt64(max(smoothed8, 1))
  }
}

/// The congestion window in segments, with its threshold and fractional growth. Linux: `snd_cwnd`, `snd_cwnd_cnt`.
struct CongestionWindow {
  /// RFC 6928: ten segments.
  static let initialSegments = 10
  static let clamp = 1 << 20

  @Narrow<Int32> var segments = CongestionWindow.initialSegments
  /// `nil`: not yet known, slow start.
  @NarrowOptional var threshold: Int? = nil
  @Narrow<Int32> private var fraction = 0

  var isInSlowStart: Bool { threshold.map { segments < $0 } ?? true }

  /// Linux: `tcp_slow_start()`; appropriate byte counting (RFC 3465) with no limit per ACK.
  /// - Returns: segments left over once the threshold is reached.
  mutating func slowStart(_ acked: Int) -> Int {
    let target = min(segments + acked, threshold ?? Self.clamp)
    let used = target - segments
    segments = min(target, Self.clamp)
    return acked - used
  }

  /// One more segment for every `per` acknowledged. Linux: `tcp_cong_avoid_ai()`.
  mutating func additiveIncrease(per: Int, acked: Int) {
    if fraction >= per {
      fraction = 0
      segments += 1
    }
    fraction += acked
    if fraction >= per {
      let steps = fraction / per
      fraction -= steps * per
      segments += steps
    }
    segments = min(segments, Self.clamp)
  }

  mutating func clearFraction() { fraction = 0 }
}

/// CUBIC (RFC 9438), in floating point: the integer cube roots of other stacks have overflowed.
struct Cubic {
  static let beta = 0.7
  static let c = 0.4

  private var epochStart = Instant.distantFuture
  /// W_max; 0: not known.
  private var windowMax = 0.0
  /// cwnd_prior: the window at the last reduction.
  private var windowPrior = 0.0
  private var origin = 0.0
  private var k = 0.0
  private var reno = 0.0

  mutating func slowStartThreshold(window: Int) -> Int {
    epochStart = .distantFuture
    let w = Double(window)
    windowPrior = w
    // Fast convergence, RFC 9438 4.7.
    windowMax = w < windowMax ? w * (1 + Self.beta) / 2 : w
    return max(2, Int(w * Self.beta))
  }

  /// - Returns: how many acknowledged segments earn one more.
  mutating func update(window: Int, acked: Int, minimumRTT: Nanoseconds?, now: Instant) -> Int {
    let w = Double(window)
    if epochStart == .distantFuture {
      epochStart = now
      reno = w
      if windowMax <= w {
        k = 0
        origin = w
      } else {
        k = Self.cubeRoot((windowMax - w) / Self.c)
        origin = windowMax
      }
    }
    let rtt = Double(minimumRTT?.rawValue ?? 0) / 1e9
    let t = Double((now - epochStart).rawValue) / 1e9 + rtt
    let offset = t - k
    let target = origin + Self.c * offset * offset * offset
    var per = target > w ? w / (target - w) : 100 * w
    // RFC 9438 4.3: no slower than Reno with the same average window.
    let alpha = reno < windowPrior ? 3 * (1 - Self.beta) / (1 + Self.beta) : 1
    reno += alpha * Double(acked) / w
    if reno > w { per = min(per, w / (reno - w)) }
    // RFC 9438 4.2, at most half again per round trip: one segment per two acknowledged.
    return Int(min(max(per, 2), 1e9))
  }

  /// RFC 9438 4.8: the next epoch has K = 0, and W_max is the window it begins with.
  mutating func timedOut() {
    epochStart = .distantFuture
    windowMax = 0
  }

  mutating func resumedAfterIdle(now: Instant, lastSent: Instant) {
    guard epochStart != .distantFuture, now > lastSent else { return }
    epochStart = min(now, epochStart + (now - lastSent))
  }

  /// Newton's iteration; the core has no C mathematics library.
  static func cubeRoot(_ value: Double) -> Double {
    guard value > 0 else { return 0 }
    var x = max(1.0, value / 3)
    for _ in 0..<256 {
      let next = (2 * x + value / (x * x)) / 3
      if abs(next - x) < 1e-9 * x { return next }
      x = next
    }
    return x
  }
}
