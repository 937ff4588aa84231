import IPv4
import InetSocket
import Internet
import NetDevice
import NetNamespace
import Sockets
import Testing
import UDP
import Wire

/// Corners of datagram sockets where a comparison with Linux 6.18, call by call, once found differences.
@Suite struct DatagramFaithTests {
  private static let everybody = IPv4Address(10, 0, 0, 255)

  private func option(_ bench: DatagramBench, _ id: SocketID, _ level: Int32, _ name: Int32) throws -> Int {
    let bytes = try bench.sockets.getsockopt(id, level: level, name: name, host: bench.host)
    return bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
  }
  private func set(_ bench: DatagramBench, _ id: SocketID, _ name: Int32, _ bytes: [UInt8]) throws {
    let span = unsafe bytes.span.bytes
    try bench.sockets.setsockopt(id, level: 0, name: name, value: span, host: &bench.host)
  }
  private func ping(_ bench: DatagramBench) throws -> SocketID {
    try bench.sockets.socket(domain: 2, type: 2, protocol: 1, net: &bench.host.net)
  }
  private func identifications(_ bench: DatagramBench) -> [Int] {
    bench.settle()
    defer { bench.sent.removeAll() }
    return bench.sent.map { Packet.read16($0, 4) }
  }

  // MARK: Path MTU

  @Test(
    "U3 P3 IP_MTU is the path's as soon as a router has told; a socket that it did not name waits for its send"
  )
  func pathMTU() throws {
    let bench = DatagramBench()
    let (id, other) = (try bench.udp(port: 40000), try bench.udp())
    try bench.connect(id, 7)
    try bench.connect(other, 9)
    try bench.send(id, [1])
    bench.settle()
    let packet = try #require(bench.sent.first)
    bench.receive(Packet.icmpError(type: 3, code: 4, rest: [0, 0] + Packet.big16(1024), about: packet))
    #expect(try option(bench, id, 0, 14) == 1024)
    #expect(try option(bench, other, 0, 14) == 1500)
    let echo = try ping(bench)
    try bench.sockets.connect(echo, to: SocketAddress(DatagramBench.peer, port: 0), host: &bench.host)
    bench.sent.removeAll()
    try bench.send(echo, [8, 0, 0, 0, 0, 0, 0, 9])
    bench.settle()
    let request = try #require(bench.sent.first)
    bench.receive(Packet.icmpError(type: 3, code: 4, rest: [0, 0] + Packet.big16(900), about: request))
    #expect(try option(bench, echo, 0, 14) == 900)
  }

  // MARK: lo

  @Test("U4 a group by lo: once, its device is lo, and a socket of lo's hears it") func groupByLoopback()
    throws
  {
    let bench = DatagramBench()
    let receiver = try bench.udp(port: 5000)
    try bench.setFlag(receiver, level: 0, name: IPOptionName.packetInfo)
    try set(bench, receiver, 35, [239, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0])
    let sender = try bench.udp()
    try set(bench, sender, 32, [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
    let group = SocketAddress(IPv4Address(239, 1, 1, 1), port: 5000)
    for isOfDevice in [false, true] {
      if isOfDevice { try bench.setFlag(receiver, level: 1, name: SocketOptionName.bindToInterface, 1) }
      try bench.send(sender, [7], to: group)
      bench.settle()
      #expect(try bench.receive(receiver).message.control.interface == .loopback)
      #expect(throws: Errno.EAGAIN) { try bench.receive(receiver) }
    }
    #expect(bench.sent.isEmpty)
  }

  @Test("U4 a broadcast by lo: its device is lo, and a socket of lo's hears it") func broadcastByLoopback()
    throws
  {
    let bench = DatagramBench()
    let receiver = try bench.udp(port: 5000)
    try bench.setFlag(receiver, level: 0, name: IPOptionName.packetInfo)
    let sender = try bench.udp()
    try bench.setFlag(sender, level: 1, name: SocketOptionName.broadcast)
    for isOfDevice in [false, true] {
      if isOfDevice { try bench.setFlag(receiver, level: 1, name: SocketOptionName.bindToInterface, 1) }
      try bench.send(sender, [7], to: SocketAddress(IPv4Address(127, 255, 255, 255), port: 5000))
      bench.settle()
      #expect(try bench.receive(receiver).message.control.interface == .loopback)
      #expect(throws: Errno.EAGAIN) { try bench.receive(receiver) }
    }
  }

  @Test("U6 UDP_SEGMENT by lo: one read where UDP_GRO is on, else a read for each", arguments: [false, true])
  func segmentsByLoopback(merges: Bool) throws {
    let bench = DatagramBench()
    let receiver = try bench.udp(port: 5000)
    if merges { try bench.setFlag(receiver, level: 17, name: 104) }
    let sender = try bench.udp()
    try bench.setFlag(sender, level: 17, name: 103, 100)
    let payload = (0..<250).map { UInt8(truncatingIfNeeded: $0) }
    try bench.send(sender, payload, to: SocketAddress(.loopback, port: 5000))
    bench.settle()
    var parts: [[UInt8]] = []
    var sizes: [Int?] = []
    while let (bytes, message) = try? bench.receive(receiver) {
      parts.append(bytes)
      sizes.append(message.control.segmentByteCount)
    }
    #expect(parts.flatMap(\.self) == payload)
    #expect(parts.map(\.count) == (merges ? [250] : [100, 100, 50]))
    #expect(sizes == (merges ? [100] : [nil, nil, nil]))
  }

  // MARK: Identification

  @Test(
    "P2 identification 0: no peer, and DF whatever its length",
    arguments: [(2, true), (3, true), (1, false), (0, false)])
  func atomic(discovery: Int32, isZero: Bool) throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.setFlag(id, level: 0, name: IPOptionName.mtuDiscover, discovery)
    for _ in 0..<2 { try bench.send(id, [1], to: SocketAddress(DatagramBench.peer, port: 7)) }
    let found = identifications(bench)
    #expect(found.count == 2 && found.allSatisfy { ($0 == 0) == isZero })
  }

  @Test(
    "P2 with a peer identifications are the socket's own, one after another, cut or not, whoever it sends to",
    arguments: [0, 1, 2] as [Int32])
  func ownIdentifications(discovery: Int32) throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    try bench.setFlag(id, level: 0, name: IPOptionName.mtuDiscover, discovery)
    try bench.send(id, [1])
    try bench.send(id, [1], to: SocketAddress(DatagramBench.peer, port: 8))
    try bench.send(id, [UInt8](repeating: 1, count: discovery == 2 ? 1 : 2000))
    bench.host.internet.routesChanged()
    try bench.send(id, [1])
    let found = identifications(bench)
    let first = try #require(found.first)
    let steps = discovery == 2 ? [0, 1, 2, 3] : [0, 1, 2, 2, 3]
    #expect(found == steps.map { (first + $0) & 0xFFFF })
  }

  // MARK: Options

  @Test("S7 IP_TOS that changes nothing leaves SO_PRIORITY; one that does drops the route")
  func typeOfService()
    throws
  {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.setFlag(id, level: 1, name: 12, 5)
    try bench.setFlag(id, level: 0, name: IPOptionName.typeOfService, 0)
    #expect(try option(bench, id, 1, 12) == 5)
    try bench.connect(id, 7)
    try bench.setFlag(id, level: 0, name: IPOptionName.typeOfService, 0)
    #expect(try option(bench, id, 0, IPOptionName.mtu) == 1500)
    try bench.setFlag(id, level: 0, name: IPOptionName.typeOfService, 16)
    #expect(try option(bench, id, 1, 12) == 6)
    #expect(throws: Errno.ENOTCONN) { try option(bench, id, 0, IPOptionName.mtu) }
    try bench.send(id, [1])
    #expect(try option(bench, id, 0, IPOptionName.mtu) == 1500)
  }

  @Test("U10 IP_UNICAST_IF after connect() leaves the way that the socket has; SO_BINDTODEVICE does not")
  func lateInterface() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    try bench.setFlag(id, level: 0, name: IPOptionName.unicastInterface, 1 << 24)
    try bench.send(id, [1])
    bench.settle()
    #expect(bench.sent.count == 1)
    try bench.setFlag(id, level: 1, name: SocketOptionName.bindToInterface, 1)
    _ = try? bench.send(id, [2])
    bench.settle()
    #expect(bench.sent.count == 1)
  }

  // MARK: Collecting

  @Test("U2 a datagram that collects has the type of service of its beginning") func collectedType() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    try bench.setFlag(id, level: 0, name: IPOptionName.typeOfService, 8)
    try bench.send(id, [1], flags: .more)
    try bench.setFlag(id, level: 0, name: IPOptionName.typeOfService, 16)
    try bench.send(id, [2])
    try bench.send(id, [3])
    bench.settle()
    #expect(bench.sent.map { $0[1] } == [8, 16])
  }

  @Test("U5 SO_NO_CHECK holds when a collected datagram is sent", arguments: [false, true], [1, 2000])
  func collectedSum(ends: Bool, count: Int) throws {
    for features in [[.scatterGather, .checksum], []] as [DeviceFeatures] {
      let bench = DatagramBench(features: features)
      let id = try bench.udp()
      try bench.connect(id, 7)
      if !ends { try bench.setFlag(id, level: 1, name: 11) }
      try bench.send(id, [UInt8](repeating: 5, count: count), flags: .more)
      try bench.setFlag(id, level: 1, name: 11, ends ? 1 : 0)
      try bench.send(id, [9])
      bench.settle()
      let datagram = bench.sent.flatMap { $0[20..<Packet.read16($0, 2)] }
      #expect(datagram.count == 9 + count)
      if ends {
        #expect(Packet.read16(datagram, 6) == 0)
      } else {
        #expect(Packet.read16(datagram, 6) != 0)
        #expect(Packet.isChecksumRight(datagram, source: [10, 0, 0, 2], destination: [10, 0, 0, 1]))
      }
    }
  }

  @Test("U3 IP_MTU_DISCOVER is asked at each append") func collectedLength() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    let half = [UInt8](repeating: 1, count: 1000)
    try bench.send(id, half, flags: .more)
    try bench.setFlag(id, level: 0, name: IPOptionName.mtuDiscover, 2)
    #expect(throws: Errno.EMSGSIZE) { try bench.send(id, half) }
    try bench.send(id, half, flags: .more)
    try bench.setFlag(id, level: 0, name: IPOptionName.mtuDiscover, 0)
    try bench.send(id, half)
    bench.settle()
    #expect(bench.sent.count == 2)
    #expect(bench.sent.flatMap { $0[20..<Packet.read16($0, 2)] }.count == 2008)
  }

  // MARK: Ping

  @Test("ping SO_REUSEADDR is on from the start: the later socket of an identifier hears; off, EADDRINUSE")
  func shared() throws {
    let bench = DatagramBench()
    func bound(_ address: IPv4Address) throws -> SocketID {
      let id = try ping(bench)
      try bench.sockets.bind(id, to: SocketAddress(address, port: 77), host: &bench.host)
      return id
    }
    let first = try bound(DatagramBench.address)
    #expect(try option(bench, first, 1, 2) == 1)
    let second = try bound(DatagramBench.address)
    var message = [0, 0, 0, 0] + Packet.big16(77) + [0, 1]
    message.replaceSubrange(2..<4, with: Packet.big16(Packet.checksum(message)))
    bench.receive(Packet.ip(protocol: 1, payload: message))
    #expect(throws: Errno.EAGAIN) { try bench.receive(first) }
    #expect(try bench.receive(second).bytes.count == 8)
    try bench.setFlag(second, level: 1, name: 2, 0)
    #expect(throws: Errno.EADDRINUSE) { try bound(DatagramBench.address) }
    for many in [Self.everybody, IPv4Address(224, 0, 0, 1), .broadcast] {
      #expect(throws: Errno.EADDRNOTAVAIL) { try bound(many) }
    }
  }

  @Test("ping an ICMP error about anything but an echo request is nobody's") func quoted() throws {
    let bench = DatagramBench()
    let id = try ping(bench)
    try bench.sockets.bind(id, to: SocketAddress(DatagramBench.address, port: 77), host: &bench.host)
    try bench.sockets.connect(id, to: SocketAddress(DatagramBench.peer, port: 0), host: &bench.host)
    for (kind, code, error) in [(0, 0, 0), (8, 5, 0), (13, 0, 0), (8, 0, 111)] as [(UInt8, UInt8, Int)] {
      let quoted = Packet.ip(
        protocol: 1, payload: [kind, code, 0, 0] + Packet.big16(77) + [0, 1], source: [10, 0, 0, 2],
        destination: [10, 0, 0, 1])
      bench.receive(Packet.icmpError(type: 3, code: 3, about: quoted))
      #expect(try option(bench, id, 1, 4) == error)
    }
  }

  // MARK: TCP, and counters

  @Test("TCP is bound to a group or a broadcast address, and connects from the device's with that port")
  func streamOfMany() throws {
    for many in [Self.everybody, IPv4Address(224, 0, 0, 1), .broadcast] {
      let bench = DatagramBench()
      let id = try bench.sockets.socket(family: .inet, type: .stream, net: &bench.host.net)
      try bench.sockets.bind(id, to: SocketAddress(many, port: 6100), host: &bench.host)
      do throws(Errno) {
        try bench.sockets.connect(id, to: SocketAddress(DatagramBench.peer, port: 80), host: &bench.host)
      } catch { #expect(error == .EINPROGRESS) }
      bench.settle()
      let syn = try #require(bench.sent.first { $0[9] == 6 })
      #expect(Array(syn[12..<16]) == [10, 0, 0, 2] && Packet.read16(syn, 20) == 6100)
    }
  }

  @Test(
    "P9 IcmpInErrors: an ICMP error about what no socket has sent", arguments: [6, 17, 136, 200] as [UInt8])
  func strangers(number: UInt8) throws {
    let bench = DatagramBench()
    let quoted = Packet.ip(
      protocol: number, payload: Packet.big16(5000) + Packet.big16(6000) + [0, 8, 0, 0],
      source: [10, 0, 0, 2],
      destination: [10, 0, 0, 1])
    bench.receive(Packet.icmpError(type: 3, code: 3, about: quoted))
    // Of a protocol that nobody here speaks the kernel (6.18) counts none.
    #expect(bench.count(.IcmpInErrors) == (number == 200 ? 0 : 1))
    #expect(bench.count(.IcmpInDestUnreachs) == 1)
  }
}
