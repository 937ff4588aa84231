import IPv4
import NetNamespace
import Testing
import Timers
import Wire

/// Frames that a hostile or an odd peer sends to a host. What is expected is what the kernel (6.18) did with the same frames.
@Suite struct InputProbeTests {
  private static let udp: [UInt8] = [0, 1, 0, 2, 0, 8, 0, 0]
  private func ip(_ frame: [UInt8]) -> [UInt8] { Array(frame[14...]) }

  @Test("P9 the ECN field counts before the length of a header, and its packet's, is looked at")
  func markOfBadHeader() {
    let bench = IPv4Bench()
    var long = IPv4Bench.frame(Self.udp)
    long[14] = 0x4F
    var short = IPv4Bench.frame(tos: 3, Self.udp)
    short[17] = 19
    bench.deliver(long)
    bench.deliver(short)
    #expect(bench.count(.IpExtInNoECTPkts) == 1 && bench.count(.IpExtInCEPkts) == 1)
    var version = IPv4Bench.frame(Self.udp)
    version[14] = 0x65
    var tiny = IPv4Bench.frame(Self.udp)
    tiny[14] = 0x44
    bench.deliver(version)
    bench.deliver(tiny)
    #expect(bench.count(.IpExtInNoECTPkts) == 1 && bench.count(.IpInHdrErrors) == 4)
  }

  @Test("P9 what is for many counts as such once its options are found good")
  func manyWithOptions() {
    let bench = IPv4Bench()
    let all = IPv4Address(224, 0, 0, 1)
    let group: [UInt8] = [1, 0, 0x5E, 0, 0, 1]
    let everybody = IPv4Address(10, 0, 0, 255)
    let station = [UInt8](repeating: 0xFF, count: 6)
    for options: [UInt8] in [[7, 7, 3, 0, 0, 0, 0, 0], [148, 4, 0, 0]] {
      bench.deliver(IPv4Bench.frame(destination: all, options: options, to: group, Self.udp))
      bench.deliver(IPv4Bench.frame(destination: everybody, options: options, to: station, Self.udp))
    }
    #expect(bench.count(.IpExtInMcastPkts) == 1 && bench.count(.IpExtInBcastPkts) == 1)
    #expect(bench.count(.IpExtInMcastOctets) == 32 && bench.count(.IpExtInBcastOctets) == 32)
  }

  @Test("P9 want of a route counts for transports, not for answers and errors of ICMP")
  func noRouteOfReplies() throws {
    let bench = IPv4Bench()
    try bench.ip.removeRoute(IPv4Prefix("0.0.0.0/0")!)
    let stranger = IPv4Address(8, 8, 8, 8)
    bench.deliver(IPv4Bench.frame(source: stranger, protocol: 1, IPv4Bench.icmp(8, 0, [1, 2])))
    bench.deliver(IPv4Bench.frame(source: stranger, protocol: 200, [1, 2, 3, 4]))
    #expect(bench.packets().isEmpty && bench.count(.IpOutNoRoutes) == 0)
    #expect(bench.routeError(to: stranger) == .ENETUNREACH && bench.count(.IpOutNoRoutes) == 1)
  }

  @Test("R ICMP a time stamp request needs no more than the originator's time")
  func shortTimestamp() throws {
    let bench = IPv4Bench()
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(13, 0, rest: [0, 7, 0, 9], [1, 2, 3, 4])))
    let answer = try #require(bench.packets().first)
    #expect(answer.count == 40 && Array(answer[24..<32]) == [0, 7, 0, 9, 1, 2, 3, 4])
    #expect(answer[20] == 14 && IPv4Bench.sum(answer[20...]) == 0xFFFF)
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(13, 0, [1, 2, 3])))
    #expect(bench.packets().isEmpty && bench.count(.IcmpInErrors) == 1)
  }

  @Test("R ICMP a source quench that quotes too little is an error; questions of RFC 8335 are none")
  func obsoleteAndNew() {
    let bench = IPv4Bench()
    let quoted = Array(ip(IPv4Bench.frame(source: IPv4Bench.own, destination: IPv4Bench.peer, Self.udp)))
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(4, 0, Array(quoted.prefix(27)))))
    #expect(bench.count(.IcmpInErrors) == 1)
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(4, 0, quoted)))
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(42, 0, [0, 0, 0, 0])))
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(43, 0, [0, 0, 0, 0])))
    #expect(bench.count(.IcmpInErrors) == 1 && bench.errors().isEmpty && bench.packets().isEmpty)
  }

  @Test("U7 a record that a place is left over in but no address fits: no answer, no error")
  func recordWithoutRoom() {
    let bench = IPv4Bench()
    let record: [UInt8] = [7, 11, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    let stamp: [UInt8] = [68, 12, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    for options in [record, stamp] {
      bench.deliver(IPv4Bench.frame(protocol: 1, options: options, IPv4Bench.icmp(8, 0, [1, 2])))
      bench.deliver(IPv4Bench.frame(protocol: 200, options: options, [1, 2, 3, 4]))
    }
    #expect(bench.packets().isEmpty)
    bench.deliver(
      IPv4Bench.frame(protocol: 1, options: [7, 7, 4, 0, 0, 0, 0, 0], IPv4Bench.icmp(8, 0, [1, 2])))
    #expect(bench.packets().count == 1)
  }

  @Test(
    "U7 an answer goes on with times for given addresses that leave over less than an address has room for")
  func timesOfAddresses() throws {
    for (length, isAnswered) in [(15, false), (16, true), (19, true)] {
      let bench = IPv4Bench()
      // The first address is nobody's, and so gets our time; the pointer goes on behind it.
      let stamp: [UInt8] = [68, UInt8(length), 5, 3] + [UInt8](repeating: 0, count: (length - 1) & ~3)
      bench.deliver(IPv4Bench.frame(protocol: 1, options: stamp, IPv4Bench.icmp(8, 0, [1, 2])))
      let answers = bench.packets()
      #expect(answers.map { Array($0[20..<24]) } == (isAnswered ? [[68, UInt8(length), 13, 3]] : []))
    }
  }

  @Test("U7 an answer carries a time stamp whose overflow is at its limit")
  func fullOverflow() throws {
    let bench = IPv4Bench()
    bench.deliver(
      IPv4Bench.frame(protocol: 1, options: [68, 8, 9, 0xE1, 0, 0, 0, 0], IPv4Bench.icmp(8, 0, [1, 2])))
    let answer = try #require(bench.packets().first)
    #expect(Array(answer[20..<28]) == [68, 8, 9, 0xF1, 0, 0, 0, 0])
  }

  @Test("P3 an error that quotes another total length than was sent is believed", arguments: [0, 500, 65535])
  func quotedLength(total: Int) throws {
    let bench = IPv4Bench()
    var quoted = ip(IPv4Bench.frame(source: IPv4Bench.own, destination: IPv4Bench.peer, Self.udp))
    (quoted[2], quoted[3]) = (UInt8(total >> 8), UInt8(total & 0xFF))
    let outcome = bench.deliver(
      IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(3, 4, rest: [0, 0, 3, 0xE8], quoted)))
    guard case .error(let error) = outcome else { return #expect(Bool(false), "\(outcome)") }
    #expect(error.mtu == 1000 && error.remote.port == 2 && bench.count(.IcmpInErrors) == 0)
  }

  @Test("N5 P1 rp_filter: a request in the name of a broadcast address is not answered")
  func broadcastAsker() {
    for mode in [0, 1, 2] {
      let bench = IPv4Bench()
      bench.net.settings.reversePathFilter = [.off, .strict, .loose][mode]
      bench.deliver(ARPTests.arp(1, ARPTests.peerMAC, [10, 0, 0, 255], ARPTests.noMAC, [10, 0, 0, 2]))
      #expect(bench.frames().isEmpty == (mode > 0), "\(mode)")
    }
  }
}
