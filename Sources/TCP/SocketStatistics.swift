import Timers

/// Counters that `TCP_INFO` reports.
struct SocketStatistics {
  var bytesReceived: UInt64 = 0
  var bytesSent: UInt64 = 0
  var bytesRetransmitted: UInt64 = 0
  var segmentsOut: UInt64 = 0
  var segmentsIn: UInt64 = 0
  var dataSegmentsOut: UInt64 = 0
  var dataSegmentsIn: UInt64 = 0
  var outOfOrderPackets = 0
  // Time accounting (`tcp_chrono_start()`).
  var limitSince = Instant.origin
  var busy = Nanoseconds.zero
  var windowLimited = Nanoseconds.zero
  var bufferLimited = Nanoseconds.zero
  var limit = Limit.none

  /// What holds the sender back. Linux: `enum tcp_chrono`.
  enum Limit { case none, busy, receiveWindow, sendBuffer }

  mutating func note(_ new: Limit, now: Instant) {
    if new == limit { return }
    let span = now - limitSince
    switch limit {
    case .none: break
    case .busy: busy = busy + span
    case .receiveWindow: windowLimited = windowLimited + span
    case .sendBuffer: bufferLimited = bufferLimited + span
    }
    limit = new
    limitSince = now
  }
}
