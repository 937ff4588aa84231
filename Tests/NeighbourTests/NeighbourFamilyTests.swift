import NetDevice
import NetNamespace

import SkBuff
import Testing
import Timers
import Wire

@testable import Neighbour
@testable import Netfilter

@Suite("Neighbours of both families")
struct NeighbourFamilyTests {
  /// 10.0.0.1 as the last bytes of an IPv6 address, and an address that differs in the first half only.
  private static let addresses = [
    IPAddress(high: 0, low: 0x0A00_0001), IPAddress(high: 0xFE80_0000_0000_0000, low: 0x0A00_0001),
  ]

  @Test("N1 an address is one neighbour in each family, asked for by its own family")
  func families() {
    let bench = NeighbourBench()
    bench.send(mark: 1)
    for address in Self.addresses {
      bench.table.update(
        address, hardwareAddress: MACAddress(0x0200_0000_0006), state: .stale, override: true, create: true,
        device: &bench.device, net: &bench.net)
    }
    #expect(bench.state() == .incomplete && bench.count == 3)
    for address in Self.addresses { #expect(bench.state(address) == .stale) }
    let other = bench.table.takeSolicitation(of: .inet6)
    #expect(other == nil)
    #expect(bench.solicitations().map(\.address) == [NeighbourBench.peer])
    bench.answer()
    #expect(bench.frames().map { Array($0[12..<14]) } == [[8, 0]])
  }

  @Test(
    "N1 a packet to an IPv6 neighbour waits, and leaves with IPv6's EtherType; its question has its source")
  func sending() {
    let bench = NeighbourBench()
    let address = Self.addresses[1]
    guard var skb = bench.pool.allocate(headroom: 16, linear: 48) else { return }
    skb.put(48)
    guard var bytes = skb.writable() else { fatalError("a new packet is nobody else's") }
    for index in 0..<48 { bytes.store8(UInt8(index), index) }
    skb.setNetworkHeader()
    skb.etherType = .ipv6
    var handle = NeighbourHandle.none
    let result = bench.table.output(
      PassedPacket(skb), nextHop: address, cache: &handle, device: &bench.device, net: &bench.net)
    #expect(result == .success && bench.solicitations().isEmpty)
    let question = bench.table.takeSolicitation(of: .inet6)
    #expect(question?.address == address)
    #expect(question?.source == IPAddress(high: 0x0809_0A0B_0C0D_0E0F, low: 0x1011_1213_1415_1617))
    bench.answer(address)
    let frames = bench.frames()
    #expect(frames.map { Array($0[12..<14]) } == [[0x86, 0xDD]])
    #expect(frames.first.map { Array($0[14..<20]) } == [0, 1, 2, 3, 4, 5])
  }
}
