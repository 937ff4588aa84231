import IPv4
import NetNamespace
import SkBuff
import Testing
import Timers
import Wire

/// What an ICMP error means to the socket (Linux's `icmp_err_convert[]`), and who may send errors how often.
@Suite struct ErrorTableTests {
  struct Meaning: Sendable, CustomTestStringConvertible {
    var type: UInt8
    var code: UInt8
    var errno: Int32
    var isHard: Bool
    init(_ type: UInt8, _ code: UInt8, _ errno: Int32, _ isHard: Bool) {
      self.type = type
      self.code = code
      self.errno = errno
      self.isHard = isHard
    }
    var testDescription: String { "type \(type) code \(code)" }
  }
  /// By the numbers of Linux on x86-64: ENETUNREACH 101, EHOSTUNREACH 113, ENOPROTOOPT 92, ECONNREFUSED 111, EMSGSIZE 90,
  /// EOPNOTSUPP 95, EHOSTDOWN 112, ENONET 64, EPROTO 71.
  static let meanings = [
    Meaning(3, 0, 101, false), Meaning(3, 1, 113, false), Meaning(3, 2, 92, true), Meaning(3, 3, 111, true),
    Meaning(3, 4, 90, false), Meaning(3, 5, 95, false), Meaning(3, 6, 101, true), Meaning(3, 7, 112, true),
    Meaning(3, 8, 64, true), Meaning(3, 9, 101, true), Meaning(3, 10, 113, true), Meaning(3, 11, 101, false),
    Meaning(3, 12, 113, false), Meaning(3, 13, 113, true), Meaning(3, 14, 113, true),
    Meaning(3, 15, 113, true),
    Meaning(11, 0, 113, false), Meaning(12, 0, 71, true),
  ]

  @Test("R ICMP each type and code has Linux's errno, and is fatal where Linux says so", arguments: meanings)
  func meaning(_ expected: Meaning) throws {
    let bench = IPv4Bench()
    let report = IPv4Bench.icmp(expected.type, expected.code, rest: [0, 0, 5, 0], ICMPTests.quoted)
    guard case .error(let error) = bench.deliver(IPv4Bench.frame(protocol: 1, report)) else {
      Issue.record("no error came of it")
      return
    }
    #expect(error.errno.rawValue == expected.errno && error.isHard == expected.isHard)
    #expect(error.mtu == (expected.code == 4 && expected.type == 3 ? 0x500 : nil))
    #expect(error.local == SocketAddress(IPv4Bench.own, port: 5000))
    #expect(error.remote == SocketAddress(IPv4Address(192, 0, 2, 1), port: 53))
    #expect(error.offender == IPv4Bench.peer && !error.isLocal)
  }

  @Test("R ICMP an error about a later fragment, or about a packet that was not ours, is no news")
  func notOurs() {
    let bench = IPv4Bench()
    let later = Array(
      IPv4Bench.frame(
        source: IPv4Bench.own, destination: IPv4Bench.peer, fragment: 5, [0x13, 0x88, 0, 53, 0, 8, 0, 0])[
          14...])
    let strange = Array(
      IPv4Bench.frame(
        source: IPv4Address(10, 0, 0, 3), destination: IPv4Bench.peer, [0x13, 0x88, 0, 53, 0, 8, 0, 0])[14...]
    )
    for quote in [later, strange, Array(ICMPTests.quoted[..<27])] {
      #expect(bench.deliver(IPv4Bench.frame(protocol: 1, IPv4Bench.icmp(3, 3, quote))) == .consumed)
    }
    #expect(bench.count(.IcmpInErrors) == 3)
  }

  @Test("R ICMP six errors to one host at once, then one a second; fifty to all, then a thousand a second")
  func limits() {
    let bench = IPv4Bench()
    func provoke(_ source: IPv4Address) -> Int {
      bench.deliver(IPv4Bench.frame(source: source, protocol: 99, [1, 2, 3, 4, 5, 6, 7, 8]))
      return bench.packets().count
    }
    let far = IPv4Address(192, 0, 2, 7)
    var allowed = 0
    for _ in 0..<20 { allowed += provoke(far) }
    #expect(allowed == 6)
    #expect(bench.count(.IcmpOutRateLimitHost) == 14)
    bench.advance(.milliseconds(900))
    #expect(provoke(far) == 0)
    bench.advance(.milliseconds(200))
    #expect(provoke(far) == 1 && provoke(far) == 0)
    bench.advance(.seconds(1))
    // About fifty hosts at once, and no more: none, one or two are taken off for each.
    func provokeAll(_ count: UInt8, _ network: UInt8) -> Int {
      var sent = 0
      for last in 1...count { sent += provoke(IPv4Address(198, 51, network, last)) }
      return sent
    }
    let sent = provokeAll(80, 100)
    #expect((26...74).contains(sent))
    #expect(bench.count(.IcmpOutRateLimitGlobal) == UInt64(80 - sent))
    bench.advance(.milliseconds(10))
    #expect((5...18).contains(provokeAll(20, 101)))
  }

  @Test("RFC 1122 3.2.2 no error about what was sent to many, from no single host, or about an error")
  func silence() {
    let bench = IPv4Bench()
    let everybody: [UInt8] = [255, 255, 255, 255, 255, 255]
    bench.deliver(
      IPv4Bench.frame(destination: IPv4Address(10, 0, 0, 255), protocol: 99, to: everybody, [1, 2, 3]))
    bench.deliver(IPv4Bench.frame(protocol: 99, to: everybody, [1, 2, 3]))
    bench.deliver(
      IPv4Bench.frame(destination: IPv4Address(224, 0, 0, 1), protocol: 99, to: [1, 0, 0x5E, 0, 0, 1], [1]))
    bench.deliver(IPv4Bench.frame(source: .any, destination: .broadcast, protocol: 99, to: everybody, [1]))
    // A bad option in an ICMP error.
    for kind: UInt8 in [3, 4, 5, 11, 12] {
      bench.deliver(
        IPv4Bench.frame(protocol: 1, options: [7, 0, 0, 0], IPv4Bench.icmp(kind, 0, ICMPTests.quoted)))
    }
    #expect(bench.packets().isEmpty && bench.count(.IcmpOutMsgs) == 0)
    // In a question it is told.
    bench.deliver(IPv4Bench.frame(protocol: 1, options: [7, 0, 0, 0], IPv4Bench.icmp(8, 0, [1])))
    #expect(bench.packets().count == 1)
  }

  @Test("P5 at most 1,000 packets to ourselves wait") func loopbackLimit() {
    let bench = IPv4Bench()
    var accepted = 0
    for _ in 0..<1100 where bench.send([1, 2, 3, 4, 5, 6, 7, 8], to: IPv4Bench.own) == .success {
      accepted += 1
    }
    // Linux: `loopback_xmit()` does not tell the sender.
    #expect(accepted == 1100)
    #expect(bench.pool.dropCount(.cpuBacklog) == 100)
    #expect(bench.link.devices[.loopback].statistics.receivedDropped == 100)
    #expect(bench.link.devices[.loopback].statistics.receivedPackets == 1000)
    #expect(bench.count(.IpOutTransmits) == 1100)
  }

  @Test("P3 a path MTU below 552 is locked there without DF, and forgotten after 600 s") func locked() throws
  {
    let bench = IPv4Bench()
    let far = IPv4Address(192, 0, 2, 1)
    bench.ip.learnPathMTU(destination: far, mtu: 300, link: bench.link, net: &bench.net)
    let route = bench.route(to: far)
    #expect(route.mtu == 552 && route.isMTULocked)
    bench.ip.learnPathMTU(destination: far, mtu: 551, link: bench.link, net: &bench.net)
    #expect(bench.route(to: far).mtu == 552)
    bench.ip.learnPathMTU(destination: IPv4Address(192, 0, 2, 2), mtu: 552, link: bench.link, net: &bench.net)
    #expect(!bench.route(to: IPv4Address(192, 0, 2, 2)).isMTULocked)
    bench.advance(.seconds(599))
    #expect(bench.route(to: far).mtu == 552)
    bench.advance(.seconds(2))
    #expect(bench.route(to: far).mtu == 1500 && !bench.route(to: far).isMTULocked)
  }
}
