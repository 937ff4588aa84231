import Testing

@testable import Tables

@Suite struct SharedOrdersTests {
  @Test("S4 the latest comer stands first, once, and of nine the first is forgotten")
  func order() {
    let orders = SharedOrders(count: 2)
    func names() -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: orders[1] >> UInt64(8 * $0)) } }
    for name: UInt8 in [3, 255, 64] { orders.come(name, at: 1) }
    #expect(names() == [64, 255, 3, 0, 0, 0, 0, 0])
    orders.come(64, at: 1)
    #expect(names() == [64, 255, 3, 0, 0, 0, 0, 0])
    orders.come(3, at: 1)
    #expect(names() == [3, 64, 255, 0, 0, 0, 0, 0])
    for name in UInt8(1)...2 { orders.come(name, at: 1) }
    for name in UInt8(4)...6 { orders.come(name, at: 1) }
    #expect(names() == [6, 5, 4, 2, 1, 3, 64, 255])
    orders.come(7, at: 1)
    #expect(names() == [7, 6, 5, 4, 2, 1, 3, 64])
    orders.come(64, at: 1)
    #expect(names() == [64, 7, 6, 5, 4, 2, 1, 3])
    #expect(orders[0] == 0)
  }
}
