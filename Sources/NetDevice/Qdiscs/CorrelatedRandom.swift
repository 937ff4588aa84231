import NetNamespace
import Tables

/// A share of cases, 0 to 100 %, in steps of 2^-32. iproute2: `get_percent()`.
public struct Share: Sendable, Equatable, CustomStringConvertible {
  /// `UInt32.max` is all.
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public static let none = Share(rawValue: 0)
  public static let all = Share(rawValue: .max)

  var complement: Share { Share(rawValue: .max - rawValue) }

  /// Whether a number of all equally likely ones falls into the share.
  func includes(_ number: UInt32) -> Bool { rawValue != 0 && number <= rawValue }

  static func draw(_ random: inout RandomSource) -> UInt32 {
    UInt32(truncatingIfNeeded: random.next() >> 32)
  }

  public var description: String {
    QuantityText.significant(Double(rawValue) / Double(UInt32.max) * 100, 6) + "%"
  }
}

extension Quantity<Share> {
  static var share: Self {
    Self("a percentage, 0% to 100%, such as 1%") { word in
      guard let percent = Double(word.hasSuffix("%") ? String(word.dropLast()) : word),
        percent >= 0, percent <= 100
      else { return nil }
      return Share(rawValue: UInt32((percent / 100 * Double(UInt32.max)).rounded()))
    }
  }
}

/// Numbers of which each is in part the one before. Linux: `struct crndstate`, `get_crandom()`.
struct CorrelatedRandom {
  private let correlation: Share
  private var last: UInt32 = 0
  private var hasLast = false

  init(_ correlation: Share) { self.correlation = correlation }

  mutating func next(_ random: inout RandomSource) -> UInt32 {
    let fresh = Share.draw(&random)
    guard correlation != .none else { return fresh }
    if !hasLast {
      last = Share.draw(&random)
      hasLast = true
    }
    let part = UInt64(correlation.rawValue) + 1
    // Both products and their sum are below 2^64.
    last = UInt32(truncatingIfNeeded: (UInt64(fresh) * (1 << 32 - part) + UInt64(last) * part) >> 32)
    return last
  }

  /// Draws only where something can happen.
  mutating func hits(_ share: Share, _ random: inout RandomSource) -> Bool {
    share != .none && share.includes(next(&random))
  }
}
