import Testing
import Timers
import Wire

@testable import IPv4

/// Path MTUs of many destinations: how many are kept, and which makes room.
@Suite struct PathMTUTableTests {
  private func address(_ index: Int) -> IPv4Address { IPv4Address(0x0B00_0000 + UInt32(index)) }
  private func exception(_ mtu: Int, _ seconds: Int64) -> LearnedMTU {
    .init(mtu: mtu, isLocked: false, expires: .origin + .seconds(seconds))
  }

  @Test("P3 4,096 path MTUs are kept; the next takes the place of the one that would go first")
  func limit() {
    var table = PathMTUTable()
    for index in 0..<4096 { table.insert(address(index), exception(1000 + index, 600)) }
    #expect(table.count == 4096)
    #expect(table.find(address(0), now: .origin)?.mtu == 1000)
    #expect(table.find(address(4095), now: .origin)?.mtu == 5095)
    // One that is learned again is the youngest now, and takes nobody's place.
    table.insert(address(0), exception(900, 700))
    #expect(table.count == 4096 && table.find(address(1), now: .origin) != nil)
    table.insert(address(9999), exception(800, 700))
    #expect(table.count == 4096 && table.find(address(1), now: .origin) == nil)
    for kept in [0, 2, 4095, 9999] { #expect(table.find(address(kept), now: .origin) != nil, "\(kept)") }
    #expect(table.all.count == 4096)
  }

  @Test("P3 path MTUs expire in order, and their places are used again") func expiry() {
    var table = PathMTUTable()
    for round in 0..<3 {
      for index in 0..<10 { table.insert(address(index), exception(1400, Int64(100 * round + index + 1))) }
      // In the middle of the order.
      table.insert(address(4), exception(1300, Int64(100 * round + 20)))
      let (none, first) = table.expire(now: .origin + .seconds(Int64(100 * round)))
      #expect(!none && first == .origin + .seconds(Int64(100 * round + 1)))
      #expect(table.find(address(0), now: .origin + .seconds(Int64(100 * round + 1))) == nil)
      let (some, next) = table.expire(now: .origin + .seconds(Int64(100 * round + 10)))
      #expect(some && next == .origin + .seconds(Int64(100 * round + 20)) && table.count == 1)
      let (last, end) = table.expire(now: .origin + .seconds(Int64(100 * round + 20)))
      #expect(last && end == nil && table.isEmpty)
    }
  }
}
