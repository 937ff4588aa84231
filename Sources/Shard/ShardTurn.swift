import NetDevice
import Sockets

extension Shard {
  /// One turn of whoever runs the shard: timers, what other shards handed over, frames from the wire, and all that follows.
  ///
  /// - Parameter staysAwake: if somebody is woken, whoever runs the shard does more before it sleeps.
  /// - Returns: whether the wire may have more, when to come again if nothing happens, and whether `settle` has to be called
  ///   before that sleep.
  package mutating func turn(
    isReadable: Bool, frameLimit: Int, staysAwake: Bool = false
  ) -> (mayHaveMore: Bool, deadline: Instant, isAwake: Bool) {
    guard !isClosed else { return (false, .distantFuture, false) }
    loopWakesAt = .origin
    duty.begin()
    // A step of the time of day is followed within the millisecond that ICMP's time stamps count.
    if host.net.now >= readsTimeOfDayAt {
      host.net.timeOfDayOffset = readTimeOfDayOffset()
      readsTimeOfDayAt = host.net.now + .milliseconds(1)
    }
    runTimers()
    takeHandovers()
    var mayHaveMore = false
    // What is taken from the wire is followed by a drain already; of a transfer there is more to do behind it.
    if isReadable { mayHaveMore = receiveFromWire(limit: frameLimit) }
    if !isReadable || duty.isTransfer { drain() }
    if isReadable && cards.count > 0 {
      if receiveFromCards(limit: frameLimit) { mayHaveMore = true }
      drain()
    }
    let deadline = mayHaveMore ? nextDeadline : settledDeadline
    let isAwake = staysAwake && !owners.woken.isEmpty
    if !isAwake { loopWakesAt = deadline }
    return (mayHaveMore, deadline, isAwake)
  }

  /// Whoever runs the shard sleeps now: until when.
  package mutating func settle() -> Instant {
    guard !isClosed else { return .distantFuture }
    loopWakesAt = settledDeadline
    return loopWakesAt
  }

  /// The time of day, nanoseconds since 1970: read when it is asked for, so that a step of the clock is followed.
  package var timeOfDay: UInt64 { host.net.now.nanoseconds &+ (readTimeOfDayOffset() ?? 0) }
}
