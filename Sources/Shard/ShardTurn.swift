import NetDevice
import Sockets

extension Shard {
  /// One turn of whoever runs the shard: timers, what other shards handed over, frames from the wire, and all that follows.
  ///
  /// - Parameter staysAwake: if somebody is woken, whoever runs the shard does more before it sleeps, and calls `settle` then.
  /// - Returns: whether the wire may have more, and when to come again if nothing happens.
  package mutating func turn(
    isReadable: Bool, frameLimit: Int, timeOfDayOffset: UInt64?, staysAwake: Bool = false
  ) -> (mayHaveMore: Bool, deadline: Instant) {
    guard !isClosed else { return (false, .distantFuture) }
    loopWakesAt = .origin
    host.net.timeOfDayOffset = timeOfDayOffset
    runTimers()
    takeHandovers()
    let mayHaveMore = isReadable ? receiveFromWire(limit: frameLimit) : false
    drain()
    let deadline = nextDeadline
    if !staysAwake || owners.woken.isEmpty { loopWakesAt = deadline }
    return (mayHaveMore, deadline)
  }

  /// Whoever runs the shard sleeps now: until when.
  package mutating func settle() -> Instant {
    guard !isClosed else { return .distantFuture }
    loopWakesAt = nextDeadline
    return loopWakesAt
  }

  /// The time of day, nanoseconds since 1970: read when it is asked for, so that a step of the clock is followed.
  package var timeOfDay: UInt64 { host.net.now.nanoseconds &+ (readTimeOfDayOffset() ?? 0) }
}
