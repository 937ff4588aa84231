import Timers

/// How many bytes may stand in the transmit ring: enough that the device never runs dry, and no more, so that packets
/// wait in the queueing discipline, where they can be ordered, and their senders notice. "Byte queue limits".
/// Linux: `lib/dynamic_queue_limits.c`.
///
/// The limit grows when the device ran dry while the limit held packets back, and shrinks by the room that stayed
/// unused over a whole `slackHoldTime`. All counts are bytes.
@frozen
public struct DynamicQueueLimits: Sendable {
  /// Bytes that may be in the ring. One packet may overshoot it.
  public private(set) var limit: Int
  public var minimumLimit: Int = 0
  public var maximumLimit: Int = DynamicQueueLimits.highestLimit
  /// How long unused room must have been there before the limit shrinks by it.
  public var slackHoldTime = Nanoseconds.seconds(1)

  /// Linux: `DQL_MAX_LIMIT`.
  public static let highestLimit = Int(UInt32.max / 2 - UInt32.max / 16)

  /// Bytes ever given to the device, and ever completed by it.
  public private(set) var queuedTotal = 0
  public private(set) var completedTotal = 0
  private var lastObject = 0
  /// How things stood at the last completion, after it.
  private var previousQueuedTotal = 0
  private var previousOverLimit = 0
  private var previousLastObject = 0
  private var lowestSlack = Int.max
  private var slackStart: Instant

  public init(now: Instant) {
    limit = 0
    slackStart = now
  }

  /// Bytes that may still be queued; negative when the limit is exceeded and the queue has to stop.
  /// Linux: `dql_avail()`.
  @inlinable public var available: Int { limit &+ completedTotal &- queuedTotal }
  /// Bytes the device holds.
  @inlinable public var inFlight: Int { queuedTotal &- completedTotal }

  /// Notes that the device was given a packet. Linux: `dql_queued()`.
  public mutating func queued(_ byteCount: Int) {
    lastObject = byteCount
    queuedTotal &+= byteCount
  }

  /// Notes that the device has sent `byteCount` bytes and sets the limit anew. Linux: `dql_completed()`.
  public mutating func completed(_ byteCount: Int, now: Instant) {
    precondition(
      byteCount >= 0 && byteCount <= inFlight, "no more bytes are completed than were given to the device")
    var overLimit = max(0, inFlight - limit)
    let completedNow = completedTotal &+ byteCount
    let isDry = queuedTotal == completedNow
    let wasDry = previousQueuedTotal == completedTotal
    let coversPrevious = completedNow >= previousQueuedTotal
    var target = limit

    if (overLimit > 0 && isDry) || (previousOverLimit > 0 && coversPrevious) {
      // The limit held packets back and the device ran, or may have run, out of work: let in what it could have used.
      target += max(0, completedNow - previousQueuedTotal) + previousOverLimit
      restartSlack(now)
    } else if !isDry && !wasDry && !coversPrevious {
      // Busy all the time. What was in the ring beyond twice what was completed since last time was not needed; if
      // the last packet alone overshot the limit, neither was the part of it below the limit.
      let unused = max(0, limit + previousOverLimit - 2 * byteCount)
      let lastUnused = previousOverLimit > 0 ? max(0, previousLastObject - previousOverLimit) : 0
      lowestSlack = min(lowestSlack, max(unused, lastUnused))
      if now > slackStart + slackHoldTime {
        target = max(0, limit - lowestSlack)
        restartSlack(now)
      }
    }

    target = min(max(target, minimumLimit), maximumLimit)
    if target != limit {
      limit = target
      overLimit = 0
    }
    completedTotal = completedNow
    previousQueuedTotal = queuedTotal
    previousOverLimit = overLimit
    previousLastObject = lastObject
  }

  /// Forgets everything, for a ring that was emptied. Linux: `dql_reset()`.
  public mutating func reset(now: Instant) {
    var fresh = DynamicQueueLimits(now: now)
    fresh.minimumLimit = minimumLimit
    fresh.maximumLimit = maximumLimit
    fresh.slackHoldTime = slackHoldTime
    fresh.limit = minimumLimit
    self = fresh
  }

  private mutating func restartSlack(_ now: Instant) {
    slackStart = now
    lowestSlack = .max
  }
}
