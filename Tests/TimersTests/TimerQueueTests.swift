import Testing
import Timers

@Suite struct TimerQueueTests {
  private func instant(_ milliseconds: Int64) -> Instant { .origin + .milliseconds(milliseconds) }

  @Test("Timers expire in the order of their deadlines, whatever the order of insertion")
  func order() {
    var queue = TimerQueue()
    var state: UInt64 = 42
    var deadlines: [Int64] = []
    for id in 0..<1000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let deadline = Int64(state >> 40) % 5000
      deadlines.append(deadline)
      queue.insert(TimerKey(kind: .tcp, id: UInt32(id)), at: instant(deadline))
    }
    #expect(queue.count == 1000)
    #expect(queue.nextDeadline == instant(deadlines.min()!))
    var expired: [Int64] = []
    while let (key, due) = queue.popExpired(now: instant(5000)) {
      #expect(due == instant(deadlines[Int(key.id)]))
      expired.append(deadlines[Int(key.id)])
    }
    #expect(expired == deadlines.sorted())
    #expect(queue.count == 0)
    #expect(queue.nextDeadline == nil)
  }

  @Test("A timer does not expire before its deadline, and does at it")
  func exact() {
    var queue = TimerQueue()
    queue.insert(TimerKey(kind: .neighbour, id: 7, generation: 3), at: instant(10))
    let early = queue.popExpired(now: instant(10) - Nanoseconds(1))
    #expect(early == nil)
    let expired = queue.popExpired(now: instant(10))
    #expect(expired?.key == TimerKey(kind: .neighbour, id: 7, generation: 3))
    #expect(expired?.due == instant(10))
  }

  @Test("Insertions between expiries keep the order")
  func interleaved() {
    var queue = TimerQueue()
    for id in 0..<50 { queue.insert(TimerKey(kind: .tcp, id: UInt32(id)), at: instant(Int64(id * 10))) }
    var last = Instant.origin
    var count = 0
    while let (_, due) = queue.popExpired(now: instant(10_000)) {
      #expect(due >= last)
      last = due
      count += 1
      if count < 200 { queue.insert(TimerKey(kind: .tcp, id: 99), at: due + .milliseconds(Int64(count % 7))) }
    }
    #expect(count == 249)
  }

  @Test("Re-arming a slot to a later time inserts nothing; the owner re-arms when the early entry fires")
  func slotLater() {
    var queue = TimerQueue()
    var slot = TimerSlot()
    let key = TimerKey(kind: .tcp, id: 1)
    slot.arm(key, at: instant(10), in: &queue)
    slot.arm(key, at: instant(50), in: &queue)
    slot.arm(key, at: instant(10), in: &queue)
    #expect(queue.count == 1)
    #expect(queue.nextDeadline == instant(10))
    let first = queue.popExpired(now: instant(10))!
    let isLatest1 = slot.expire(at: first.due)
    #expect(isLatest1)
    slot.arm(key, at: instant(50), in: &queue)
    #expect(queue.nextDeadline == instant(50))
  }

  @Test("T12 Timers: re-arming a slot to an earlier time moves its one entry")
  func slotEarlier() {
    var queue = TimerQueue()
    var slot = TimerSlot()
    let key = TimerKey(kind: .tcp, id: 1)
    slot.arm(key, at: instant(50), in: &queue)
    slot.arm(key, at: instant(20), in: &queue)
    #expect(queue.count == 1)
    let first = queue.popExpired(now: instant(100))!
    #expect(first.due == instant(20))
    let isAsked = slot.expire(at: first.due)
    #expect(isAsked)
    #expect(queue.count == 0)
    slot.arm(key, at: instant(90), in: &queue)
    let early = queue.popExpired(now: instant(89))
    #expect(early == nil)
    let real = queue.popExpired(now: instant(90))!
    #expect(real.due == instant(90))
  }

  @Test("T12 Timers: a slot that ends takes its entry along, and an old slot touches nobody else's")
  func cancelled() {
    var queue = TimerQueue()
    var first = TimerSlot()
    first.arm(TimerKey(kind: .tcp, id: 1), at: instant(50), in: &queue)
    var copy = first
    first.cancel(in: &queue)
    #expect(queue.count == 0 && queue.nextDeadline == nil && first.scheduled == .distantFuture)
    // The node is used again; the old name of it is void.
    var second = TimerSlot()
    second.arm(TimerKey(kind: .tcp, id: 2), at: instant(70), in: &queue)
    copy.cancel(in: &queue)
    #expect(queue.count == 1)
    first.cancel(in: &queue)
    #expect(queue.nextDeadline == instant(70))
    let left = queue.popExpired(now: instant(70))
    #expect(left?.key.id == 2)
  }

  @Test("Timers: random arming, moving and cancelling agree with a plain list", arguments: 1...8)
  func random(seed: UInt64) {
    var queue = TimerQueue()
    var slots = Array(repeating: TimerSlot(), count: 60)
    var model: [UInt32: Instant] = [:]
    var state = seed
    var now = Instant.origin
    func next(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    for _ in 0..<4000 {
      let index = Int(next(60))
      let id = UInt32(index)
      switch next(4) {
      case 0, 1:
        let deadline = now + .milliseconds(Int64(next(500)) + 1)
        slots[index].arm(TimerKey(kind: .tcp, id: id), at: deadline, in: &queue)
        model[id] = min(model[id] ?? .distantFuture, deadline)
      case 2:
        slots[index].cancel(in: &queue)
        model[id] = nil
      default:
        now = now + .milliseconds(Int64(next(30)))
        while let (key, due) = queue.popExpired(now: now) {
          #expect(model[key.id] == due && due == model.values.min())
          let isAsked = slots[Int(key.id)].expire(at: due)
          #expect(isAsked)
          model[key.id] = nil
        }
        #expect(model.values.allSatisfy { $0 > now })
      }
      queue.checkInvariants()
      #expect(queue.count == model.count && queue.nextDeadline == model.values.min())
    }
  }

  @Test("Instants and spans: arithmetic, truncation, the 32-bit millisecond clock")
  func arithmetic() {
    #expect(Nanoseconds.seconds(2) == .milliseconds(2000))
    #expect(Nanoseconds.milliseconds(-3).microseconds == -3000)
    #expect(Nanoseconds(1_999_999).milliseconds == 1)
    #expect(instant(10) - instant(30) == .milliseconds(-20))
    #expect(instant(10) + .milliseconds(-10) == .origin)
    #expect(Instant(nanoseconds: (1 << 32) * 1_000_000 + 5_000_000).milliseconds32 == 5)
    #expect(Nanoseconds(Duration.milliseconds(1500)) == .milliseconds(1500))
    #expect(Nanoseconds.milliseconds(1500).duration == .milliseconds(1500))
  }
}
