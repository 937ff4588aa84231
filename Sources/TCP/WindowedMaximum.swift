/// The greatest of what was seen in the last rounds, from three of them: the best, the best since that, and the best since
/// that one (Kathleen Nichols' filter). Linux: `lib/win_minmax.c`.
struct WindowedMaximum {
  private struct Sample {
    var round: UInt32 = 0
    var value = 0.0
  }
  private var best = Sample()
  private var second = Sample()
  private var third = Sample()

  var value: Double { best.value }

  /// - Parameter window: in rounds.
  mutating func note(_ value: Double, round: UInt32, window: UInt32) {
    let new = Sample(round: round, value: value)
    if value >= best.value || round &- third.round > window {
      best = new
      second = new
      third = new
      return
    }
    if value >= second.value {
      second = new
      third = new
    } else if value >= third.value {
      third = new
    }
    let age = round &- best.round
    if age > window {
      // The best has gone by.
      best = second
      second = third
      third = new
      if round &- best.round > window {
        best = second
        second = third
      }
    } else if second.round == best.round && age > window / 4 {
      // A quarter has passed without a second best: one from its second quarter.
      second = new
      third = new
    } else if third.round == second.round && age > window / 2 {
      third = new
    }
  }
}
