import Tables
import Timers

/// What was asked of the timers, in milliseconds. Linux: `icsk_rto_max`, `icsk_rto_min`, `icsk_delack_max`.
public struct TimeoutLimits: Sendable, Equatable {
  /// `TCP_RTO_MAX_MS`.
  public var greatestTimeout: UInt32 = 120_000
  /// `TCP_RTO_MIN_US`.
  public var leastTimeout: UInt8 = 200
  /// `TCP_DELACK_MAX_US`.
  public var greatestAckDelay: UInt8 = 200

  public init() {}
}

/// Smoothed round-trip time and retransmission timeout (RFC 6298), with Linux's variance that decays once per window.
/// Linux: `tcp_rtt_estimator()`, `tcp_set_rto()`.
struct RTTEstimator {
  /// `TCP_RTO_MIN`, `TCP_RTO_MAX`, `TCP_TIMEOUT_INIT`.
  static let minimumTimeout = Nanoseconds.milliseconds(200)
  static let maximumTimeout = Nanoseconds.seconds(120)
  static let initialTimeout = Nanoseconds.seconds(1)

  /// Microseconds times 8; 0: no sample yet.
  private(set) var smoothed8: Int64 = 0
  /// Mean deviation times 4, in microseconds.
  private var deviation4: Int64 = 0
  private var deviationMax: Int64 = 0
  private(set) var variation: Int64 = 0
  /// A window's end: the variance may decay when it is acknowledged.
  private var windowEnd: UInt32 = 0
  @Narrow<Int32> var backoff = 0
  private(set) var timeout = RTTEstimator.initialTimeout
  private(set) var limits: TimeoutLimits
  /// Minimum over a sliding 5-minute window in two halves (`tcp_min_rtt_wlen` 300 s).
  private var minimumCurrent: Int64 = .max
  private var minimumPrevious: Int64 = .max
  private var minimumSince = Instant.origin

  init(limits: TimeoutLimits = TimeoutLimits()) { self.limits = limits }

  var least: Nanoseconds { .milliseconds(Int64(limits.leastTimeout)) }
  var greatest: Nanoseconds { .milliseconds(Int64(limits.greatestTimeout)) }

  /// From the next measurement or timeout on; what waits longer than may be is cut short.
  mutating func limit(_ new: TimeoutLimits) {
    limits = new
    timeout = min(timeout, greatest)
  }

  var hasSample: Bool { smoothed8 != 0 }
  var smoothed: Nanoseconds { .microseconds(smoothed8 >> 3) }
  var meanDeviation: Nanoseconds { .microseconds(deviation4 >> 2) }
  var minimum: Nanoseconds? {
    let least = min(minimumCurrent, minimumPrevious)
    return least == .max ? nil : .microseconds(least)
  }

  /// Every packet will take so much longer from now on; the least that was measured is none any more.
  mutating func shift(by microseconds: Int64) {
    smoothed8 = min(max(smoothed8 + microseconds << 3, 1), Int64(UInt32.max))
    minimumCurrent = .max
    minimumPrevious = .max
    setTimeout()
  }

  /// - Parameters:
  ///   - rtt: below a microsecond counts as one: RTTs of microseconds are normal on a TAP.
  ///   - acknowledged: SND.UNA, `next`: SND.NXT, to find window ends.
  mutating func sample(_ rtt: Nanoseconds, acknowledged: UInt32, next: UInt32, now: Instant) {
    var measured = max(1, rtt.microseconds)
    updateMinimum(measured, now)
    if smoothed8 == 0 {
      smoothed8 = measured << 3
      deviation4 = measured << 1
      variation = max(deviation4, Int64(limits.leastTimeout) * 1000)
      deviationMax = variation
      windowEnd = next
    } else {
      measured -= smoothed8 >> 3
      smoothed8 = max(1, smoothed8 + measured)
      if measured < 0 {
        // A sample far below the mean must not raise the variance as much (Eifel-style damping).
        measured = -measured - (deviation4 >> 2)
        if measured > 0 { measured >>= 3 }
      } else {
        measured -= deviation4 >> 2
      }
      deviation4 = max(0, deviation4 + measured)
      if deviation4 > deviationMax {
        deviationMax = deviation4
        if deviationMax > variation { variation = deviationMax }
      }
      if Int32(bitPattern: acknowledged &- windowEnd) > 0 {
        if deviationMax < variation { variation -= (variation - deviationMax) >> 2 }
        windowEnd = next
        deviationMax = Int64(limits.leastTimeout) * 1000
      }
    }
    setTimeout()
  }

  /// The round trip that an echoed time stamp tells of; `nil`: longer than any is, so that it echoes something else, as of the
  /// future. Linux: `tcp_rtt_tsopt_us()`.
  ///
  /// - Parameter elapsed: milliseconds from the time that is echoed until now.
  static func roundTrip(_ elapsed: UInt32) -> Nanoseconds? {
    elapsed < 240_000 ? .milliseconds(Int64(max(elapsed, 1))) : nil
  }

  /// RTO from the estimate, back-off cleared. Linux: `tcp_set_rto()`.
  @inline(__always)
  mutating func setTimeout() {
    guard hasSample else {
      timeout = Self.initialTimeout
      return
    }
    let microseconds = (smoothed8 >> 3) + variation
    timeout = min(max(.microseconds(microseconds), least), greatest)
  }

  /// RFC 6298 5.5: back off the timer.
  mutating func backOff() {
    backoff += 1
    timeout = min(timeout << 1, greatest)
  }

  /// RFC 6298 5.7: a handshake whose SYN was retransmitted starts data with 3 s.
  mutating func useInitialFallback() { if !hasSample { timeout = min(.seconds(3), greatest) } }

  private mutating func updateMinimum(_ measured: Int64, _ now: Instant) {
    if now - minimumSince > .seconds(150) {
      minimumPrevious = minimumCurrent
      minimumCurrent = measured
      minimumSince = now
    } else {
      minimumCurrent = min(minimumCurrent, measured)
    }
  }
}
