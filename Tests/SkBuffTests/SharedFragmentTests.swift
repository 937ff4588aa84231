import Testing

@testable import SkBuff

@Suite struct SharedFragmentTests {
  private static func packet(_ bench: PoolBench, isShared: Bool) -> SkBuff {
    var skb = bench.packet(linear: 54)
    let memory = ExternalMemory(copying: PoolBench.pattern(0..<1000))
    let slices = [memory.slice]
    unsafe slices.withUnsafeBufferPointer { list in
      var iter = unsafe IovIter(list)
      check(skb.lend(from: &iter, count: 1000, nil, isShared: isShared) == 1000)
    }
    skb.setPartialChecksum(start: 34, offset: 16)
    return skb
  }

  @Test("T5 what may change under way is copied before it is summed, what may not is summed where it lies")
  func checksum() {
    let bench = PoolBench()
    for isShared in [false, true] {
      var skb = Self.packet(bench, isShared: isShared)
      check(skb.hasSharedFragments == isShared)
      check(skb.completeChecksum())
      check(skb.fragmentCount == (isShared ? 0 : 1))
    }
  }
}
