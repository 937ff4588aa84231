import NetNamespace
import SwiftStack
import TestSupport
import Timers
import Wire

private typealias P = CounterPackets

/// TCP segments sent, lost and found again.
extension CounterEvent {
  /// A connection with `count` segments of 1,000 bytes in flight.
  static func inFlight(
    _ name: String, _ moves: [String: Int], count: Int = 8, sack: Bool = true, timestamps: Bool = false,
    before: @escaping @Sendable (ScriptedConnection) throws -> Void = { _ in },
    _ happen: @escaping @Sendable (ScriptedConnection) throws -> Void
  ) -> CounterEvent {
    CounterEvent(name, moves) {
      let mss = timestamps ? 1012 : 1000
      let options: [UInt8] = [2, 4, UInt8(mss >> 8), UInt8(mss & 0xFF)] + (sack ? [4, 2] : [])
      let connection = try ScriptedConnection(
        peer: P.world(), options: options, timestamps: timestamps, rtt: .milliseconds(10)
      ) { try $0.setNoDelay(true) }
      _ = try connection.socket.send([UInt8](repeating: 3, count: 1000 * count))
      _ = connection.peer.all()
      connection.peer.advance(.milliseconds(10))
      try before(connection)
      _ = connection.peer.all()
      return Prepared(host: connection.peer.host) {
        try happen(connection)
        _ = connection.peer.all()
      }
    }
  }
  /// Selectively acknowledges the segments `range` of 1,000 bytes each.
  static func sack(_ connection: ScriptedConnection, _ ranges: Range<UInt32>...) {
    let base = connection.acknowledgment
    connection.acknowledge(sack: ranges.map { (base &+ $0.lowerBound * 1000, base &+ $0.upperBound * 1000) })
  }

  static let transmission: [CounterEvent] = [
    CounterEvent(
      "a segment is sent",
      [
        "IpExtOutOctets": 43, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPOrigDataSent": 1,
        "TcpOutSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world())
      return Prepared(host: connection.peer.host) { _ = try connection.socket.send([1, 2, 3]) }
    },
    inFlight(
      "eight segments are acknowledged",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 40, "IpInDelivers": 1, "IpInReceives": 1,
        "TcpExtTCPDelivered": 8, "TcpExtTCPPureAcks": 1, "TcpInSegs": 1,
      ]
    ) { $0.acknowledge($0.acknowledgment &+ 8000) },
    inFlight(
      "nobody answers for a timeout",
      [
        "IpExtOutOctets": 1040, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPTimeouts": 1,
        "TcpRetransSegs": 1,
      ]
    ) { $0.peer.advance(.milliseconds(400)) },
    inFlight(
      "three segments above a hole begin a recovery",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 52, "IpExtOutOctets": 1040, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPDelivered": 3,
        "TcpExtTCPFastRetrans": 1,
        "TcpExtTCPPureAcks": 1, "TcpExtTCPSackRecovery": 1, "TcpInSegs": 1, "TcpRetransSegs": 1,
      ]
    ) { sack($0, 1..<4) },
    inFlight(
      "three repeated acknowledgments begin a recovery without SACK",
      [
        "IpExtInNoECTPkts": 3, "IpExtInOctets": 120, "IpExtOutOctets": 1040, "IpInDelivers": 3,
        "IpInReceives": 3, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPDelivered": 3,
        "TcpExtTCPFastRetrans": 1,
        "TcpExtTCPPureAcks": 3, "TcpExtTCPRenoRecovery": 1, "TcpInSegs": 3, "TcpRetransSegs": 1,
      ], sack: false
    ) { connection in
      for _ in 0..<3 { connection.acknowledge() }
    },
    inFlight(
      "a second timeout for the same segment",
      [
        "TcpExtTCPTimeouts": 1,
        "IpExtOutOctets": 1040, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPLostRetransmit": 1,
        "TcpRetransSegs": 1,
      ], before: { $0.peer.advance(.milliseconds(400)) }
    ) {
      $0.peer.advance(.milliseconds(500))
    },
    inFlight(
      "a repeated original is reported after a retransmission",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 52, "IpInDelivers": 1, "IpInReceives": 1,
        "TcpExtTCPDSACKRecv": 1, "TcpExtTCPDSACKRecvSegs": 1, "TcpExtTCPDSACKUndo": 1, "TcpExtTCPPureAcks": 1,
        "TcpExtTCPSACKReorder": 1, "TcpInSegs": 1,
      ],
      before: { connection in
        sack(connection, 1..<4)
        connection.acknowledge(connection.acknowledgment &+ 8000)
      }
    ) { connection in
      let base = connection.acknowledgment
      connection.acknowledge(sack: [(base &- 8000, base &- 7000)])
    },
    inFlight(
      "the hole fills after two segments above it: reordering",
      [
        "IpExtInNoECTPkts": 2, "IpExtInOctets": 104, "IpInDelivers": 2, "IpInReceives": 2,
        "TcpExtTCPDelivered": 3, "TcpExtTCPPureAcks": 2, "TcpExtTCPSACKReorder": 1, "TcpInSegs": 2,
      ]
    ) { connection in
      sack(connection, 2..<4)
      sack(connection, 1..<4)
    },
    inFlight(
      "a retransmission is acknowledged",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 40, "IpInDelivers": 1, "IpInReceives": 1,
        "TcpExtTCPDelivered": 1, "TcpExtTCPPureAcks": 1, "TcpInSegs": 1,
      ], before: { sack($0, 1..<4) }
    ) { $0.acknowledge($0.acknowledgment &+ 1000) },
    CounterEvent(
      "a probe of a closed window",
      [
        "IpExtOutOctets": 80, "IpOutRequests": 2, "IpOutTransmits": 2, "TcpExtTCPWinProbe": 2,
        "TcpOutSegs": 2,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world(), window: 0)
      _ = try connection.socket.send([1, 2, 3])
      return Prepared(host: connection.peer.host) { connection.peer.advance(.milliseconds(1100)) }
    },
  ]
}
