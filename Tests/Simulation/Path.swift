import IceModel
import NetNamespace
import Shard
import Timers

/// The frames of one direction between two stacks: what is done to them, the bottleneck, and those on their way.
struct Path {
  struct Flight {
    var arrival: Instant
    var frame: SimulatedFrame
  }
  let plan: LinkPlan
  var box = Middlebox()
  /// Frames that are still to be lost, held back, and so on.
  private var left: [Deed: Int] = [:]
  private var holdSpan = Nanoseconds.zero
  private var cutUntil = Instant.origin
  private var chanceUntil = Instant.origin
  private var chance = 0
  private(set) var narrow: (byteCount: Int, until: Instant, tells: Bool)?
  /// The next segment is not delivered: a router says so with this code.
  var unreachable: Int?
  private var random: RandomSource
  private var freeAt = Instant.origin
  private var latest = Instant.origin
  /// When the frames in the bottleneck's queue leave it, in order.
  private var departures: [Instant] = []
  private var codel = CoDel()
  private var flights: [Flight] = []
  private var first = 0

  init(_ plan: LinkPlan, seed: UInt64) {
    self.plan = plan
    random = RandomSource(seed: seed)
  }

  // MARK: Faults

  mutating func begin(_ event: EventPlan, now: Instant) {
    let end = now + Nanoseconds.microseconds(Int64(event.span))
    switch event.do {
    case .lose, .copy, .flip, .mark: left[event.do, default: 0] += event.count
    case .hold:
      left[.hold, default: 0] += event.count
      holdSpan = .microseconds(Int64(event.span))
    case .cut: cutUntil = max(cutUntil, end)
    case .chance: (chance, chanceUntil) = (event.count, end)
    case .narrow, .swallow: narrow = (max(event.count, 68), end, event.do == .narrow)
    default: box.begin(event.do, until: end, count: event.count)
    }
  }

  mutating func heal() {
    left.removeAll()
    cutUntil = .origin
    chanceUntil = .origin
    narrow = nil
    unreachable = nil
    box.heal()
  }

  /// One of so many frames that a deed is still to be done to.
  private mutating func takes(_ deed: Deed) -> Bool {
    guard let count = left[deed], count > 0 else { return false }
    left[deed] = count - 1
    return true
  }

  private static let lateness = Nanoseconds.milliseconds(3)

  /// One of so many of a thousand.
  private mutating func happens(_ thousandths: Int) -> Bool {
    thousandths > 0 && Int(random.next(below: 1000)) < thousandths
  }

  // MARK: Frames

  /// What becomes of a frame that leaves the stack.
  ///
  /// - Parameter notice: told of each fault that was done to it.
  mutating func launch(_ frame: SimulatedFrame, now: Instant, notice: (Fault) -> Void) {
    if now < cutUntil || takes(.lose) || now < chanceUntil && happens(chance) || happens(plan.loss) {
      return notice(.loss)
    }
    var frame = frame
    var isHeld = false
    if frame.metadata.gsoType == .none, !frame.metadata.needsChecksum {
      if takes(.flip) {
        // What has no sum of its own a NIC's frame check sequence would not let through.
        guard frame.bytes[12] == 8, frame.bytes[13] == 0 else { return notice(.loss) }
        let place = 14 + Int(random.next(below: UInt32(frame.bytes.count - 14)))
        frame.bytes[place] ^= 1 << UInt8(random.next(below: 8))
        notice(.corruption)
      }
      if takes(.mark) { mark(&frame) }
    }
    guard let departure = leaveQueue(&frame, now: now) else { return notice(.loss) }
    var arrival = departure + .microseconds(Int64(plan.delay))
    if plan.jitter > 0 { arrival = arrival + .microseconds(Int64(random.next(below: UInt32(plan.jitter)))) }
    let isLate = happens(plan.late)
    if isLate || takes(.hold) {
      isHeld = true
      arrival = arrival + (isLate ? Self.lateness : holdSpan)
      notice(.reordering)
    } else {
      // What is only late overtakes nothing.
      arrival = max(arrival, latest)
      latest = arrival
    }
    fly(frame, arrival)
    if !isHeld && takes(.copy) {
      fly(frame, arrival)
      notice(.duplication)
    }
  }

  /// Through the bottleneck; `nil`: it had no room.
  private mutating func leaveQueue(_ frame: inout SimulatedFrame, now: Instant) -> Instant? {
    guard plan.rate > 0 else { return now }
    departures.removeAll { $0 <= now }
    if departures.count >= plan.queue { return nil }
    if plan.mark > 0 && departures.count >= plan.mark { mark(&frame) }
    let start = max(freeAt, now)
    if plan.codel, codel.drops(sojourn: start - now, at: start), !mark(&frame) { return nil }
    freeAt = start + Nanoseconds(Int64(frame.bytes.count) * 8_000_000 / Int64(plan.rate))
    departures.append(freeAt)
    return freeAt
  }

  /// RFC 3168: ECT becomes CE. Returns whether it was ECT, or CE already.
  @discardableResult
  private func mark(_ frame: inout SimulatedFrame) -> Bool {
    guard frame.bytes.count >= 34, frame.bytes[12] == 8, frame.bytes[13] == 0, frame.bytes[15] & 3 != 0 else {
      return false
    }
    frame.bytes[15] |= 3
    frame.bytes[24] = 0
    frame.bytes[25] = 0
    let sum = Segment.sum(frame.bytes[14..<14 + Int(frame.bytes[14] & 15) * 4])
    frame.bytes[24] = UInt8(sum >> 8)
    frame.bytes[25] = UInt8(sum & 0xFF)
    return true
  }

  private mutating func fly(_ frame: SimulatedFrame, _ arrival: Instant) {
    // Behind those that arrive at the same time.
    var place = flights.count
    while place > first && flights[place - 1].arrival > arrival { place -= 1 }
    flights.insert(Flight(arrival: arrival, frame: frame), at: place)
  }

  /// When the next frame arrives.
  var nextArrival: Instant? { first < flights.count ? flights[first].arrival : nil }

  mutating func takeArrival(now: Instant) -> SimulatedFrame? {
    guard first < flights.count, flights[first].arrival <= now else { return nil }
    let frame = flights[first].frame
    first += 1
    if first == flights.count {
      flights.removeAll(keepingCapacity: true)
      first = 0
    } else if first > 256 {
      flights.removeFirst(first)
      first = 0
    }
    return frame
  }
}

/// CoDel (RFC 8289) for a queue whose frames' time of departure is known when they come: target 5 ms, interval 100 ms.
struct CoDel {
  private var aboveSince: Instant?
  private var dropsNextAt = Instant.origin
  private var count = 0
  private var isDropping = false

  mutating func drops(sojourn: Nanoseconds, at now: Instant) -> Bool {
    guard sojourn >= .milliseconds(5) else {
      aboveSince = nil
      isDropping = false
      return false
    }
    guard let since = aboveSince else {
      aboveSince = now
      return false
    }
    guard now - since >= .milliseconds(100) else { return false }
    if !isDropping {
      isDropping = true
      count = max(1, count - 2)
    } else if now < dropsNextAt {
      return false
    } else {
      count += 1
    }
    dropsNextAt = now + Nanoseconds(Int64(100_000_000 / Double(count).squareRoot()))
    return true
  }
}
