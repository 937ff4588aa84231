import IPv4
import InetSocket
import Internet
import NetNamespace
import Sockets
import Testing
import Timers
import Wire

/// What routers are told of the groups of our sockets (RFC 3376, RFC 2236). Golden bytes are Linux 6.18's, over veth.
@Suite("U4 IGMP")
struct GroupReportTests {
  private static let own: [UInt8] = [10, 0, 0, 2]

  private static func bytes(_ text: String) -> [UInt8] {
    var digits = text.filter { $0 != " " }[...]
    var bytes: [UInt8] = []
    while let byte = UInt8(digits.prefix(2), radix: 16) {
      bytes.append(byte)
      digits = digits.dropFirst(2)
    }
    return bytes
  }

  /// IP packets that left, without the padding of their frames.
  private static func packets(_ bench: DatagramBench) -> [[UInt8]] {
    bench.sent.map { Array($0[..<Packet.read16($0, 2)]) }
  }

  /// What left within a time, from the IGMP header on, without sums and counts: the kind, and records or the group.
  private static func told(_ bench: DatagramBench, within span: Nanoseconds) -> [String] {
    bench.sent.removeAll()
    bench.advance(span)
    return packets(bench).filter { $0[9] == 2 }.map { packet in
      let body = packet[24...]
      guard body[24] == 0x22 else {
        return String(body[24], radix: 16) + " " + body[28..<32].map { "\($0)" }.joined(separator: ".")
      }
      var text = "22"
      var place = 32
      while place < packet.count {
        let count = Int(packet[place + 3])
        text += " [\(packet[place]) \(packet[place + 7])"
        for source in 0..<count { text += " \(packet[place + 11 + 4 * source])" }
        text += "]"
        place += 8 + 4 * count
      }
      return text
    }
  }

  private func set(_ bench: DatagramBench, _ socket: SocketID, _ name: Int32, _ words: [UInt8]...) throws {
    let bytes = words.flatMap { $0 }
    // Safe: a byte has no padding.
    let span = unsafe bytes.span.bytes
    try bench.sockets.setsockopt(socket, level: 0, name: name, value: span, host: &bench.host)
  }

  private func join(_ bench: DatagramBench, _ socket: SocketID, _ last: UInt8) throws {
    try set(bench, socket, GroupOptionName.join, [239, 1, 1, last], Self.own)
  }
  private func leave(_ bench: DatagramBench, _ socket: SocketID, _ last: UInt8) throws {
    try set(bench, socket, GroupOptionName.leave, [239, 1, 1, last], Self.own)
  }

  /// A query of version 3, or with no more than a code one of an older querier.
  private func ask(
    _ bench: DatagramBench, _ group: [UInt8] = [0, 0, 0, 0], code: UInt8 = 1, kind: UInt8 = 0x11,
    _ more: [UInt8] = []
  ) {
    var body = [kind, code, 0, 0] + group + more
    body.replaceSubrange(2..<4, with: Packet.big16(Packet.checksum(body)))
    let to: [UInt8] = group == [0, 0, 0, 0] ? [224, 0, 0, 1] : group
    bench.receive(
      Packet.ip(protocol: 2, payload: body, destination: to),
      destinationMAC: [1, 0, 0x5E, to[1] & 0x7F, to[2], to[3]])
  }

  @Test("a join is reported in a moment and once more within a second, in Linux's bytes") func join3() throws
  {
    let bench = DatagramBench()
    let socket = try bench.udp()
    try join(bench, socket, 1)
    try set(bench, socket, GroupOptionName.joinSource, [232, 1, 1, 1], Self.own, [10, 0, 0, 9])
    let golden = Self.bytes(
      """
      46c00034 00004000 0102f9eb 0a000002 e0000016 94040000
      2200f1ed 00000002 05000001 e8010101 0a000009 04000000 ef010101
      """.split(separator: "\n").joined())
    bench.sent.removeAll()
    bench.advance(.milliseconds(4))
    #expect(Self.packets(bench) == [golden])
    bench.advance(.seconds(1))
    #expect(Self.packets(bench) == [golden, golden])
    bench.advance(.seconds(100))
    #expect(bench.sent.count == 2)
  }

  @Test("older reports and leaves in Linux's bytes") func join2() throws {
    let bench = DatagramBench()
    bench.host.net.settings.forceIGMPVersion = 2
    let socket = try bench.udp()
    bench.sent.removeAll()
    try join(bench, socket, 2)
    bench.advance(.milliseconds(4))
    try leave(bench, socket, 2)
    bench.settle()
    #expect(
      Self.packets(bench) == [
        Self.bytes("46c00020 00004000 0102ea12 0a000002 ef010102 94040000 1600f9fb ef010102"),
        Self.bytes("46c00020 00004000 0102fa13 0a000002 e0000002 94040000 1700f8fb ef010102"),
      ])
  }

  @Test(
    "the last socket's leave is reported, igmp_qrv times; what is for the link's own groups is as it is set")
  func leaving() throws {
    let bench = DatagramBench()
    bench.host.net.settings.igmpRobustness = 3
    bench.host.net.settings.igmpLinkLocalReports = false
    let (a, b) = (try bench.udp(), try bench.udp())
    try join(bench, a, 1)
    try join(bench, b, 1)
    try set(bench, b, GroupOptionName.join, [224, 0, 0, 7], Self.own)
    #expect(Self.told(bench, within: .seconds(10)) == ["22 [4 1]", "22 [4 1]", "22 [4 1]"])
    try leave(bench, a, 1)
    #expect(Self.told(bench, within: .seconds(10)) == [])
    try bench.sockets.close(b, host: &bench.host)
    #expect(Self.told(bench, within: .seconds(10)) == ["22 [3 1]", "22 [3 1]", "22 [3 1]"])
  }

  @Test("sources: what came onto the list and left it, and a new mode with its list") func sources() throws {
    let bench = DatagramBench()
    let (a, b) = (try bench.udp(), try bench.udp())
    func step(_ records: String) {
      #expect(Self.told(bench, within: .seconds(5)) == Array(repeating: "22 " + records, count: 2))
    }
    func source(_ socket: SocketID, _ name: Int32, _ last: UInt8) throws {
      try set(bench, socket, name, [239, 1, 1, 1], Self.own, [10, 0, 0, last])
    }
    try source(a, GroupOptionName.joinSource, 9)
    step("[5 1 9]")
    try join(bench, b, 1)
    step("[4 1]")
    try source(b, GroupOptionName.blockSource, 7)
    step("[6 1 7]")
    // Somebody else wants that one.
    try source(b, GroupOptionName.blockSource, 9)
    #expect(Self.told(bench, within: .seconds(5)) == [])
    try source(b, GroupOptionName.unblockSource, 7)
    step("[5 1 7]")
    try bench.sockets.close(b, host: &bench.host)
    step("[3 1 9]")
    try source(a, GroupOptionName.joinSource, 8)
    step("[5 1 8]")
    try source(a, GroupOptionName.leaveSource, 9)
    step("[6 1 9]")
    try bench.sockets.close(a, host: &bench.host)
    step("[6 1 8]")
  }

  @Test("a querier is answered within its time: all groups, one, some sources of one") func queries() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    try join(bench, socket, 1)
    try set(bench, socket, GroupOptionName.joinSource, [239, 1, 1, 2], Self.own, [10, 0, 0, 9])
    try set(bench, socket, GroupOptionName.joinSource, [239, 1, 1, 2], Self.own, [10, 0, 0, 8])
    bench.advance(.seconds(5))
    func answers(_ span: Nanoseconds = .milliseconds(105)) -> [String] { Self.told(bench, within: span) }
    ask(bench, [0, 0, 0, 0], [0x02, 0x7D, 0, 0])
    #expect(answers() == ["22 [1 2 9 8] [2 1]"])
    ask(bench, [239, 1, 1, 1], [0x02, 0x7D, 0, 0])
    #expect(answers() == ["22 [2 1]"])
    ask(bench, [239, 1, 1, 3], [0x02, 0x7D, 0, 0])
    #expect(answers() == [])
    ask(bench, [239, 1, 1, 2], [0x02, 0x7D, 0, 1, 10, 0, 0, 8])
    #expect(answers() == ["22 [1 2 8]"])
    ask(bench, [239, 1, 1, 2], [0x02, 0x7D, 0, 1, 10, 0, 0, 7])
    #expect(answers() == [])
    ask(bench, [239, 1, 1, 1], [0x02, 0x7D, 0, 1, 10, 0, 0, 7])
    #expect(answers() == ["22 [2 1]"])
    ask(bench, [0, 0, 0, 0], [0x02, 0x7D, 0, 1, 10, 0, 0, 7])
    #expect(answers() == [])
    // 20 s as a number with an exponent: 200 tenths.
    ask(bench, [239, 1, 1, 1], code: 0x89, [0x02, 0x7D, 0, 0])
    #expect(answers(.seconds(21)) == ["22 [2 1]"])
    ask(bench, [239, 1, 1, 1], code: 1, [0x02, 0x7D, 0, 2, 10, 0, 0, 7])
    #expect(answers() == [])
    ask(bench, [239, 1, 1, 1], code: 1, [0x02, 0x7D])
    #expect(answers() == [])
  }

  @Test("an old querier is spoken to in its version until 260 s after it was heard") func old() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    try join(bench, socket, 1)
    bench.advance(.seconds(5))
    ask(bench)
    #expect(Self.told(bench, within: .milliseconds(105)) == ["16 239.1.1.1"])
    try join(bench, socket, 3)
    #expect(Self.told(bench, within: .milliseconds(5)) == ["16 239.1.1.3"])
    #expect(Self.told(bench, within: .seconds(11)) == ["16 239.1.1.3"])
    // Somebody else has answered: the leave is that one's to tell.
    try join(bench, socket, 4)
    ask(bench, [239, 1, 1, 4], code: 0, kind: 0x16)
    #expect(Self.told(bench, within: .seconds(11)) == [])
    try leave(bench, socket, 4)
    bench.settle()
    #expect(bench.sent.isEmpty)
    // Also when we were the last before.
    try join(bench, socket, 8)
    #expect(Self.told(bench, within: .milliseconds(5)) == ["16 239.1.1.8"])
    ask(bench, [239, 1, 1, 8], code: 0, kind: 0x16)
    #expect(Self.told(bench, within: .seconds(11)) == [])
    try leave(bench, socket, 8)
    bench.settle()
    #expect(bench.sent.isEmpty)
    try leave(bench, socket, 3)
    bench.settle()
    #expect(bench.sent.map { $0[24] } == [0x17])
    ask(bench, code: 0)
    #expect(Self.told(bench, within: .seconds(11)) == ["12 239.1.1.1"])
    // Version 1 knows no leave.
    try join(bench, socket, 5)
    #expect(Self.told(bench, within: .milliseconds(5)) == ["12 239.1.1.5"])
    try leave(bench, socket, 5)
    #expect(Self.told(bench, within: .seconds(200)) == [])
    try join(bench, socket, 6)
    #expect(Self.told(bench, within: .milliseconds(5)).first == "12 239.1.1.6")
    bench.advance(.seconds(60))
    try join(bench, socket, 7)
    #expect(Self.told(bench, within: .seconds(5)) == ["22 [4 7]", "22 [4 7]"])
  }

  @Test("a link that comes up tells its groups again; nothing is told while it is down") func link() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    try join(bench, socket, 1)
    bench.host.setLink(bench.ethernet, up: false)
    #expect(Self.told(bench, within: .seconds(5)) == [])
    bench.host.setLink(bench.ethernet, up: true)
    #expect(Self.told(bench, within: .seconds(5)) == ["22 [4 1]", "22 [4 1]"])
  }

  @Test("a list that is too long for a packet goes on in the next, but a list of what is not wanted is cut")
  func long() throws {
    let bench = DatagramBench(mtu: 68)
    bench.host.net.settings.maximumSources = 100
    let socket = try bench.udp()
    for last: UInt8 in 1...10 {
      try set(bench, socket, GroupOptionName.joinSource, [239, 1, 1, 1], Self.own, [10, 0, 0, last])
    }
    // 44 bytes of IGMP: a record with 7 sources.
    #expect(Self.told(bench, within: .milliseconds(5)) == ["22 [5 1 1 2 3 4 5 6 7]", "22 [5 1 8 9 10]"])
    var filter: [[UInt8]] = [[239, 1, 1, 1], Self.own, [0, 0, 0, 0], [9, 0, 0, 0]]
    for last: UInt8 in 1...9 { filter.append([10, 0, 0, last]) }
    let bytes = filter.flatMap { $0 }
    try set(bench, socket, GroupOptionName.filter, bytes)
    #expect(Self.told(bench, within: .milliseconds(5)) == ["22 [4 1 1 2 3 4 5 6 7]"])
  }
}

extension DatagramBench {
  /// Moves the clock, serving every timer at its time.
  func advance(_ span: Nanoseconds) {
    let end = host.net.now + span
    while let next = host.net.timers.nextDeadline, next <= end {
      host.net.advance(to: max(next, host.net.now))
      while let (key, due) = host.net.timers.popExpired(now: host.net.now) {
        host.timerExpired(key, due: due)
      }
      settle()
    }
    host.net.advance(to: end)
    settle()
  }
}
