import NetNamespace
import SwiftStack
import TestSupport
import Timers
import Wire

private typealias P = CounterPackets

/// TCP segments received.
extension CounterEvent {
  private static let sack: [UInt8] = mss + [4, 2]

  /// An open connection, and what happens to it.
  private static func connected(
    _ name: String, _ moves: [String: Int], options: [UInt8] = mss, timestamps: Bool = false,
    before: @escaping @Sendable (ScriptedConnection) throws -> Void = { _ in },
    _ happen: @escaping @Sendable (ScriptedConnection) throws -> Void
  ) -> CounterEvent {
    CounterEvent(name, moves) {
      let connection = try ScriptedConnection(peer: P.world(), options: options, timestamps: timestamps)
      try before(connection)
      _ = connection.peer.all()
      return Prepared(host: connection.peer.host) {
        try happen(connection)
        _ = connection.peer.all()
      }
    }
  }
  /// A segment `distance` bytes ahead of the next.
  private static func ahead(_ connection: ScriptedConnection, _ distance: UInt32, _ count: Int) {
    connection.peer.send(
      0x10, sequence: connection.sequence &+ distance, acknowledgment: connection.acknowledgment,
      options: connection.standing, payload: [UInt8](repeating: 9, count: count))
  }

  static let reception: [CounterEvent] = [
    connected(
      "an acknowledgment that says nothing new",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 40, "IpInDelivers": 1, "IpInReceives": 1,
        "TcpExtTCPPureAcks": 1, "TcpInSegs": 1,
      ]
    ) { $0.acknowledge() },
    connected(
      "the delayed-ACK timer acknowledges a request that nobody answers",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 41, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtDelayedACKs": 1, "TcpInSegs": 1,
        "TcpOutSegs": 1,
      ],
      before: { connection in
        for _ in 0..<4 {
          connection.send([1])
          _ = try connection.socket.receive(upTo: 10)
          _ = try connection.socket.send([2])
          connection.acknowledge(connection.acknowledgment &+ 1)
          connection.peer.advance(.milliseconds(300))
        }
      }
    ) { connection in
      connection.send([1])
      connection.peer.advance(.milliseconds(300))
    },
    connected(
      "a segment that came already",
      [
        "TcpExtDelayedACKLost": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 44, "IpExtOutOctets": 52,
        "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPDSACKOldSent": 1,
        "TcpInSegs": 1, "TcpOutSegs": 1,
      ], options: sack, before: { $0.send([1, 2, 3, 4]) }
    ) {
      connection in
      connection.peer.send(
        0x10, sequence: connection.sequence &- 4, acknowledgment: connection.acknowledgment,
        payload: [1, 2, 3, 4])
    },
    connected(
      "a segment ahead of its turn",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 90, "IpExtOutOctets": 52, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPOFOQueue": 1, "TcpInSegs": 1,
        "TcpOutSegs": 1,
      ], options: sack
    ) { ahead($0, 100, 50) },
    connected(
      "a segment ahead of its turn for the second time",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 90, "IpExtOutOctets": 60, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPDSACKOfoSent": 1,
        "TcpExtTCPOFOMerge": 1, "TcpExtTCPOFOQueue": 1, "TcpInSegs": 1, "TcpOutSegs": 1,
      ], options: sack, before: { ahead($0, 100, 50) }
    ) {
      ahead($0, 100, 50)
    },
    connected(
      "a segment ahead of its turn that overlaps another",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 140, "IpExtOutOctets": 60, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPDSACKOfoSent": 1,
        "TcpExtTCPOFOQueue": 1, "TcpInSegs": 1, "TcpOutSegs": 1,
      ], options: sack, before: { ahead($0, 100, 50) }
    ) { ahead($0, 120, 100) },
    connected(
      "the missing segment comes",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 140, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPRcvCoalesce": 1, "TcpInSegs": 1,
        "TcpOutSegs": 1,
      ], options: sack, before: { ahead($0, 100, 50) }
    ) {
      $0.send([UInt8](repeating: 1, count: 100))
    },
    connected(
      "a segment whose time stamp is older than the last",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 53, "IpExtOutOctets": 52, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtPAWSEstab": 1, "TcpInSegs": 1,
        "TcpOutSegs": 1,
      ], timestamps: true
    ) { connection in
      connection.timestamp &-= 100
      connection.send([1])
    },
  ]
}
