import IPv4
import NetDevice
import NetNamespace
import SkBuff
import Sockets
import Testing
import UDP
import Wire

@Suite struct UDPSendTests {
  let peer7 = SocketAddress(DatagramBench.peer, port: 7)

  @Test("U8 RFC 768: a datagram's header and checksum, byte for byte", arguments: [true, false])
  func golden(offload: Bool) throws {
    let bench = DatagramBench(features: offload ? [.scatterGather, .checksum] : [])
    let id = try bench.udp(port: 40000)
    #expect(try bench.send(id, Array("hello".utf8), to: peer7) == 5)
    bench.settle()
    let packet = try #require(bench.sent.first)
    #expect(bench.sent.count == 1)
    #expect(
      packet[20..<33].elementsEqual([
        0x9c, 0x40, 0x00, 0x07, 0x00, 0x0d, 0x0b, 0xb8, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
      ]))
    #expect(packet[9] == 17)
    #expect(packet[12..<20].elementsEqual([10, 0, 0, 2, 10, 0, 0, 1]))
    #expect(bench.count(.UdpOutDatagrams) == 1)
  }

  @Test("U8 A checksum of 0 goes out as 0xFFFF", arguments: [true, false])
  func zeroChecksum(offload: Bool) throws {
    let bench = DatagramBench(features: offload ? [.scatterGather, .checksum] : [])
    let id = try bench.udp(port: 40000)
    // These two bytes make the sum come out as zero.
    try bench.send(id, [0x4f, 0x90], to: peer7)
    bench.settle()
    let packet = try #require(bench.sent.first)
    #expect(packet[26..<28].elementsEqual([0xFF, 0xFF]))
  }

  @Test("U8 SO_NO_CHECK sends checksum 0")
  func noCheck() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    try bench.setFlag(id, level: 1, name: 11)
    try bench.send(id, Array("hello".utf8), to: peer7)
    bench.settle()
    #expect(try #require(bench.sent.first)[26..<28].elementsEqual([0, 0]))
  }

  @Test("U1 What cannot be sent, and why")
  func refusals() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    #expect(throws: Errno.EDESTADDRREQ) { try bench.send(id, [1]) }
    #expect(throws: Errno.EINVAL) { try bench.send(id, [1], to: SocketAddress(DatagramBench.peer, port: 0)) }
    #expect(throws: Errno.EOPNOTSUPP) { try bench.send(id, [1], to: peer7, flags: .outOfBand) }
    #expect(throws: Errno.EMSGSIZE) { try bench.send(id, [UInt8](repeating: 0, count: 65508), to: peer7) }
    #expect(throws: Errno.EMSGSIZE) { try bench.send(id, [UInt8](repeating: 0, count: 65536), to: peer7) }
    #expect(throws: Errno.ENETUNREACH) {
      try bench.send(id, [1], to: SocketAddress(IPv4Address(192, 0, 2, 1), port: 7))
    }
    #expect(throws: Errno.EAFNOSUPPORT) {
      try bench.send(id, [1], to: SocketAddress(.any(.inet6), port: 7))
    }
    bench.settle()
    #expect(bench.sent.isEmpty)
    #expect(bench.count(.UdpOutDatagrams) == 0)
  }

  @Test("U4 Broadcast needs SO_BROADCAST")
  func broadcast() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    let everybody = SocketAddress(IPv4Address(10, 0, 0, 255), port: 9)
    #expect(throws: Errno.EACCES) { try bench.send(id, [1], to: everybody) }
    try bench.setFlag(id, level: 1, name: 6)
    try bench.send(id, [1], to: everybody)
    bench.settle()
    #expect(bench.sent.count == 1)
    try bench.setFlag(id, level: 1, name: 6, 0)
    #expect(throws: Errno.EACCES) { try bench.send(id, [1], to: everybody) }
  }

  @Test("U5 A datagram of no bytes is sent")
  func empty() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    #expect(try bench.send(id, [], to: peer7) == 0)
    bench.settle()
    let packet = try #require(bench.sent.first)
    #expect(packet.count >= 28 && Packet.read16(packet, 2) == 28 && Packet.read16(packet, 24) == 8)
  }

  @Test(
    "U5 A long datagram leaves in fragments of multiples of 8, its checksum whole",
    arguments: [1500, 1501, 576])
  func fragments(mtu: Int) throws {
    for features: DeviceFeatures in [[.scatterGather, .checksum], []] {
      let bench = DatagramBench(features: features, mtu: mtu)
      let id = try bench.udp(port: 40000)
      let payload = (0..<65507).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
      #expect(try bench.send(id, payload, to: peer7) == 65507)
      bench.settle()
      let datagram = try reassemble(bench.sent, mtu: mtu)
      #expect(datagram.count == 65515)
      #expect(Array(datagram[8...]) == payload)
      #expect(Packet.isChecksumRight(datagram, source: [10, 0, 0, 2], destination: [10, 0, 0, 1]))
      #expect(bench.count(.IpFragOKs) == 1)
      #expect(bench.count(.UdpOutDatagrams) == 1)
    }
  }

  /// Puts fragments together, checking each header on the way.
  func reassemble(_ packets: [[UInt8]], mtu: Int) throws -> [UInt8] {
    var whole: [UInt8] = []
    let identification = try #require(packets.first)[4..<6]
    for (index, packet) in packets.enumerated() {
      let total = Packet.read16(packet, 2)
      let flags = Packet.read16(packet, 6)
      let isLast = index == packets.count - 1
      #expect(total <= mtu)
      #expect(Packet.checksum(Array(packet[..<20])) == 0)
      #expect(packet[4..<6].elementsEqual(identification))
      #expect(flags & 0x4000 == 0)
      #expect((flags & 0x2000 != 0) == !isLast)
      #expect((flags & 0x1FFF) * 8 == whole.count)
      #expect(isLast || (total - 20) % 8 == 0)
      whole += packet[20..<total]
    }
    return whole
  }

  @Test("U5 The boundary: 1472 bytes is one packet with DF, 1473 is two")
  func boundary() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.send(id, [UInt8](repeating: 1, count: 1472), to: peer7)
    bench.settle()
    #expect(bench.sent.count == 1)
    #expect(Packet.read16(bench.sent[0], 6) & 0x4000 != 0)
    bench.sent.removeAll()
    try bench.send(id, [UInt8](repeating: 1, count: 1473), to: peer7)
    bench.settle()
    #expect(bench.sent.map { Packet.read16($0, 2) } == [1500, 21])
  }

  @Test("U5 The tail past a multiple of 8 moves on when more bytes follow it", arguments: [true, false])
  func movedTail(offload: Bool) throws {
    // MTU 1503: 1483 bytes of payload fit one packet, but only 1480 of them when another follows.
    let bench = DatagramBench(features: offload ? [.scatterGather, .checksum] : [], mtu: 1503)
    let id = try bench.udp(port: 40000)
    let payload = (0..<1475).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try bench.send(id, payload, to: peer7, flags: .more)
    try bench.send(id, [0xA1, 0xB2, 0xC3, 0xD4, 0xE5])
    bench.settle()
    #expect(bench.sent.map { Packet.read16($0, 2) } == [1500, 28])
    let datagram = try reassemble(bench.sent, mtu: 1503)
    #expect(Array(datagram[8...]) == payload + [0xA1, 0xB2, 0xC3, 0xD4, 0xE5])
    #expect(Packet.isChecksumRight(datagram, source: [10, 0, 0, 2], destination: [10, 0, 0, 1]))
  }

  @Test("U5 IP_PMTUDISC_DO refuses what does not fit")
  func pathMTUDo() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.setFlag(id, level: 0, name: 10, 2)
    try bench.send(id, [UInt8](repeating: 1, count: 1472), to: peer7)
    #expect(throws: Errno.EMSGSIZE) { try bench.send(id, [UInt8](repeating: 1, count: 1473), to: peer7) }
  }

  @Test("U2 MSG_MORE collects one datagram")
  func more() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    try bench.send(id, Array("he".utf8), to: peer7, flags: .more)
    try bench.send(id, Array("ll".utf8), flags: .more)
    bench.settle()
    #expect(bench.sent.isEmpty)
    // The destination was fixed by the first piece.
    try bench.send(id, Array("o".utf8), to: SocketAddress(DatagramBench.peer, port: 99))
    bench.settle()
    #expect(bench.sent.count == 1)
    #expect(
      bench.sent[0][20...].prefix(13).elementsEqual([
        0x9c, 0x40, 0x00, 0x07, 0x00, 0x0d, 0x0b, 0xb8, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
      ]))
  }

  @Test("U2 UDP_CORK holds until it is taken off; pulling it on nothing sends nothing")
  func cork() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    try bench.setFlag(id, level: 17, name: 1)
    for byte: UInt8 in 1...3 { try bench.send(id, [byte]) }
    bench.settle()
    #expect(bench.sent.isEmpty)
    try bench.setFlag(id, level: 17, name: 1, 0)
    bench.settle()
    #expect(bench.sent.count == 1)
    #expect(bench.sent[0][28..<31].elementsEqual([1, 2, 3]))
    try bench.setFlag(id, level: 17, name: 1, 0)
    bench.settle()
    #expect(bench.sent.count == 1)
  }

  @Test("U2 An error throws the corked datagram away")
  func corkError() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    try bench.send(id, [UInt8](repeating: 1, count: 60000), flags: .more)
    #expect(throws: Errno.EMSGSIZE) { try bench.send(id, [UInt8](repeating: 1, count: 6000)) }
    try bench.send(id, [42])
    bench.settle()
    #expect(bench.sent.count == 1)
    #expect(bench.sent[0][28] == 42)
  }

  @Test("S1 An unreadable buffer is EFAULT and nothing is sent")
  func fault() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    let vectors = [unsafe IoVector(base: nil, byteCount: 10)]
    #expect(throws: Errno.EFAULT) {
      try unsafe vectors.withUnsafeBufferPointer { pointer in
        guard var iter = unsafe IovIter(pointer, direction: .source) else { return }
        _ = try bench.sockets.sendmsg(id, iter: &iter, host: &bench.host)
      }
    }
    bench.settle()
    #expect(bench.sent.isEmpty)
  }

  @Test("U3 A connected socket follows the table when its route goes stale")
  func staleRoute() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    let far = SocketAddress(IPv4Address(192, 0, 2, 9), port: 7)
    let everything = try #require(IPv4Prefix(.any, length: 0))
    try bench.host.addRoute(
      RouteEntry(everything, gateway: DatagramBench.peer))
    try bench.sockets.connect(id, to: far, host: &bench.host)
    try bench.send(id, [1])
    bench.settle()
    #expect(bench.sent.count == 1)
    #expect(throws: Errno.ENETUNREACH) { try bench.send(id, [1], flags: .dontRoute) }
    try bench.host.internet.removeRoute(everything)
    #expect(throws: Errno.ENETUNREACH) { try bench.send(id, [1]) }
  }

  @Test("U3 MSG_PROBE sends nothing; MSG_CONFIRM confirms and sends")
  func probe() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    #expect(try bench.send(id, [1, 2], flags: [.probe, .confirm]) == 2)
    bench.settle()
    #expect(bench.sent.isEmpty)
    try bench.send(id, [1, 2], flags: .confirm)
    bench.settle()
    #expect(bench.sent.count == 1)
  }

  @Test("S6 IP_TOS, IP_TTL and IP_PKTINFO of one message")
  func control() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    var control = SendControl()
    control.typeOfService = 0x10
    control.timeToLive = 3
    control.source = DatagramBench.address
    try bench.send(id, [1], to: peer7, control: control)
    try bench.send(id, [1], to: peer7)
    bench.settle()
    #expect(bench.sent.map { $0[1] } == [0x10, 0])
    #expect(bench.sent.map { $0[8] } == [3, 64])
    control.source = IPv4Address(10, 0, 0, 99)
    // Tried on Linux 6.18.
    #expect(throws: Errno.ENETUNREACH) { try bench.send(id, [1], to: peer7, control: control) }
  }

  @Test("S4 The first send takes an ephemeral port")
  func autobind() throws {
    let bench = DatagramBench()
    bench.host.net.settings.localPorts = 50000...50001
    let ids = try (0..<3).map { _ in try bench.udp() }
    try bench.send(ids[0], [1], to: peer7)
    try bench.send(ids[1], [1], to: peer7)
    let ports = Set(try ids[..<2].map { try bench.sockets.localAddress($0).port })
    #expect(ports == [50000, 50001])
    #expect(throws: Errno.EAGAIN) { try bench.send(ids[2], [1], to: peer7) }
    try bench.sockets.close(ids[0], host: &bench.host)
    try bench.send(ids[2], [1], to: peer7)
  }

  @Test("S7 U9 A full send buffer is EAGAIN, and freed packets owe a wake-up")
  func sendBuffer() throws {
    let bench = DatagramBench()
    let id = try bench.udp()
    try bench.connect(id, 7)
    // The neighbour is known, so that packets go to the ring and stay there.
    try bench.send(id, [0])
    bench.settle()
    try bench.setFlag(id, level: 1, name: 7, 8192)
    var accepted = 0
    while true {
      do throws(any Error) {
        try bench.send(id, [UInt8](repeating: 1, count: 1000), flags: .dontWait)
      } catch {
        #expect(error as? Errno == .EAGAIN)
        break
      }
      accepted += 1
      try #require(accepted < 100)
    }
    #expect(accepted > 1)
    #expect(!bench.sockets.readiness(id).contains(.writable))
    #expect(bench.count(.UdpSndbufErrors) == 1)
    bench.settle()
    #expect(bench.pool.takePending() == id.rawValue)
    #expect(bench.sockets.readiness(id).contains(.writable))
    try bench.send(id, [1])
  }

  @Test("U6 UDP_SEGMENT sends equal datagrams and refuses what it may not")
  func segments() throws {
    let bench = DatagramBench()
    let id = try bench.udp(port: 40000)
    try bench.connect(id, 7)
    var control = SendControl()
    control.segmentByteCount = 400
    let payload = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
    try bench.send(id, payload, control: control)
    bench.settle()
    #expect(bench.sent.map { Packet.read16($0, 24) } == [408, 408, 208])
    #expect(bench.sent.flatMap { $0[28..<Packet.read16($0, 2)] } == payload)
    for packet in bench.sent {
      let datagram = Array(packet[20..<Packet.read16(packet, 2)])
      #expect(Packet.isChecksumRight(datagram, source: [10, 0, 0, 2], destination: [10, 0, 0, 1]))
    }
    control.segmentByteCount = 1473
    #expect(throws: Errno.EMSGSIZE) {
      try bench.send(id, [UInt8](repeating: 0, count: 3000), control: control)
    }
    control.segmentByteCount = 1
    #expect(throws: Errno.EINVAL) { try bench.send(id, [UInt8](repeating: 0, count: 129), control: control) }
  }
}
