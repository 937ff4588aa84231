import SkBuff
import Testing

@Suite struct SkBuffQueueTests {
  private func lengths(_ queue: borrowing SkBuffQueue) -> [Int] {
    var result: [Int] = []
    var place = queue.first
    while let here = place {
      result.append(queue.withPacket(at: here) { $0.length })
      place = queue.position(after: here)
    }
    return result
  }

  @Test("First in, first out; prepend goes ahead; both ends pop")
  func order() {
    let bench = PoolBench()
    var queue = SkBuffQueue()
    for length in [2, 3, 4] { queue.append(bench.packet(linear: length)) }
    queue.prepend(bench.packet(linear: 1))
    #expect(queue.count == 4 && lengths(queue) == [1, 2, 3, 4])
    let first = queue.popFirst()
    let last = queue.popLast()
    #expect(first?.length == 1)
    #expect(last?.length == 4)
    #expect(lengths(queue) == [2, 3])
    queue.removeAll()
    #expect(queue.isEmpty && queue.count == 0)
    let none = queue.popFirst() == nil
    #expect(none)
  }

  @Test("Insertion and removal in the middle and at both ends")
  func places() {
    let bench = PoolBench()
    var queue = SkBuffQueue()
    queue.append(bench.packet(linear: 10))
    let ten = queue.first!
    queue.insert(bench.packet(linear: 30), after: ten)
    queue.insert(bench.packet(linear: 20), after: ten)
    queue.insert(bench.packet(linear: 5), before: ten)
    queue.insert(bench.packet(linear: 25), before: queue.last!)
    #expect(lengths(queue) == [5, 10, 20, 25, 30])
    let removed = queue.remove(at: ten)
    #expect(removed.length == 10 && lengths(queue) == [5, 20, 25, 30])
    _ = queue.remove(at: queue.last!)
    _ = queue.remove(at: queue.first!)
    #expect(lengths(queue) == [20, 25] && queue.count == 2)
    #expect(queue.position(before: queue.first!) == nil && queue.position(after: queue.last!) == nil)
  }

  @Test("Splicing moves everything and empties the other list")
  func splice() {
    let bench = PoolBench()
    var queue = SkBuffQueue()
    var other = SkBuffQueue()
    queue.append(contentsOf: &other)
    check(queue.isEmpty)
    other.append(bench.packet(linear: 1))
    other.append(bench.packet(linear: 2))
    queue.append(contentsOf: &other)
    other.append(bench.packet(linear: 3))
    queue.append(contentsOf: &other)
    #expect(lengths(queue) == [1, 2, 3] && queue.count == 3 && other.isEmpty && other.count == 0)
    let last = queue.popLast()
    #expect(last?.length == 3)
  }

  @Test("A list that ends frees its packets")
  func end() {
    let bench = PoolBench()
    do {
      var queue = SkBuffQueue()
      for _ in 0..<10 { queue.append(bench.packet(linear: 1)) }
      #expect(bench.pool.buffersInUse == 10)
    }
    #expect(bench.pool.buffersInUse == 0)
  }
}
