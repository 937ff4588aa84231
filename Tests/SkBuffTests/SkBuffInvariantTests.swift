import Testing
import Wire

@testable import SkBuff

@Suite struct SkBuffInvariantTests {
  @Test("B1 lengths, offsets, fragments and charge are counted again, and what is wrong is said")
  func sentences() {
    let bench = PoolBench()
    let damages: [(String, (inout SkBuff) -> Void, (inout SkBuff) -> Void)] = [
      ("truesize", { $0.truesize -= 4096 + SkBuff.overhead }, { $0.truesize += 4096 + SkBuff.overhead }),
      (
        "data_len", { unsafe $0.header.pointee.shared.pointee.fragments[0].byteCount -= 1 },
        { unsafe $0.header.pointee.shared.pointee.fragments[0].byteCount += 1 }
      ),
      (
        "behind its page", { unsafe $0.header.pointee.shared.pointee.fragments[0].offset = 4096 },
        { unsafe $0.header.pointee.shared.pointee.fragments[0].offset = 0 }
      ),
      ("skb_headlen", { unsafe $0.header.pointee.tail += 1 }, { unsafe $0.header.pointee.tail -= 1 }),
      (
        "linear bytes", { unsafe $0.header.pointee.tail += 10_000 },
        { unsafe $0.header.pointee.tail -= 10_000 }
      ),
      (
        "mark", { unsafe $0.header.pointee.networkHeader = 5000 },
        { unsafe $0.header.pointee.networkHeader = -1 }
      ),
    ]
    for (word, damage, mend) in damages {
      var skb = bench.packet(linear: 40, fragments: [100])
      check(skb.inconsistency() == nil)
      damage(&skb)
      let sentence = skb.inconsistency()
      #expect(sentence?.contains(word) == true, "\(word): \(sentence ?? "nothing is wrong")")
      mend(&skb)
    }
  }

  @Test(
    "B3 any row of pull, push, trim, split, absorb, clone and linearize keeps the bytes and the invariants")
  func randomOperations() {
    for seed: UInt64 in 1...40 {
      var random = seed
      func next(_ bound: Int) -> Int {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(random >> 33) % max(1, bound)
      }
      let bench = PoolBench()
      var skb = bench.packet(linear: next(100), fragments: (0..<next(6)).map { _ in 1 + next(900) })
      var model = skb.bytes
      var twins = SkBuffQueue()
      for _ in 0..<60 {
        switch next(8) {
        case 0:
          let count = next(skb.headLength + 1)
          skb.pull(count)
          model.removeFirst(count)
        case 1:
          let count = next(skb.length + 1)
          check(skb.trim(to: count))
          model.removeLast(model.count - count)
        case 2:
          let count = next(skb.length + 1)
          check(skb.trimHead(count))
          model.removeFirst(count)
        case 3: if let twin = skb.clone() { twins.append(twin) }
        case 4:
          let at = next(skb.length + 1)
          guard let rest = skb.split(at: at, headroom: next(64)) else { break }
          check(rest.inconsistency() == nil && rest.bytes == Array(model[at...]))
          model.removeLast(model.count - at)
          if next(2) == 0, rest.headLength == 0 {
            let tail = rest.bytes
            if let left = skb.absorb(rest) {
              check(left.inconsistency() == nil)
            } else {
              model += tail
            }
          }
        case 5: check(skb.mayPull(next(skb.length + 1)))
        case 6:
          if let old = twins.popFirst() {
            check(old.inconsistency() == nil)
            model = old.bytes
            skb = old
          }
        default: check(skb.expandHead(headroom: next(200), tailroom: next(200)))
        }
        let sentence = skb.inconsistency()
        #expect(sentence == nil, "seed \(seed)")
        check(skb.bytes == model)
      }
      _ = consume skb
      twins.removeAll()
      #expect(bench.pool.buffersInUse == 0 && bench.pool.pagesInUse == 0)
    }
  }
}
