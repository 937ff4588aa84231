import NetNamespace
import Testing
import Wire

@testable import IPv4

/// The route table over addresses of 128 bits: nothing in it is IPv4's.
@Suite("§2 routes of both families")
struct RouteFamilyTests {
  /// An IPv6 network, as far as routes look at one.
  private struct Six: RoutedPrefix {
    var address: IPAddress
    var length: Int
    init?(_ address: IPAddress, length: Int) {
      guard (0...128).contains(length) else { return nil }
      self.address = address
      self.length = length
    }
    init(_ bits: UInt128, _ length: Int) {
      address = Self.address(bits)
      self.length = length
    }
    static func address(_ bits: UInt128) -> IPAddress {
      IPAddress(high: UInt64(bits >> 64), low: UInt64(truncatingIfNeeded: bits))
    }
    static func bits(of address: IPAddress) -> UInt128 { UInt128(address.high) << 64 | UInt128(address.low) }
    var mask: UInt128 { length == 0 ? 0 : UInt128.max << (128 - length) }
    var network: IPAddress { Self.address(Self.bits(of: address) & mask) }
    var description: String { "\(Self.bits(of: address))/\(length)" }
  }
  private static let documentation = UInt128(0x2001_0DB8) << 96

  @Test("the longest prefix wins, then the least metric, on either side of the 64th bit")
  func longest() throws {
    var table = FIBTable<Six>()
    let half = Self.documentation | 1 << 63
    let networks = [
      Six(0, 0), Six(Self.documentation, 32), Six(Self.documentation, 64), Six(half, 65), Six(half | 1, 128),
    ]
    for (index, network) in networks.enumerated() {
      try table.insert(FIBEntry(network, interface: InterfaceIndex(rawValue: UInt16(index + 1)), metric: 7))
    }
    func interface(_ bits: UInt128) -> UInt16? { table.lookup(Six.address(bits))?.interface.rawValue }
    #expect(interface(1) == 1 && interface(Self.documentation | 1 << 70) == 2)
    #expect(interface(Self.documentation | 1) == 3 && interface(half | 2) == 4 && interface(half | 1) == 5)
    try table.insert(FIBEntry(networks[3], interface: InterfaceIndex(rawValue: 9), metric: 3))
    #expect(interface(half | 2) == 9)
    #expect(throws: Errno.EEXIST) { try table.insert(FIBEntry(networks[3], metric: 3)) }
    #expect(table.lookup(Six.address(half | 2), by: InterfaceIndex(rawValue: 4))?.interface.rawValue == 4)
    #expect(table.remove { $0.prefix.length == 65 } == 2 && interface(half | 2) == 3)
    #expect(table.entries.map(\.prefix.length) == [128, 64, 32, 0])
  }

  @Test("any routes: as a walk over all of them finds", arguments: 1...3 as ClosedRange<UInt64>)
  func model(seed: UInt64) throws {
    var random = RandomSource(seed: seed)
    func number() -> UInt128 { UInt128(random.next()) << 64 | UInt128(random.next()) }
    var table = FIBTable<Six>()
    var kept: [FIBEntry<Six>] = []
    let stems = (0..<4).map { _ in number() }
    for _ in 0..<300 {
      let length = Int(random.next(below: 129))
      // Much in common, so that paths part late.
      let bits = stems[Int(random.next(below: 4))] ^ (number() >> Int(random.next(below: 128)))
      let entry = FIBEntry(Six(bits, length), metric: random.next(below: 3))
      let isNew = !kept.contains { $0.prefix == entry.prefix && $0.metric == entry.metric }
      if isNew { try table.insert(entry) } else { #expect(throws: Errno.EEXIST) { try table.insert(entry) } }
      if isNew { kept.append(entry) }
      let asked = stems[Int(random.next(below: 4))] ^ (number() >> Int(random.next(below: 128)))
      let best = kept.filter { Six(asked, $0.prefix.length).network == $0.prefix.address }
        .min { ($1.prefix.length, $0.metric) < ($0.prefix.length, $1.metric) }
      let found = table.lookup(Six.address(asked))
      #expect(found.map { table.entry(of: $0) } == best)
    }
  }
}
