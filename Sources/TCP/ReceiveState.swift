import NetNamespace
import Timers
import Wire

/// What the peer's last timestamp says about the age of a segment: protection against wrapped sequence numbers
/// (RFC 7323 section 5). Linux: `tcp_paws_check()`, `tcp_paws_reject()`.
struct RecentTimestamp {
  /// Linux: `TCP_PAWS_24DAYS`. Half the clock's range: a value older than that is nothing to compare with.
  static let lifetime = Nanoseconds.seconds(24 * 86400)

  var value: UInt32 = 0
  var at = Instant.origin

  /// Whether a segment with this timestamp may be newer. A recent value of 0 was sent by a stack that leaves the field
  /// empty in its SYN.
  func admits(_ other: UInt32, now: Instant) -> Bool {
    Int32(bitPattern: value &- other) <= 0 || now - at >= Self.lifetime || value == 0
  }
}

/// At most one answer in `interval` to segments that do not fit and may themselves be such answers.
/// Linux: `tcp_oow_rate_limited()`.
struct AnswerLimit {
  /// `net.ipv4.tcp_invalid_ratelimit`.
  static let interval = Nanoseconds.milliseconds(500)

  private var last: Instant?

  /// Whether a segment that does not fit may be answered. One with data or a FIN is no part of a loop of ACKs, and its
  /// sender waits for the answer: always.
  ///
  /// - Parameter skipped: counts the answer that is not given.
  mutating func admits(
    _ segment: IncomingSegment, _ skipped: NetCounters.Name, net: inout Net
  ) -> Bool {
    segment.sequence != segment.endSequence && !segment.flags.contains(.syn) || admits(skipped, net: &net)
  }

  mutating func admits(_ skipped: NetCounters.Name, net: inout Net) -> Bool {
    if let last, net.now - last < Self.interval {
      net.counters.count(skipped)
      return false
    }
    last = net.now
    return true
  }
}

/// Where the stream's urgent byte lies (RFC 6093: the byte before the urgent pointer), and what became of it.
struct UrgentMark {
  /// Linux: `TCP_URG_NOTYET`, `TCP_URG_VALID`, `TCP_URG_READ`.
  enum Byte: Equatable {
    case awaited
    case waiting(UInt8)
    case taken
  }

  var sequence: SequenceNumber
  var byte = Byte.awaited
}
