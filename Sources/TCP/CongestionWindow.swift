import Tables

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
