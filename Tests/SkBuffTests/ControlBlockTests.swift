import SkBuff
import Testing

@Suite struct ControlBlockTests {
  private struct Whole: ControlBlock {
    var words: InlineArray<6, UInt64>
  }
  private struct Small: ControlBlock {
    var number: UInt32
    var flag: Bool
  }

  @Test("B1 skb->cb: 48 bytes, zero in a new packet also where its memory was used before")
  func zero() {
    let bench = PoolBench()
    #expect(MemoryLayout<Whole>.size == SkBuff.controlBlockByteCount)
    for _ in 0..<3 {
      var skb = bench.packet(linear: 10)
      for index in 0..<6 { check(skb[controlBlock: Whole.self].words[index] == 0) }
      skb[controlBlock: Whole.self].words = .init(repeating: .max)
    }
  }

  @Test("B1 skb->cb: each floor reads its own type; one field is written without the others")
  func views() {
    let bench = PoolBench()
    var skb = bench.packet(linear: 10)
    skb[controlBlock: Small.self] = Small(number: 7, flag: false)
    skb[controlBlock: Small.self].flag = true
    check(skb[controlBlock: Small.self].number == 7 && skb[controlBlock: Small.self].flag)
    check(skb.length == 10 && skb.serial != 0)
  }

  @Test("B3 a clone, a split and a copy have the control block of the packet, each its own from then on")
  func copies() {
    let bench = PoolBench()
    var skb = bench.packet(linear: 40, fragments: [100])
    skb[controlBlock: Small.self] = Small(number: 7, flag: true)
    skb.confirmsNeighbour = true
    skb.priority = 5
    skb.mark = 9
    var twin = skb.clone()!
    twin[controlBlock: Small.self].number = 8
    check(skb[controlBlock: Small.self].number == 7 && twin[controlBlock: Small.self].flag)
    let rest = skb.split(at: 60, headroom: 0)!
    check(rest[controlBlock: Small.self].number == 7)
    check(rest.priority == 5 && rest.mark == 9 && rest.confirmsNeighbour)
    check(rest.serial != skb.serial)
    var copy = bench.packet(linear: 1)
    copy.copyMetadata(from: skb)
    check(copy[controlBlock: Small.self].number == 7 && copy.serial == skb.serial && copy.confirmsNeighbour)
  }

  @Test("B1 skb->cb of a packet on a queue is written in place")
  func queue() {
    let bench = PoolBench()
    var queue = SkBuffQueue()
    for number: UInt32 in 1...3 {
      var skb = bench.packet(linear: 10)
      skb[controlBlock: Small.self].number = number
      queue.append(skb)
    }
    let first = queue.first!
    let second = queue.position(after: first)!
    queue[controlBlock: second, Small.self].number += 40
    var numbers: [UInt32] = []
    while let skb = queue.popFirst() { numbers.append(skb[controlBlock: Small.self].number) }
    #expect(numbers == [1, 42, 3])
  }
}
