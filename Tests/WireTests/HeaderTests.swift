import Testing
import Wire

@Suite struct HeaderTests {
  /// A UDP datagram's header as the encyclopedia's worked checksum example has it.
  static let ipv4: [UInt8] = [
    0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xB8, 0x61, 0xC0, 0xA8, 0x00, 0x01, 0xC0,
    0xA8,
    0x00, 0xC7,
  ]

  @Test("RFC 791 section 3.1: golden header, both ways, with its checksum b861")
  func ipv4Golden() throws {
    let header = try #require(parsed(Self.ipv4, IPv4Header.init(parsing:)))
    #expect(header.headerByteCount == 20)
    #expect(header.totalByteCount == 115)
    #expect(header.dontFragment && !header.moreFragments && header.fragmentOffset == 0)
    #expect(header.timeToLive == 64)
    #expect(header.protocol == .udp)
    #expect(header.source == IPv4Address("192.168.0.1"))
    #expect(header.destination == IPv4Address("192.168.0.199"))
    let isValid = IPv4Header.isChecksumValid(Self.ipv4.raw, byteCount: 20)
    #expect(isValid)
    #expect(written(20, { header.write(to: &$0) }) == Self.ipv4)
    var broken = Self.ipv4
    broken[19] ^= 1
    let isBrokenValid = IPv4Header.isChecksumValid(broken.raw, byteCount: 20)
    #expect(!isBrokenValid)
  }

  @Test("RFC 791: fragment fields are in units of 8 bytes; reserved bit ignored")
  func ipv4Fragments() throws {
    var bytes = Self.ipv4
    bytes[6] = 0xA0
    bytes[7] = 0xB9
    let header = try #require(parsed(bytes, IPv4Header.init(parsing:)))
    #expect(!header.dontFragment && header.moreFragments)
    #expect(header.fragmentOffset == 1480)
    #expect(header.isFragment)
    let out = written(20, { header.write(to: &$0) })
    #expect(out[6] == 0x20 && out[7] == 0xB9)
  }

  @Test(
    "RFC 1122 section 3.2.1: short, wrong version, header length under 5 or past the end, total too small")
  func ipv4Refused() {
    #expect(parsed(Array(Self.ipv4.dropLast()), IPv4Header.init(parsing:)) == nil)
    for (index, value): (Int, UInt8) in [(0, 0x65), (0, 0x44), (0, 0x40), (0, 0x46), (3, 19)] {
      var bytes = Self.ipv4
      bytes[index] = value
      #expect(parsed(bytes, IPv4Header.init(parsing:)) == nil, "byte \(index) = \(value)")
    }
  }

  @Test("RFC 826: an ARP request, golden")
  func arp() throws {
    let golden: [UInt8] = [
      0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x0A, 0x00, 0x00,
      0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0A, 0x00, 0x00, 0x01,
    ]
    let packet = try #require(parsed(golden, ARPPacket.init(parsing:)))
    #expect(packet.operation == .request)
    #expect(packet.senderMAC == MACAddress("02:00:00:00:00:01"))
    #expect(packet.senderAddress == IPv4Address("10.0.0.2"))
    #expect(packet.targetAddress == IPv4Address("10.0.0.1"))
    #expect(written(28, { packet.write(to: &$0) }) == golden)
    for (index, value): (Int, UInt8) in [(1, 7), (0, 1), (2, 0x86), (4, 8), (5, 16), (7, 3)] {
      var bytes = golden
      bytes[index] = value
      #expect(parsed(bytes, ARPPacket.init(parsing:)) == nil, "byte \(index)")
    }
    #expect(parsed(Array(golden[0..<27]), ARPPacket.init(parsing:)) == nil)
  }

  @Test("IEEE 802.3 Ethernet II header, golden")
  func ethernet() throws {
    let golden: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02, 0, 0, 0, 0, 0x2A, 0x08, 0x06]
    let header = try #require(parsed(golden, EthernetHeader.init(parsing:)))
    #expect(header.destination.isBroadcast && header.destination.isMulticast)
    #expect(header.source.description == "02:00:00:00:00:2a")
    #expect(header.type == .arp)
    #expect(written(14, { header.write(to: &$0) }) == golden)
    #expect(parsed(Array(golden[0..<13]), EthernetHeader.init(parsing:)) == nil)
  }

  @Test("RFC 768: UDP header, golden; a length under 8 is refused")
  func udp() throws {
    let golden: [UInt8] = [0x30, 0x39, 0x00, 0x35, 0x00, 0x0C, 0xAB, 0xCD]
    let header = try #require(parsed(golden, UDPHeader.init(parsing:)))
    #expect(header.sourcePort == 12345 && header.destinationPort == 53)
    #expect(header.totalByteCount == 12 && header.checksum == 0xABCD)
    #expect(written(8, { header.write(to: &$0) }) == golden)
    var short = golden
    short[5] = 7
    #expect(parsed(short, UDPHeader.init(parsing:)) == nil)
    #expect(parsed(Array(golden[0..<7]), UDPHeader.init(parsing:)) == nil)
  }

  @Test("RFC 792: echo request, golden; RFC 1191: next-hop MTU in the low half")
  func icmp() throws {
    let golden: [UInt8] = [0x08, 0x00, 0x00, 0x00, 0x12, 0x34, 0x00, 0x07]
    let header = try #require(parsed(golden, ICMPHeader.init(parsing:)))
    #expect(header.kind == .echoRequest && header.identifier == 0x1234 && header.sequence == 7)
    #expect(!header.kind.isError)
    #expect(written(8, { header.write(to: &$0) }) == golden)
    let needed = ICMPHeader(kind: .destinationUnreachable, code: 4, rest: 1400)
    #expect(needed.kind.isError)
    #expect(written(8, { needed.write(to: &$0) }) == [3, 4, 0, 0, 0, 0, 0x05, 0x78])
    #expect(parsed(Array(golden[0..<7]), ICMPHeader.init(parsing:)) == nil)
  }

  @Test("RFC 9293 section 3.1: TCP header, golden; data offset under 5 or past the end refused")
  func tcp() throws {
    let golden: [UInt8] = [
      0xC0, 0x01, 0x00, 0x50, 0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0, 0x50, 0x18, 0xFF, 0xFF, 0xBE,
      0xEF, 0x00, 0x01,
    ]
    let header = try #require(parsed(golden, TCPHeader.init(parsing:)))
    #expect(header.sourcePort == 49153 && header.destinationPort == 80)
    #expect(header.sequence.rawValue == 0x1234_5678 && header.acknowledgment.rawValue == 0x9ABC_DEF0)
    #expect(header.flags == [.ack, .psh])
    #expect(header.window == 65535 && header.checksum == 0xBEEF && header.urgentPointer == 1)
    #expect(written(20, { header.write(to: &$0) }) == golden)
    for offset: UInt8 in [0x40, 0x00, 0x60] {
      var bytes = golden
      bytes[12] = offset
      #expect(parsed(bytes, TCPHeader.init(parsing:)) == nil)
    }
  }

  @Test("Addresses parse only what they print")
  func addresses() {
    #expect(IPv4Address("10.0.0.1")?.rawValue == 0x0A00_0001)
    for bad in ["", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.", "+1.2.3.4", "1.2.3.4 "] {
      #expect(IPv4Address(bad) == nil, "\(bad)")
    }
    #expect(IPv4Prefix("10.1.2.3/24")?.network == IPv4Address("10.1.2.0"))
    #expect(IPv4Prefix("10.1.2.3/24")?.broadcast == IPv4Address("10.1.2.255"))
    #expect(IPv4Prefix("10.1.2.2/31")?.broadcast == nil)
    #expect(IPv4Prefix("0.0.0.0/0")?.contains(.broadcast) == true)
    for bad in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "/8", "10.0.0.0/8/8"] {
      #expect(IPv4Prefix(bad) == nil, "\(bad)")
    }
    #expect(IPv4Prefix("10.0.0.0/8")!.overlaps(IPv4Prefix("10.200.0.0/16")!))
    #expect(!IPv4Prefix("10.0.0.0/16")!.overlaps(IPv4Prefix("10.1.0.0/16")!))
    #expect(MACAddress("02:00:00:00:00:ff")?.rawValue == 0x0200_0000_00FF)
    for bad in ["02:00:00:00:00", "02:00:00:00:00:g0", "2:00:00:00:00:00", "+2:00:00:00:00:00"] {
      #expect(MACAddress(bad) == nil, "\(bad)")
    }
  }

  @Test("RFC 9293 section 3.4: sequence numbers compare modulo 2^32")
  func sequence() {
    let high = SequenceNumber(0xFFFF_FFF0)
    let low = high + 0x20
    #expect(low.rawValue == 0x10)
    #expect(high.isBefore(low) && low.isAfter(high) && !low.isBefore(high))
    #expect(low.distance(from: high) == 0x20)
    #expect(high.offset(from: low) == -0x20)
    #expect(SequenceNumber(0).isBetween(high, low))
    #expect(!SequenceNumber(0x11).isBetween(high, low))
    #expect(high.isAtOrBefore(high) && high.isAtOrAfter(high) && !high.isBefore(high))
  }
}
