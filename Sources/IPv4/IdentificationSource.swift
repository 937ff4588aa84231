import NetNamespace
import Tables
import Wire

/// Identification values for packets that may be fragmented: unique per source, destination and protocol for as long
/// as a packet lives (RFC 6864 section 4.3), and not to be guessed from another destination's.
/// Linux: `ip_idents_reserve()`, `__ip_select_ident()`.
struct IdentificationSource {
  private static let bucketCount = 2048
  private var counters: [UInt32]
  /// Millisecond of the last use of each bucket.
  private var stamps: [UInt32]
  private let keyed: SipHash

  init(net: inout Net) {
    keyed = net.random.nextKey()
    stamps = Array(repeating: 0, count: Self.bucketCount)
    counters = (0..<Self.bucketCount).map { _ in UInt32(truncatingIfNeeded: net.random.next()) }
  }

  /// The first of `count` consecutive values.
  mutating func reserve(
    _ count: Int, source: IPv4Address, destination: IPv4Address, protocol number: IPProtocol, net: inout Net
  ) -> UInt16 {
    let hash = keyed.tableHash(
      UInt64(source.rawValue) << 32 | UInt64(destination.rawValue), UInt64(number.rawValue))
    let bucket = Int(truncatingIfNeeded: hash) & (Self.bucketCount - 1)
    let now = net.now.milliseconds32
    let elapsed = now &- stamps[bucket]
    // Time adds a random step, so that an observer cannot count the packets in between.
    let step = elapsed > 0 ? net.random.next(below: elapsed) : 0
    stamps[bucket] = now
    let first = counters[bucket] &+ step
    counters[bucket] = first &+ UInt32(truncatingIfNeeded: count)
    return UInt16(truncatingIfNeeded: first)
  }
}
