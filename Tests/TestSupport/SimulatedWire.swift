import IceModel
import NetNamespace
import SwiftStack
import Timers

/// Two stacks joined by a cable with faults, driven in virtual time by whoever calls `run`. One seed gives one history.
public final class SimulatedWire {
  public let left: SimulatedStack
  public let right: SimulatedStack
  public var leftToRight = WireFault()
  public var rightToLeft = WireFault()
  /// Frames that have arrived, and that were lost on the way.
  public private(set) var delivered = 0
  public private(set) var lost = 0
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

  public init(
    seed: UInt64 = 1, mtu: Int = 1500, lendsEngines: Bool = false, services: Bool = true,
    settings: NetSettings = NetSettings(), packetMemory: Int = 512 << 20, queues: Int = 1
  ) throws {
    let seed = seed &+ Variation.current.seedOffset
    random = RandomSource(seed: seed)
    func configuration(_ last: UInt8) -> StackConfiguration {
      var configuration = StackConfiguration(
        name: "sim\(last)", address: IPv4Prefix(IPv4Address(10, 0, 0, last), length: 24)!,
        macAddress: MACAddress(0x0200_0000_0000 | UInt64(last)), mtu: mtu)
      configuration.services = services
      configuration.announcesAddress = false
      configuration.settings = settings
      configuration.packetMemory = packetMemory
      return configuration
    }
    left = try SimulatedStack(
      configuration(1), queues: queues, lendsEngines: lendsEngines, seed: seed &* 2 &+ 1)
    right = try SimulatedStack(
      configuration(2), queues: queues, lendsEngines: lendsEngines, seed: seed &* 2 &+ 2)
  }

  public var now: Instant { clock.now }
  public static let leftAddress = IPv4Address(10, 0, 0, 1)
  public static let rightAddress = IPv4Address(10, 0, 0, 2)

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
    var departure = clock.now
    if let rate = fault.rate {
      let start = max(toRight ? freeAt.toRight : freeAt.toLeft, clock.now)
      departure = start + Nanoseconds(Int64(UInt64(frame.bytes.count) &* 8_000_000_000 / rate))
      if toRight { freeAt.toRight = departure } else { freeAt.toLeft = departure }
    }
    var frame = frame
    if chance(fault.corrupt), frame.bytes.count > 15 {
      let place = 14 + Int(random.next(below: UInt32(frame.bytes.count - 14)))
      frame.bytes[place] ^= 1 << UInt8(random.next(below: 8))
    }
    var arrival = departure + fault.delay
    if chance(fault.reorder) { arrival = arrival + fault.reorderDelay }
    fly(frame, arrival, toRight)
    if chance(fault.duplicate) { fly(frame, arrival, toRight) }
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
