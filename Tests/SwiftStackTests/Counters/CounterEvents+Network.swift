import NetNamespace
import SwiftStack
import TestSupport
import Timers
import Wire

private typealias P = CounterPackets

/// IP, ICMP and ARP.
extension CounterEvent {
  /// A frame arrives.
  private static func arrives(_ name: String, _ moves: [String: Int], _ frame: [UInt8]) -> CounterEvent {
    CounterEvent(name, moves) {
      let peer = try P.world()
      return Prepared(host: peer.host) {
        peer.host.receive(frame)
        _ = peer.all()
      }
    }
  }

  /// An ICMP error arrives about a datagram that a socket has sent to port 7.
  private static func error(_ name: String, _ moves: [String: Int], type: UInt8, code: UInt8) -> CounterEvent
  {
    CounterEvent(name, moves) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      let quoted = P.ip(
        17, ScriptedPeer.bytes(UInt16(5000)) + ScriptedPeer.bytes(UInt16(7)) + [0, 8, 0, 0],
        source: [10, 0, 0, 2],
        destination: [10, 0, 0, 1])
      return Prepared(host: peer.host) {
        peer.host.receive(P.ip(1, P.icmp(type, code: code, rest: [0, 0, 0, 0], Array(quoted[14...]))))
        socket.close()
      }
    }
  }

  static let network: [CounterEvent] = [
    arrives(
      "a packet of IP version 5", ["IpExtInOctets": 32, "IpInHdrErrors": 1, "IpInReceives": 1],
      P.ip(17, P.udp(port: 9)) { $0[0] = 0x55 }),
    arrives(
      "a packet with a wrong header checksum",
      [
        "IpExtInCsumErrors": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 32, "IpInHdrErrors": 1,
        "IpInReceives": 1,
      ],
      P.ip(17, P.udp(port: 9)) { $0[10] ^= 1 }),
    arrives(
      "a packet for another host",
      ["IpExtInNoECTPkts": 1, "IpExtInOctets": 32, "IpInAddrErrors": 1, "IpInReceives": 1],
      P.ip(17, P.udp(port: 9), destination: [10, 0, 0, 77])),
    arrives(
      "a packet of an unknown protocol",
      [
        "IcmpMsgOutType3": 1, "IcmpOutDestUnreachs": 1, "IcmpOutMsgs": 1, "IpExtInNoECTPkts": 1,
        "IpExtInOctets": 24, "IpExtOutOctets": 52, "IpInReceives": 1, "IpInUnknownProtos": 1,
        "IpOutRequests": 1, "IpOutTransmits": 1,
      ], P.ip(200, [1, 2, 3, 4])),
    arrives(
      "a packet with a malformed option",
      [
        "IcmpMsgOutType12": 1, "IcmpOutMsgs": 1, "IcmpOutParmProbs": 1, "IpExtInNoECTPkts": 1,
        "IpExtInOctets": 36, "IpExtOutOctets": 64, "IpInHdrErrors": 1, "IpInReceives": 1, "IpOutRequests": 1,
        "IpOutTransmits": 1,
      ], P.ip(17, P.udp(port: 9), options: [7, 2, 0, 0])),
    arrives(
      "a congestion mark",
      [
        "IcmpInEchoReps": 1, "IcmpInMsgs": 1, "IcmpMsgInType0": 1, "IpExtInCEPkts": 1, "IpExtInOctets": 28,
        "IpInDelivers": 1, "IpInReceives": 1,
      ], P.ip(1, P.icmp(0), tos: 3)),
    arrives(
      "a broadcast nobody listens to",
      [
        "IpExtInBcastOctets": 32, "IpExtInBcastPkts": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 32,
        "IpInDelivers": 1, "IpInReceives": 1, "UdpIgnoredMulti": 1,
      ],
      [255, 255, 255, 255, 255, 255] + P.ip(17, P.udp(port: 9), destination: [10, 0, 0, 255])[6...]),
    arrives(
      "a multicast nobody listens to",
      [
        "IpExtInMcastOctets": 32, "IpExtInMcastPkts": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 32,
        "IpInDelivers": 1, "IpInReceives": 1, "UdpIgnoredMulti": 1,
      ], P.ip(17, P.udp(port: 9), destination: [224, 0, 0, 1])),
    arrives(
      "an echo request",
      [
        "IcmpInEchos": 1, "IcmpInMsgs": 1, "IcmpMsgInType8": 1, "IcmpMsgOutType0": 1, "IcmpOutEchoReps": 1,
        "IcmpOutMsgs": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 32, "IpExtOutOctets": 32, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1,
      ], P.ip(1, P.icmp(8, [1, 2, 3, 4]))),
    arrives(
      "an echo reply nobody waits for",
      [
        "IcmpInEchoReps": 1, "IcmpInMsgs": 1, "IcmpMsgInType0": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 28,
        "IpInDelivers": 1, "IpInReceives": 1,
      ], P.ip(1, P.icmp(0))),
    arrives(
      "an ICMP message with a wrong checksum",
      [
        "IcmpInCsumErrors": 1, "IcmpInErrors": 1, "IcmpInMsgs": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 28,
        "IpInDelivers": 1, "IpInReceives": 1,
      ], P.ip(1, [8, 0, 1, 2, 0, 1, 0, 1])),
    arrives(
      "an ICMP message of four bytes",
      [
        "IcmpInErrors": 1, "IcmpInMsgs": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 24, "IpInDelivers": 1,
        "IpInReceives": 1,
      ], P.ip(1, [8, 0, 0xF7, 0xFF])),
    error(
      "an ICMP port unreachable",
      [
        "IcmpInDestUnreachs": 1, "IcmpInMsgs": 1, "IcmpMsgInType3": 1, "IpExtInNoECTPkts": 1,
        "IpExtInOctets": 56, "IpInDelivers": 1, "IpInReceives": 1,
      ], type: 3, code: 3),
    error(
      "an ICMP time exceeded",
      [
        "IcmpInMsgs": 1, "IcmpInTimeExcds": 1, "IcmpMsgInType11": 1, "IpExtInNoECTPkts": 1,
        "IpExtInOctets": 56, "IpInDelivers": 1, "IpInReceives": 1,
      ], type: 11, code: 0),
    error(
      "an ICMP parameter problem",
      [
        "IcmpInMsgs": 1, "IcmpInParmProbs": 1, "IcmpMsgInType12": 1, "IpExtInNoECTPkts": 1,
        "IpExtInOctets": 56, "IpInDelivers": 1, "IpInReceives": 1,
      ], type: 12, code: 0),
    CounterEvent(
      "a datagram in two fragments",
      [
        "IcmpInEchos": 1, "IcmpInMsgs": 1, "IcmpMsgInType8": 1, "IcmpMsgOutType0": 1, "IcmpOutEchoReps": 1,
        "IcmpOutMsgs": 1, "IpExtInNoECTPkts": 2, "IpExtInOctets": 1040, "IpExtOutOctets": 1020,
        "IpInDelivers": 1, "IpInReceives": 2, "IpOutRequests": 1, "IpOutTransmits": 1, "IpReasmOKs": 1,
        "IpReasmReqds": 2,
      ]
    ) {
      let peer = try P.world()
      let message = P.icmp(8, [UInt8](repeating: 3, count: 992))
      return Prepared(host: peer.host) {
        peer.host.receive(P.ip(1, Array(message[..<496]), fragment: 0x2000))
        peer.host.receive(P.ip(1, Array(message[496...]), fragment: 62))
        _ = peer.all()
      }
    },
    CounterEvent(
      "a first fragment whose rest does not come for 30 s",
      [
        "IcmpMsgOutType11": 1, "IcmpOutMsgs": 1, "IcmpOutTimeExcds": 1, "IpExtOutOctets": 72,
        "IpOutRequests": 1, "IpOutTransmits": 1, "IpReasmFails": 1, "IpReasmTimeout": 1,
      ]
    ) {
      let peer = try P.world()
      peer.host.receive(P.ip(17, P.udp(port: 9, 16), fragment: 0x2000))
      peer.advance(.milliseconds(29_900))
      peer.host.receive(P.ip(1, P.icmp(8)))
      return Prepared(host: peer.host) { peer.advance(.milliseconds(200)) }
    },
    CounterEvent(
      "an ICMP error the host may not have any more",
      [
        "IcmpOutRateLimitHost": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 32, "IpInDelivers": 1,
        "IpInReceives": 1, "UdpNoPorts": 1,
      ]
    ) {
      let peer = try P.world()
      for _ in 0..<6 { peer.host.receive(P.ip(17, P.udp(port: 9))) }
      return Prepared(host: peer.host) { peer.host.receive(P.ip(17, P.udp(port: 9))) }
    },
    CounterEvent(
      "an ICMP error nobody may have any more",
      [
        "IcmpOutRateLimitGlobal": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 32, "IpInDelivers": 1,
        "IpInReceives": 1, "UdpNoPorts": 1,
      ]
    ) {
      let peer = try P.world()
      for last in 0..<60 {
        peer.host.receive(P.ip(17, P.udp(port: 9), source: [10, 0, 0, UInt8(100 + last)]))
      }
      return Prepared(host: peer.host) {
        peer.host.receive(P.ip(17, P.udp(port: 9), source: [10, 0, 0, 200]))
      }
    },
    CounterEvent(
      "an echo request of our own",
      [
        "IcmpMsgOutType8": 1, "IcmpOutEchos": 1, "IcmpOutMsgs": 1, "IpExtOutOctets": 30, "IpOutRequests": 1,
        "IpOutTransmits": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try peer.host.stack.socket(.ping)
      socket.isNonBlocking = true
      return Prepared(host: peer.host) {
        _ = try socket.send([8, 0, 0, 0, 0, 0, 0, 1, 5, 5], to: SocketAddress(P.peerAddress, port: 0))
      }
    },
    CounterEvent("an ARP request for our address", ["ArpInPackets": 1, "ArpOutReplies": 1]) {
      let peer = try P.world()
      return Prepared(host: peer.host) {
        peer.host.receive(
          [
            255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1,
            10, 0, 0, 1,
          ]
            + [0, 0, 0, 0, 0, 0, 10, 0, 0, 2])
      }
    },
    CounterEvent(
      "a datagram for a neighbour not known yet",
      [
        "ArpOutRequests": 1, "IpExtOutOctets": 31, "IpOutRequests": 1, "IpOutTransmits": 1,
        "UdpOutDatagrams": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      return Prepared(host: peer.host) {
        _ = try socket.send([1, 2, 3], to: SocketAddress(IPv4Address(10, 0, 0, 50), port: 7))
      }
    },
    CounterEvent("a destination without a route", ["IpOutNoRoutes": 1]) {
      let peer = try P.world()
      let socket = try P.datagramSocket(peer)
      return Prepared(host: peer.host) {
        _ = try? socket.send([1, 2, 3], to: SocketAddress(IPv4Address(192, 0, 2, 1), port: 7))
      }
    },
  ]
}
