import Tables
import Timers

/// HyStart++ (RFC 9406): slow start ends when round trips become longer, before the queue overflows. First it goes on for five
/// round trips with a quarter of its growth: if they become shorter again, it was no queue.
///
/// Of the first slow start only, as the RFC says: later ones have a threshold. Linux has HyStart of before that RFC, which
/// leaves at once.
struct HyStart {
  // RFC 9406 section 4.3.
  private static let leastThreshold = 4_000
  private static let greatestThreshold = 16_000
  private static let divisor = 8
  private static let samples = 8
  private static let conservativeRounds = 5
  static let growthDivisor = 4

  enum Phase { case slowStart, conservative, over }

  private var round: DeliveryRound
  // In microseconds; `.max`: none.
  private var lastLeast = Int32.max
  private var least = Int32.max
  /// What a round has to stay below for slow start to go on; `.max`: it goes on.
  private var baseline = Int32.max
  @Narrow<UInt8> private var count = 0
  @Narrow<UInt8> private var rounds = 0

  init(delivered: UInt32 = 0) { round = DeliveryRound(at: delivered) }

  /// An ACK of the first slow start.
  ///
  /// - Parameter delivered: segments that have reached the peer, ever, with those of the ACK.
  mutating func acked(_ sample: RateSample, delivered: UInt32) -> Phase {
    if round.advance(sample, delivered: delivered) {
      lastLeast = least
      least = .max
      count = 0
      if baseline != .max {
        rounds += 1
        if rounds == Self.conservativeRounds { return .over }
      }
    }
    if let rtt = sample.rtt {
      least = min(least, Int32(clamping: rtt.microseconds))
      if count < Self.samples { count += 1 }
    }
    if count == Self.samples && least != .max { judge() }
    return baseline == .max ? .slowStart : .conservative
  }

  private mutating func judge() {
    if baseline != .max {
      if least < baseline { baseline = .max }
    } else if lastLeast != .max {
      let longer = max(Self.leastThreshold, min(Int(lastLeast) / Self.divisor, Self.greatestThreshold))
      if Int(least) >= Int(lastLeast) + longer {
        baseline = least
        rounds = 0
      }
    }
  }
}
