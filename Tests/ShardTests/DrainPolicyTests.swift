import Testing

@testable import Shard

/// Who puts frames out, as a value in virtual time.
@Suite struct DrainPolicyTests {
  private static let busy = 64 << 10
  private let now = Instant.origin + .seconds(1)

  /// A policy after one entry that moved so much each way.
  private func policy(in bytesIn: Int, out bytesOut: Int, at now: Instant) -> DrainPolicy {
    var policy = DrainPolicy()
    policy.begin()
    policy.received(bytesIn, now: now)
    policy.sent(bytesOut, isCarried: false, now: now)
    return policy
  }

  @Test(
    "T1 whoever holds the shard puts its frames out while one direction is busy, the wire's thread when both are",
    arguments: [
      (0, 0, false), (1 << 20, 0, false), (0, 1 << 20, false), (1 << 20, 4 << 10, false),
      (4 << 10, 1 << 20, false),
      (busy - 1, busy, false), (busy, busy - 1, false), (busy, busy, true),
    ])
  func both(bytesIn: Int, bytesOut: Int, isCarried: Bool) {
    let policy = policy(in: bytesIn, out: bytesOut, at: now)
    #expect(policy.duty(now: now) { 1 } == (isCarried ? .carrier : .holder))
  }

  @Test("T1 a direction is busy by what one entry moved, not by what many did")
  func entries() {
    var policy = DrainPolicy()
    for _ in 0..<100 {
      policy.begin()
      policy.received(Self.busy / 2, now: now)
      policy.sent(Self.busy / 2, isCarried: false, now: now)
    }
    #expect(policy.duty(now: now) { 1 } == .holder)
    policy.received(Self.busy / 2, now: now)
    policy.sent(Self.busy / 2, isCarried: false, now: now)
    #expect(policy.duty(now: now) { 1 } == .carrier)
  }

  @Test("T1 a direction that has been quiet for a millisecond is not busy", arguments: [true, false])
  func quiet(isIn: Bool) {
    var policy = policy(in: Self.busy, out: Self.busy, at: now)
    let later = now + .microseconds(999)
    #expect(policy.duty(now: later) { 1 } == .carrier)
    policy.begin()
    if isIn {
      policy.received(Self.busy, now: later)
    } else {
      policy.sent(Self.busy, isCarried: false, now: later)
    }
    #expect(policy.duty(now: now + .milliseconds(1)) { 1 } == .holder)
  }

  @Test("T1 no frame overtakes those that are being carried, and none is carried where there is no room")
  func order() {
    var policy = policy(in: Self.busy, out: Self.busy, at: now)
    #expect(policy.duty(now: now) { 0 } == .holder, "a wire that cannot carry")
    policy.sent(1500, isCarried: true, now: now)
    #expect(policy.duty(now: now) { 0 } == nil)
    let later = now + .seconds(1)
    #expect(policy.duty(now: later) { 0 } == nil)
    #expect(policy.duty(now: later) { 1 } == .carrier, "behind what is under way, busy or not")
    policy.carried()
    #expect(policy.duty(now: later) { 1 } == .holder)
  }
}
