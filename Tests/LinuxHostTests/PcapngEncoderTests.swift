import Foundation
import Testing

import LinuxHost
import Wire

@Suite("pcapng") struct PcapngEncoderTests {
  /// draft-ietf-opsawg-pcapng 4.1, by hand.
  static let section: [UInt8] = [
    0x0A, 0x0D, 0x0D, 0x0A, 0x2C, 0, 0, 0,  // type, total length 44
    0x4D, 0x3C, 0x2B, 0x1A, 1, 0, 0, 0,  // byte-order magic, version 1.0
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,  // section length not given
    4, 0, 5, 0, 0x73, 0x77, 0x69, 0x66, 0x74, 0, 0, 0,  // shb_userappl "swift"
    0, 0, 0, 0,  // opt_endofopt
    0x2C, 0, 0, 0,
  ]

  @Test("4.1 section header block") func sectionHeader() {
    var encoder = PcapngEncoder()
    encoder.appendSectionHeader(application: "swift")
    #expect(encoder.bytes == Self.section)
  }

  @Test("4.2 interface description block: Ethernet, nanoseconds") func interface() {
    var encoder = PcapngEncoder()
    encoder.appendInterface(name: "tap0")
    #expect(
      encoder.bytes == [
        1, 0, 0, 0, 0x28, 0, 0, 0,  // type, total length 40
        1, 0, 0, 0, 0, 0, 0, 0,  // LINKTYPE_ETHERNET, reserved, snap length 0
        2, 0, 4, 0, 0x74, 0x61, 0x70, 0x30,  // if_name "tap0"
        9, 0, 1, 0, 9, 0, 0, 0,  // if_tsresol 9
        0, 0, 0, 0, 0x28, 0, 0, 0,
      ])
  }

  @Test("4.3 enhanced packet block with comment and direction") func packet() {
    let frame: [UInt8] = [1, 2, 3, 4, 5]
    var encoder = PcapngEncoder()
    encoder.appendPacket(
      frame.rawBytes, interface: 1, timestamp: 0x1122_3344_5566_7788,
      direction: .outbound,
      originalByteCount: 60, comment: "hé")
    #expect(
      encoder.bytes == [
        6, 0, 0, 0, 0x3C, 0, 0, 0,  // type, total length 60
        1, 0, 0, 0,  // interface
        0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55,  // time stamp, high word first
        5, 0, 0, 0, 60, 0, 0, 0,  // captured, original
        1, 2, 3, 4, 5, 0, 0, 0,
        1, 0, 3, 0, 0x68, 0xC3, 0xA9, 0,  // opt_comment
        2, 0, 4, 0, 2, 0, 0, 0,  // epb_flags: outbound
        0, 0, 0, 0, 0x3C, 0, 0, 0,
      ])
  }

  @Test("4.3 a packet without options has no end of options") func bare() {
    let frame: [UInt8] = [9, 8, 7, 6]
    var encoder = PcapngEncoder()
    encoder.appendPacket(frame.rawBytes, timestamp: 1)
    #expect(
      encoder.bytes == [
        6, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 9, 8, 7, 6, 36,
        0, 0, 0,
      ])
  }

  @Test("4.6 interface statistics block: received and dropped, 64 bits each") func statistics() {
    var encoder = PcapngEncoder()
    encoder.appendStatistics(
      interface: 1, timestamp: 0x1122_3344_5566_7788, received: 0x0102_0304, dropped: 7)
    #expect(
      encoder.bytes == [
        5, 0, 0, 0, 0x34, 0, 0, 0,  // type, total length 52
        1, 0, 0, 0,  // interface
        0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55,  // time stamp, high word first
        4, 0, 8, 0, 4, 3, 2, 1, 0, 0, 0, 0,  // isb_ifrecv
        5, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0,  // isb_ifdrop
        0, 0, 0, 0, 0x34, 0, 0, 0,
      ])
  }

  @Test("3.5 a comment beyond 65535 bytes is cut between characters") func longComment() {
    let frame: [UInt8] = []
    var encoder = PcapngEncoder()
    encoder.appendPacket(
      frame.rawBytes, timestamp: 0, comment: "x" + String(repeating: "é", count: 40_000))
    let length = Int(encoder.bytes[30]) | Int(encoder.bytes[31]) << 8
    // One "x" and 32,767 two-byte characters are 65,535 bytes: nothing needs cutting inside one.
    #expect(length == 65_535)
    encoder.removeAll()
    encoder.appendPacket(
      frame.rawBytes, timestamp: 0, comment: String(repeating: "é", count: 40_000))
    #expect(Int(encoder.bytes[30]) | Int(encoder.bytes[31]) << 8 == 65_534)
  }

  @Test(
    "tcpdump reads a file of ours",
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/tcpdump")))
  func tcpdump() throws {
    let path = NSTemporaryDirectory() + "swiftstack-\(getpid())-pcapng-test.pcapng"
    defer { try? FileManager.default.removeItem(atPath: path) }
    var encoder = PcapngEncoder()
    encoder.appendSectionHeader(application: "swiftstack")
    encoder.appendInterface(name: "tap0")
    // An ARP request, RFC 826: who has 10.0.0.1, tell 10.0.0.2.
    let arp: [UInt8] = [
      0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2,
      10, 0, 0, 2,
      0, 0, 0, 0, 0, 0, 10, 0, 0, 1,
    ]
    encoder.appendPacket(
      arp.rawBytes, timestamp: 1_700_000_000_123_456_789, direction: .inbound, comment: "first")
    encoder.appendPacket(arp.rawBytes, timestamp: 1_700_000_001_000_000_000, direction: .outbound)
    encoder.appendStatistics(timestamp: 1_700_000_002_000_000_000, received: 3, dropped: 1)
    try Data(encoder.bytes).write(to: URL(fileURLWithPath: path))
    let output = try Command.run("/usr/bin/tcpdump", ["-r", path, "-n", "-tt", "--nano"])
    #expect(output.contains("1700000000.123456789 ARP, Request who-has 10.0.0.1 tell 10.0.0.2, length 28"))
    #expect(output.contains("1700000001.000000000 ARP, Request who-has 10.0.0.1 tell 10.0.0.2, length 28"))
  }
}
