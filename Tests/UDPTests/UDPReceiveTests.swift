import IPv4
import NetNamespace
import SkBuff
import Sockets
import Testing
import UDP
import Wire

@Suite struct UDPReceiveTests {
  /// 10.0.0.1:5555 to 10.0.0.2:40000, "pong", as computed by hand.
  let pong = Packet.ip(
    protocol: 17, payload: [0x15, 0xb3, 0x9c, 0x40, 0x00, 0x0c, 0x5b, 0x09, 0x70, 0x6f, 0x6e, 0x67])

  @Test("R A datagram reaches the socket on its port, with its sender's address")
  func delivery() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
    bench.receive(pong)
    #expect(bench.sockets.readiness(id).contains(.readable))
    #expect(bench.host.net.takeWakeup()?.socket == id)
    let (bytes, message) = try bench.receive(id)
    #expect(bytes == Array("pong".utf8))
    #expect(message.source == SocketAddress(DatagramBench.peer, port: 5555))
    #expect(message.flags == [])
    #expect(bench.count(.UdpInDatagrams) == 1)
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
  }

  @Test(
    "U3 a socket that is connected to port 0 hears every port of its peer, before one that is not connected")
  func anyPort() throws {
    let bench = DatagramBench()
    let (plain, id) = (try bench.udp(), try bench.udp())
    for socket in [plain, id] {
      try bench.setFlag(socket, level: 1, name: 2)
      try bench.sockets.bind(socket, to: SocketAddress(.any, port: 40000), host: &bench.host)
    }
    try bench.connect(id, 0)
    for source in [5555, 1, 65535] {
      bench.receive(Packet.udp(from: source, to: 40000, [7]))
      #expect(try bench.receive(id).message.source?.port == UInt16(source))
    }
    // Of another host none; a socket that is connected to the port comes first.
    bench.receive(Packet.udp(from: 5, to: 40000, [8], source: [10, 0, 0, 9]))
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
    #expect(try bench.receive(plain).bytes == [8])
    #expect(throws: Errno.ENOTCONN) { try bench.sockets.remoteAddress(id) }
    // What is sent goes to port 0.
    bench.sent.removeAll()
    try bench.send(id, [1])
    bench.settle()
    #expect(bench.sent.first.map { Array($0[22..<24]) } == [0, 0])
    try bench.connect(plain, 5555)
    bench.receive(pong)
    #expect(try bench.receive(plain).bytes == Array("pong".utf8))
    try bench.sockets.close(id, host: &bench.host)
    bench.receive(Packet.udp(from: 6, to: 40000, [9]))
    #expect(bench.count(.UdpNoPorts) == 1)
  }

  @Test("R MSG_PEEK leaves the datagram, MSG_TRUNC tells its length")
  func peekAndTruncate() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    bench.receive(pong)
    let peeked = try bench.receive(id, room: 2, flags: .peek)
    #expect(peeked.bytes == Array("po".utf8))
    #expect(peeked.message.flags == .truncate)
    #expect(bench.count(.UdpInDatagrams) == 0)
    let (bytes, message) = try bench.receive(id, room: 3, flags: .truncate)
    #expect(bytes == Array("pon".utf8))
    #expect(message.byteCount == 4 && message.flags == .truncate)
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
  }

  @Test("R A datagram of no bytes wakes the reader and is read as 0")
  func empty() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    bench.receive(Packet.udp(from: 1, to: 40000, []))
    #expect(bench.sockets.readiness(id).contains(.readable))
    let (bytes, message) = try bench.receive(id)
    #expect(bytes.isEmpty && message.source != nil)
  }

  @Test("U9 A port nobody has: NoPorts, and ICMP port unreachable goes back")
  func noPort() throws {
    let bench = DatagramBench()
    bench.receive(pong)
    #expect(bench.count(.UdpNoPorts) == 1)
    let answer = try #require(bench.sent.first)
    #expect(answer[9] == 1 && answer[20] == 3 && answer[21] == 3)
    // The offending packet is quoted.
    #expect(Array(answer[28..<48]) == Array(pong[..<20]))
  }

  @Test("U9 Wrong checksums and lengths are counted and dropped")
  func damage() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    bench.receive(Packet.udp(from: 1, to: 40000, [1, 2, 3], checksum: 0x1234))
    #expect(bench.count(.UdpInCsumErrors) == 1)
    #expect(bench.count(.UdpInErrors) == 1)
    bench.receive(Packet.udp(from: 1, to: 40000, [1, 2, 3], length: 40))
    #expect(bench.count(.UdpInErrors) == 2)
    bench.receive(Packet.udp(from: 1, to: 40000, [1, 2, 3], length: 7))
    #expect(bench.count(.UdpInErrors) == 3)
    bench.receive(Packet.ip(protocol: 17, payload: [0, 1, 0x9c]))
    #expect(bench.count(.UdpInErrors) == 4)
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
    // RFC 768: 0 means that the sender computed none.
    bench.receive(Packet.udp(from: 1, to: 40000, [9], checksum: 0))
    #expect(try bench.receive(id).bytes == [9])
  }

  @Test("U9 The receive buffer's limit drops and counts")
  func receiveBuffer() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    try bench.setFlag(id, level: 1, name: 8, 4096)
    for index in 0..<100 {
      bench.receive(Packet.udp(from: 1, to: 40000, [UInt8](repeating: UInt8(index), count: 500)))
    }
    let drops = bench.count(.UdpRcvbufErrors)
    #expect(drops > 0 && drops < 100)
    #expect(bench.count(.UdpInErrors) == drops)
    #expect(bench.pool.dropCount(.socketReceiveBuffer) == drops)
    var kept: UInt64 = 0
    while let got = try? bench.receive(id) {
      #expect(got.bytes.first == UInt8(kept))
      kept += 1
    }
    #expect(kept + drops == 100)
  }

  @Test("U3 A connected socket hears its peer only, and wins over an unconnected one")
  func connected() throws {
    let bench = DatagramBench()
    let general = try bench.udp()
    try bench.setFlag(general, level: 1, name: 2)
    try bench.sockets.bind(general, to: SocketAddress(.any, port: 40000), host: &bench.host)
    let special = try bench.udp()
    try bench.setFlag(special, level: 1, name: 2)
    try bench.sockets.bind(special, to: SocketAddress(.any, port: 40000), host: &bench.host)
    try bench.connect(special, 5555)
    #expect(try bench.sockets.localAddress(special).address == IPAddress(DatagramBench.address))
    bench.receive(Packet.udp(from: 5555, to: 40000, [1]))
    bench.receive(Packet.udp(from: 5556, to: 40000, [2]))
    #expect(try bench.receive(special).bytes == [1])
    #expect(try bench.receive(general).bytes == [2])
    #expect(throws: Errno.EAGAIN) { try bench.receive(special) }
    // AF_UNSPEC takes the peer away again.
    try bench.sockets.disconnect(special, host: &bench.host)
    #expect(throws: Errno.ENOTCONN) { try bench.sockets.remoteAddress(special) }
    #expect(throws: Errno.EDESTADDRREQ) { try bench.send(special, [1]) }
  }

  @Test("R SO_REUSEPORT spreads flows over the group, each flow to one member")
  func reusePort() throws {
    let bench = DatagramBench()
    let ids = try (0..<4).map { _ in
      let id = try bench.udp()
      try bench.setFlag(id, level: 1, name: 15)
      try bench.sockets.bind(id, to: SocketAddress(.any, port: 40000), host: &bench.host)
      return id
    }
    #expect(throws: Errno.EADDRINUSE) { try bench.udp(port: 40000) }
    for _ in 0..<2 {
      for port in 1000..<1064 { bench.receive(Packet.udp(from: port, to: 40000, [1])) }
    }
    var seen: [UInt16: Set<Int>] = [:]
    for (index, id) in ids.enumerated() {
      var count = 0
      while let got = try? bench.receive(id) {
        seen[got.message.source?.port ?? 0, default: []].insert(index)
        count += 1
      }
      #expect(count > 0)
    }
    #expect(seen.count == 64 && seen.values.allSatisfy { $0.count == 1 })
  }

  @Test("R IP_PKTINFO, IP_RECVTTL and IP_RECVTOS")
  func receivedControl() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    for name: Int32 in [8, 12, 13] { try bench.setFlag(id, level: 0, name: name) }
    bench.receive(pong)
    let control = try bench.receive(id).message.control
    #expect(control.destination == DatagramBench.address)
    #expect(control.timeToLive == 64)
    #expect(control.typeOfService == 0)
  }

  @Test("U4 A broadcast reaches every socket on the port")
  func broadcast() throws {
    let bench = DatagramBench()
    let ids = try (0..<3).map { _ in
      let id = try bench.udp()
      try bench.setFlag(id, level: 1, name: 2)
      try bench.sockets.bind(id, to: SocketAddress(.any, port: 40000), host: &bench.host)
      return id
    }
    bench.receive(
      Packet.udp(from: 5, to: 40000, [7, 8], destination: [10, 0, 0, 255]),
      destinationMAC: [UInt8](repeating: 0xFF, count: 6))
    for id in ids { #expect(try bench.receive(id).bytes == [7, 8]) }
    // Nobody is told about a port that nobody has.
    bench.receive(
      Packet.udp(from: 5, to: 1, [7, 8], destination: [10, 0, 0, 255]),
      destinationMAC: [UInt8](repeating: 0xFF, count: 6))
    #expect(bench.count(.UdpIgnoredMulti) == 1)
    #expect(bench.sent.isEmpty)
  }

  @Test("R Datagrams to ourselves, over the MTU of the link too")
  func loopback() throws {
    let bench = DatagramBench()
    let server = try bench.udp(port: 40000)
    let client = try bench.udp()
    let payload = (0..<65507).map { UInt8(truncatingIfNeeded: $0 &* 13) }
    for address in [IPv4Address.loopback, DatagramBench.address] {
      try bench.send(client, payload, to: SocketAddress(address, port: 40000))
      bench.settle()
      #expect(try bench.receive(server).bytes == payload)
    }
    #expect(bench.sent.isEmpty)
  }

  // MARK: Errors

  @Test("S7 Port unreachable: ECONNREFUSED on a connected socket, once")
  func refused() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    try bench.send(id, [1])
    bench.settle()
    let packet = try #require(bench.sent.first)
    bench.receive(Packet.icmpError(type: 3, code: 3, about: packet))
    #expect(bench.sockets.readiness(id).contains(.error))
    #expect(throws: Errno.ECONNREFUSED) { try bench.receive(id) }
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
    bench.receive(Packet.icmpError(type: 3, code: 3, about: packet))
    #expect(throws: Errno.ECONNREFUSED) { try bench.send(id, [1]) }
    try bench.send(id, [1])
    bench.receive(Packet.icmpError(type: 3, code: 3, about: packet))
    #expect(bench.sockets.takeError(id) == .ECONNREFUSED)
    #expect(bench.sockets.takeError(id) == nil)
    // Host unreachable may pass: not reported without IP_RECVERR.
    bench.receive(Packet.icmpError(type: 3, code: 1, about: packet))
    #expect(bench.sockets.takeError(id) == nil)
  }

  @Test("S7 An unconnected socket learns of errors only with IP_RECVERR, from the error queue")
  func errorQueue() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    let target = SocketAddress(DatagramBench.peer, port: 7)
    try bench.send(id, [1], to: target)
    bench.settle()
    let packet = try #require(bench.sent.first)
    bench.receive(Packet.icmpError(type: 3, code: 3, about: packet))
    #expect(throws: Errno.EAGAIN) { try bench.receive(id) }
    try bench.setFlag(id, level: 0, name: 11)
    bench.receive(Packet.icmpError(type: 3, code: 1, about: packet))
    #expect(bench.sockets.readiness(id).contains(.error))
    let message = try bench.receive(id, flags: .errorQueue).message
    #expect(message.flags == .errorQueue)
    #expect(message.source == target)
    let error = try #require(message.control.error)
    #expect(error.errno == .EHOSTUNREACH && error.origin == .icmp && error.kind == 3 && error.code == 1)
    #expect(error.offender == DatagramBench.peer)
    #expect(throws: Errno.EAGAIN) { try bench.receive(id, flags: .errorQueue) }
  }

  @Test("U5 Fragmentation needed teaches the path MTU; the next datagram is cut to it")
  func pathMTU() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    let far = SocketAddress(IPv4Address(192, 0, 2, 9), port: 7)
    let everything = try #require(IPv4Prefix(.any, length: 0))
    try bench.host.addRoute(
      RouteEntry(everything, gateway: DatagramBench.peer))
    try bench.sockets.connect(id, to: far, host: &bench.host)
    try bench.send(id, [UInt8](repeating: 1, count: 1400))
    bench.settle()
    let packet = try #require(bench.sent.first)
    // RFC 1191: next-hop MTU 1000 in the low half.
    bench.receive(Packet.icmpError(type: 3, code: 4, rest: [0, 0, 0x03, 0xE8], about: packet))
    #expect(throws: Errno.EMSGSIZE) { try bench.send(id, [1]) }
    bench.sent.removeAll()
    try bench.send(id, [UInt8](repeating: 1, count: 1400))
    bench.settle()
    #expect(bench.sent.map { Packet.read16($0, 2) } == [996, 452])
    #expect(try bench.sockets.getsockopt(id, level: 0, name: 14, host: bench.host) == [0xE8, 3, 0, 0])
  }

  @Test("S7 Shutdown: EPIPE for the writer, end for the reader, ENOTCONN without a peer")
  func shutdown() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    #expect(throws: Errno.ENOTCONN) {
      try bench.sockets.shutdown(id, read: true, write: false, host: &bench.host)
    }
    try bench.connect(id, 7)
    try bench.sockets.shutdown(id, read: true, write: true, host: &bench.host)
    #expect(throws: Errno.EPIPE) { try bench.send(id, [1]) }
    #expect(try bench.receive(id).bytes.isEmpty)
    #expect(bench.sockets.readiness(id).isSuperset(of: [.hangup, .readHangup, .readable]))
    #expect(!SocketLayer.raisesSIGPIPE(.EPIPE, kind: id.kind, flags: []))
  }
}
