/// A buffer that lives as long as the shard. Its contents mean nothing from one use to the next. Memory that nobody asked
/// for yet is not touched, so that a stack costs only what its programs use.
///
/// Safety: `bytes` is allocated here and freed in `deinit`; whoever uses it holds the shard.
@safe
package struct ScratchBuffer: ~Copyable {
  package static let byteCount = 1 << 20
  private let bytes: UnsafeMutableRawBufferPointer
  private var filled = 0

  package init() { unsafe bytes = .allocate(byteCount: Self.byteCount, alignment: 64) }

  /// The first `count` bytes, at most `byteCount`.
  package mutating func prefix(_ count: Int) -> UnsafeMutableRawBufferPointer {
    if count > filled { fill(count) }
    return unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
  }

  /// Bulk senders send from here: a pattern that shows where it came from, never memory of others.
  private mutating func fill(_ count: Int) {
    for index in filled..<count { unsafe bytes[index] = UInt8(truncatingIfNeeded: 0x20 &+ index % 95) }
    filled = count
  }

  deinit { unsafe bytes.deallocate() }
}
