import Foundation
import Testing

/// One choice of the numbers that a TCP test must not depend on: where both ends' sequence numbers and time stamps start.
///
/// A suite with the trait `.everyVariation` runs each of its tests once for each of them; `ScriptedPeer` and
/// `ScriptedConnection` start where the current one says.
public struct Variation: Sendable, CustomStringConvertible {
  public var name: String
  /// Added to the seed of everything random, so that a test without a scripted peer meets other numbers too.
  public var seedOffset: UInt64 = 0
  /// The stack's initial sequence number on the first connection; `nil`: what the seed gives.
  public var ownSequence: UInt32?
  /// About where the stack's time stamps start (within five minutes below); `nil`: what the seed gives.
  public var ownTimestamp: UInt32?
  public var peerSequence: UInt32
  public var peerTimestamp: UInt32

  public var description: String { name }

  @TaskLocal public static var current = plain

  public static let plain = Variation(name: "plain", peerSequence: 1000, peerTimestamp: 1000)

  public static let all = numbered([
    plain,
    Variation(
      name: "both just under 2^31", ownSequence: 0x7FFF_F000, ownTimestamp: 0x7FFF_FFFF,
      peerSequence: 0x7FFF_FF00, peerTimestamp: 0x7FFF_FFF0),
    Variation(
      name: "ours above 2^31, theirs just under the wrap", ownSequence: 0x8000_0010,
      ownTimestamp: 0x9000_0000,
      peerSequence: 0xFFFF_FF00, peerTimestamp: 0xFFFF_FFF0),
    Variation(
      name: "ours just under the wrap, theirs at 2^31", ownSequence: 0xFFFF_F000, ownTimestamp: 0xFFFF_FFFF,
      peerSequence: 0x8000_0000, peerTimestamp: 0x8000_0000),
    Variation(
      name: "SYNs on the last number", ownSequence: 0xFFFF_FFFF, ownTimestamp: 0x4000_0000,
      peerSequence: 0xFFFF_FFFF, peerTimestamp: 0xFFFF_FFFF),
    Variation(
      name: "zeros", ownSequence: 0, ownTimestamp: 0x0100_0000, peerSequence: 0, peerTimestamp: 1),
    Variation(
      name: "ours high, theirs low", ownSequence: 0xC000_0000, ownTimestamp: 0xC000_0000,
      peerSequence: 0x4000_0000, peerTimestamp: 0x1000_0000),
    Variation(
      name: "ours low, theirs high", ownSequence: 0x4000_0000, ownTimestamp: 0x4000_0000,
      peerSequence: 0xC000_0000, peerTimestamp: 0xD000_0000),
  ])

  private static func numbered(_ variations: [Variation]) -> [Variation] {
    variations.indices.map { index in
      var variation = variations[index]
      variation.seedOffset = UInt64(index) << 32
      return variation
    }
  }
}

/// Runs every test of a suite once for each `Variation`; with SWIFTSTACK_TEST_VARIATION in the environment only with the
/// one of that number, to look at one of them or to be quick.
public struct VariationTrait: SuiteTrait, TestTrait, TestScoping {
  private static let chosen: ArraySlice<Variation> = {
    let text = ProcessInfo.processInfo.environment["SWIFTSTACK_TEST_VARIATION"]
    guard let number = text.flatMap({ Int($0) }), Variation.all.indices.contains(number) else {
      return Variation.all[...]
    }
    return Variation.all[number...number]
  }()

  public var isRecursive: Bool { true }

  public func scopeProvider(for test: Test, testCase: Test.Case?) -> VariationTrait? {
    testCase == nil ? nil : self
  }

  public func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    for variation in Self.chosen {
      do {
        try await Variation.$current.withValue(variation) { try await function() }
      } catch {
        Issue.record(error, "under the variation \"\(variation)\"")
      }
    }
  }
}

extension Trait where Self == VariationTrait {
  public static var everyVariation: VariationTrait { VariationTrait() }
}
