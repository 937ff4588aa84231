import NetNamespace
import IceModel
import SwiftStack
import TestSupport
import Timers
import Wire

private typealias P = CounterPackets

/// UDP.
extension CounterEvent {
  static let datagrams: [CounterEvent] = [
    CounterEvent(
      "a datagram for a port that nobody has",
      [
        "IcmpMsgOutType3": 1, "IcmpOutDestUnreachs": 1, "IcmpOutMsgs": 1, "IpExtInNoECTPkts": 1,
        "IpExtInOctets": 32, "IpExtOutOctets": 60, "IpInDelivers": 1, "IpInReceives": 1, "IpOutRequests": 1,
        "IpOutTransmits": 1, "UdpNoPorts": 1,
      ]
    ) {
      let peer = try P.world()
      return Prepared(host: peer.host) { peer.host.receive(P.ip(17, P.udp(port: 9))) }
    },
    CounterEvent(
      "a datagram is received",
      ["IpExtInNoECTPkts": 1, "IpExtInOctets": 32, "IpInDelivers": 1, "IpInReceives": 1, "UdpInDatagrams": 1]
    ) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      return Prepared(host: peer.host) {
        peer.host.receive(P.ip(17, P.udp(port: 5000)))
        _ = try socket.receive(upTo: 100)
      }
    },
    CounterEvent(
      "a datagram is sent",
      ["IpExtOutOctets": 31, "IpOutRequests": 1, "IpOutTransmits": 1, "UdpOutDatagrams": 1]
    ) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      return Prepared(host: peer.host) { _ = try socket.send([1, 2, 3], to: ScriptedPeer.address) }
    },
    CounterEvent(
      "a datagram to the own address",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 31, "IpExtOutOctets": 31, "IpInDelivers": 1,
        "IpInReceives": 1,
        "IpOutRequests": 1, "IpOutTransmits": 1, "UdpInDatagrams": 1, "UdpOutDatagrams": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      return Prepared(host: peer.host) {
        _ = try socket.send([1, 2, 3], to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 5000))
        _ = try socket.receive(upTo: 100)
      }
    },
    CounterEvent(
      "a datagram of three fragments is sent",
      [
        "IpExtOutOctets": 4068, "IpFragCreates": 3, "IpFragOKs": 1, "IpOutRequests": 1, "IpOutTransmits": 3,
        "UdpOutDatagrams": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      return Prepared(host: peer.host) {
        _ = try socket.send([UInt8](repeating: 1, count: 4000), to: ScriptedPeer.address)
      }
    },
    CounterEvent(
      "a broadcast is sent",
      [
        "IpExtInBcastOctets": 31, "IpExtInBcastPkts": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 31,
        "IpExtOutBcastOctets": 31, "IpExtOutBcastPkts": 1, "IpExtOutOctets": 31, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "UdpOutDatagrams": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      try socket.setBroadcast(true)
      return Prepared(host: peer.host) {
        _ = try socket.send([1, 2, 3], to: SocketAddress(IPv4Address(10, 0, 0, 255), port: 5000))
      }
    },
    CounterEvent(
      "a multicast is sent",
      [
        "IpExtOutMcastOctets": 31, "IpExtOutMcastPkts": 1, "IpExtOutOctets": 31, "IpOutRequests": 1,
        "IpOutTransmits": 1, "UdpOutDatagrams": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      // IP_MULTICAST_IF: no route leads there.
      try socket.setsockopt(level: 0, name: 32, Int32(bitPattern: UInt32(0x0200_000A)))
      return Prepared(host: peer.host) {
        _ = try socket.send([1, 2, 3], to: SocketAddress(IPv4Address(239, 1, 1, 1), port: 7))
      }
    },
    CounterEvent(
      "a datagram whose checksum is wrong",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 32, "IpInDelivers": 1, "IpInReceives": 1,
        "UdpInCsumErrors": 1, "UdpInErrors": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      return Prepared(host: peer.host) {
        peer.host.receive(P.ip(17, P.udp(port: 5000, checksum: 0x1234)))
        socket.close()
      }
    },
    CounterEvent(
      "a datagram that says it is longer than it is",
      ["IpExtInNoECTPkts": 1, "IpExtInOctets": 32, "IpInDelivers": 1, "IpInReceives": 1, "UdpInErrors": 1]
    ) {
      let peer = try P.world()
      return Prepared(host: peer.host) { peer.host.receive(P.ip(17, P.udp(port: 5000, length: 100))) }
    },
    CounterEvent(
      "a datagram for a full socket",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 1028, "IpInDelivers": 1, "IpInReceives": 1, "UdpInErrors": 1,
        "UdpRcvbufErrors": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      for _ in 0..<400 { peer.host.receive(P.ip(17, P.udp(port: 5000, 1000))) }
      return Prepared(host: peer.host) {
        peer.host.receive(P.ip(17, P.udp(port: 5000, 1000)))
        socket.close()
      }
    },
    CounterEvent(
      "a datagram that the device's queue has no room for",
      [
        "IpExtOutOctets": 31, "IpOutDiscards": 1, "IpOutRequests": 1, "IpOutTransmits": 1,
        "UdpSndbufErrors": 1,
      ]
    ) {
      let peer = try P.world()
      let sockets = try fillQueue(peer)
      return Prepared(host: peer.host) { _ = try sockets[0].send([1, 2, 3], to: ScriptedPeer.address) }
    },
    CounterEvent(
      "a datagram of fragments that the device's queue has no room for",
      [
        "IpExtOutOctets": 1500, "IpFragCreates": 1, "IpFragFails": 1, "IpOutDiscards": 1, "IpOutRequests": 1,
        "IpOutTransmits": 1, "UdpSndbufErrors": 1,
      ]
    ) {
      let peer = try P.world()
      let sockets = try fillQueue(peer)
      return Prepared(host: peer.host) {
        _ = try sockets[0].send([UInt8](repeating: 1, count: 3000), to: ScriptedPeer.address)
      }
    },
  ]

  /// A NIC that sends nothing, and a queue of 1,000 packets in front of it. The last socket has sent little.
  private static func fillQueue(_ peer: ScriptedPeer) throws -> [Socket] {
    var faults = FaultInjection()
    faults.isTransmitStalled = true
    peer.host.setFaults(faults)
    let sockets = try (0..<12).map { try P.datagramSocket(peer, port: 5000 + UInt16($0)) }
    for round in 0..<1200 {
      let socket = sockets[1 + round % 11]
      _ = try? socket.send([1], to: ScriptedPeer.address)
    }
    return sockets
  }
}
