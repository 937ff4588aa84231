import Tables
import Testing

@Suite struct FifoTests {
  @Test("first in, first out, around the ring's end and through its growth") func order() {
    var fifo = Fifo(capacity: 4, blank: 0)
    var next = 0
    var expected = 0
    // More come than go until 100 stand in line.
    for round in 0..<200 {
      for _ in 0..<(round % 3) {
        fifo.append(next)
        next += 1
      }
      let last = fifo.last
      #expect(last == (next == expected ? nil : next - 1))
      if round % 2 == 0, let first = fifo.popFirst() {
        #expect(first == expected)
        expected += 1
      }
      let count = fifo.count
      #expect(count == next - expected)
    }
    #expect(next - expected > 64)
    while let first = fifo.popFirst() {
      #expect(first == expected)
      expected += 1
    }
    let isEmpty = fifo.isEmpty
    #expect(isEmpty && expected == next)
  }
}
