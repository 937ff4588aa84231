import NetNamespace
import SkBuff
import TestSupport
import Testing
import Timers
import Trace
import Wire

@testable import TCP

/// What a peer costs that has packets looked for in the order that it likes least for us: packets looked at, counted
/// (SegmentSmack, CVE-2018-5390; SACK slowness, CVE-2019-11478).
///
/// Elsewhere: what out-of-order packets hold is `MemoryAttackTests`'s; how small SACKs may cut what was sent (CVE-2019-11478,
/// CVE-2019-11479) `RecoveryRowsTests`'s and `HalfOpenTests`'s (an MSS below 48 counts as 48); that a packet's segments are
/// counted in no fewer bits than they can be (CVE-2019-11477) `ScoreboardPropertyTests`'s recount.
@Suite("R the cost of looking for packets")
struct InsertionCostTests {
  private static let base = SequenceNumber(0xFFFF_F000)

  /// Places of `count` packets in the order of arrival.
  enum Order: String, CaseIterable, Sendable {
    case forwards, backwards, inwards, outwards, mixed, combs, halves

    func places(_ count: Int) -> [Int] {
      switch self {
      case .forwards: Array(0..<count)
      case .backwards: Array((0..<count).reversed())
      case .inwards: (0..<count).map { $0 % 2 == 0 ? $0 / 2 : count - 1 - $0 / 2 }
      case .outwards: (0..<count).map { count / 2 + ($0 % 2 == 0 ? $0 / 2 : -1 - $0 / 2) }
      // 2,654,435,761 is odd, and so prime to a power of two.
      case .mixed: (0..<count).map { $0 &* 2_654_435_761 % count }
      case .combs: (0..<count).map { $0 % 64 * (count / 64) + $0 / 64 }
      case .halves: (0..<count).map { $0 % 2 == 0 ? count / 2 - 1 - $0 / 2 : count - 1 - $0 / 2 }
      }
    }
  }

  private static func packet(_ place: Int, in pool: SkBuffPool, count: Int = 1) -> SkBuff {
    var skb = pool.allocate(headroom: 64, linear: 0)!
    skb.tcp.sequence = base + place * 10
    skb.tcp.endSequence = skb.tcp.sequence + count
    return skb
  }

  /// Puts packets out of order into a queue: how many it looked at.
  private static func cost(_ order: Order, _ count: Int) -> Int {
    let pool = SkBuffPool(limit: 64 << 20, tracer: Tracer(capacity: 16))
    var queue = OutOfOrderQueue()
    for place in order.places(count) {
      let skb = packet(place, in: pool)
      let previous = queue.place(before: skb.tcp.sequence)
      _ = queue.insert(skb, after: previous)
    }
    let problem = queue.brokenInvariant()
    #expect(problem == nil)
    var (sorted, place) = (0, queue.first)
    while let current = place {
      #expect(queue.queue[tcp: current].sequence == base + sorted * 10)
      sorted += 1
      place = queue.queue.position(after: current)
    }
    #expect(sorted == count)
    return queue.landmarks.comparisons
  }

  @Test(
    "R out-of-order queue: an insertion looks at fewer than 100 packets on the average, in whatever order they come",
    arguments: Order.allCases)
  func insertion(order: Order) {
    let (one, two) = (Self.cost(order, 2048), Self.cost(order, 4096))
    #expect(two < 4096 * 100)
    // In the order of the queue nothing is looked for.
    if order == .forwards { #expect(two == 0) }
    #expect(Double(two) <= 2.5 * Double(max(one, 1)) || two == 0)
  }

  @Test(
    "R out-of-order queue: with packets that leave from anywhere, every place is the one that a walk finds")
  func places() {
    for seed in UInt64(1)...20 {
      var random = RandomSource(seed: seed)
      let pool = SkBuffPool(limit: 64 << 20, tracer: Tracer(capacity: 16))
      var queue = OutOfOrderQueue()
      var present: Set<Int> = []
      for step in 0..<2000 {
        let place = Int(random.next(below: 1200))
        let number = Self.base + place * 10
        let found = queue.place(before: number)
        let expected = present.filter { $0 <= place }.max()
        #expect(found.map { queue.queue[tcp: $0].sequence } == expected.map { Self.base + $0 * 10 })
        switch (present.contains(place), random.next(below: 8)) {
        case (true, 0...3):
          if let found { _ = queue.remove(at: found) }
          present.remove(place)
        case (_, 4):
          if queue.popLast() != nil { present.remove(present.max()!) }
        case (_, 5):
          if let first = queue.first {
            _ = queue.remove(at: first)
            present.remove(present.min()!)
          }
        case (false, _):
          _ = queue.insert(Self.packet(place, in: pool), after: found)
          present.insert(place)
        default: break
        }
        if step % 100 == 0 {
          let problem = queue.brokenInvariant()
          #expect(problem == nil)
        }
      }
    }
  }

  // MARK: SACK

  /// `count` segments in flight and what ACKs about them cost: packets looked at.
  private func cost(_ count: Int, _ acknowledge: (ScriptedConnection, UInt32) -> Void) throws -> Int {
    let open = try ScriptedConnection.withSACK()
    open.inspect { $0.core.sendBuffer = 8 << 20 }
    let base = try open.flight(count)
    let before = open.inspect { $0.sender.scoreboard.sackPlaces.landmarks.comparisons }
    acknowledge(open, base)
    return open.inspect { $0.sender.scoreboard.sackPlaces.landmarks.comparisons } - before
  }

  @Test("R SACK: the one block behind a hole that grows with each ACK costs each of them the same")
  func growing() throws {
    func run(_ count: Int) throws -> Int {
      try cost(count) { open, base in
        for end in 2...count { open.acknowledge(base: base, upTo: 0, sack: [1..<end]) }
      }
    }
    let (one, two) = (try run(200), try run(400))
    #expect(two < 400 * 100)
    #expect(Double(two) <= 2.5 * Double(one))
  }

  @Test("R SACK: ACKs that say again what is known, of one end and of the other, look at few packets")
  func repeated() throws {
    func run(_ count: Int) throws -> Int {
      try cost(count) { open, base in
        let (low, high) = (1..<count / 2 - 1, count / 2..<count)
        for round in 0..<count { open.acknowledge(base: base, upTo: 0, sack: [round % 2 == 0 ? low : high]) }
      }
    }
    let (one, two) = (try run(200), try run(400))
    // Some ten for each; a walk through one half would be two hundred.
    #expect(one < 200 * 20 && two < 400 * 20)
  }

  @Test("R SACK: blocks of single segments, from both ends at once, are found without a walk through all")
  func scattered() throws {
    func run(_ count: Int) throws -> Int {
      try cost(count) { open, base in
        for round in 0..<count / 4 {
          let (low, high) = (1 + 2 * round, count - 1 - 2 * round)
          open.acknowledge(base: base, upTo: 0, sack: [high..<high + 1, low..<low + 1])
        }
      }
    }
    let (one, two) = (try run(256), try run(512))
    #expect(two < 512 * 100)
    #expect(Double(two) <= 2.5 * Double(one))
  }

  @Test("R ranges that have arrived: joined, cut off below and found, as a set of numbers has it")
  func ranges() {
    for seed in UInt64(1)...50 {
      var random = RandomSource(seed: seed)
      var ranges = SACKedRanges()
      var known: Set<Int> = []
      var una = 0
      for _ in 0..<300 {
        let start = una + Int(random.next(below: 100))
        let end = start + 1 + Int(random.next(below: 4))
        if known.isDisjoint(with: start..<end) {
          ranges.insert(Self.base + start, Self.base + end)
          known.formUnion(start..<end)
        }
        if random.next(below: 10) == 0 {
          una += Int(random.next(below: 20))
          ranges.acknowledge(upTo: Self.base + una)
          known = known.filter { $0 >= una }
        }
        let number = una + Int(random.next(below: 110))
        var expected = number
        while known.contains(expected) { expected += 1 }
        #expect(ranges.end(around: Self.base + number) == (expected == number ? nil : Self.base + expected))
      }
      let starts = known.filter { !known.contains($0 - 1) }.count
      #expect(ranges.count == starts && ranges.isEmpty == known.isEmpty)
      ranges.removeAll()
      #expect(ranges.isEmpty)
    }
  }
}
