import IceModel
import Shard

/// What a simulated cable can be plugged into: a stack whose clock and wire belong to its caller.
public protocol CableEnd: AnyObject {
  /// When `advance` has something to do next; `nil`: not before a frame or a call comes.
  var nextDeadline: Instant? { get }
  func advance(to instant: Instant)
  func receive(_ frame: SimulatedFrame)
  func takeFrames() -> [SimulatedFrame]
}

extension SimulatedShard: CableEnd {
  public func receive(_ frame: SimulatedFrame) { receive(frame.bytes.span, frame.metadata) }

  public func takeFrames() -> [SimulatedFrame] {
    var frames: [SimulatedFrame] = []
    takeFrames { frames.append(SimulatedFrame(copying: $0, $1)) }
    return frames
  }
}

/// Two stacks joined by a cable with faults, driven in virtual time by whoever calls `run`. One seed gives one history.
public final class Cable<End: CableEnd> {
  public let left: End
  public let right: End
  public var leftToRight = WireFault()
  public var rightToLeft = WireFault()
  /// Frames that have arrived, and that were lost on the way.
  public private(set) var delivered = 0
  public private(set) var lost = 0
  /// Frames that were marked, and the longest that one has waited for the line.
  public private(set) var marked = 0
  public private(set) var longestWait = Nanoseconds.zero
  /// Called with every frame put on the wire, before any fault.
  public var tap: ((SimulatedFrame, _ fromLeft: Bool) -> Void)?

  private struct Flight {
    var arrival: Instant
    var order: UInt64
    var frame: SimulatedFrame
    var toRight: Bool
  }
  private var flights: [Flight] = []
  private var order: UInt64 = 0
  private var random: RandomSource
  private var clock = ManualClock()
  private var freeAt = (toRight: Instant.origin, toLeft: Instant.origin)

  public init(left: End, right: End, seed: UInt64) {
    self.left = left
    self.right = right
    random = RandomSource(seed: seed)
  }

  public var now: Instant { clock.now }
  public static var leftAddress: IPv4Address { IPv4Address(10, 0, 0, 1) }
  public static var rightAddress: IPv4Address { IPv4Address(10, 0, 0, 2) }

  private func chance(_ share: Double) -> Bool {
    share > 0 && Double(random.next() >> 11) < share * 9_007_199_254_740_992
  }

  private func collect() {
    for frame in left.takeFrames() { launch(frame, toRight: true) }
    for frame in right.takeFrames() { launch(frame, toRight: false) }
  }

  private func launch(_ frame: SimulatedFrame, toRight: Bool) {
    tap?(frame, toRight)
    let fault = toRight ? leftToRight : rightToLeft
    if chance(fault.loss) {
      lost += 1
      return
    }
    var frame = frame
    var departure = clock.now
    if let rate = fault.rate {
      let start = max(toRight ? freeAt.toRight : freeAt.toLeft, clock.now)
      longestWait = max(longestWait, start - clock.now)
      if let limit = fault.markBeyond, start - clock.now > limit { mark(&frame) }
      departure = start + Nanoseconds(Int64(UInt64(frame.bytes.count) &* 8_000_000_000 / rate))
      if toRight { freeAt.toRight = departure } else { freeAt.toLeft = departure }
    }
    if chance(fault.corrupt), frame.bytes.count > 15 {
      let place = 14 + Int(random.next(below: UInt32(frame.bytes.count - 14)))
      frame.bytes[place] ^= 1 << UInt8(random.next(below: 8))
    }
    var arrival = departure + fault.delay
    if chance(fault.reorder) { arrival = arrival + fault.reorderDelay }
    fly(frame, arrival, toRight)
    if chance(fault.duplicate) { fly(frame, arrival, toRight) }
  }

  /// Forgets how long frames have waited until now.
  public func forgetWaits() { longestWait = .zero }

  /// ECT becomes CE, and the header's checksum follows (RFC 1624).
  private func mark(_ frame: inout SimulatedFrame) {
    guard frame.bytes.count >= 34, frame.bytes[12] == 8, frame.bytes[13] == 0, frame.bytes[15] & 3 != 0 else {
      return
    }
    marked += 1
    let more = 3 - UInt32(frame.bytes[15] & 3)
    frame.bytes[15] |= 3
    var sum = UInt32(frame.bytes[24]) << 8 | UInt32(frame.bytes[25])
    sum = sum >= more ? sum - more : sum + 0xFFFF - more
    frame.bytes[24] = UInt8(sum >> 8)
    frame.bytes[25] = UInt8(sum & 0xFF)
  }

  private func fly(_ frame: SimulatedFrame, _ arrival: Instant, _ toRight: Bool) {
    order += 1
    flights.append(Flight(arrival: arrival, order: order, frame: frame, toRight: toRight))
  }

  /// The next moment at which anything happens; `nil`: never.
  private var nextEvent: Instant? {
    [left.nextDeadline, right.nextDeadline, flights.map(\.arrival).min()].compactMap(\.self).min()
  }

  /// Moves time on, event by event, until `isDone` says so or the limit is reached.
  ///
  /// - Returns: whether it was done.
  @discardableResult
  public func run(
    for limit: Nanoseconds = .seconds(60), until isDone: () throws -> Bool = { false }
  ) rethrows -> Bool {
    let end = clock.now + limit
    while true {
      collect()
      if try isDone() { return true }
      collect()
      guard let next = nextEvent, next <= end else {
        clock.advance(to: end)
        left.advance(to: end)
        right.advance(to: end)
        return try isDone()
      }
      clock.advance(to: next)
      left.advance(to: clock.now)
      right.advance(to: clock.now)
      let due = flights.filter { $0.arrival <= clock.now }.sorted {
        ($0.arrival, $0.order) < ($1.arrival, $1.order)
      }
      flights.removeAll { $0.arrival <= clock.now }
      for flight in due {
        delivered += 1
        (flight.toRight ? right : left).receive(flight.frame)
      }
    }
  }
}

extension Cable where End == SimulatedShard {
  /// Two shards, 10.0.0.1 and 10.0.0.2.
  public convenience init(seed: UInt64 = 1, lendsEngines: Bool = false) throws {
    func shard(_ last: UInt8) throws -> SimulatedShard {
      var configuration = StackConfiguration(
        name: "sim\(last)", address: IPv4Prefix(IPv4Address(10, 0, 0, last), length: 24)!)
      configuration.announcesAddress = false
      return try SimulatedShard(configuration, lendsEngines: lendsEngines, seed: seed &* 2 &+ UInt64(last))
    }
    self.init(left: try shard(1), right: try shard(2), seed: seed)
  }
}
