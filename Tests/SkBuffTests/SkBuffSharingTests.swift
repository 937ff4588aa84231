import SkBuff
import Testing
import Wire

@Suite struct SkBuffSharingTests {
  static let shapes: [(linear: Int, fragments: [Int])] = [
    (100, []), (0, [100]), (40, [1, 30, 29]), (54, [1000, 500, 700]), (1, [1, 1, 1]),
  ]

  @Test("B3 a clone shares the data and has ends and marks of its own; the last one frees")
  func clone() {
    let bench = PoolBench()
    do {
      var skb = bench.packet(linear: 40, fragments: [100])
      skb.setNetworkHeader(4)
      var twin = skb.clone()!
      #expect(skb.isCloned && twin.isCloned && twin.serial == skb.serial)
      twin.pull(10)
      twin.setNetworkHeader()
      #expect(skb.length == 140 && skb.networkHeaderOffset == 4)
      #expect(twin.length == 130 && twin.networkHeaderOffset == 0)
      #expect(bench.pool.buffersInUse == 2 && bench.pool.pagesInUse == 1)
      _ = consume skb
      #expect(!twin.isCloned && bench.pool.pagesInUse == 1)
      check(twin.bytes == PoolBench.pattern(10..<140))
    }
    #expect(bench.pool.buffersInUse == 0 && bench.pool.pagesInUse == 0)
  }

  @Test("B3 unclone: linear bytes become the packet's own, pages stay shared")
  func unclone() {
    let bench = PoolBench()
    var skb = bench.packet(linear: 40, fragments: [100])
    skb.setMACHeader(0)
    skb.setTransportHeader(20)
    skb.setPartialChecksum(start: 20, offset: 16)
    skb.gsoSize = 1448
    skb.gsoType = .tcpv4
    var twin = skb.clone()!
    check(twin.unclone())
    #expect(!twin.isCloned && !skb.isCloned)
    twin.fill([9, 9, 9], at: 0)
    check(skb.bytes == PoolBench.pattern(0..<140))
    check(Array(twin.bytes[3...]) == PoolBench.pattern(3..<140))
    #expect(bench.pool.pagesInUse == 1)
    #expect(twin.macHeaderOffset == 0 && twin.transportHeaderOffset == 20)
    #expect(twin.checksumStart == 20 && twin.checksumOffset == 16 && twin.checksumStatus == .partial)
    #expect(twin.gsoSize == 1448 && twin.gsoType == .tcpv4 && twin.headroom == 64)
  }

  @Test("B3 expand_head grows both ends and keeps marks, also of a shared packet")
  func expandHead() {
    let bench = PoolBench()
    var skb = bench.packet(linear: 40, fragments: [50], headroom: 2)
    skb.setNetworkHeader(0)
    skb.setTransportHeader(20)
    let twin = skb.clone()!
    check(skb.expandHead(headroom: 128, tailroom: 1000))
    #expect(skb.headroom == 128 && skb.networkHeaderOffset == 0 && skb.transportHeaderOffset == 20)
    check(skb.bytes == PoolBench.pattern(0..<90))
    skb.push(128)
    check(twin.bytes == PoolBench.pattern(0..<90))
    #expect(twin.headroom == 2)
    check(!skb.expandHead(headroom: SkBuffPool.longestLinearByteCount, tailroom: 0))
  }

  @Test("B3 linearize and may_pull, shared or not, at every length")
  func pull() {
    let bench = PoolBench()
    for shape in Self.shapes {
      let total = shape.linear + shape.fragments.reduce(0, +)
      for count in Set([0, 1, total / 3, total / 2, total - 1, total]) {
        for shared in [false, true] {
          var skb = bench.packet(linear: shape.linear, fragments: shape.fragments)
          let twin = shared ? skb.clone() : nil
          check(skb.mayPull(count))
          #expect(skb.headLength >= count && skb.length == total)
          check(skb.bytes == PoolBench.pattern(0..<total))
          #expect(skb.linearize() && skb.fragmentCount == 0 && skb.dataLength == 0)
          check(skb.bytes == PoolBench.pattern(0..<total))
          if let twin { #expect(twin.bytes == PoolBench.pattern(0..<total)) }
          check(!skb.mayPull(total + 1))
        }
      }
    }
    #expect(bench.pool.buffersInUse == 0 && bench.pool.pagesInUse == 0)
  }

  @Test("B3 split at every offset: front and rest make the whole, pages are shared")
  func split() {
    let bench = PoolBench()
    for shape in Self.shapes {
      let total = shape.linear + shape.fragments.reduce(0, +)
      for cut in stride(from: 0, through: total, by: total > 300 ? 37 : 1) {
        for shared in [false, true] {
          var skb = bench.packet(linear: shape.linear, fragments: shape.fragments)
          skb.priority = 5
          let twin = shared ? skb.clone() : nil
          let truesize = skb.truesize
          let pages = bench.pool.pagesInUse
          let rest = skb.split(at: cut, headroom: 96)!
          #expect(skb.length == cut && rest.length == total - cut)
          check(skb.bytes == PoolBench.pattern(0..<cut))
          check(rest.bytes == PoolBench.pattern(cut..<total))
          #expect(rest.headroom == 96 && rest.priority == 5)
          #expect(bench.pool.pagesInUse == pages)
          #expect(skb.truesize + rest.truesize >= truesize)
          if let twin { #expect(twin.bytes == PoolBench.pattern(0..<total)) }
        }
      }
    }
    #expect(bench.pool.buffersInUse == 0 && bench.pool.pagesInUse == 0)
  }

  @Test("B3 trim to and trim head by every length")
  func trim() {
    let bench = PoolBench()
    for shape in Self.shapes {
      let total = shape.linear + shape.fragments.reduce(0, +)
      for count in stride(from: 0, through: total, by: total > 300 ? 41 : 1) {
        for shared in [false, true] {
          var back = bench.packet(linear: shape.linear, fragments: shape.fragments)
          var front = bench.packet(linear: shape.linear, fragments: shape.fragments)
          let backTwin = shared ? back.clone() : nil
          let frontTwin = shared ? front.clone() : nil
          #expect(back.trim(to: count) && front.trimHead(count))
          check(back.bytes == PoolBench.pattern(0..<count))
          check(front.bytes == PoolBench.pattern(count..<total))
          if let backTwin { #expect(backTwin.bytes == PoolBench.pattern(0..<total)) }
          if let frontTwin { #expect(frontTwin.bytes == PoolBench.pattern(0..<total)) }
        }
      }
    }
    #expect(bench.pool.buffersInUse == 0 && bench.pool.pagesInUse == 0)
  }

  @Test("B3 absorb undoes split; neighbours in one page become one fragment again")
  func absorb() {
    let bench = PoolBench()
    var skb = bench.packet(linear: 0, fragments: [1000, 500, 700])
    let rest = skb.split(at: 1200, headroom: 0)!
    #expect(skb.fragmentCount == 2 && rest.fragmentCount == 2)
    let left = skb.absorb(rest)
    check(left == nil)
    check(skb.fragmentCount == 3 && skb.bytes == PoolBench.pattern(0..<2200))
    #expect(bench.pool.buffersInUse == 1 && bench.pool.pagesInUse == 3)
  }

  @Test("B3 absorb gives the other packet back when it has linear bytes, is shared, or does not fit")
  func absorbRefused() {
    let bench = PoolBench()
    var skb = bench.packet(linear: 10, fragments: Array(repeating: 10, count: 16))
    let linear = skb.absorb(bench.packet(linear: 1))
    #expect(linear?.length == 1)
    let wide = skb.absorb(bench.packet(linear: 0, fragments: [5, 5]))
    #expect(wide?.length == 10)
    let other = bench.packet(linear: 0, fragments: [5])
    let twin = other.clone()
    let shared = skb.absorb(other)
    #expect(shared?.length == 5)
    #expect(twin?.length == 5)
    check(skb.bytes == PoolBench.pattern(0..<170))
  }

  @Test(
    "B3 skb_shift moves any number of bytes from the front of one packet behind another, pages and truesize with them"
  )
  func shift() {
    let bench = PoolBench()
    for count in 1...2200 where count % 37 == 1 || [1000, 1500, 2200].contains(count) {
      var front = bench.packet(linear: 30, fragments: [70])
      var behind = bench.packet(linear: 0, fragments: [1000, 500, 700])
      let truesize = front.truesize + behind.truesize
      let own = front.truesize
      let isMoved = front.shift(from: &behind, count: count)
      #expect(isMoved && front.length == 100 + count && behind.length == 2200 - count)
      check(Array(front.bytes[100...]) == PoolBench.pattern(0..<count))
      check(behind.bytes == PoolBench.pattern(count..<2200))
      #expect(front.truesize + behind.truesize == truesize && front.truesize == own + count)
      front.checkInvariants()
      behind.checkInvariants()
    }
    #expect(bench.pool.buffersInUse == 0 && bench.pool.pagesInUse == 0)
  }

  @Test("B3 skb_shift: bytes of one page become one fragment again, and need no slot")
  func shiftJoins() {
    let bench = PoolBench()
    var front = bench.packet(linear: 0, fragments: Array(repeating: 10, count: 16) + [100])
    var rest = front.split(at: 200, headroom: 0)!
    #expect(front.fragmentCount == 17 && rest.fragmentCount == 1)
    let isMoved = front.shift(from: &rest, count: 20)
    #expect(isMoved && front.fragmentCount == 17)
    check(front.bytes.count == 220 && rest.length == 40)
  }

  @Test("B3 skb_shift: nothing moves without slots, with linear bytes, or while a copy is under way")
  func shiftRefused() {
    let bench = PoolBench()
    var full = bench.packet(linear: 0, fragments: Array(repeating: 10, count: 17))
    var other = bench.packet(linear: 0, fragments: [50, 50])
    var isMoved = full.shift(from: &other, count: 10)
    #expect(!isMoved && other.length == 100)
    var front = bench.packet(linear: 0, fragments: [10])
    var linear = bench.packet(linear: 5, fragments: [10])
    isMoved = front.shift(from: &linear, count: 5)
    #expect(!isMoved && linear.length == 15)
    let twin = other.clone()
    isMoved = front.shift(from: &other, count: 10)
    #expect(!isMoved && front.length == 10)
    #expect(twin?.length == 100)
    var copied = bench.packet(linear: 0, fragments: [50])
    let copy = front.clone()
    isMoved = front.shift(from: &copied, count: 10)
    #expect(!isMoved && copied.length == 50)
    #expect(copy?.length == 10)
  }

  @Test("B3 append(of:) shares pages for any range and copies only linear bytes")
  func appendRange() {
    let bench = PoolBench()
    for shape in Self.shapes {
      let source = bench.packet(linear: shape.linear, fragments: shape.fragments)
      let pages = bench.pool.pagesInUse
      let total = source.length
      for start in stride(from: 0, through: total, by: total > 300 ? 89 : 7) {
        for count in stride(from: 0, through: total - start, by: total > 300 ? 97 : 5) {
          var skb = bench.pool.allocate(headroom: 16, linear: 20 + shape.linear)!
          skb.put(20)
          let added = skb.append(of: source, from: start, count: count)
          #expect(added && skb.length == 20 + count)
          check(Array(skb.bytes[20...]) == PoolBench.pattern(start..<start + count))
          #expect(bench.pool.pagesInUse == pages)
        }
      }
      check(source.bytes == PoolBench.pattern(0..<total))
    }
    var full = bench.packet(linear: 1, fragments: Array(repeating: 1, count: 16))
    let two = bench.packet(linear: 0, fragments: [5, 5])
    let fits = full.append(of: two, from: 4, count: 2)
    #expect(!fits && full.length == 17 && full.fragmentCount == 16)
    let one = full.append(of: two, from: 5, count: 5)
    #expect(one && full.fragmentCount == 17)
  }

  @Test("Checksums run across fragments of odd lengths; partial ranges too")
  func checksum() {
    let bench = PoolBench()
    let skb = bench.packet(linear: 13, fragments: [7, 1, 100, 33])
    let bytes = PoolBench.pattern(0..<skb.length)
    for start in 0..<30 {
      for count in [0, 1, 2, 50, skb.length - start] {
        var reference: UInt32 = 0
        for (index, byte) in bytes[start..<start + count].enumerated() {
          reference += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte)
        }
        while reference > 0xFFFF { reference = reference & 0xFFFF + reference >> 16 }
        #expect(UInt32(skb.checksum(from: start, count: count).partial) == reference)
      }
    }
  }

  @Test("Copying outside the packet is refused")
  func bounds() {
    let bench = PoolBench()
    let skb = bench.packet(linear: 10, fragments: [10])
    var target = [UInt8](repeating: 0, count: 11)
    do {
      var span = target.mutableSpan
      var buffer = unsafe span.mutableBytes
      check(!skb.copyBits(from: 10, into: &buffer))
      check(!skb.copyBits(from: -1, into: &buffer))
      check(!skb.copyBits(from: .max, into: &buffer))
      check(skb.copyBits(from: 9, into: &buffer))
    }
    check(target == PoolBench.pattern(9..<20))
  }
}
