import IceModel
import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// What a TCP socket says about its path, and what offload must not hide from datagrams.
@Suite struct PathChoiceTests {
  /// A connection whose SYN and first data went to the wire; the peer answers by hand.
  private func sent(_ peer: FramePeer, _ configure: (Socket) throws -> Void) throws -> [[UInt8]] {
    try open(peer, configure).packets
  }

  private func open(
    _ peer: FramePeer, _ configure: (Socket) throws -> Void = { _ in }
  ) throws -> (client: Socket, packets: [[UInt8]]) {
    let client = try peer.host.stack.socket(.tcp)
    client.isNonBlocking = true
    try configure(client)
    try? client.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 80))
    let syn = try #require(peer.takePackets().first)
    let port = UInt16(syn[20]) << 8 | UInt16(syn[21])
    let next = syn[24..<28].reduce(0) { $0 << 8 | UInt32($1) } &+ 1
    peer.receive(
      FramePeer.ip(
        6,
        FramePeer.tcp(
          0x12, from: 80, to: port, sequence: 500, acknowledgment: next, options: [2, 4, 5, 0xB4])))
    _ = try client.send([UInt8](repeating: 1, count: 5000))
    return (client, [syn] + peer.takePackets())
  }

  @Test(
    "P2 IP_MTU_DISCOVER on TCP decides about DF", arguments: [0, 1, 2, 3, 4, 5] as [Int32], [false, true])
  func discovery(mode: Int32, lendsEngines: Bool) throws {
    let peer = try FramePeer(lendsEngines: lendsEngines)
    let packets = try sent(peer) { try $0.setsockopt(level: 0, name: 10, mode) }
    #expect(packets.count > 2)
    #expect(packets.allSatisfy { ($0[6] & 0x40 != 0) == (mode == 1 || mode == 2) })
  }

  @Test("P2 IP_TTL and IP_TOS on TCP reach every header") func fields() throws {
    let packets = try sent(FramePeer()) {
      try $0.setsockopt(level: 0, name: 2, 33)
      try $0.setsockopt(level: 0, name: 1, 0x28)
    }
    #expect(packets.allSatisfy { $0[8] == 33 && $0[1] == 0x28 })
  }

  @Test(
    "P3 without path MTU discovery an ICMP report cuts nothing again; with it, at once",
    arguments: [0, 1] as [Int32])
  func report(mode: Int32) throws {
    let peer = try FramePeer()
    let (client, packets) = try open(peer) { try $0.setsockopt(level: 0, name: 10, mode) }
    defer { client.close() }
    let data = try #require(packets.first { $0.count == 1500 })
    peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 4, rest: [0, 0, 4, 0], Array(data[..<28]))))
    let again = peer.takePackets()
    #expect(again.isEmpty == (mode == 0))
    #expect(again.allSatisfy { $0.count <= 1024 })
  }

  @Test("P1 SO_DONTROUTE on TCP: on the link only") func dontRoute() throws {
    let peer = try FramePeer { $0.gateway = IPv4Address(10, 0, 0, 1) }
    for isSet in [true, false] {
      let client = try peer.host.stack.socket(.tcp)
      client.isNonBlocking = true
      if isSet { try client.setsockopt(level: 1, name: 5, 1) }
      #expect(try client.getsockopt(level: 1, name: 5) == [isSet ? 1 : 0, 0, 0, 0])
      do {
        try client.connect(to: SocketAddress(IPv4Address(192, 0, 2, 1), port: 80))
      } catch { #expect(error.errno == (isSet ? .ENETUNREACH : .EINPROGRESS)) }
      #expect(peer.takePackets().isEmpty == isSet)
      let near = try peer.host.stack.socket(.tcp)
      near.isNonBlocking = true
      if isSet { try near.setsockopt(level: 1, name: 5, 1) }
      try? near.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 80))
      #expect(peer.takePackets().count == 1)
    }
    #expect(peer.count("IpOutNoRoutes") == 1)
  }

  @Test(
    "U5 fragments carry the whole datagram's checksum, with and without offload", arguments: [false, true],
    [1473, 4000, 65507])
  func fragmentChecksum(lendsEngines: Bool, count: Int) throws {
    let peer = try FramePeer(lendsEngines: lendsEngines)
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.send(
      (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 3) },
      to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    let packets = peer.takePackets()
    #expect(packets.count > 1 && packets.allSatisfy { $0.count <= 1500 })
    let datagram = packets.flatMap { $0[20...] }
    #expect(datagram.count == count + 8 && datagram[6...7] != [0, 0])
    let pseudo: [UInt8] = [10, 0, 0, 2, 10, 0, 0, 1, 0, 17] + ScriptedPeer.bytes(UInt16(datagram.count))
    #expect(ScriptedPeer.checksum(pseudo + datagram) == 0)
  }

  @Test(
    "P6 a datagram that was put together is checked, whatever the wire said of its fragments",
    arguments: [false, true])
  func reassembledChecksum(isRight: Bool) throws {
    let peer = try FramePeer(lendsEngines: true)
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: 700))
    let payload = [UInt8](repeating: 9, count: 3000)
    let datagram = FramePeer.udp(payload, to: 700, checksum: isRight ? nil : 0x1234)
    var metadata = WireFrameMetadata()
    metadata.isDataValid = true
    for part in FramePeer.fragments(17, datagram, at: [1480, 2960]) {
      peer.host.receive(
        SimulatedFrame(bytes: FramePeer.hostMAC + FramePeer.mac(1) + [8, 0] + part, metadata: metadata))
    }
    if isRight {
      #expect(try socket.receive(upTo: 5000) == payload)
    } else {
      #expect(throws: SocketError.self) { try socket.receive(upTo: 5000) }
    }
    #expect(peer.count("UdpInCsumErrors") == (isRight ? 0 : 1))
  }

  @Test("R IPv4 a full-sized frame with a priority tag is taken", arguments: [1, 4]) func taggedFullSize(
    queues: Int
  ) throws {
    let peer = try FramePeer(queues: queues)
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: 700))
    let payload = [UInt8](repeating: 9, count: 1472)
    for queue in 0..<queues {
      peer.receive(
        FramePeer.ip(17, FramePeer.udp(payload, to: 700)), tags: [0x88, 0xA8, 0, 0, 0x81, 0, 0x20, 0],
        queue: queue)
      #expect(try socket.receive(upTo: 5000) == payload)
    }
  }

  @Test("R ICMP an error to a broadcast address does not touch a connected socket; one to us does")
  func unreachableToMany() throws {
    let peer = try FramePeer()
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 700))
    try socket.send([1])
    let packet = try #require(peer.takePackets().first)
    let report = FramePeer.icmp(3, 3, Array(packet[..<28]))
    for (address, mac) in [
      ([10, 0, 0, 255], [255, 255, 255, 255, 255, 255]),
      ([255, 255, 255, 255], [255, 255, 255, 255, 255, 255]),
      ([224, 0, 0, 1], [1, 0, 0x5E, 0, 0, 1]), ([10, 0, 0, 255], FramePeer.hostMAC),
    ] as [([UInt8], [UInt8])] {
      peer.receive(FramePeer.ip(1, report, destination: address), to: mac)
      #expect(socket.takeError() == nil, "\(address)")
    }
    peer.receive(FramePeer.ip(1, report))
    #expect(socket.takeError() == .ECONNREFUSED)
  }

  @Test(
    "RFC 1122 4.2.3.9 soft errors and source quench end neither a connection nor a socket",
    arguments: [(4, 0), (3, 0), (3, 1), (3, 5), (11, 0), (5, 1)] as [(UInt8, UInt8)])
  func soft(type: UInt8, code: UInt8) throws {
    let peer = try FramePeer()
    let (client, packets) = try open(peer)
    defer { client.close() }
    let data = try #require(packets.last)
    peer.receive(FramePeer.ip(1, FramePeer.icmp(type, code, Array(data[..<28]))))
    #expect(peer.takePackets().allSatisfy { $0[33] & 4 == 0 })
    #expect(peer.host.stack.socketReports.contains { $0.state == "ESTAB" && $0.netid == "tcp" })
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 700))
    try socket.send([1])
    let datagram = try #require(peer.takePackets().last { $0[9] == 17 })
    peer.receive(FramePeer.ip(1, FramePeer.icmp(type, code, Array(datagram[..<28]))))
    #expect(socket.takeError() == nil)
  }
}
