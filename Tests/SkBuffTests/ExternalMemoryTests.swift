@testable import SkBuff
import Testing

@Suite struct ExternalMemoryTests {
  /// The caller's memory, and how often its owner was told that it is free again.
  ///
  /// Safety: the memory lives as long as the owner, which outlives the packets of a test.
  @safe private final class Owner: @unchecked Sendable {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 3000, alignment: 8)
    var toldCount = 0
    init() {
      for index in 0..<3000 { unsafe bytes[index] = UInt8(index % 251) }
    }
    deinit { unsafe bytes.deallocate() }
    /// The same bytes each time, lent once more.
    var memory: ExternalMemory { unsafe ExternalMemory(bytes: bytes) { self.toldCount += 1 } }
  }

  private static func packet(_ bench: PoolBench, _ owner: Owner, header: Int = 54) -> SkBuff {
    var skb = bench.packet(linear: header)
    skb.appendFragment(bench.pool.page(of: owner.memory), offset: 0, byteCount: 3000, truesize: 3000)
    return skb
  }

  @Test("B7 a fragment may be the caller's memory: nothing is copied, the owner is told once at the end")
  func lent() {
    let bench = PoolBench()
    let owner = Owner()
    do {
      let skb = Self.packet(bench, owner)
      check(skb.length == 3054 && skb.truesize == SkBuff.overhead + 3000)
      check(unsafe skb.fragmentBytes(0).baseAddress == owner.bytes.baseAddress)
      unsafe owner.bytes[0] = 77
      check(skb.bytes[54] == 77)
      #expect(bench.pool.pagesInUse == 0 && owner.toldCount == 0)
    }
    #expect(owner.toldCount == 1 && bench.pool.buffersInUse == 0)
  }

  @Test("B7 clone, split and segment share it: the owner is told when the last of them has ended")
  func shared() {
    let bench = PoolBench()
    let owner = Owner()
    var segment = bench.packet(linear: 0)
    do {
      var twin = Self.clone(of: Self.packet(bench, owner))
      #expect(owner.toldCount == 0)
      do {
        let rest = twin.split(at: 1000, headroom: 64)!
        check(rest.length == 2054)
      }
      #expect(owner.toldCount == 0)
      check(segment.append(of: twin, from: 500, count: 400))
    }
    #expect(owner.toldCount == 0)
    check(segment.bytes == PoolBench.pattern(446..<846))
    _ = consume segment
    #expect(owner.toldCount == 1)
  }

  /// The packet itself ends.
  private static func clone(of skb: consuming SkBuff) -> SkBuff { skb.clone()! }

  @Test("B7 bytes that were made linear were copied: the owner has its memory back")
  func linearized() {
    let bench = PoolBench()
    let owner = Owner()
    var skb = Self.packet(bench, owner)
    check(skb.linearize())
    #expect(owner.toldCount == 1)
    check(Array(skb.bytes.dropFirst(54)) == PoolBench.pattern(0..<3000))
  }
}
