import NetNamespace
import Tables
import Timers

/// How delays are spread about their mean.
public enum DelayDistribution: String, Sendable, CaseIterable {
  /// Between mean less jitter and mean plus jitter, each as likely.
  case uniform
  /// Jitter is the standard deviation.
  case normal
  /// Most delays are short of the mean by up to two thirds of jitter, few are far beyond it, by up to four times jitter:
  /// a Pareto distribution of shape 3.
  case pareto
  /// A quarter of the normal one and three quarters of the Pareto one.
  case paretonormal
}

extension Quantity<DelayDistribution> {
  static var distribution: Self {
    Self("one of " + DelayDistribution.allCases.map(\.rawValue).joined(separator: ", ")) { word in
      DelayDistribution(rawValue: word)
    }
  }
}

/// Delays, one after the other. Linux: `tabledist()`.
struct DelaySource {
  private let mean: Int64
  private let jitter: Int64
  private var numbers: CorrelatedRandom
  /// Standard deviations times `scale`, one for each equally likely case; empty: uniform.
  private let table: [Int16]
  /// Linux: `NETEM_DIST_SCALE`.
  private static let scale: Int64 = 8192
  private static let bits = 12

  init(_ parameters: NetworkEmulator.Parameters) {
    mean = parameters.latency.rawValue
    jitter = parameters.jitter.rawValue
    numbers = CorrelatedRandom(parameters.delayCorrelation)
    switch parameters.distribution {
    case .uniform: table = []
    case .normal: table = Self.normalTable()
    case .pareto: table = Self.paretoTable()
    case .paretonormal:
      table = zip(Self.normalTable(), Self.paretoTable()).map { Int16((Int($0) + 3 * Int($1)) / 4) }
    }
  }

  /// Never below 0: what should have gone earlier goes at once.
  mutating func next(_ random: inout RandomSource) -> Nanoseconds {
    guard jitter > 0 else { return Nanoseconds(mean) }
    let number = numbers.next(&random)
    let stray: Int64
    if table.isEmpty {
      stray = Int64((UInt64(number) << 32).multipliedFullWidth(by: UInt64(2 * jitter)).high) - jitter
    } else {
      stray = jitter * Int64(table[Int(number >> (32 - UInt32(Self.bits)))]) / Self.scale
    }
    return Nanoseconds(max(0, mean + stray))
  }

  /// The quantiles of a Pareto distribution of shape 3, its mean at 0. iproute2: `pareto.c`.
  private static func paretoTable() -> [Int16] {
    let count = 1 << bits
    return (0..<count).map { index in
      let above = 1 - Double(index) / Double(count)
      // The third root of 1 / above, by Newton's iteration from above.
      var root = 16.0
      for _ in 0..<40 { root -= (root - 1 / (above * root * root)) / 3 }
      return Int16(((root - 1.5) * 4 / 3 * Double(scale)).rounded(.toNearestOrEven).clamped)
    }
  }

  /// The normal distribution's quantiles, by adding up its density from -4 to 4 standard deviations.
  private static func normalTable() -> [Int16] {
    let step = 1.0 / 4096
    func exponential(_ small: Double) -> Double {
      1 + small * (1 + small / 2 * (1 + small / 3 * (1 + small / 4)))
    }
    let bend = exponential(-step * step)
    func walk(_ body: (Double, Double) -> Void) -> Double {
      var total = 0.0
      var density = 1.0
      // The density at x + step over that at x.
      var ratio = exponential(4 * step - step * step / 2)
      for index in 0..<32768 {
        total += density
        body(-4 + Double(index) * step, total)
        density *= ratio
        ratio *= bend
      }
      return total
    }
    let whole = walk { _, _ in }
    var table: [Int16] = []
    let count = 1 << bits
    table.reserveCapacity(count)
    _ = walk { place, sum in
      while table.count < count, (Double(table.count) + 0.5) / Double(count) * whole <= sum {
        table.append(Int16((place * Double(scale)).rounded(.toNearestOrEven).clamped))
      }
    }
    return table
  }
}

extension Double {
  fileprivate var clamped: Double { Swift.min(Swift.max(self, -32768), 32767) }
}
