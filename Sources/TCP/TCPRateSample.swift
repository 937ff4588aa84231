import NetNamespace
import SkBuff
import Timers

// How fast segments are delivered (draft-cheng-iccrg-delivery-rate-estimation). Linux: `net/ipv4/tcp_rate.c`.
extension TCPSender {
  /// Linux: `tcp_rate_gen()`.
  ///
  /// - Parameter hasReneged: what was delivered and what was not is not known.
  mutating func updateRate(_ sample: inout RateSample, hasReneged: Bool, net: borrowing Net) {
    if sample.newlyDelivered > 0 { deliveredAt = net.now }
    if appLimited != 0 && Int32(bitPattern: delivered &- appLimited) > 0 {
      appLimited = 0
    }
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
