import Testing
import Wire

@testable import LinuxHost

@Suite struct StationAddressTests {
  @Test("N5 a name's station address stays the same, and another name or namespace has another")
  func stable() throws {
    let tap0 = try InterfaceName("tap0")
    let tap1 = try InterfaceName("tap1")
    let first = StationAddress.stable(interface: tap0, namespace: nil)
    #expect(first == StationAddress.stable(interface: tap0, namespace: nil))
    #expect(first.isValidStation && first.rawValue >> 40 == 0x02)
    let others = [
      StationAddress.stable(interface: tap1, namespace: nil),
      StationAddress.stable(interface: tap0, namespace: "red"),
      StationAddress.stable(interface: tap0, namespace: "blue"),
    ]
    #expect(Set(others + [first]).count == 4)
  }

  @Test("N5 a machine, a namespace and a name are told apart where one ends and the next begins") func parts()
  {
    #expect(StationAddress.address(of: ["a", "bc", "d"]) != StationAddress.address(of: ["ab", "c", "d"]))
    #expect(StationAddress.address(of: ["a", "b"]) != StationAddress.address(of: ["b", "a"]))
  }
}
