import NetNamespace
import Synchronization
import Tables
import Wire

/// Identification values for packets that may be fragmented: unique per source, destination and protocol for as long
/// as a packet lives (RFC 6864 section 4.3), and not to be guessed from another destination's. The shards of a stack
/// share one, as they share its addresses. Linux: `ip_idents_reserve()`, `__ip_select_ident()`.
///
/// Safety: both memories hold as many atomics as there are buckets, from `init` to `deinit`; a bucket is always below
/// that.
@safe
public final class IdentificationTable: Sendable {
  private static let bucketCount = 2048
  private nonisolated(unsafe) let counters: UnsafeMutablePointer<Atomic<UInt32>>
  /// Millisecond of the last use of each bucket.
  private nonisolated(unsafe) let stamps: UnsafeMutablePointer<Atomic<UInt32>>
  private let keyed: SipHash
  /// What the shards hash flows with that have several ways to choose from: all choose the same.
  let pathKey: SipHash

  init(net: inout Net) {
    keyed = net.random.nextKey()
    pathKey = keyed.derived(1)
    unsafe counters = .allocate(capacity: Self.bucketCount)
    unsafe stamps = .allocate(capacity: Self.bucketCount)
    for bucket in 0..<Self.bucketCount {
      let start = UInt32(truncatingIfNeeded: net.random.next())
      unsafe (counters + bucket).initialize(to: Atomic(start))
      unsafe (stamps + bucket).initialize(to: Atomic(0))
    }
  }

  deinit {
    unsafe counters.deinitialize(count: Self.bucketCount)
    unsafe counters.deallocate()
    unsafe stamps.deinitialize(count: Self.bucketCount)
    unsafe stamps.deallocate()
  }

  /// The first of `count` consecutive values.
  func reserve(
    _ count: Int, source: IPv4Address, destination: IPv4Address, protocol number: IPProtocol, net: inout Net
  ) -> UInt16 {
    let hash = keyed.tableHash(
      UInt64(source.rawValue) << 32 | UInt64(destination.rawValue), UInt64(number.rawValue))
    let bucket = Int(truncatingIfNeeded: hash) & (Self.bucketCount - 1)
    let now = net.now.milliseconds32
    let last = unsafe stamps[bucket].load(ordering: .relaxed)
    var step: UInt32 = 0
    // Another shard's clock may have been read later.
    if Int32(bitPattern: now &- last) > 0 {
      let isMine = unsafe stamps[bucket].compareExchange(
        expected: last, desired: now, ordering: .relaxed
      ).exchanged
      // Time adds a random step, so that an observer cannot count the packets in between.
      if isMine { step = net.random.next(below: now &- last) }
    }
    let reserved = step &+ UInt32(truncatingIfNeeded: count)
    let before = unsafe counters[bucket].wrappingAdd(reserved, ordering: .relaxed).oldValue
    return UInt16(truncatingIfNeeded: before &+ step)
  }
}
