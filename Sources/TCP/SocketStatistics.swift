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
  /// When the timeouts that last began; `.origin`: none do. Linux: `rto_stamp`.
  private var timeoutsSince = Instant.origin
  /// How long there were timeouts. Linux: `total_rto_time`.
  private var timeoutTime = Nanoseconds.zero
  /// Linux: `total_rto`, `total_rto_recoveries`.
  var timeouts: UInt16 = 0
  private(set) var timeoutEpisodes: UInt16 = 0
  // Time accounting (`tcp_chrono_start()`).
  var limitSince = Instant.origin
  var busy = Nanoseconds.zero
  var windowLimited = Nanoseconds.zero
  var bufferLimited = Nanoseconds.zero
  var limit = Limit.none

  /// What holds the sender back. Linux: `enum tcp_chrono`.
  enum Limit { case none, busy, receiveWindow, sendBuffer }

  mutating func beginTimeouts(now: Instant) {
    timeoutEpisodes &+= 1
    timeoutsSince = now
  }

  /// What was lost has been made good. Linux: `tcp_update_rto_time()`.
  mutating func endTimeouts(now: Instant) {
    guard timeoutsSince != .origin else { return }
    timeoutTime = timeoutTime + (now - timeoutsSince)
    timeoutsSince = .origin
  }

  /// The SYN-ACK that made the connection had to be sent again so often. Linux: `tcp_create_openreq_child()`.
  mutating func noteHandshakeTimeouts(_ count: Int, lasting span: Nanoseconds) {
    timeouts = UInt16(clamping: count)
    timeoutEpisodes = 1
    timeoutTime = span
  }

  /// How long there were timeouts, those that last among them. Linux: `tcpi_total_rto_time`.
  func timeoutTime(now: Instant) -> Nanoseconds {
    timeoutsSince == .origin ? timeoutTime : timeoutTime + (now - timeoutsSince)
  }

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
