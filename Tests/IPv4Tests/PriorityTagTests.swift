import NetNamespace
import SkBuff
import Testing
import Wire

/// What stands between a frame's addresses and its packet.
@Suite struct PriorityTagTests {
  static let udp: [UInt8] = [0x13, 0x88, 0, 53, 0, 8, 0, 0]

  private func tagged(_ tags: [UInt8], _ packet: [UInt8]) -> [UInt8] {
    Array(packet[..<12]) + tags + Array(packet[12...])
  }

  @Test(
    "R IPv4 VLAN 0 is untagged with a priority (IEEE 802.1Q)",
    arguments: [
      [0x81, 0, 0, 0], [0x81, 0, 0xE0, 0], [0x88, 0xA8, 0x60, 0], [0x88, 0xA8, 0, 0, 0x81, 0, 0xA0, 0],
    ] as [[UInt8]])
  func priority(tags: [UInt8]) {
    let bench = IPv4Bench()
    let outcome = bench.deliver(tagged(tags, IPv4Bench.frame(Self.udp)))
    #expect(outcome == .delivered(17, payload: Self.udp, source: IPv4Bench.peer, typeOfService: 0))
    #expect(bench.count(.IpInReceives) == 1)
  }

  @Test("R IPv4 a tag that names a VLAN is not for us", arguments: [[0x81, 0, 0, 1], [0x88, 0xA8, 0, 5]])
  func vlan(tags: [UInt8]) {
    let bench = IPv4Bench()
    #expect(bench.deliver(tagged(tags, IPv4Bench.frame(Self.udp))) == .consumed)
    #expect(bench.count(.IpInReceives) == 0)
    #expect(bench.pool.dropCount(.unknownEtherType) == 1)
  }

  @Test("R IPv4 a frame of tags alone ends, whatever its length", arguments: [0, 1, 2, 5, 11])
  func endless(count: Int) {
    let bench = IPv4Bench()
    let frame =
      Array(IPv4Bench.frame(Self.udp)[..<12]) + (0..<count).flatMap { _ in [0x81, 0, 0, 0] as [UInt8] }
    #expect(bench.deliver(frame + [0x81, 0] + [UInt8](repeating: 0, count: 46)) == .consumed)
    #expect(bench.count(.IpInReceives) == 0)
  }

  @Test("R ARP a request with a priority tag is answered") func arp() {
    let bench = IPv4Bench(knowsPeer: false)
    let request = ARPTests.arp(1, ARPTests.peerMAC, [10, 0, 0, 1], ARPTests.noMAC, [10, 0, 0, 2])
    bench.deliver(tagged([0x81, 0, 0x20, 0], request))
    #expect(bench.frames().map { Array($0[12..<22]) } == [[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]])
  }
}
