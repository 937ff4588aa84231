/// The bytes that programs send: each end of each connection its own, so that bytes of another one, or from another place, show.
enum Pattern {
  /// A prime, so that no piece that a stack works in fits into it.
  static let period = 65_521
  /// Twice the period: any place has as many bytes behind it.
  static let bytes: [UInt8] = {
    var state: UInt64 = 0x5EED
    let once = (0..<period).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
    return once + once
  }()

  /// Where the bytes from `position` on stand in `bytes`.
  static func range(_ talk: Int, _ side: Side, from position: Int, count: Int) -> Range<Int> {
    let start = (talk * 7919 + side.index * 31_337 + position) % period
    return start..<start + min(count, period)
  }
}
