import Testing
import Wire

@testable import SkBuff

@Suite("Writing to packets that others share")
struct WritableTests {
  @Test("B3 a clone is unshared before it is written, whichever of the two is written first")
  func clones() {
    for writesCopy in [true, false] {
      let bench = PoolBench()
      var skb = bench.packet(linear: 40, fragments: [100])
      guard var copy = skb.clone() else { return check(false) }
      check(skb.isHeaderCloned && copy.isHeaderCloned)
      if writesCopy {
        store(77, in: &copy)
        check(copy.bytes[0] == 77 && skb.bytes == PoolBench.pattern(0..<140))
      } else {
        store(77, in: &skb)
        check(skb.bytes[0] == 77 && copy.bytes == PoolBench.pattern(0..<140))
      }
      check(!skb.isCloned && !copy.isCloned)
      check(skb.inconsistency() == nil && copy.inconsistency() == nil)
    }
  }

  @Test("B3 a packet's own bytes are written where they are")
  func own() {
    let bench = PoolBench()
    var skb = bench.packet(linear: 40)
    let before = unsafe skb.linearBase
    store(77, in: &skb)
    check(unsafe skb.linearBase == before && skb.bytes[0] == 77)
  }

  @Test("B3 without memory to unshare nothing is written, and the packet is as it was")
  func noMemory() {
    let bench = PoolBench(limit: 1 << 20)
    var skb = bench.packet(linear: 40)
    guard let copy = skb.clone() else { return check(false) }
    var taken = SkBuffQueue()
    while let other = bench.pool.allocate(headroom: 0, linear: 0, use: .transit) { taken.append(other) }
    check(skb.writable() == nil)
    check(!skb.push(cached: SIMD2(1, 2), byteCount: 14) && skb.length == 40)
    check(skb.bytes == PoolBench.pattern(0..<40) && copy.bytes == PoolBench.pattern(0..<40))
  }

  @Test("B3 a cached header in front of a clone is its own")
  func cachedHeader() {
    let bench = PoolBench()
    let words = SIMD2<UInt64>(repeating: 0x4141_4141_4141_4141)
    let skb = bench.packet(linear: 40)
    guard var one = skb.clone(), var other = skb.clone() else { return check(false) }
    check(one.push(cached: words, byteCount: 14) && other.push(cached: words &+ words, byteCount: 14))
    check(one.bytes == [UInt8](repeating: 0x41, count: 14) + PoolBench.pattern(0..<40))
    check(other.bytes == [UInt8](repeating: 0x82, count: 14) + PoolBench.pattern(0..<40))
  }

  @Test("T13 what goes down of a packet that stays shares its payload, and writes its headers where they are")
  func transmission() {
    let bench = PoolBench()
    var kept = bench.packet(linear: 10, fragments: [100])
    let payload = unsafe kept.linearBase
    guard var sent = kept.transmissionClone() else { return check(false) }
    check(kept.isHeaderCloned && !sent.isHeaderCloned)
    sent.push(20)
    fill(9, &sent, count: 20)
    check(unsafe sent.linearBase + 20 == payload)
    check(sent.bytes == [UInt8](repeating: 9, count: 20) + PoolBench.pattern(0..<110))
    check(kept.bytes == PoolBench.pattern(0..<110))
    // The payload is not its to write.
    check(sent.writableByteCount == 20)
  }

  @Test(
    "T13 while one transmission is under way, the next has headers of its own; when it has ended they share again"
  )
  func secondTransmission() {
    let bench = PoolBench()
    var kept = bench.packet(linear: 10)
    do {
      guard var first = kept.transmissionClone(), var second = kept.transmissionClone() else {
        return check(false)
      }
      for (value, isFirst) in [(UInt8(1), true), (2, false)] {
        if isFirst {
          first.push(20)
          fill(value, &first, count: 20)
        } else {
          second.push(20)
          fill(value, &second, count: 20)
        }
      }
      check(first.bytes == [UInt8](repeating: 1, count: 20) + PoolBench.pattern(0..<10))
      check(second.bytes == [UInt8](repeating: 2, count: 20) + PoolBench.pattern(0..<10))
    }
    let pieces = bench.pool.usedByteCount
    guard var third = kept.transmissionClone() else { return check(false) }
    third.push(20)
    fill(3, &third, count: 20)
    check(unsafe third.linearBase + 20 == kept.linearBase && !kept.hasOwnData)
    #expect(bench.pool.usedByteCount >= pieces)
  }

  @Test("T13 a packet that is cut after its transmission has left takes its headers' room back")
  func split() {
    let bench = PoolBench()
    var kept = bench.packet(linear: 0, fragments: [200])
    do {
      guard var sent = kept.transmissionClone() else { return check(false) }
      sent.push(20)
      fill(1, &sent, count: 20)
      guard let rest = kept.split(at: 100, headroom: 64) else { return check(false) }
      check(rest.bytes == PoolBench.pattern(100..<200) && kept.bytes == PoolBench.pattern(0..<100))
      check(sent.bytes == [UInt8](repeating: 1, count: 20) + PoolBench.pattern(0..<200))
      check(sent.writableByteCount == 20 && !sent.isCloned)
    }
    guard var again = kept.transmissionClone() else { return check(false) }
    again.push(20)
    fill(2, &again, count: 20)
    check(again.bytes == [UInt8](repeating: 2, count: 20) + PoolBench.pattern(0..<100))
  }

  @Test("T13 of a packet that was trimmed between two transmissions the second has the whole room in front")
  func trimmed() {
    let bench = PoolBench()
    var kept = bench.packet(linear: 30)
    do { check(kept.transmissionClone() != nil) }
    check(kept.trimHead(10))
    guard var again = kept.transmissionClone() else { return check(false) }
    again.push(20)
    fill(2, &again, count: 20)
    check(again.bytes == [UInt8](repeating: 2, count: 20) + PoolBench.pattern(10..<30))
    check(again.writableByteCount == 20 && kept.bytes == PoolBench.pattern(10..<30))
  }

  @Test("T13 a packet that stays is its owner's to write again when nothing of it is under way")
  func keptAgain() {
    let bench = PoolBench()
    var kept = bench.packet(linear: 30)
    do { check(kept.transmissionClone() != nil) }
    check(!kept.isHeaderCloned && kept.writableByteCount == 30)
    store(77, in: &kept)
    check(kept.bytes[0] == 77)
  }

  @Test("T13 a packet that stays and moves to data of its own leaves the old to what is under way")
  func moved() {
    let bench = PoolBench()
    var kept = bench.packet(linear: 30)
    guard var sent = kept.transmissionClone() else { return check(false) }
    check(kept.expandHead(headroom: 64, tailroom: 0))
    check(sent.writableByteCount == 30 && kept.writableByteCount == 30)
    guard let tapped = sent.clone() else { return check(false) }
    check(sent.isHeaderCloned)
    store(77, in: &sent)
    check(sent.bytes[0] == 77 && tapped.bytes == PoolBench.pattern(0..<30))
    check(kept.bytes == PoolBench.pattern(0..<30))
  }

  private func store(_ value: UInt8, in skb: inout SkBuff) {
    guard var bytes = skb.writable() else { return check(false) }
    bytes.store8(value, 0)
  }

  private func fill(_ value: UInt8, _ skb: inout SkBuff, count: Int) {
    guard var bytes = skb.writable() else { return check(false) }
    for index in 0..<count { bytes.store8(value, index) }
  }
}

extension SkBuff {
  fileprivate var hasOwnData: Bool { !isCloned }
}
