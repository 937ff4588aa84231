import Timers

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
  /// Of the first slow start.
  var start = HyStart()

  mutating func slowStartThreshold(window: Int) -> Int {
    epochStart = .distantFuture
    let w = Double(window)
    windowPrior = w
    // Fast convergence, RFC 9438 4.7.
    windowMax = w < windowMax ? w * (1 + Self.beta) / 2 : w
    return max(2, Int(w * Self.beta))
  }

  mutating func acked(_ sample: RateSample, _ view: CongestionView, window: inout CongestionWindow) {
    var growth = HyStart.Phase.slowStart
    if window.threshold == nil {
      growth = start.acked(sample, delivered: view.delivered)
      if growth == .over { window.threshold = max(window.segments, 2) }
    }
    guard sample.mayGrow else { return }
    var acked = sample.newlyDelivered
    if window.isInSlowStart {
      if growth == .conservative { return window.additiveIncrease(per: HyStart.growthDivisor, acked: acked) }
      acked = window.slowStart(acked)
      if acked == 0 { return }
    }
    let per = update(window: window.segments, acked: acked, minimumRTT: view.minimumRTT, now: view.now)
    window.additiveIncrease(per: per, acked: acked)
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
