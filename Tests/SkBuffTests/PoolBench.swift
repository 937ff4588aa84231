@testable import SkBuff
import Testing
import Timers
import Trace
import Wire

/// A pool that is destroyed at the end, which traps when a packet leaked.
final class PoolBench {
  let tracer = Tracer(capacity: 64)
  let pool: SkBuffPool
  init(limit: Int = 64 << 20) { pool = SkBuffPool(limit: limit, tracer: tracer) }
  deinit {
    pool.destroy()
    tracer.destroy()
  }

  /// Bytes that tell their place: 0, 1, ... modulo 251.
  static func pattern(_ range: Range<Int>) -> [UInt8] { range.map { UInt8($0 % 251) } }

  /// A packet of `linear` linear bytes and fragments of the given lengths, all the pattern.
  func packet(linear: Int, fragments: [Int] = [], headroom: Int = 64) -> SkBuff {
    var skb = pool.allocate(headroom: headroom, linear: linear)!
    skb.put(linear)
    skb.fill(Self.pattern(0..<linear), at: 0)
    var position = linear
    for count in fragments {
      let page = pool.allocatePage(large: count > 4096)!
      let bytes = Self.pattern(position..<position + count)
      page.fill(unsafe bytes.span.bytes, at: 0)
      skb.appendFragment(page, offset: 0, byteCount: count, truesize: 4096)
      position += count
    }
    return skb
  }
}

extension SkBuff {
  /// Every byte of the packet.
  var bytes: [UInt8] {
    copyBytes()
  }
  /// Overwrites linear bytes.
  mutating func fill(_ bytes: [UInt8], at offset: Int) {
    precondition(offset + bytes.count <= headLength, "a test writes linear bytes")
    unsafe bytes.withUnsafeBytes { source in
      if let base = source.baseAddress {
        unsafe (linearBase + offset).copyMemory(from: base, byteCount: source.count)
      }
    }
  }
}

/// `#expect` for expressions over values that cannot be copied, which the macro would want to keep.
func check(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(condition, sourceLocation: sourceLocation)
}
