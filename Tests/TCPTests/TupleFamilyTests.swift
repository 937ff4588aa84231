import InetSocket
import Tables
import Testing
import Wire

@testable import TCP

@Suite("Tuples of both families")
struct TupleFamilyTests {
  @Test("D12 connections of either family have places of their own in the table of connections")
  func places() {
    var table = ConnectionTable(hash: SipHash(key: (3, 4)))
    let own = IPAddress(high: 0x2001_0db8 << 32, low: 1)
    let tuples = (0..<300).map { number in
      FourTuple(
        local: SocketAddress(own, port: 80),
        remote: SocketAddress(IPAddress(high: UInt64(number) << 16, low: 9), port: 5000))
    }
    #expect(Set(tuples.map { table.hash($0) }).count > 290)
    for (index, tuple) in tuples.enumerated() { table.insert(tuple, .socket(index)) }
    var steps = 0
    for (index, tuple) in tuples.enumerated() {
      var search = table.search(tuple)
      var isFound = false
      while let entry = table.next(&search) {
        steps += 1
        if entry == .socket(index) {
          isFound = true
          break
        }
      }
      #expect(isFound)
    }
    #expect(steps < 310)
  }
}
