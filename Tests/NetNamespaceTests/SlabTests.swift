import NetNamespace
import Tables
import Testing

@Suite struct SlabTests {
  @Test("A number names one socket only: who held the slot before is told from who has it now")
  func generations() {
    var slab = Slab<Int>()
    let first = slab.insert(7)
    let old = SocketID(.tcp, index: first, generation: slab.generation(first))
    check(slab.holds(old) && slab[first] == 7 && slab.count == 1)
    check(slab.remove(first) == 7)
    check(!slab.holds(old) && slab.count == 0)
    let next = slab.reserve()
    check(next == first && slab.insert(8) == next)
    check(!slab.holds(old))
    check(slab.holds(SocketID(.tcp, index: next, generation: slab.generation(next))))
    check(!slab.holds(.none) && !slab.isLive(-1) && !slab.isLive(1 << 20))
  }

  @Test("Sockets do not move when more come: chunks are added")
  func chunks() {
    var slab = Slab<Int>()
    for value in 0..<200 { check(slab.insert(value) == value) }
    check(slab.count == 200 && slab.capacity >= 200)
    for index in 0..<200 { check(slab[index] == index) }
  }

  private func check(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(condition, sourceLocation: sourceLocation)
  }
}
