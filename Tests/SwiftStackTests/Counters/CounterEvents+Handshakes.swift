import NetNamespace
import SwiftStack
import TestSupport
import Timers
import Wire

private typealias P = CounterPackets

/// TCP connections that begin and end.
extension CounterEvent {
  static let mss: [UInt8] = [2, 4, 5, 0xB4]

  /// A listener on port 80; the scripted end has not sent anything.
  private static func listening(backlog: Int = 10, settings: NetSettings = NetSettings()) throws -> (
    ScriptedPeer, Socket
  ) {
    let peer = try P.world(settings)
    let listener = try peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen(backlog: backlog)
    peer.hostPort = 80
    return (peer, listener)
  }

  /// The scripted end opens a connection.
  private static func open(_ peer: ScriptedPeer, sequence: UInt32 = 1000, stamp: UInt32? = nil) -> UInt32 {
    let stamps: [UInt8] = stamp.map { [1, 1, 8, 10] + ScriptedPeer.bytes($0) + [0, 0, 0, 0] } ?? []
    peer.send(0x02, sequence: sequence, options: mss + stamps)
    return peer.next()?.sequence ?? 0
  }

  static let handshakes: [CounterEvent] = [
    CounterEvent(
      "connect",
      ["IpExtOutOctets": 60, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpActiveOpens": 1, "TcpOutSegs": 1]
    ) {
      let peer = try P.world()
      let socket = try peer.host.stack.socket(.tcp)
      socket.isNonBlocking = true
      return Prepared(host: peer.host) { try? socket.connect(to: ScriptedPeer.address) }
    },
    CounterEvent(
      "a SYN-ACK completes a connection",
      [
        "TcpExtTCPDelivered": 1, "IpExtInNoECTPkts": 1, "IpExtInOctets": 44, "IpExtOutOctets": 40,
        "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpCurrEstab": 1, "TcpInSegs": 1,
        "TcpOutSegs": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try peer.host.stack.socket(.tcp)
      socket.isNonBlocking = true
      try? socket.connect(to: ScriptedPeer.address)
      guard let syn = peer.next() else { throw SocketError("connect", .EPROTO) }
      peer.hostPort = syn.sourcePort
      peer.port = syn.destinationPort
      return Prepared(host: peer.host) {
        peer.send(0x12, sequence: 1, acknowledgment: syn.sequence &+ 1, options: mss)
        _ = socket.isNonBlocking
      }
    },
    CounterEvent(
      "a connection is refused",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 40, "IpInDelivers": 1, "IpInReceives": 1,
        "TcpAttemptFails": 1, "TcpInSegs": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try peer.host.stack.socket(.tcp)
      socket.isNonBlocking = true
      try? socket.connect(to: ScriptedPeer.address)
      guard let syn = peer.next() else { throw SocketError("connect", .EPROTO) }
      peer.hostPort = syn.sourcePort
      peer.port = syn.destinationPort
      return Prepared(host: peer.host) {
        peer.send(0x14, sequence: 0, acknowledgment: syn.sequence &+ 1)
        _ = socket.isNonBlocking
      }
    },
    CounterEvent(
      "a SYN is repeated",
      [
        "IpExtOutOctets": 60, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPSynRetrans": 1,
        "TcpExtTCPTimeouts": 1, "TcpRetransSegs": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try peer.host.stack.socket(.tcp)
      socket.isNonBlocking = true
      try? socket.connect(to: ScriptedPeer.address)
      return Prepared(host: peer.host) {
        peer.advance(.milliseconds(1100))
        _ = socket.isNonBlocking
      }
    },
    CounterEvent(
      "the last ACK of a handshake opens a connection",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 40, "IpInDelivers": 1, "IpInReceives": 1, "TcpCurrEstab": 1,
        "TcpExtTCPPureAcks": 1, "TcpInSegs": 1, "TcpPassiveOpens": 1,
      ]
    ) {
      let (peer, listener) = try listening()
      let sequence = open(peer)
      return Prepared(host: peer.host) {
        peer.send(0x10, sequence: 1001, acknowledgment: sequence &+ 1)
        _ = listener.isNonBlocking
      }
    },
    CounterEvent(
      "a SYN-ACK is repeated",
      [
        "TcpExtTCPTimeouts": 1, "TcpExtTCPSynRetrans": 1, "IpExtOutOctets": 44, "IpOutRequests": 1,
        "IpOutTransmits": 1, "TcpOutSegs": 1, "TcpRetransSegs": 1,
      ]
    ) {
      let (peer, listener) = try listening()
      _ = open(peer)
      return Prepared(host: peer.host) {
        peer.advance(.milliseconds(1100))
        _ = listener.isNonBlocking
      }
    },
    CounterEvent(
      "a SYN for a full accept queue",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 44, "IpInDelivers": 1, "IpInReceives": 1,
        "TcpExtListenDrops": 1, "TcpExtListenOverflows": 1, "TcpInSegs": 1,
      ]
    ) {
      let (peer, listener) = try listening(backlog: 0)
      let sequence = open(peer)
      peer.send(0x10, sequence: 1001, acknowledgment: sequence &+ 1)
      peer.port = 7001
      return Prepared(host: peer.host) {
        _ = open(peer)
        _ = listener.isNonBlocking
      }
    },
    CounterEvent(
      "a SYN that takes the oldest request's place",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 44, "IpExtOutOctets": 44, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtListenDrops": 1,
        "TcpExtTCPReqQFullDrop": 1, "TcpInSegs": 1, "TcpOutSegs": 1,
      ]
    ) {
      var settings = NetSettings()
      settings.maximumSynBacklog = 1
      settings.tcpSynCookies = 0
      let (peer, listener) = try listening(settings: settings)
      _ = open(peer)
      peer.port = 7001
      return Prepared(host: peer.host) {
        _ = open(peer)
        _ = listener.isNonBlocking
      }
    },
    CounterEvent(
      "a segment for a port that nobody has",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 44, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpInSegs": 1, "TcpOutRsts": 1,
        "TcpOutSegs": 1,
      ]
    ) {
      let peer = try P.world()
      peer.hostPort = 81
      return Prepared(host: peer.host) { peer.send(0x02, sequence: 5, options: mss) }
    },
    CounterEvent(
      "a segment whose checksum is wrong",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 40, "IpInDelivers": 1, "IpInReceives": 1,
        "TcpInCsumErrors": 1, "TcpInErrs": 1, "TcpInSegs": 1,
      ]
    ) {
      let peer = try P.world()
      return Prepared(host: peer.host) {
        var segment = ScriptedSegment(0x02, sequence: 5)
        segment.sourcePort = 7000
        segment.destinationPort = 81
        var bytes = peer.encode(segment)
        bytes[16] ^= 1
        peer.host.receive(P.ip(6, bytes))
      }
    },
    CounterEvent(
      "a segment of ten bytes",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 30, "IpInDelivers": 1, "IpInReceives": 1, "TcpInSegs": 1,
      ]
    ) {
      let peer = try P.world()
      return Prepared(host: peer.host) { peer.host.receive(P.ip(6, [UInt8](repeating: 0, count: 10))) }
    },
    CounterEvent(
      "a reset ends a connection",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 40, "IpInDelivers": 1, "IpInReceives": 1, "TcpCurrEstab": -1,
        "TcpEstabResets": 1, "TcpInSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world())
      return Prepared(host: connection.peer.host) {
        connection.peer.send(0x04, sequence: connection.sequence, acknowledgment: connection.acknowledgment)
      }
    },
    CounterEvent(
      "a reset in the window but not at its edge is challenged",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 40, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPChallengeACK": 1,
        "TcpInSegs": 1, "TcpOutSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world())
      return Prepared(host: connection.peer.host) {
        connection.peer.send(
          0x04, sequence: connection.sequence &+ 100, acknowledgment: connection.acknowledgment)
      }
    },
    CounterEvent(
      "a SYN in an established connection is challenged",
      [
        "TcpInErrs": 1,
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 44, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPChallengeACK": 1,
        "TcpExtTCPSYNChallenge": 1, "TcpInSegs": 1, "TcpOutSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world())
      return Prepared(host: connection.peer.host) {
        connection.peer.send(0x02, sequence: connection.sequence &+ 10, options: mss)
      }
    },
    CounterEvent(
      "close with bytes nobody has read",
      [
        "IpExtOutOctets": 40, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpCurrEstab": -1,
        "TcpEstabResets": 1, "TcpExtTCPAbortOnClose": 1, "TcpOutRsts": 1, "TcpOutSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world())
      connection.send([1, 2, 3])
      return Prepared(host: connection.peer.host) { connection.socket.close() }
    },
    CounterEvent(
      "bytes after close",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 43, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPAbortOnData": 1, "TcpInSegs": 1,
        "TcpOutRsts": 1, "TcpOutSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world())
      connection.socket.close()
      _ = connection.peer.all()
      return Prepared(host: connection.peer.host) { connection.send([1, 2, 3]) }
    },
    CounterEvent(
      "close in FIN-WAIT-2 with a TCP_LINGER2 below zero",
      [
        "IpExtOutOctets": 40, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPAbortOnLinger": 1,
        "TcpOutRsts": 1, "TcpOutSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world()) { try $0.setsockopt(level: 6, name: 8, -1) }
      try connection.socket.shutdown(write: true)
      connection.acknowledge(connection.acknowledgment &+ 1)
      return Prepared(host: connection.peer.host) { connection.socket.close() }
    },
    CounterEvent(
      "close with a linger time of 0",
      [
        "IpExtOutOctets": 40, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpCurrEstab": -1,
        "TcpEstabResets": 1, "TcpExtTCPAbortOnData": 1, "TcpOutRsts": 1, "TcpOutSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world())
      try connection.socket.setLinger(.zero)
      return Prepared(host: connection.peer.host) { connection.socket.close() }
    },
    CounterEvent(
      "a connection that we closed first comes to TIME-WAIT",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 40, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTW": 1, "TcpInSegs": 1,
        "TcpOutSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world())
      connection.socket.close()
      connection.acknowledge(connection.acknowledgment &+ 1)
      return Prepared(host: connection.peer.host) { connection.send([], flags: 0x11) }
    },
    CounterEvent("TIME-WAIT ends", [:]) {
      let connection = try ScriptedConnection(peer: P.world())
      connection.socket.close()
      connection.acknowledge(connection.acknowledgment &+ 1)
      connection.send([], flags: 0x11)
      return Prepared(host: connection.peer.host) { connection.peer.advance(.seconds(61)) }
    },
    CounterEvent(
      "a new connection from a pair in TIME-WAIT",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 44, "IpExtOutOctets": 44, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTWRecycled": 1, "TcpInSegs": 1,
        "TcpOutSegs": 1,
      ]
    ) {
      let (peer, listener) = try listening()
      let sequence = open(peer)
      peer.send(0x10, sequence: 1001, acknowledgment: sequence &+ 1)
      let socket = try listener.accept()
      socket.close()
      peer.send(0x11, sequence: 1001, acknowledgment: sequence &+ 2)
      _ = peer.all()
      peer.advance(.seconds(2))
      return Prepared(host: peer.host) {
        _ = open(peer, sequence: 900_000)
        _ = listener.isNonBlocking
      }
    },
    CounterEvent(
      "nobody answers a connection's data for 16 minutes",
      [
        "TcpExtTCPTimeouts": 2,
        "ArpInPackets": 1, "ArpOutRequests": 1, "IpExtOutOctets": 43, "IpOutRequests": 1, "IpOutTransmits": 1,
        "TcpCurrEstab": -1, "TcpEstabResets": 1, "TcpExtTCPAbortOnTimeout": 1, "TcpExtTCPLostRetransmit": 1,
        "TcpRetransSegs": 1,
      ]
    ) {
      let connection = try ScriptedConnection(peer: P.world())
      _ = try connection.socket.send([1, 2, 3])
      connection.peer.advance(.seconds(900))
      return Prepared(host: connection.peer.host) {
        connection.peer.advance(.seconds(200))
      }
    },
    CounterEvent(
      "a keep-alive probe",
      [
        "IpExtOutOctets": 40, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPKeepAlive": 1,
        "TcpOutSegs": 1,
      ]
    ) {
      var settings = NetSettings()
      settings.tcpKeepaliveTime = .seconds(10)
      let connection = try ScriptedConnection(peer: P.world(settings)) {
        try $0.setsockopt(level: 1, name: 9, 1)
      }
      return Prepared(host: connection.peer.host) { connection.peer.advance(.milliseconds(10_100)) }
    },
  ]
}
