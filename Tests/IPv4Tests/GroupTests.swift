import IPv4
import NetNamespace
import SkBuff
import Testing
import Timers
import Wire

/// Messages and packets for many: who acts on them, and how they are counted.
@Suite struct GroupTests {
  static let broadcasts = [IPv4Address(10, 0, 0, 255), .broadcast, IPv4Address(224, 0, 0, 1)]

  private func deliver(_ bench: IPv4Bench, to address: IPv4Address, _ message: [UInt8]) -> IPv4Bench.Outcome {
    let mac: [UInt8] =
      address == .broadcast || address == IPv4Address(10, 0, 0, 255)
      ? [255, 255, 255, 255, 255, 255] : [1, 0, 0x5E, 0, 0, 1]
    return bench.deliver(IPv4Bench.frame(destination: address, protocol: 1, to: mac, message))
  }

  @Test("RFC 1122 3.2.2 an ICMP error that was sent to many is ignored", arguments: broadcasts, [3, 11, 12])
  func errors(address: IPv4Address, type: UInt8) {
    let bench = IPv4Bench()
    let report = IPv4Bench.icmp(type, type == 3 ? 3 : 0, ICMPTests.quoted)
    #expect(deliver(bench, to: address, report) == .consumed)
    #expect(bench.count(.IcmpInErrors) == 1)
    // The same to our own address is news.
    #expect(bench.deliver(IPv4Bench.frame(protocol: 1, report)) != .consumed)
    #expect(bench.count(.IcmpInErrors) == 1)
  }

  @Test("RFC 1122 3.2.2.6 3.2.2.8 echo, its reply and timestamp to many are ignored", arguments: broadcasts)
  func questions(address: IPv4Address) {
    let bench = IPv4Bench()
    for message in [
      IPv4Bench.icmp(8, 0, [1, 2]), IPv4Bench.icmp(0, 0, [1, 2]),
      IPv4Bench.icmp(13, 0, [UInt8](repeating: 0, count: 12)),
    ] { #expect(deliver(bench, to: address, message) == .consumed) }
    #expect(bench.packets().isEmpty)
    #expect(bench.count(.IcmpInErrors) == 3)
    bench.net.settings.icmpIgnoreBroadcasts = false
    _ = deliver(bench, to: address, IPv4Bench.icmp(8, 0, [1, 2]))
    #expect(bench.packets().map { Array($0[12..<21]) } == [[10, 0, 0, 2, 10, 0, 0, 1, 0]])
  }

  @Test("RFC 792 a timestamp request is answered with the time of day, or any time and the high bit")
  func timestamp() {
    let bench = IPv4Bench()
    let request = IPv4Bench.icmp(
      13, 0, rest: [0, 5, 0, 6], [0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0] + [1, 2, 3])
    bench.deliver(IPv4Bench.frame(protocol: 1, request))
    let now: [UInt8] = [0x80, 0, 0x03, 0xE8]
    #expect(
      bench.packets().map { Array($0[20...]) } == [
        IPv4Bench.icmp(14, 0, rest: [0, 5, 0, 6], [0, 0, 0, 9] + now + now)
      ])
    // 1 s after the start is 01:00:01.
    bench.net.timeOfDayOffset = 3_600_000_000_000 + 5 * 86_400_000_000_000
    bench.deliver(IPv4Bench.frame(protocol: 1, request))
    #expect(bench.packets().map { Array($0[32..<36]) } == [[0, 0x36, 0xF2, 0x68]])
    #expect(bench.count(.IcmpInTimestamps) == 2 && bench.count(.IcmpMsgInType13) == 2)
    #expect(bench.count(.IcmpOutTimestampReps) == 2 && bench.count(.IcmpMsgOutType14) == 2)
    // Only the originator's time has to be there.
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(13, 0, [1, 2, 3])))
    #expect(bench.packets().isEmpty && bench.count(.IcmpInErrors) == 1)
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(13, 0, [1, 2, 3, 4])))
    #expect(bench.packets().map { Array($0[28..<32]) } == [[1, 2, 3, 4]])
  }

  @Test(
    "RFC 6633 source quench and masks change nothing and are counted",
    arguments: [
      (4, .IcmpInSrcQuenchs, .IcmpMsgInType4),
      (17, .IcmpInAddrMasks, .IcmpMsgInType17), (18, .IcmpInAddrMaskReps, .IcmpMsgInType18),
      (14, .IcmpInTimestampReps, .IcmpMsgInType14),
    ] as [(UInt8, NetCounters.Name, NetCounters.Name)])
  func ignored(type: UInt8, name: NetCounters.Name, message: NetCounters.Name) {
    let bench = IPv4Bench()
    #expect(
      bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(type, 0, ICMPTests.quoted))) == .consumed)
    #expect(bench.packets().isEmpty && bench.errors().isEmpty)
    #expect(bench.count(name) == 1 && bench.count(message) == 1 && bench.count(.IcmpInMsgs) == 1)
    #expect(bench.count(.IcmpInErrors) == 0)
  }

  @Test(
    "P9 every ICMP message is counted by its type, as nstat names it",
    arguments: [
      (0, .IcmpInEchoReps, .IcmpMsgInType0), (3, .IcmpInDestUnreachs, .IcmpMsgInType3),
      (8, .IcmpInEchos, .IcmpMsgInType8), (11, .IcmpInTimeExcds, .IcmpMsgInType11),
      (12, .IcmpInParmProbs, .IcmpMsgInType12),
    ] as [(UInt8, NetCounters.Name, NetCounters.Name)])
  func byType(type: UInt8, name: NetCounters.Name, message: NetCounters.Name) {
    let bench = IPv4Bench()
    bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(type, 0, ICMPTests.quoted)))
    #expect(bench.count(name) == 1 && bench.count(message) == 1 && bench.count(.IcmpInMsgs) == 1)
    if type == 8 {
      #expect(bench.count(.IcmpOutEchoReps) == 1 && bench.count(.IcmpMsgOutType0) == 1)
      #expect(bench.count(.IcmpOutMsgs) == 1)
    } else {
      #expect(bench.count(.IcmpOutMsgs) == 0)
    }
  }

  @Test("P9 errors that are sent are counted by type: 3, 11, 12") func sentErrors() {
    let bench = IPv4Bench()
    bench.deliver(IPv4Bench.frame(protocol: 99, [1, 2, 3, 4, 5, 6, 7, 8]))
    #expect(bench.count(.IcmpOutDestUnreachs) == 1 && bench.count(.IcmpMsgOutType3) == 1)
    #expect(bench.count(.IpInUnknownProtos) == 1)
    bench.deliver(IPv4Bench.frame(options: [7, 0, 0, 0], OptionTests.udp))
    #expect(bench.count(.IcmpOutParmProbs) == 1 && bench.count(.IcmpMsgOutType12) == 1)
    bench.deliver(IPv4Bench.frame(fragment: 0x2000, IPv4Bench.pattern(80)))
    bench.advance(.seconds(31))
    #expect(bench.count(.IcmpOutTimeExcds) == 1 && bench.count(.IcmpMsgOutType11) == 1)
    #expect(bench.count(.IcmpOutMsgs) == 3 && bench.count(.IpReasmTimeout) == 1)
  }

  @Test("P9 what comes to a group or to all is counted in packets and octets, members' only") func received()
    throws
  {
    let bench = IPv4Bench()
    let group = IPv4Address(239, 1, 2, 3)
    let toGroup = IPv4Bench.frame(destination: group, to: [1, 0, 0x5E, 1, 2, 3], OptionTests.udp)
    bench.deliver(toGroup)
    #expect(bench.count(.IpExtInMcastPkts) == 0)
    bench.join(group)
    bench.deliver(toGroup)
    #expect(bench.count(.IpExtInMcastPkts) == 1 && bench.count(.IpExtInMcastOctets) == 28)
    bench.deliver(
      IPv4Bench.frame(
        destination: IPv4Address(10, 0, 0, 255), to: [255, 255, 255, 255, 255, 255], OptionTests.udp))
    #expect(bench.count(.IpExtInBcastPkts) == 1 && bench.count(.IpExtInBcastOctets) == 28)
    #expect(bench.count(.IpInReceives) == 3 && bench.count(.IpExtInOctets) == 84)
  }

  @Test("P9 the ECN field and truncated packets are counted") func fields() {
    let bench = IPv4Bench()
    for tos: UInt8 in [0, 1, 2, 2, 3, 3, 3] {
      bench.deliver(IPv4Bench.frame(tos: tos, OptionTests.udp))
    }
    #expect(bench.count(.IpExtInNoECTPkts) == 1 && bench.count(.IpExtInECT1Pkts) == 1)
    #expect(bench.count(.IpExtInECT0Pkts) == 2 && bench.count(.IpExtInCEPkts) == 3)
    var cut = IPv4Bench.frame(IPv4Bench.pattern(200))
    cut.removeLast(1)
    #expect(bench.deliver(cut) == .consumed)
    #expect(bench.count(.IpExtInTruncatedPkts) == 1 && bench.count(.IpInHdrErrors) == 0)
  }
}
