/// The ones-complement sum of RFC 1071, kept unfolded so that blocks can be added in any order.
///
/// The sum is over 16-bit words as they lie in memory (host order), which RFC 1071 section 2(B) shows to be the
/// same sum with its bytes swapped; `checksum` swaps back once. Linux: `__wsum`, `csum_partial()`.
@frozen
public struct InternetChecksum: Sendable {
  @usableFromInline var sum: UInt64

  @inlinable public init() { sum = 0 }

  /// Folds to 16 bits, in memory order.
  @inlinable var folded: UInt16 {
    var value = (sum & 0xFFFF_FFFF) &+ (sum >> 32)
    value = (value & 0xFFFF_FFFF) &+ (value >> 32)
    value = (value & 0xFFFF) &+ (value >> 16)
    value = (value & 0xFFFF) &+ (value >> 16)
    value = (value & 0xFFFF) &+ (value >> 16)
    return UInt16(truncatingIfNeeded: value)
  }

  /// The complement of the sum: the value for a header's checksum field, in host order.
  @inlinable public var checksum: UInt16 { UInt16(bigEndian: ~folded) }
  /// The sum itself, in host order: what a "pseudo-header sum" field carries.
  @inlinable public var partial: UInt16 { UInt16(bigEndian: folded) }
  /// True when data that includes its own checksum sums to all ones (RFC 1071 section 1).
  @inlinable public var isValid: Bool { folded == 0xFFFF }

  /// Adds a 16-bit word given in host order.
  @inlinable public mutating func add(_ word: UInt16) { sum &+= UInt64(word.bigEndian) }
  /// Adds a 32-bit word given in host order.
  @inlinable public mutating func add(_ word: UInt32) { sum &+= UInt64(word.bigEndian) }

  /// Adds the sum of a block that begins `offset` bytes into the data; an odd offset swaps it.
  /// Linux: `csum_block_add()`.
  @inlinable public mutating func add(_ block: InternetChecksum, at offset: Int) {
    let value = block.folded
    sum &+= UInt64(offset & 1 == 0 ? value : value.byteSwapped)
  }

  /// Adds the bytes as a block that begins at an even offset.
  public mutating func add(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { unsafe add($0) }
  }

  /// Adds bytes that begin at an even offset of the data.
  ///
  /// Safety: reads only `0..<bytes.count`.
  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    unsafe take(bytes, copyingTo: nil)
  }

  /// Copies bytes that begin at an even offset of the data, and adds them on the way: each is in a register once, where a copy
  /// and a sum after it load it twice. Linux: `csum_partial_copy_nocheck()`.
  ///
  /// Safety: reads only `0..<bytes.count`, and writes as many at `target`, which do not overlap them.
  public mutating func add(_ bytes: UnsafeRawBufferPointer, copyingTo target: UnsafeMutableRawPointer) {
    unsafe take(bytes, copyingTo: target)
  }

  /// Both: inlined into each, where it is known whether there is a target.
  @inline(__always)
  private mutating func take(_ bytes: UnsafeRawBufferPointer, copyingTo target: UnsafeMutableRawPointer?) {
    guard let base = bytes.baseAddress else { return }
    let count = bytes.count
    var offset = 0
    if count >= 64 {
      // The sum of the 64-bit words modulo 2^64, and that of their upper halves: together they give the exact sum of
      // the lower halves too, without a carry lost below 2^32 words.
      var words = SIMD4<UInt64>.zero
      var high = SIMD4<UInt64>.zero
      while offset &+ 64 <= count {
        let first = unsafe base.loadUnaligned(fromByteOffset: offset, as: SIMD4<UInt64>.self)
        let second = unsafe base.loadUnaligned(fromByteOffset: offset &+ 32, as: SIMD4<UInt64>.self)
        if let target = unsafe target {
          unsafe target.storeBytes(of: first, toByteOffset: offset, as: SIMD4<UInt64>.self)
          unsafe target.storeBytes(of: second, toByteOffset: offset &+ 32, as: SIMD4<UInt64>.self)
        }
        words &+= first &+ second
        high &+= (first &>> 32) &+ (second &>> 32)
        offset &+= 64
      }
      let lanes = (words &- (high &<< 32)) &+ high
      // Each lane is below 2^49 for the largest packet, so the plain total cannot wrap.
      sum = fold32(sum) &+ fold32(lanes[0]) &+ fold32(lanes[1]) &+ fold32(lanes[2]) &+ fold32(lanes[3])
    }
    if let target = unsafe target, offset < count {
      unsafe (target + offset).copyMemory(from: base + offset, byteCount: count - offset)
    }
    while offset &+ 8 <= count {
      sum &+= unsafe fold32(base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      offset &+= 8
    }
    if offset &+ 4 <= count {
      sum &+= unsafe UInt64(base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      offset &+= 4
    }
    if offset &+ 2 <= count {
      sum &+= unsafe UInt64(base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
      offset &+= 2
    }
    if offset < count {
      // A last odd byte is the high half of a big-endian word: the low half in memory order.
      sum &+= unsafe UInt64(UInt16(littleEndian: UInt16(base.load(fromByteOffset: offset, as: UInt8.self))))
    }
  }

  /// Takes away the sum of a block at the end of the data that begins at an even offset. Linux: `csum_sub()`.
  @inlinable public mutating func subtract(_ block: InternetChecksum) { sum &+= UInt64(~block.folded) }

  @inline(__always) private func fold32(_ value: UInt64) -> UInt64 { (value & 0xFFFF_FFFF) &+ (value >> 32) }

  /// The TCP and UDP pseudo-header (RFC 9293 section 3.1, RFC 768).
  @inlinable public static func pseudoHeader(
    source: IPv4Address, destination: IPv4Address, protocol number: IPProtocol, byteCount: Int
  ) -> InternetChecksum {
    var sum = InternetChecksum()
    sum.add(source.rawValue)
    sum.add(destination.rawValue)
    sum.add(UInt16(number.rawValue))
    sum.add(UInt32(truncatingIfNeeded: byteCount))
    return sum
  }
}
