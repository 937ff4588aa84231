import NetNamespace
import SkBuff
import Timers

// How fast segments are delivered (draft-cheng-iccrg-delivery-rate-estimation). Linux: `net/ipv4/tcp_rate.c`.
extension TCPSocket {
  /// What one ACK tells about delivery.
  struct RateSample {
    var priorDelivered: UInt32
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
    var rtt: Nanoseconds? = nil
    /// State at the departure of the most recently sent packet that was delivered.
    var sentDelivered: UInt32 = 0
    var sentDeliveredAt = Instant.origin
    var firstSentAt = Instant.origin
    var lastSentAt = Instant.origin
    var isAppLimited = false
    var hasPacket = false
    var sackRTTFirst: Instant? = nil

    /// Linux: `tcp_rate_skb_delivered()`.
    mutating func note(_ block: TCPControlBlock) {
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

  /// Linux: `tcp_rate_gen()`.
  ///
  /// - Parameter hasReneged: what was delivered and what was not is not known.
  mutating func updateRate(_ sample: inout RateSample, hasReneged: Bool, net: borrowing Net) {
    if sample.newlyDelivered > 0 { deliveredAt = net.now }
    if appLimited != 0 && Int32(bitPattern: delivered &- appLimited) > 0 { appLimited = 0 }
    guard sample.hasPacket, !hasReneged else { return }
    firstSentAt = sample.lastSentAt
    let sendInterval = sample.lastSentAt - sample.firstSentAt
    let ackInterval = net.now - sample.sentDeliveredAt
    let interval = max(sendInterval, ackInterval)
    if let least = rtt.minimum, interval < least { return }
    guard interval > .zero else { return }
    sample.delivered = Int(delivered &- sample.sentDelivered)
    sample.interval = interval
    let bytes =
      UInt64(sample.delivered) &* UInt64(mssCache) &* 1_000_000_000 / UInt64(interval.rawValue)
    if !sample.isAppLimited || bytes >= rate.bytesPerSecond {
      rate.bytesPerSecond = bytes
      rate.isAppLimited = sample.isAppLimited
    }
  }
}
