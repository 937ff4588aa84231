import Testing
import Timers

/// Between the language's durations and the stack's.
@Suite struct DurationTests {
  @Test(
    "whole nanoseconds, as many as can be",
    arguments: [
      (Duration.zero, Nanoseconds.zero), (.milliseconds(1500), .milliseconds(1500)),
      (.seconds(-2), .seconds(-2)), (.nanoseconds(1), Nanoseconds(1)),
      (.nanoseconds(Int64.max), Nanoseconds(.max)), (.seconds(Int64.max), Nanoseconds(.max)),
      (.seconds(9_223_372_037), Nanoseconds(.max)), (.seconds(Int64.min), Nanoseconds(.min)),
    ])
  func nanoseconds(duration: Duration, expected: Nanoseconds) {
    #expect(Nanoseconds(duration) == expected)
  }

  @Test(
    "an instant prints its seconds with nine digits behind the point",
    arguments: [
      (UInt64(0), "0.000000000s"), (2_200_000, "0.002200000s"), (61_000_000_001, "61.000000001s"),
    ])
  func instants(nanoseconds: UInt64, text: String) {
    #expect("\(Instant(nanoseconds: nanoseconds))" == text)
  }
}
