import IPv4
import NetNamespace
import SkBuff
import Testing
import Timers
import Wire

@Suite struct ICMPTests {
  /// A UDP datagram that we sent to the peer, as a router quotes it.
  static let quoted: [UInt8] = Array(
    IPv4Bench.frame(
      source: IPv4Bench.own, destination: IPv4Address(192, 0, 2, 1), [0x13, 0x88, 0, 53, 0, 8, 0, 0])[14...])

  @Test("R ICMP echo is answered in place: addresses swapped, type 0, checksum right, body unchanged")
  func echo() {
    let bench = IPv4Bench()
    let body = IPv4Bench.pattern(56)
    for rest: [UInt8] in [[0x12, 0x34, 0, 1], [0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 0]] {
      bench.deliver(
        IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(8, 0, rest: rest, body)))
      let reply = bench.packets().first ?? []
      #expect(reply.count == 84)
      #expect(Array(reply[12..<20]) == [10, 0, 0, 2, 10, 0, 0, 1])
      #expect(Array(reply[20...]) == IPv4Bench.icmp(0, 0, rest: rest, body))
      #expect(IPv4Bench.sum(reply[0..<20]) == 0xFFFF)
    }
    #expect(bench.count(.IcmpOutEchoReps) == 3)
  }

  @Test("R ICMP echo with every possible checksum is answered with the right one") func echoChecksums() {
    let bench = IPv4Bench()
    for value in stride(from: 0, to: 65536, by: 257) {
      let message = IPv4Bench.icmp(8, 0, rest: [UInt8(value >> 8), UInt8(value & 255), 0, 0], [])
      bench.deliver(IPv4Bench.frame(protocol: 1, message))
      let reply = bench.packets().first ?? []
      #expect(reply.count >= 28 && IPv4Bench.sum(reply[20..<28]) == 0xFFFF)
    }
  }

  @Test("R ICMP echo of 65,507 bytes, fragmented in and out") func largeEcho() {
    let bench = IPv4Bench()
    let message = IPv4Bench.icmp(8, 0, rest: [0, 9, 0, 1], IPv4Bench.pattern(65507))
    var offset = 0
    while offset < message.count {
      let end = min(offset + 1480, message.count)
      bench.deliver(
        IPv4Bench.frame(
          protocol: 1, fragment: offset / 8 | (end < message.count ? 0x2000 : 0), Array(message[offset..<end])
        ))
      offset = end
    }
    let packets = bench.packets()
    #expect(packets.count == 45)
    let reply = Array(packets.map { $0[20...] }.joined())
    #expect(reply == IPv4Bench.icmp(0, 0, rest: [0, 9, 0, 1], IPv4Bench.pattern(65507)))
  }

  @Test("RFC 1122 3.2.2.6 echo to a broadcast address is not answered; a wrong checksum neither")
  func noEcho() {
    let bench = IPv4Bench()
    let message = IPv4Bench.icmp(8, 0, [1, 2, 3, 4])
    bench.deliver(
      IPv4Bench.frame(
        destination: IPv4Address(10, 0, 0, 255), protocol: 1, to: [255, 255, 255, 255, 255, 255], message))
    var broken = message
    broken[4] ^= 1
    bench.deliver(IPv4Bench.frame(protocol: 1, broken))
    #expect(bench.frames().isEmpty)
    #expect(bench.count(.IcmpInCsumErrors) == 1)
  }

  @Test("R ICMP echo replies go up") func echoReply() {
    let bench = IPv4Bench()
    let message = IPv4Bench.icmp(0, 0, rest: [0, 7, 0, 1], [1, 2])
    let outcome = bench.deliver(IPv4Bench.frame(protocol: 1, message))
    #expect(outcome == .delivered(1, payload: message, source: IPv4Bench.peer, typeOfService: 0))
  }

  @Test(
    "R ICMP errors reach the transport with Linux's errno and severity",
    arguments: [
      (3, 0, 101, false), (3, 1, 113, false), (3, 2, 92, true), (3, 3, 111, true), (3, 4, 90, false),
      (3, 5, 95, false), (3, 6, 101, true), (3, 7, 112, true), (3, 9, 101, true), (3, 13, 113, true),
      (11, 0, 113, false), (12, 0, 71, true),
    ] as [(UInt8, UInt8, Int32, Bool)])
  func errors(kind: UInt8, code: UInt8, errno: Int32, isHard: Bool) {
    let bench = IPv4Bench()
    let message = IPv4Bench.icmp(kind, code, rest: [0, 0, 0x05, 0x78], Self.quoted)
    guard case .error(let error) = bench.deliver(IPv4Bench.frame(protocol: 1, message)) else {
      Issue.record("the error is delivered")
      return
    }
    #expect(error.errno.rawValue == errno && error.isHard == isHard)
    #expect(error.local == SocketAddress(IPv4Bench.own, port: 5000))
    #expect(error.remote == SocketAddress(IPv4Address(192, 0, 2, 1), port: 53))
    #expect(error.offender == IPv4Bench.peer && !error.isLocal)
    #expect(error.mtu == (kind == 3 && code == 4 ? 1400 : nil))
  }

  @Test("R ICMP errors about packets that are not ours, or quoted too short, are ignored")
  func strangeErrors() {
    let bench = IPv4Bench()
    var others = Self.quoted
    others[15] = 77
    for quoted in [others, Array(Self.quoted[..<27]), Array(Self.quoted[..<12]), []] {
      let message = IPv4Bench.icmp(3, 3, quoted)
      #expect(bench.deliver(IPv4Bench.frame(protocol: 1, message)) == .consumed)
    }
    #expect(bench.count(.IcmpInErrors) == 4)
  }

  /// An unknown protocol makes a "protocol unreachable".
  private func provoke(
    _ bench: IPv4Bench, from source: IPv4Address = IPv4Bench.peer,
    _ payload: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
  ) -> [[UInt8]] {
    bench.deliver(IPv4Bench.frame(source: source, protocol: 99, tos: 0x03, payload))
    return bench.packets()
  }

  @Test("R ICMP protocol unreachable quotes the packet up to 576 bytes in all") func unreachable() {
    let bench = IPv4Bench()
    let short = provoke(bench).first ?? []
    #expect(short.count == 20 + 8 + 28)
    #expect(Array(short[20..<22]) == [3, 2] && short[1] == 0xC0)
    #expect(
      Array(short[28...])
        == Array(IPv4Bench.frame(protocol: 99, tos: 0x03, [1, 2, 3, 4, 5, 6, 7, 8])[14...]))
    #expect(IPv4Bench.sum(short[20...]) == 0xFFFF)
    #expect(provoke(bench, IPv4Bench.pattern(1400)).map(\.count) == [576])
  }

  @Test("RFC 1812 4.3.2.5 an error has precedence 6, the type of service of what it is about, and no mark")
  func precedence() {
    let bench = IPv4Bench()
    for (asked, told) in [(0x1F, 0xDC), (0xE3, 0xC0), (0x00, 0xC0)] as [(UInt8, UInt8)] {
      bench.deliver(IPv4Bench.frame(protocol: 99, tos: asked, [1, 2, 3, 4, 5, 6, 7, 8]))
      #expect(bench.packets().map { $0[1] } == [told])
    }
  }

  @Test("R ICMP errors to one host: a burst of 6, then one a second") func hostLimit() {
    let bench = IPv4Bench()
    var sent = 0
    for _ in 0..<20 { sent += provoke(bench).count }
    #expect(sent == 6)
    bench.advance(.milliseconds(1001))
    sent = 0
    for _ in 0..<5 { sent += provoke(bench).count }
    #expect(sent == 1)
    #expect(bench.count(.IcmpOutRateLimitHost) == 18)
  }

  @Test("R ICMP errors in all: a burst of about 50, then 1000 a second") func globalLimit() throws {
    let bench = IPv4Bench()
    var sent = 0
    func burst() {
      sent = 0
      // One error for each of many hosts, all behind the gateway.
      for index in 0..<80 { sent += provoke(bench, from: IPv4Address(192, 0, 2, UInt8(index + 1))).count }
    }
    burst()
    #expect((26...74).contains(sent))
    #expect(bench.count(.IcmpOutRateLimitGlobal) == UInt64(80 - sent))
    bench.advance(.milliseconds(10))
    burst()
    #expect(sent <= 20 && sent > 2)
  }

  /// CVE-2020-25705 (SAD DNS): who asks 49 closed ports in another's name and then one in its own would know from the last
  /// answer whether all of them were closed.
  @Test("R ICMP errors in all: how many others got does not tell from one's own")
  func globalSideChannel() {
    let bench = IPv4Bench()
    var bursts: [Int] = []
    for _ in 0..<40 {
      bench.advance(.seconds(10))
      var sent = 0
      for index in 0..<80 { sent += provoke(bench, from: IPv4Address(192, 0, 2, UInt8(index + 1))).count }
      bursts.append(sent)
    }
    // Each is 50 on the average, with a deviation of about 6.
    #expect((45...55).contains(bursts.reduce(0, +) / bursts.count))
    #expect(Set(bursts).count >= 8)
  }

  @Test("RFC 1122 3.2.2 no error about errors, broadcasts, later fragments, or strange sources")
  func silence() {
    let bench = IPv4Bench()
    let kind = ICMPHeader.Kind.destinationUnreachable
    func report(_ frame: [UInt8], _ type: PacketType = .host) {
      var skb = bench.transport(Array(frame[14...]), linear: 2000)
      skb.setNetworkHeader()
      skb.packetType = type
      skb.pull(20)
      bench.ip.sendICMPError(
        for: skb, reason: .noSocket, kind: kind, code: 3, info: 0, link: &bench.link, net: &bench.net)
    }
    let udp: [UInt8] = [0, 1, 0, 2, 0, 8, 0, 0]
    report(IPv4Bench.frame(protocol: 1, Self.error))
    report(IPv4Bench.frame(udp), .broadcast)
    report(IPv4Bench.frame(destination: IPv4Address(10, 0, 0, 255), udp))
    report(IPv4Bench.frame(destination: IPv4Address(224, 0, 0, 1), udp))
    report(IPv4Bench.frame(fragment: 1, udp))
    report(IPv4Bench.frame(source: .any, udp))
    report(IPv4Bench.frame(source: .broadcast, udp))
    report(IPv4Bench.frame(source: IPv4Address(10, 0, 0, 255), udp))
    report(IPv4Bench.frame(source: IPv4Address(224, 0, 0, 1), udp))
    #expect(bench.frames().isEmpty)
    report(IPv4Bench.frame(udp))
    report(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(8, 0, [])))
    #expect(bench.packets().count == 2)
  }
  static let error = IPv4Bench.icmp(3, 3, quoted)
}
