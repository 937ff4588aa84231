import NetNamespace
import Tables
import Testing
import Wire

@Suite("Hashes of flows")
struct FlowHashTests {
  static let keyed = SipHash(key: (1, 2))

  /// Ends that differ in one bit of their address, at every place, or in one of their port.
  static func variants(_ family: AddressFamily) -> [SocketAddress] {
    let address: (UInt64, UInt64) -> IPAddress = { high, low in
      family == .inet
        ? IPAddress(IPv4Address(UInt32(truncatingIfNeeded: low))) : IPAddress(high: high, low: low)
    }
    var list = [SocketAddress(address(5, 7), port: 80)]
    for bit in 0..<(family == .inet ? UInt64(32) : 128) {
      let high = bit < 64 ? 0 : UInt64(1) << (bit - 64)
      let low = bit < 64 ? UInt64(1) << bit : 0
      list.append(SocketAddress(address(5 ^ high, 7 ^ low), port: 80))
    }
    for bit in 0..<16 { list.append(SocketAddress(address(5, 7), port: 80 ^ 1 << UInt16(bit))) }
    return list
  }

  @Test(
    "D12 every bit of both ends goes into each hash of a flow, in both families",
    arguments: [AddressFamily.inet, .inet6])
  func everyBit(family: AddressFamily) {
    let ends = Self.variants(family)
    let fixed = ends[0]
    #expect(Set(ends.map { Self.keyed.tableHash(local: $0, remote: fixed) }).count == ends.count)
    #expect(Set(ends.map { Self.keyed.tableHash(local: fixed, remote: $0) }).count == ends.count)
    #expect(Set(ends.map { Self.keyed.tableHash($0) }).count == ends.count)
    for purpose in [UInt64(0), 1, 2] {
      #expect(
        Set(ends.map { Self.keyed.hash(local: $0, remote: fixed, purpose: purpose) }).count == ends.count)
      #expect(
        Set(ends.map { Self.keyed.hash(local: fixed, remote: $0, purpose: purpose) }).count == ends.count)
    }
    #expect(Set((0..<3).map { Self.keyed.hash(local: fixed, remote: fixed, purpose: $0) }).count == 3)
  }

  @Test("R RFC 6528: SipHash-2-4 of five words is the reference's of their 40 bytes")
  func fiveWords() {
    // The reference's key and input: bytes 0, 1, 2 and so on.
    let reference = SipHash(key: (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908))
    var words = [UInt64](repeating: 0, count: 5)
    for byte in 0..<UInt64(40) { words[Int(byte / 8)] |= byte << (byte % 8 * 8) }
    #expect(reference.hash(words[0], words[1], words[2], words[3], words[4]) == 0x0e3e_a96b_5304_a7d0)
  }
}
