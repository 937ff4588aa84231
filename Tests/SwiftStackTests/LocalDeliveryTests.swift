import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Who gets a datagram: what a host sends to itself, to everybody and to groups. Expected values were tried on Linux 6.18.
@Suite struct LocalDeliveryTests {
  private func socket(_ peer: FramePeer, port: UInt16, shares: Bool = false) throws -> Socket {
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    if shares { try socket.setReuseAddress(true) }
    try socket.bind(to: SocketAddress(.any, port: port))
    return socket
  }
  private func lengths(_ socket: Socket) -> [Int] {
    var lengths: [Int] = []
    while let bytes = try? socket.receive(upTo: 65535) { lengths.append(bytes.count) }
    return lengths
  }

  @Test(
    "U6 UDP_SEGMENT to ourselves: every datagram arrives as one",
    arguments: ["10.0.0.2", "127.0.0.1", "10.0.0.255", "224.0.0.1"], [1, 4])
  func segmented(destination: String, queues: Int) throws {
    for lends in [false, true] {
      let peer = try FramePeer(queues: queues, lendsEngines: lends) { $0.gateway = IPv4Address(10, 0, 0, 1) }
      let receiver = try socket(peer, port: 5000)
      let sender = try socket(peer, port: 6000)
      try sender.setBroadcast(true)
      try sender.setsockopt(level: 17, name: 103, 100)
      let payload = (0..<350).map { UInt8(truncatingIfNeeded: $0) }
      #expect(try sender.send(payload, to: SocketAddress(IPv4Address(destination)!, port: 5000)) == 350)
      peer.advance(.milliseconds(10))
      var parts: [[UInt8]] = []
      while let bytes = try? receiver.receive(upTo: 65535) { parts.append(bytes) }
      #expect(parts.map(\.count) == [100, 100, 100, 50])
      #expect(parts.flatMap(\.self) == payload)
    }
  }

  @Test("U4 a datagram to a broadcast address is every socket's, whatever frame brought it") func broadcast()
    throws
  {
    let peer = try FramePeer()
    let first = try socket(peer, port: 5000, shares: true)
    let second = try socket(peer, port: 5000, shares: true)
    let datagram = FramePeer.ip(
      17, FramePeer.udp([1], to: 5000, destination: [10, 0, 0, 255]), destination: [10, 0, 0, 255])
    for mac in [FramePeer.hostMAC, [UInt8](repeating: 0xFF, count: 6)] {
      peer.receive(datagram, to: mac)
      #expect(lengths(first) == [1] && lengths(second) == [1])
    }
    // Our own, looped back.
    let sender = try socket(peer, port: 6000)
    try sender.setBroadcast(true)
    try sender.send([1, 2], to: SocketAddress(IPv4Address(10, 0, 0, 255), port: 5000))
    #expect(lengths(first) == [2] && lengths(second) == [2])
    let missed = peer.count("UdpIgnoredMulti")
    peer.receive(
      FramePeer.ip(
        17, FramePeer.udp([1], to: 5999, destination: [10, 0, 0, 255]), destination: [10, 0, 0, 255]))
    #expect(peer.count("UdpIgnoredMulti") == missed + 1 && peer.count("UdpNoPorts") == 0)
  }

  @Test("U4 a datagram to our address in a broadcast frame is one socket's, and earns no ICMP error")
  func unicastInBroadcast() throws {
    let peer = try FramePeer()
    let first = try socket(peer, port: 5000, shares: true)
    let second = try socket(peer, port: 5000, shares: true)
    for mac in [[UInt8](repeating: 0xFF, count: 6), [1, 0, 0x5E, 0, 0, 1]] {
      peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 5000)), to: mac)
      #expect(lengths(first) + lengths(second) == [1])
      let before = peer.count("UdpNoPorts")
      peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 5999)), to: mac)
      #expect(peer.count("UdpNoPorts") == before + 1)
    }
    #expect(peer.takePackets().isEmpty)
  }

  // MARK: ICMP errors that are not a socket's

  /// What IP_RECVERR shows after an ICMP message about a datagram of the socket's own.
  private func error(_ type: UInt8, _ code: UInt8, _ peer: FramePeer) throws -> Errno? {
    let sender = try socket(peer, port: 5000)
    defer { sender.close() }
    try sender.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 7))
    try sender.setsockopt(level: 0, name: 11, 1)
    let quoted: [UInt8] =
      [0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0] + FramePeer.hostAddress + [10, 0, 0, 1]
      + ScriptedPeer.bytes(UInt16(5000)) + ScriptedPeer.bytes(UInt16(7)) + [0, 8, 0, 0]
    peer.receive(FramePeer.ip(1, FramePeer.icmp(type, code, quoted)))
    return (try? sender.recvmsg(flags: .errorQueue))?.control.error?.errno
  }

  @Test("R ICMP unassigned codes of unreachable and a reassembly that timed out are no socket's error")
  func silent() throws {
    let peer = try FramePeer()
    #expect(try error(3, 15, peer) == .EHOSTUNREACH)
    #expect(try error(11, 0, peer) == .EHOSTUNREACH)
    #expect(try error(11, 2, peer) == .EHOSTUNREACH)
    for (type, code): (UInt8, UInt8) in [(3, 16), (3, 255), (11, 1)] {
      #expect(try error(type, code, peer) == nil, "\(type) \(code)")
    }
    #expect(peer.count("IcmpInErrors") == 0)
  }

  @Test("R ICMP a message of an unknown type is dropped as an error") func unknownType() throws {
    let peer = try FramePeer()
    for type: UInt8 in [6, 18] { peer.receive(FramePeer.ip(1, FramePeer.icmp(type, 0))) }
    #expect(peer.count("IcmpInErrors") == 0)
    for type: UInt8 in [19, 40, 255] { peer.receive(FramePeer.ip(1, FramePeer.icmp(type, 0))) }
    #expect(peer.count("IcmpInErrors") == 3 && peer.takePackets().isEmpty)
  }

  // MARK: Our own link-layer address

  @Test("N5 a frame from our own link-layer address is counted and told once", arguments: [1, 4])
  func ownAddress(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    func counted() -> UInt64 {
      peer.host.stack.nicReports.flatMap(\.statistics).filter { $0.name == "rx_own_address" }.reduce(0) {
        $0 + $1.value
      }
    }
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0)))
    #expect(counted() == 0 && peer.host.stack.takeNotices().isEmpty)
    for queue in 0..<queues {
      peer.host.receive(
        FramePeer.arp(
          1, FramePeer.hostMAC, [10, 0, 0, 7], [0, 0, 0, 0, 0, 0], FramePeer.hostAddress), queue: queue)
      peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0)), from: 2, queue: queue)
    }
    #expect(counted() == UInt64(2 * queues))
    let notices = peer.host.stack.takeNotices()
    #expect(notices.count == 1 && notices[0].contains("02:00:00:00:00:02"))
    let drops = peer.host.stack.dropReports.first { $0.name == "OWN_LINK_ADDRESS" }
    #expect(drops?.value == UInt64(queues))
    #expect(peer.host.stack.neighbourReports.allSatisfy { $0.address != "10.0.0.7" })
  }
}
