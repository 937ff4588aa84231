import NetDevice
import Testing
import Timers

@Suite struct DynamicQueueLimitsTests {
  private let start = Instant(nanoseconds: 1_000_000_000)

  @Test("Q7 BQL starts at 0: the first packet goes and stops the queue")
  func starts() {
    var limits = DynamicQueueLimits(now: start)
    #expect(limits.limit == 0 && limits.available == 0)
    limits.queued(1514)
    #expect(limits.available == -1514 && limits.inFlight == 1514)
  }

  @Test("Q7 BQL grows the limit on starvation, by what could have been sent")
  func grows() {
    var limits = DynamicQueueLimits(now: start)
    limits.queued(1514)
    limits.completed(1514, now: start)
    #expect(limits.limit == 1514 && limits.available == 1514 && limits.inFlight == 0)
    limits.queued(1514)
    #expect(limits.available == 0)
    limits.queued(1514)
    #expect(limits.available == -1514)
    limits.completed(3028, now: start)
    #expect(limits.limit == 4542)
  }

  @Test("Q7 BQL does not grow while the limit holds nothing back")
  func steady() {
    var limits = grown()
    for _ in 0..<100 {
      limits.queued(1514)
      limits.completed(1514, now: start + .seconds(100))
    }
    #expect(limits.limit == 4542)
  }

  @Test("Q7 BQL grows when the queue was over its limit before and everything from then is done")
  func growsAfterOverlimit() {
    var limits = grown()
    // 6056 in flight, 1514 over the limit; the device completes part, is refilled, and completes all from before.
    for _ in 0..<4 { limits.queued(1514) }
    limits.completed(1514, now: start)
    #expect(limits.limit == 4542)
    limits.queued(1514)
    limits.completed(4542, now: start)
    #expect(limits.limit == 4542 + 1514)
  }

  @Test("Q7 BQL shrinks by the room that was not needed for a whole second, not before")
  func shrinks() {
    var limits = grown()
    limits.queued(4542)
    limits.completed(500, now: start)
    limits.queued(500)
    limits.completed(500, now: start + .milliseconds(500))
    #expect(limits.limit == 4542)
    limits.queued(500)
    limits.completed(600, now: start + .milliseconds(900))
    #expect(limits.limit == 4542)
    limits.queued(500)
    limits.completed(500, now: start + .milliseconds(1001))
    // The least slack seen: 4542 - 2 * 600.
    #expect(limits.limit == 1200)
  }

  @Test("Q7 BQL starvation begins a new second of slack")
  func slackRestarts() {
    var limits = grown()
    for _ in 0..<4 { limits.queued(1514) }
    limits.completed(6056, now: start + .milliseconds(900))
    let limit = limits.limit
    #expect(limit > 4542)
    limits.queued(limit)
    limits.completed(100, now: start + .milliseconds(950))
    limits.completed(100, now: start + .milliseconds(1500))
    #expect(limits.limit == limit)
    limits.completed(100, now: start + .milliseconds(1901))
    #expect(limits.limit < limit)
  }

  @Test("Q7 BQL keeps between least and most")
  func clamps() {
    var limits = DynamicQueueLimits(now: start)
    limits.maximumLimit = 2000
    for _ in 0..<5 {
      limits.queued(3000)
      limits.completed(3000, now: start)
    }
    #expect(limits.limit == 2000)
    limits.minimumLimit = 1800
    limits.queued(2000)
    limits.completed(10, now: start)
    limits.completed(10, now: start + .seconds(2))
    limits.completed(10, now: start + .seconds(4))
    #expect(limits.limit == 1800)
    limits.reset(now: start)
    #expect(limits.limit == 1800 && limits.inFlight == 0)
  }

  @Test("Q7 BQL traps on more completed than queued")
  func overcompletion() async {
    await #expect(processExitsWith: .failure) {
      var limits = DynamicQueueLimits(now: Instant(nanoseconds: 1))
      limits.queued(100)
      limits.completed(101, now: Instant(nanoseconds: 1))
    }
  }

  /// Limit 4542, nothing in flight.
  private func grown() -> DynamicQueueLimits {
    var limits = DynamicQueueLimits(now: start)
    limits.queued(1514)
    limits.completed(1514, now: start)
    limits.queued(1514)
    limits.queued(1514)
    limits.completed(3028, now: start)
    return limits
  }
}
