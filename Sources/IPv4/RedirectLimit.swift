import NetNamespace
import Tables
import Timers
import Wire

/// How often a host is told of a better way: each time after twice as long, and not any more when it does not listen.
/// Linux: `n_redirects` of `struct inet_peer`.
struct RedirectLimit {
  private struct Bucket {
    var address = IPv4Address.any
    var count = 0
    var last = Instant.origin
  }
  /// Linux: `ip_rt_redirect_number`, `ip_rt_redirect_load`, `ip_rt_redirect_silence`.
  static let most = 9
  static let interval = Nanoseconds.milliseconds(20)
  static let silence = Nanoseconds.milliseconds(20 << 10)
  private static let bucketCount = 256
  private var buckets: [Bucket] = []
  private var keyed: SipHash?

  /// Whether one may be sent now, which is counted then.
  mutating func allow(_ host: IPv4Address, now: Instant, net: inout Net) -> Bool {
    if buckets.isEmpty { buckets = Array(repeating: Bucket(), count: Self.bucketCount) }
    let keyed = self.keyed ?? net.random.nextKey()
    self.keyed = keyed
    let index = Int(truncatingIfNeeded: keyed.tableHash(UInt64(host.rawValue), 0)) & (Self.bucketCount - 1)
    var bucket = buckets[index]
    defer { buckets[index] = bucket }
    // Two hosts in one place share what is left.
    if bucket.address.isAny || now > bucket.last + Self.silence { bucket = Bucket(address: host) }
    guard bucket.count < Self.most else {
      bucket.last = now
      return false
    }
    guard bucket.count == 0 || now > bucket.last + Self.interval * Int64(1 << bucket.count) else {
      return false
    }
    bucket.last = now
    bucket.count += 1
    return true
  }
}
