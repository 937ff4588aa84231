import InetSocket
import NetDevice
import NetNamespace
import SkBuff
import Sockets
import Testing
import UDP
import Wire

/// UDP-Lite (RFC 3828). What each option and each datagram comes to was tried on Linux 6.18.
@Suite("U8 UDP-Lite") struct UDPLiteTests {
  private let peer = SocketAddress(DatagramBench.peer, port: 7)
  private static let (send, receive): (Int32, Int32) = (10, 11)

  private func socket(_ bench: DatagramBench, port: UInt16 = 40000) throws -> SocketID {
    let id = try bench.sockets.socket(
      family: .inet, type: .datagram, protocol: .udpLite, net: &bench.host.net)
    try bench.sockets.bind(id, to: SocketAddress(.any, port: port), host: &bench.host)
    return id
  }
  private func option(_ bench: DatagramBench, _ id: SocketID, _ name: Int32, level: Int32 = 136) throws -> Int
  {
    let bytes = try bench.sockets.getsockopt(id, level: level, name: name, host: bench.host)
    return bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  /// A datagram as RFC 3828 has it, whose checksum covers `coverage` bytes; `field` is what it says.
  private func datagram(
    _ payload: [UInt8], to port: Int = 40000, coverage: Int, field: Int? = nil, checksum given: Int? = nil
  ) -> [UInt8] {
    let field = field ?? coverage
    var bytes = Packet.big16(7) + Packet.big16(port) + Packet.big16(field) + [0, 0] + payload
    let pseudo: [UInt8] = [10, 0, 0, 1, 10, 0, 0, 2, 0, 136] + Packet.big16(bytes.count)
    bytes.replaceSubrange(
      6..<8, with: Packet.big16(given ?? Packet.checksum(pseudo + bytes.prefix(coverage))))
    return Packet.ip(protocol: 136, payload: bytes)
  }

  @Test(
    "U8 RFC 3828 3.1: the length field is the coverage, and only so much is summed", arguments: [1500, 596])
  func coverage(mtu: Int) throws {
    let bench = DatagramBench(mtu: mtu)
    let id = try socket(bench)
    let payload = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    // SO_NO_CHECK means nothing here.
    try bench.setFlag(id, level: 1, name: 11)
    let cases: [(set: Int32?, field: Int, covered: Int)] = [
      (nil, 1008, 1008), (8, 8, 8), (21, 21, 21), (700, 700, 700), (0, 0, 1008), (1008, 1008, 1008),
      (2000, 1008, 1008),
    ]
    for one in cases {
      if let value = one.set { try bench.setFlag(id, level: 136, name: Self.send, value) }
      try bench.send(id, payload, to: peer)
      bench.settle()
      let packets = bench.sent
      bench.sent = []
      #expect(packets.allSatisfy { $0[9] == 136 })
      let bytes = packets.flatMap { $0[20..<Packet.read16($0, 2)] }
      #expect(bytes.count == 1008 && Packet.read16(bytes, 4) == one.field, "\(one)")
      let pseudo: [UInt8] = [10, 0, 0, 2, 10, 0, 0, 1, 0, 136] + Packet.big16(1008)
      #expect(Packet.checksum(pseudo + bytes.prefix(one.covered)) == 0, "\(one)")
      #expect(Array(bytes[8...]) == payload)
    }
    #expect(bench.count(.UdpLiteOutDatagrams) == 7 && bench.count(.UdpOutDatagrams) == 0)
  }

  @Test("U8 the coverage options: least 8, most 65,535, and not of UDP") func options() throws {
    let bench = DatagramBench()
    let id = try socket(bench)
    for name in [Self.send, Self.receive] {
      #expect(try option(bench, id, name) == 0)
      for (value, kept) in [(1, 8), (8, 8), (-5, 8), (70_000, 65_535), (9, 9), (0, 0)] as [(Int32, Int)] {
        try bench.setFlag(id, level: 136, name: name, value)
        #expect(try option(bench, id, name) == kept)
        #expect(try option(bench, id, name, level: 17) == kept)
      }
      let udp = try bench.udp()
      #expect(throws: Errno.ENOPROTOOPT) { try bench.setFlag(udp, level: 136, name: name, 8) }
      #expect(try option(bench, udp, name) == 0)
    }
    #expect(try option(bench, id, 38, level: 1) == 136)
    #expect(throws: Errno.EOPNOTSUPP) { try bench.setFlag(id, level: 1, name: 60) }
  }

  @Test("U8 what the checksum does not cover may be damaged, the rest not") func damage() throws {
    let bench = DatagramBench()
    let id = try socket(bench)
    var packet = datagram([1, 2, 3, 4], coverage: 10)
    packet[31] ^= 0xFF
    bench.receive(packet)
    #expect(try bench.receive(id).bytes == [1, 2, 3, 4 ^ 0xFF])
    packet = datagram([1, 2, 3, 4], coverage: 10)
    packet[29] ^= 0xFF
    bench.receive(packet)
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
    #expect(bench.count(.UdpLiteInCsumErrors) == 1 && bench.count(.UdpLiteInErrors) == 1)
    #expect(bench.count(.UdpLiteInDatagrams) == 1 && bench.count(.UdpInDatagrams) == 0)
    // 0 says all of it.
    bench.receive(datagram([5, 6], coverage: 10, field: 0))
    #expect(try bench.receive(id).bytes == [5, 6])
    // A datagram ends where its packet ends, whatever is covered.
    bench.receive(datagram([], coverage: 8))
    #expect(try bench.receive(id).bytes == [])
  }

  @Test("U8 RFC 3828 3.1: no checksum, and coverage that is too small or beyond the end, are errors")
  func malformed() throws {
    let bench = DatagramBench()
    let id = try socket(bench)
    bench.receive(datagram([1, 2], coverage: 10, checksum: 0))
    bench.receive(datagram([1, 2], coverage: 7))
    #expect(bench.count(.UdpLiteInCsumErrors) == 2 && bench.count(.UdpLiteInErrors) == 2)
    bench.receive(datagram([1, 2], coverage: 10, field: 11))
    #expect(bench.count(.UdpLiteInCsumErrors) == 2 && bench.count(.UdpLiteInErrors) == 3)
    bench.receive(Packet.ip(protocol: 136, payload: [0, 7, 0x9C, 0x40]))
    #expect(bench.count(.UdpLiteInErrors) == 4)
    // None is none, also where the sum would be right with it.
    let fill = Array(datagram([0, 0], coverage: 10)[26..<28])
    bench.receive(datagram(fill, coverage: 10, checksum: 0))
    #expect(bench.count(.UdpLiteInCsumErrors) == 3 && bench.count(.UdpLiteInErrors) == 5)
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
    // Six bytes of the header are less than it, also where their sum is right.
    let short = (1...65_535).lazy.map {
      Packet.big16($0) + Packet.big16(40000) + Packet.big16(6) + [0, 1, 1, 2]
    }
    let right = try #require(
      short.first { Packet.checksum([10, 0, 0, 1, 10, 0, 0, 2, 0, 136, 0, 10] + $0.prefix(6)) == 0 })
    bench.receive(Packet.ip(protocol: 136, payload: right))
    #expect(bench.count(.UdpLiteInCsumErrors) == 4)
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
  }

  @Test("U8 UDPLITE_RECV_CSCOV: what covers less is dropped, in full only where all is asked for")
  func least() throws {
    let bench = DatagramBench()
    let id = try socket(bench)
    func isTaken(_ coverage: Int, field: Int? = nil) -> Bool {
      bench.receive(datagram([1, 2, 3, 4], coverage: coverage, field: field))
      return (try? bench.receive(id)) != nil
    }
    #expect(isTaken(8) && isTaken(12))
    try bench.setFlag(id, level: 136, name: Self.receive, 10)
    #expect(!isTaken(9) && isTaken(10) && isTaken(12) && isTaken(12, field: 0))
    // What is covered whole is never too little.
    try bench.setFlag(id, level: 136, name: Self.receive, 13)
    #expect(isTaken(12) && !isTaken(11))
    try bench.setFlag(id, level: 136, name: Self.receive, 0)
    #expect(!isTaken(11) && isTaken(12))
    #expect(bench.count(.UdpLiteInErrors) == 3 && bench.count(.UdpLiteInCsumErrors) == 0)
  }

  @Test("U9 ports and counters are its own") func apart() throws {
    let bench = DatagramBench()
    let id = try socket(bench)
    let udp = try bench.udp(port: 40000)
    bench.receive(Packet.udp(from: 7, to: 40000, [1]))
    #expect(try bench.receive(udp).bytes == [1])
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
    bench.receive(datagram([1], to: 40001, coverage: 9))
    #expect(bench.count(.UdpLiteNoPorts) == 1 && bench.count(.UdpNoPorts) == 0)
    // Port unreachable, and one from the peer for the connected.
    let answer = try #require(bench.sent.last)
    #expect(answer[9] == 1 && answer[20] == 3 && answer[21] == 3)
    try bench.connect(id, 7)
    try bench.send(id, [1])
    bench.settle()
    bench.receive(Packet.icmpError(type: 3, code: 3, about: try #require(bench.sent.last)))
    #expect(throws: Errno.ECONNREFUSED) { try bench.send(id, [1]) }
    try bench.setFlag(id, level: 1, name: 33, 0)
    for _ in 0..<40 { bench.receive(datagram([UInt8](repeating: 0, count: 1000), coverage: 8)) }
    #expect(bench.count(.UdpLiteRcvbufErrors) > 0 && bench.count(.UdpRcvbufErrors) == 0)
    try bench.setFlag(id, level: 1, name: 7, 0)
    #expect(throws: (any Error).self) {
      for _ in 0..<40 { try bench.send(id, [UInt8](repeating: 0, count: 1400), flags: .dontWait) }
    }
    #expect(bench.count(.UdpLiteSndbufErrors) > 0 && bench.count(.UdpSndbufErrors) == 0)
  }

  @Test("U8 segments are not cut from a datagram of UDP-Lite: EIO, after all that is wrong with the sizes")
  func segments() throws {
    let bench = DatagramBench()
    let id = try socket(bench)
    try bench.connect(id, 7)
    try bench.setFlag(id, level: 17, name: 103, 100)
    #expect(throws: Errno(rawValue: 5)) { try bench.send(id, [UInt8](repeating: 0, count: 250)) }
    #expect(throws: Errno(rawValue: 5)) { try bench.send(id, [1]) }
    #expect(throws: Errno.EINVAL) { try bench.send(id, [UInt8](repeating: 0, count: 100 * 129)) }
    try bench.setFlag(id, level: 17, name: 103, 1473)
    #expect(throws: Errno.EMSGSIZE) { try bench.send(id, [UInt8](repeating: 0, count: 1473)) }
  }
}

/// Datagrams that one poll brings, as one message. Linux: udp(7), `UDP_GRO`.
@Suite("U2 UDP_GRO") struct DatagramOffloadTests {
  private static let (udp, gro): (Int32, Int32) = (17, 104)

  private func bench() -> DatagramBench { DatagramBench(features: [.scatterGather, .checksum, .gro]) }

  /// Those of one poll; identifications go up, and ports take turns.
  private func deliver(
    _ bench: DatagramBench, _ payloads: [[UInt8]], from ports: [Int] = [7], checksums: [Int?] = [nil]
  ) {
    for (number, payload) in payloads.enumerated() {
      var packet = Packet.udp(
        from: ports[number % ports.count], to: 40000, payload, checksum: checksums[number % checksums.count])
      packet.replaceSubrange(4..<6, with: Packet.big16(number + 1))
      packet.replaceSubrange(10..<12, with: [0, 0])
      packet.replaceSubrange(10..<12, with: Packet.big16(Packet.checksum(Array(packet.prefix(20)))))
      bench.card.receive(
        DatagramBench.mac + DatagramBench.peerMAC + [8, 0] + packet, now: bench.host.net.now)
    }
    bench.settle()
  }
  private func payload(_ value: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: value, count: count) }

  @Test("U2 UDP_GRO: equal ones and a shorter last are taken as one, with the size of each") func whole()
    throws
  {
    let bench = bench()
    let id = try bench.udp(port: 40000)
    try bench.setFlag(id, level: Self.udp, name: Self.gro)
    deliver(bench, [payload(1, 1000), payload(2, 1000), payload(3, 500), payload(4, 1000)])
    let (bytes, message) = try bench.receive(id)
    #expect(bytes == payload(1, 1000) + payload(2, 1000) + payload(3, 500))
    #expect(message.control.segmentByteCount == 1000)
    var room = [UInt8](repeating: 0, count: 100)
    var span = room.mutableSpan
    var raw = unsafe span.mutableBytes
    let written = ControlMessages.write(message.control, to: &raw).byteCount
    #expect(
      Array(room[..<written])
        == [20, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 104, 0, 0, 0, 0xE8, 3, 0, 0, 0, 0, 0, 0])
    let last = try bench.receive(id)
    #expect(last.bytes == payload(4, 1000) && last.message.control.segmentByteCount == nil)
  }

  @Test("U2 UDP_GRO: what is longer, of another flow, without a checksum or small is taken alone")
  func apart() throws {
    let bench = bench()
    let id = try bench.udp(port: 40000)
    try bench.setFlag(id, level: Self.udp, name: Self.gro)
    func counts() throws -> [Int] {
      var list: [Int] = []
      while let one = try? bench.receive(id) { list.append(one.bytes.count) }
      return list
    }
    deliver(bench, [payload(1, 1000), payload(2, 1001)])
    #expect(try counts() == [1000, 1001])
    deliver(bench, [payload(1, 1000), payload(1, 1000)], from: [7, 8])
    #expect(try counts() == [1000, 1000])
    for checksums in [[0], [nil, 0], [0, nil]] as [[Int?]] {
      deliver(bench, [payload(1, 1000), payload(2, 1000)], checksums: checksums)
      #expect(try counts() == [1000, 1000])
    }
    // 64 of them are one.
    deliver(bench, (0..<60).map { payload($0, 300) })
    #expect(try counts().reduce(0, +) == 18_000)
  }

  @Test("U2 without UDP_GRO each comes by itself, also beside a socket that has it, and after its end")
  func single() throws {
    let bench = bench()
    let other = try bench.udp(port: 40001)
    try bench.setFlag(other, level: Self.udp, name: Self.gro)
    let id = try bench.udp(port: 40000)
    try bench.setFlag(id, level: 0, name: 8)
    deliver(bench, [payload(1, 1000), payload(2, 1000), payload(3, 500)])
    for (value, count) in [(1, 1000), (2, 1000), (3, 500)] as [(UInt8, Int)] {
      let one = try bench.receive(id)
      #expect(one.bytes == payload(value, count) && one.message.control.segmentByteCount == nil)
      #expect(one.message.source?.port == 7 && one.message.control.destination == DatagramBench.address)
    }
    #expect(bench.count(.UdpInDatagrams) == 3)
    #expect(bench.host.net.datagramOffloadUsers == 1)
    try bench.setFlag(other, level: Self.udp, name: Self.gro)
    #expect(bench.host.net.datagramOffloadUsers == 1)
    try bench.sockets.close(other, host: &bench.host)
    #expect(bench.host.net.datagramOffloadUsers == 0)
  }
}

@Suite("U3 the route that a socket keeps") struct CachedRouteTests {
  @Test(
    "U3 a send with a name, or control messages that are not UDP's, leaves the route of the connected alone")
  func named() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    func pathMTU() throws -> Int {
      let bytes = try bench.sockets.getsockopt(id, level: 0, name: 14, host: bench.host)
      return bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    #expect(try pathMTU() == 1500)
    let loopback = SocketAddress(IPv4Address(127, 0, 0, 1), port: 9)
    try bench.send(id, [1], to: loopback)
    #expect(try pathMTU() == 1500)
    var control = SendControl()
    control.timeToLive = 9
    try bench.send(id, [1], to: loopback, control: control)
    #expect(try pathMTU() == 1500)
    // What it keeps is its own way still.
    bench.sent = []
    try bench.send(id, [2])
    control = SendControl()
    control.segmentByteCount = 100
    try bench.send(id, [3], control: control)
    bench.settle()
    #expect(bench.sent.map { $0[28] } == [2, 3])
    #expect(bench.sent.allSatisfy { Array($0[16..<20]) == [10, 0, 0, 1] })
  }

  @Test("U3 a route that was looked up for the connected is not taken for one that a name asks for")
  func keys()
    throws
  {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    let far = SocketAddress(IPv4Address(192, 0, 2, 9), port: 9)
    var control = SendControl()
    control.interface = bench.ethernet
    try bench.send(id, [1], to: far, control: control)
    // The kept route is looked up anew.
    try bench.setFlag(id, level: 1, name: 36, 5)
    try bench.send(id, [2])
    #expect(throws: Errno.ENETUNREACH) { try bench.send(id, [3], to: far) }
  }

  @Test("U3 MSG_PROBE makes every check, sends nothing and leaves the kept route alone") func probe() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    let peer = SocketAddress(DatagramBench.peer, port: 7)
    #expect(try bench.send(id, [1, 2], to: peer, flags: .probe) == 2)
    #expect(throws: Errno.EDESTADDRREQ) { try bench.send(id, [1], flags: .probe) }
    #expect(throws: Errno.EMSGSIZE) {
      try bench.send(id, [UInt8](repeating: 0, count: 65_536), to: peer, flags: .probe)
    }
    bench.settle()
    #expect(bench.sent.isEmpty)
  }
}
