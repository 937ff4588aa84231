import IceModel
import NetNamespace
import SwiftStack
import TestSupport
import Timers
import Wire

private typealias P = CounterPackets

/// Single packets that come in and lead to nothing but their counters, and what tables and memory refuse.
extension CounterEvent {
  /// A packet arrives; `moves` without what every packet that is delivered counts.
  private static func comes(_ name: String, _ moves: [String: Int], _ frame: [UInt8], delivered: Bool = true)
    -> CounterEvent
  {
    var all = moves
    all["IpInReceives"] = 1
    all["IpExtInOctets"] = frame.count - 14
    if delivered { all["IpInDelivers"] = 1 }
    if moves.keys.allSatisfy({ !$0.contains("ECT") }) { all["IpExtInNoECTPkts"] = 1 }
    return CounterEvent(name, all) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      return Prepared(host: peer.host) {
        peer.host.receive(frame)
        _ = peer.all()
        _ = try? socket.receive(upTo: 100)
      }
    }
  }

  /// An ICMP message that is counted by its type and nothing else.
  private static func icmp(_ type: UInt8, _ name: String, _ more: [String: Int] = [:]) -> CounterEvent {
    comes(
      "an ICMP message of type \(type)",
      ["IcmpInMsgs": 1, "IcmpMsgInType\(type)": 1, name: 1].merging(more) { $0 + $1 },
      P.ip(1, P.icmp(type, [UInt8](repeating: 0, count: 12))))
  }

  static let messages: [CounterEvent] = [
    icmp(4, "IcmpInSrcQuenchs", ["IcmpInErrors": 1]), icmp(5, "IcmpInRedirects", ["IcmpInErrors": 1]),
    icmp(14, "IcmpInTimestampReps"),
    icmp(17, "IcmpInAddrMasks"), icmp(18, "IcmpInAddrMaskReps"),
    comes(
      "an ICMP timestamp request",
      [
        "IcmpInMsgs": 1, "IcmpMsgInType13": 1, "IcmpInTimestamps": 1, "IcmpOutMsgs": 1, "IcmpMsgOutType14": 1,
        "IcmpOutTimestampReps": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "IpExtOutOctets": 40,
      ], P.ip(1, P.icmp(13, [UInt8](repeating: 0, count: 12)))),
    comes(
      "an ICMP message of an unknown type", ["IcmpInMsgs": 1, "IcmpInErrors": 1], P.ip(1, P.icmp(40))),
    comes(
      "a datagram marked ECT(0)", ["IpExtInECT0Pkts": 1, "UdpInDatagrams": 1],
      P.ip(17, P.udp(port: 5000), tos: 2)),
    comes(
      "a datagram marked ECT(1)", ["IpExtInECT1Pkts": 1, "UdpInDatagrams": 1],
      P.ip(17, P.udp(port: 5000), tos: 1)),
    comes(
      "a packet that is shorter than its header says", ["IpExtInTruncatedPkts": 1],
      Array(P.ip(17, P.udp(port: 5000, 40)).dropLast(10)), delivered: false),
    CounterEvent(
      "a fragment that overlaps another",
      [
        "IpReasmReqds": 1, "IpReasmFails": 1, "IpExtReasmOverlaps": 1, "IpInReceives": 1,
        "IpExtInOctets": 52,
        "IpExtInNoECTPkts": 1,
      ]
    ) {
      let peer = try P.world()
      peer.host.receive(P.ip(17, [UInt8](repeating: 1, count: 32), fragment: 0x2000))
      return Prepared(host: peer.host) {
        peer.host.receive(P.ip(17, [UInt8](repeating: 2, count: 32), fragment: 0x2000 | 2))
      }
    },
    CounterEvent(
      "a datagram for which a send buffer has no room", ["IpOutDiscards": 1, "UdpSndbufErrors": 1]
    ) {
      let peer = try P.world()
      var faults = FaultInjection()
      faults.isTransmitStalled = true
      peer.host.setFaults(faults)
      let socket = try P.datagramSocket(peer)
      while (try? socket.send([UInt8](repeating: 1, count: 1000), to: ScriptedPeer.address)) != nil {}
      return Prepared(host: peer.host) { _ = try? socket.send([1], to: ScriptedPeer.address) }
    },
    CounterEvent(
      "a datagram for a neighbour that the table has no place for",
      [
        "NeighTableFulls": 1, "UdpSndbufErrors": 1, "IpOutRequests": 1, "IpOutTransmits": 1,
        "IpOutDiscards": 1, "IpExtOutOctets": 29,
      ]
    ) {
      let (host, socket) = try crowd(1024)
      return Prepared(host: host) { try socket.send([1], to: neighbour(1024)) }
    },
    CounterEvent(
      "a datagram for the last neighbour that the table has a place for",
      [
        "ArpOutRequests": 1, "UdpOutDatagrams": 1, "IpOutRequests": 1, "IpOutTransmits": 1,
        "IpExtOutOctets": 29,
      ]
    ) {
      let (host, socket) = try crowd(1023)
      return Prepared(host: host) { try socket.send([1], to: neighbour(1023)) }
    },
    CounterEvent(
      "a datagram for a socket that may keep no more when memory is short",
      [
        "UdpMemErrors": 1, "UdpRcvbufErrors": 1, "UdpInErrors": 1, "IpInReceives": 1, "IpInDelivers": 1,
        "IpExtInOctets": 128, "IpExtInNoECTPkts": 1,
      ]
    ) {
      let peer = try FramePeer {
        $0.packetMemory = 4 << 20
        $0.ring = 64
      }
      let sockets = try (0..<40).map { offset in
        let socket = try peer.host.stack.socket(.udp)
        socket.isNonBlocking = true
        try socket.bind(to: SocketAddress(.any, port: UInt16(8000 + offset)))
        return socket
      }
      for port in UInt16(8000)..<8040 {
        for _ in 0..<200 { peer.receive(FramePeer.ip(17, datagram(port))) }
      }
      // Below its buffer, above what it is guaranteed.
      for _ in 0..<100 { _ = try? sockets[39].receive(upTo: 100) }
      var left = 1000
      while peer.count("UdpMemErrors") == 0 || left > 995 {
        peer.receive(FramePeer.ip(17, datagram(8039)))
        left -= 1
      }
      return Prepared(host: peer.host) {
        peer.receive(FramePeer.ip(17, datagram(8039)))
        for socket in sockets { socket.close() }
      }
    },
  ]

  private static func datagram(_ port: UInt16) -> [UInt8] {
    FramePeer.udp([UInt8](repeating: 3, count: 100), to: port)
  }

  // MARK: Neighbours

  private static func neighbour(_ index: Int) -> SocketAddress {
    SocketAddress(IPv4Address(10, 0, UInt8(1 + index / 200), UInt8(1 + index % 200)), port: 7)
  }

  /// A stack that has just asked for so many neighbours, none of whom has answered.
  private static func crowd(_ count: Int) throws -> (SimulatedStack, Socket) {
    var configuration = StackConfiguration(address: IPv4Prefix("10.0.0.2/16")!)
    configuration.announcesAddress = false
    let host = try SimulatedStack(configuration)
    host.advance(to: .origin + .seconds(100))
    let socket = try host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.setsockopt(level: 1, name: 7, 4 << 20)
    for index in 0..<count { try socket.send([1], to: neighbour(index)) }
    return (host, socket)
  }
}
