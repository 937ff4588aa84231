import IPv4
import InetSocket
import Internet
import NetDevice
import NetNamespace
import Sockets
import Testing
import Timers
import UDP
import Wire

/// IP options of what is sent and received. What is expected is what Linux 6.18 did over veth.
@Suite("U7 IP options")
struct IPOptionTests {
  private static let peer = SocketAddress(DatagramBench.peer, port: 6000)
  private static let options = IPOptionName.options

  private static func bytes(_ text: String) -> [UInt8] {
    var digits = text[...]
    var bytes: [UInt8] = []
    while let byte = UInt8(digits.prefix(2), radix: 16) {
      bytes.append(byte)
      digits = digits.dropFirst(2)
    }
    return bytes
  }
  private static func text(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  private func set(_ bench: DatagramBench, _ socket: SocketID, _ text: String) -> Errno? {
    let bytes = Self.bytes(text)
    do throws(Errno) {
      // Safe: a byte has no padding.
      let span = unsafe bytes.span.bytes
      try bench.sockets.setsockopt(socket, level: 0, name: Self.options, value: span, host: &bench.host)
      return nil
    } catch { return error }
  }
  private func get(_ bench: DatagramBench, _ socket: SocketID) throws -> String {
    Self.text(try bench.sockets.getsockopt(socket, level: 0, name: Self.options, host: bench.host))
  }

  /// Options, offset and payload length of each packet that has left since.
  private func left(_ bench: DatagramBench) -> [String] {
    bench.settle()
    defer { bench.sent.removeAll() }
    return bench.sent.map { packet in
      let header = Int(packet[0] & 0xF) * 4
      #expect(Packet.checksum(Array(packet[..<header])) == 0)
      let fragment = Packet.read16(packet, 6)
      let count = Packet.read16(packet, 2) - header
      return "\(Self.text(packet[20..<header])) \(fragment & 0x1FFF) \(count)"
    }
  }

  @Test(
    "what a list may be, and how it reads back",
    arguments: [
      ("94040000", "94040000"), ("0101", "01010000"), ("0001020304", "0000000000000000"), ("", ""),
      ("07", nil), ("0702", nil), ("0701", nil), ("070304", "07030400"), ("070303", nil), ("07040400", nil),
      ("0707040000000007070400000000", nil), ("07070400000000", "0707040000000000"),
      ("4408050000000000", "4408050000000000"), ("4403050000000000", nil), ("4408040000000000", nil),
      ("440805010000000000", nil), ("440c05010000000000000000", "440c05010000000000000000"),
      ("440c05030a00000900000000", "440c05030a00000900000000"), ("440809f000000000", nil),
      ("4408095000000000", "4408095000000000"), ("4408050200000000", "4408050200000000"), ("940300", nil),
      ("8804abcd", "8804abcd"), ("830b040a0000010a000009", "830b040a0000010a00000900"), ("8306040a0000", nil),
      ("8303040a", nil), ("8307080a000001", nil), ("8308040a00000100", nil),
      ("8307040a0000018907040a000001", nil), ("8907040a000001", "8907040a00000100"),
      (String(repeating: "01", count: 41), nil),
    ] as [(String, String?)])
  func lists(given: String, read: String?) throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    #expect(set(bench, socket, given) == (read == nil ? .EINVAL : nil))
    #expect(try get(bench, socket) == read ?? "")
  }

  @Test("options that nothing knows need the privilege") func privilege() throws {
    let bench = DatagramBench()
    let socket = try bench.udp()
    bench.sockets.privileges = []
    #expect(set(bench, socket, "8804abcd") == .EINVAL)
    #expect(set(bench, socket, "4408050200000000") == .EINVAL)
    #expect(set(bench, socket, "94040000") == nil)
  }

  @Test("a recorded route begins with our address, a time stamp with our time") func filled() throws {
    let bench = DatagramBench()
    bench.host.net.timeOfDayOffset = 0
    let socket = try bench.udp(port: 5000)
    let time = Self.text(
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: bench.host.net.millisecondsSinceMidnight >> $0) })
    for (given, sent) in [
      ("94040000", "94040000"), ("070b04000000000000000000", "070b080a0000020000000000"),
      ("440c05000000000000000000", "440c0900" + time + "00000000"),
      ("440c05010000000000000000", "440c0d010a000002" + time),
      ("440c05030a00000200000000", "440c0d030a000002" + time),
      ("440c05030a00000900000000", "440c05030a00000900000000"),
    ] {
      #expect(set(bench, socket, given) == nil)
      try bench.send(socket, [1], to: Self.peer)
      #expect(left(bench) == ["\(sent) 0 9"])
    }
    #expect(set(bench, socket, "") == nil)
    try bench.send(socket, [1], to: Self.peer)
    #expect(left(bench) == [" 0 9"])
  }

  @Test(
    "options take room in a packet; later fragments have those that are copied", arguments: [false, true])
  func fragments(wholeFirst: Bool) throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    #expect(set(bench, socket, "940400000707040000000001") == nil)
    try bench.send(socket, [UInt8](repeating: 7, count: 1460), to: Self.peer)
    #expect(left(bench) == ["940400000707080a00000201 0 1468"])
    if wholeFirst {
      // The MTU shrinks behind the sender's back: one packet is cut on its way.
      bench.host.learnPathMTU(destination: IPAddress(DatagramBench.peer), mtu: 1400)
    }
    try bench.send(socket, [UInt8](repeating: 7, count: 3000), to: Self.peer)
    let packets = left(bench)
    #expect(packets.count == 3)
    #expect(packets.first?.hasPrefix("940400000707080a00000201 0 ") ?? false)
    #expect(packets.dropFirst().allSatisfy { $0.hasPrefix("940400000101010101010101 ") })
    try bench.setFlag(socket, level: 0, name: IPOptionName.mtuDiscover, 2)
    try bench.setFlag(socket, level: 0, name: IPOptionName.receiveErrors)
    #expect(throws: Errno.EMSGSIZE) {
      try bench.send(socket, [UInt8](repeating: 7, count: 1461), to: Self.peer)
    }
    let report = try bench.receive(socket, flags: .errorQueue).message.control.error
    #expect(report?.info == (wholeFirst ? 1388 : 1488))
  }

  @Test("segments of a datagram: the options count") func segments() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    #expect(set(bench, socket, "94040000") == nil)
    for (size, count) in [(1000, 3), (1468, 2)] {
      var control = SendControl()
      control.segmentByteCount = size
      try bench.send(socket, [UInt8](repeating: 7, count: 2500), to: Self.peer, control: control)
      let packets = left(bench)
      #expect(packets.count == count && packets.allSatisfy { $0.hasPrefix("94040000 0 ") })
    }
    var control = SendControl()
    control.segmentByteCount = 1469
    #expect(throws: Errno.EMSGSIZE) {
      try bench.send(socket, [UInt8](repeating: 7, count: 2500), to: Self.peer, control: control)
    }
  }

  @Test("a source route: to its first hop, and the destination at its end") func sourceRoute() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    let far = SocketAddress(IPv4Address(10, 9, 9, 9), port: 6000)
    #expect(set(bench, socket, "830b040a0000010a080808") == nil)
    try bench.send(socket, [1], to: far)
    bench.settle()
    #expect(
      bench.sent.map { Array($0[16..<32]) } == [[10, 0, 0, 1] + Self.bytes("830b040a0808080a09090900")])
    // The sum is over the first hop, as Linux has it: it is the packet's destination.
    let pseudo = Packet.pseudo([10, 0, 0, 2], [10, 0, 0, 1], 9)
    #expect(Packet.checksum(pseudo + bench.sent[0][32..<41]) == 0)
    bench.sent.removeAll()
    #expect(throws: Errno.EINVAL) { try bench.send(socket, [1], to: SocketAddress(.any, port: 6000)) }
    #expect(set(bench, socket, "830708080808080808") == .EINVAL)
    #expect(set(bench, socket, "83070408080808") == nil)
    #expect(throws: Errno.ENETUNREACH) { try bench.send(socket, [1], to: Self.peer) }
    // A strict route leads over no gateway.
    try bench.host.addRoute(RouteEntry(#require(IPv4Prefix("8.0.0.0/8")), gateway: DatagramBench.peer))
    try bench.send(socket, [1], to: far)
    #expect(left(bench).count == 1)
    #expect(set(bench, socket, "89070408080808") == nil)
    #expect(throws: Errno.ENETUNREACH) { try bench.send(socket, [1], to: far) }
  }

  @Test("a message's options take the place of the socket's") func message() throws {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    #expect(set(bench, socket, "070b04000000000000000000") == nil)
    func send(_ text: String) throws(Errno) {
      let data = Self.bytes(text)
      let header: [UInt8] = [UInt8(16 + data.count)] + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]
      let control = header + data
      let name: [UInt8] = [2, 0, 0x17, 0x70, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
      // Safe: bytes have no padding.
      let made = try bench.sockets.messageHeader(
        socket, name: unsafe name.span.bytes, nameLength: 16, control: unsafe control.span.bytes, flags: [],
        host: bench.host)
      do { try bench.send(socket, [1], header: made) } catch {
        throw error as? Errno ?? .EINVAL
      }
    }
    try send("94040000")
    try send("")
    try send(String(repeating: "01", count: 44))
    #expect(left(bench) == ["94040000 0 9", " 0 9", String(repeating: "01", count: 40) + " 0 9"])
    #expect(throws: Errno.EINVAL) { try send("07") }
  }

  /// A datagram with options from 10.0.0.1.
  private func arrive(_ bench: DatagramBench, _ options: String, to port: Int = 5000, number: UInt8 = 17) {
    let datagram = Packet.udp(from: 9, to: port, [1])
    var packet = Array(datagram[..<20]) + Self.bytes(options) + datagram[20...]
    packet[0] = UInt8(0x40 + (20 + Self.bytes(options).count) / 4)
    packet.replaceSubrange(2..<4, with: Packet.big16(packet.count))
    let header = 20 + Self.bytes(options).count
    packet.replaceSubrange(10..<12, with: [0, 0])
    packet.replaceSubrange(10..<12, with: Packet.big16(Packet.checksum(Array(packet[..<header]))))
    bench.receive(packet)
  }

  @Test("IP_RECVOPTS as they came, with our address; IP_RETOPTS as an answer has them") func received() throws
  {
    let bench = DatagramBench()
    let socket = try bench.udp(port: 5000)
    try bench.setFlag(socket, level: 0, name: IPOptionName.receiveOptions)
    try bench.setFlag(socket, level: 0, name: IPOptionName.returnOptions)
    func told(_ options: String) throws -> [String?] {
      arrive(bench, options)
      let control = try bench.receive(socket, flags: .dontWait).message.control
      return [control.options.map { Self.text($0) }, control.returnOptions.map { Self.text($0) }]
    }
    #expect(try told("") == [nil, nil])
    #expect(
      try told("070b080a0000010000000000") == ["070b0c0a0000010a00000200", "070b0c0a0000010a00000200"])
    #expect(try told("94040000") == ["94040000", ""])
    // What does not fit any more is counted.
    #expect(try told("4404050000000000").first == "4404051000000000")
  }

  @Test("answers of ICMP go on with what is recorded") func answers() throws {
    let bench = DatagramBench()
    arrive(bench, "070f080a00000100000000000000000000000000", to: 99)
    let report = try #require(bench.sent.last)
    #expect(Self.text(report[20..<36]) == "070f100a0000010a0000020a00000200")
    #expect(report[36] == 3 && report[37] == 3)
    bench.sent.removeAll()
    arrive(bench, "94040000", to: 99)
    #expect(try #require(bench.sent.last)[0] == 0x45)
  }
}
