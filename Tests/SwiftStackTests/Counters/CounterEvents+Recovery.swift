import IceModel
import NetNamespace
import SwiftStack
import TestSupport
import Timers
import Wire

private typealias P = CounterPackets

/// Losses that were none, peers that take back what they said, and queues that are full.
extension CounterEvent {
  /// What an acknowledgment without data moves, with `options` bytes of options.
  private static func ack(_ options: Int = 0, _ more: [String: Int] = [:]) -> [String: Int] {
    [
      "IpExtInNoECTPkts": 1, "IpExtInOctets": 40 + options, "IpInDelivers": 1, "IpInReceives": 1,
      "TcpExtTCPPureAcks": 1, "TcpInSegs": 1,
    ].merging(more) { $0 + $1 }
  }
  /// What so many segments of 1,000 bytes move that go again in one packet.
  private static func again(_ count: Int, _ more: [String: Int] = [:]) -> [String: Int] {
    [
      "IpExtOutOctets": 40 + count * 1000, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpRetransSegs": count,
    ].merging(more) { $0 + $1 }
  }

  private static func timeOut(_ connection: ScriptedConnection) {
    connection.peer.advance(.milliseconds(400))
  }
  /// Holds every frame in the NIC.
  private static func stall(_ host: SimulatedStack) {
    var faults = FaultInjection()
    faults.isTransmitStalled = true
    host.setFaults(faults)
  }

  static let recovery: [CounterEvent] = [
    inFlight(
      "a late original answers: part of a recovery is undone",
      ack(12, ["TcpExtTCPDelivered": 1, "TcpExtTCPTSReorder": 1, "TcpExtTCPPartialUndo": 1]),
      timestamps: true, before: { sack($0, 1..<4) }
    ) { $0.acknowledge($0.acknowledgment &+ 4000) },
    inFlight(
      "late originals answer to the end: a recovery is undone",
      ack(12, ["TcpExtTCPDelivered": 5, "TcpExtTCPFullUndo": 1]),
      timestamps: true, before: { sack($0, 1..<4) }
    ) { $0.acknowledge($0.acknowledgment &+ 8000) },
    inFlight(
      "a late original answers a timeout", ack(12, ["TcpExtTCPDelivered": 1, "TcpExtTCPLossUndo": 1]),
      timestamps: true, before: timeOut
    ) { $0.acknowledge($0.acknowledgment &+ 1000) },
    inFlight(
      "new data shows that a timeout was needless",
      ack(0, ["TcpExtTCPDelivered": 1, "TcpExtTCPLossUndo": 1, "TcpExtTCPSpuriousRTOs": 1]), count: 20,
      before: { connection in
        timeOut(connection)
        connection.acknowledge(connection.acknowledgment &+ 1000)
      }
    ) { $0.acknowledge($0.acknowledgment &+ 1000) },
    inFlight(
      "a receiver throws away what it had SACKed",
      again(
        1,
        [
          "TcpExtTCPSackFailures": 1, "TcpExtTCPSACKReneging": 1, "TcpExtTCPTimeouts": 1,
        ]),
      before: { connection in
        sack(connection, 1..<3)
        connection.acknowledge(connection.acknowledgment &+ 1000)
      }
    ) { $0.peer.advance(.milliseconds(50)) },
    inFlight(
      "what a timeout took for lost goes again in slow start",
      ack(
        0,
        // Two packets.
        again(
          2,
          [
            "IpExtOutOctets": 40, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPDelivered": 1,
            "TcpExtTCPSlowStartRetrans": 2,
          ])),
      before: timeOut
    ) { $0.acknowledge($0.acknowledgment &+ 1000) },
    inFlight(
      "a duplicate is reported of which nothing was sent twice",
      ack(12, ["TcpExtTCPDSACKRecv": 1, "TcpExtTCPDSACKIgnoredDubious": 1, "TcpExtTCPSACKDiscard": 1]),
      before: { $0.acknowledge($0.acknowledgment &+ 4000) }
    ) { connection in
      let base = connection.acknowledgment
      connection.acknowledge(sack: [(base &- 2000, base &- 1000)])
    },
    inFlight(
      "a duplicate is reported inside what is SACKed",
      ack(20, ["TcpExtTCPDSACKOfoRecv": 1, "TcpExtTCPDSACKRecvSegs": 1, "TcpExtTCPDelivered": 1]),
      before: { sack($0, 1..<4) }
    ) { connection in
      let base = connection.acknowledgment
      connection.acknowledge(sack: [(base &+ 2000, base &+ 3000), (base &+ 1000, base &+ 4000)])
    },
    inFlight(
      "more repeated acknowledgments than segments without SACK", ack(0, ["TcpExtTCPRenoReorder": 1]),
      count: 2, sack: false, before: { $0.acknowledge() }
    ) { $0.acknowledge() },
    inFlight(
      "a SACK of what would have been acknowledged", ack(12, ["TcpExtTCPSACKDiscard": 1])
    ) { sack($0, 0..<2) },
    inFlight(
      "a small segment waits for what is still in the ring", ["TcpExtTCPAutoCorking": 1], count: 1,
      before: { connection in
        stall(connection.peer.host)
        _ = try connection.socket.send([UInt8](repeating: 1, count: 100))
      }
    ) { connection in
      _ = try connection.socket.send([2])
      _ = try connection.socket.send([3])
    },
    inFlight(
      "the timer finds the last copy still in the ring",
      ["TcpExtTCPSpuriousRtxHostQueues": 1, "TcpExtTCPTimeouts": 1], count: 1,
      before: { connection in
        connection.acknowledge(connection.acknowledgment &+ 1000)
        stall(connection.peer.host)
        _ = try connection.socket.send([1])
      }
    ) { $0.peer.advance(.milliseconds(300)) },
  ]
}
