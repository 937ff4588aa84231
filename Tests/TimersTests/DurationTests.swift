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
}
