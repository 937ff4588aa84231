import SkBuff
import Timers

/// What one ACK tells about delivery. Linux: `struct rate_sample`.
struct RateSample {
  var priorDelivered: UInt32
  /// Segments in the network before it.
  var priorInFlight = 0
  var acked = 0
  /// Segments that this ACK or its SACK blocks told of for the first time.
  var newlyDelivered = 0
  /// Segments that were taken for lost on this ACK.
  var newlyLost = 0
  /// The window was in use and nothing is wrong: it may grow. Linux: `tcp_may_raise_cwnd()`, `tcp_is_cwnd_limited()`.
  var mayGrow = false
  /// Segments delivered in `interval`, the longer of the times it took to send and to acknowledge them; `nil`: this ACK
  /// tells nothing about the rate. Linux: `rs->delivered`, `rs->interval_us`.
  var delivered = 0
  var interval: Nanoseconds? = nil
  /// Of the last packet that arrived; none of what was sent again. Linux: `ca_rtt_us`.
  var rtt: Nanoseconds? = nil
  /// The peer may have held the ACK back. Linux: `FLAG_ACK_MAYBE_DELAYED`.
  var isMaybeDelayed = false
  /// State at the departure of the most recently sent packet that was delivered.
  var sentDelivered: UInt32 = 0
  var sentDeliveredAt = Instant.origin
  var firstSentAt = Instant.origin
  var lastSentAt = Instant.origin
  var isAppLimited = false
  var hasPacket = false
  /// When the first and the last of what SACKs told of, and was sent once, were sent.
  var sackRTTFirst: Instant? = nil
  var sackRTTLast: Instant? = nil

  /// Linux: `tcp_rate_skb_delivered()`.
  mutating func note(_ block: TCPControlBlock) {
    // A SYN, which nothing was delivered before.
    guard block.deliveredAt != .origin else { return }
    if !hasPacket || block.sentAt >= lastSentAt {
      hasPacket = true
      sentDelivered = block.delivered
      sentDeliveredAt = block.deliveredAt
      firstSentAt = block.firstSentAt
      lastSentAt = block.sentAt
      isAppLimited = block.isAppLimited
    }
  }
}

/// Delivery rate (draft-cheng-iccrg-delivery-rate-estimation). Linux: `tp->rate_delivered`, `tp->rate_interval_us`.
struct DeliveryRate {
  /// As is whatever comes first: the handshake fills no window.
  var isAppLimited = true
  /// Most recent sample that was not held back by the application.
  var bytesPerSecond: UInt64 = 0
}
