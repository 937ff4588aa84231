import NetNamespace
import Tables
import Timers
import Wire

/// How many ICMP errors may be sent: overall and to each host. Linux: `icmp_global_allow()`, `inet_peer_xrlim_allow()`.
///
/// What is left of the overall number tells whoever counts its own answers how many others got: whether a port that it asked
/// about in another host's name is closed, for one (CVE-2020-25705). So a message costs none, one or two of it.
struct ICMPRateLimit {
  enum Verdict { case allowed, globalLimit, hostLimit }

  private struct Bucket {
    var address = IPv4Address.any
    var tokens = Nanoseconds.zero
    var last = Instant.origin
  }
  /// `net.ipv4.icmp_msgs_burst`.
  static let globalBurst: Int64 = 50
  /// Linux: `XRLIM_BURST_FACTOR`.
  static let hostBurst: Int64 = 6
  private static let bucketCount = 1024
  private var buckets: [Bucket]
  private var credit: Int64 = globalBurst
  private var creditStamp: Instant
  private let keyed: SipHash

  init(net: inout Net) {
    keyed = net.random.nextKey()
    creditStamp = net.now
    buckets = Array(repeating: Bucket(), count: Self.bucketCount)
  }

  mutating func allow(_ host: IPv4Address, net: inout Net) -> Verdict {
    let now = net.now
    // The global bucket: whole messages that the time since has earned.
    let perSecond = Int64(net.settings.icmpMessagesPerSecond)
    let interval = max(1, 1_000_000_000 / max(1, perSecond))
    let earned = (now - creditStamp).rawValue / interval
    if earned > 0 && perSecond > 0 {
      credit = min(Self.globalBurst, credit + earned)
      creditStamp = creditStamp + Nanoseconds(earned &* interval)
    }
    guard credit > 0 else { return .globalLimit }
    let cost = net.settings.icmpRateLimit
    if cost > .zero && !take(cost, of: host, burst: Self.hostBurst, now: now) { return .hostLimit }
    // Linux: `icmp_global_consume()`.
    credit -= Int64(net.random.next(below: 3))
    return .allowed
  }

  /// Whether a packet without a way on may be told of at all: that costs its sender as much as the message does, so that
  /// half as many are sent. Linux: `ip_error()`, `ip_rt_error_cost`, `ip_rt_error_burst`.
  mutating func allowRouteError(to host: IPv4Address, now: Instant) -> Bool {
    take(.seconds(1), of: host, burst: 5, now: now)
  }

  /// Linux: `inet_peer_xrlim_allow()`.
  private mutating func take(
    _ cost: Nanoseconds, of host: IPv4Address, burst: Int64, now: Instant
  ) -> Bool {
    let full = cost * burst
    let index =
      Int(truncatingIfNeeded: keyed.tableHash(UInt64(host.rawValue), 0)) & (Self.bucketCount - 1)
    var tokens = min(full, buckets[index].tokens + (now - buckets[index].last))
    // A host takes over another's bucket only when that is full again; until then they share it.
    if buckets[index].address != host && (buckets[index].address.isAny || tokens == full) {
      buckets[index].address = host
      tokens = full
    }
    buckets[index].last = now
    let isAllowed = tokens >= cost
    buckets[index].tokens = isAllowed ? tokens - cost : tokens
    return isAllowed
  }
}
