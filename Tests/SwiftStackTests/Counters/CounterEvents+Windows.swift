import NetNamespace
import SwiftStack
import TestSupport
import Timers
import Wire

private typealias P = CounterPackets

/// Receive windows that close and open, and receive buffers that are full.
extension CounterEvent {
  /// A connection with a receive buffer of 8,192 bytes, which `before` fills.
  private static func small(
    _ name: String, _ moves: [String: Int],
    before: @escaping @Sendable (ScriptedConnection) throws -> Void = { _ in },
    _ happen: @escaping @Sendable (ScriptedConnection) throws -> Void
  ) -> CounterEvent {
    CounterEvent(name, moves) {
      let connection = try ScriptedConnection(peer: P.world()) { try $0.setsockopt(level: 1, name: 8, 4096) }
      try before(connection)
      _ = connection.peer.all()
      return Prepared(host: connection.peer.host) {
        try happen(connection)
        _ = connection.peer.all()
      }
    }
  }
  /// Sends what the window takes, until it is closed.
  private static func fill(_ connection: ScriptedConnection, leaving: Int = 0) {
    var window = connection.socket.tcpInfo?.receiveWindow ?? 0
    for _ in 0..<100 {
      connection.send([UInt8](repeating: 1, count: min(window, 1000)))
      connection.peer.advance(.milliseconds(300))
      guard let last = connection.peer.all().last else { continue }
      window = Int(last.window)
      if window <= leaving { return }
    }
  }
  /// Segments of ten bytes that come before their turn.
  private static func early(_ connection: ScriptedConnection, _ places: Range<UInt32>) {
    for place in places {
      connection.peer.send(
        0x18, sequence: connection.sequence &+ 10 &+ 20 * place, acknowledgment: connection.acknowledgment,
        payload: [UInt8](repeating: 9, count: 10))
    }
  }
  /// Unread segments that use half of their memory, in a buffer that their owner has made too small for them.
  private static func wasteful(
    _ name: String, _ moves: [String: Int], _ happen: @escaping @Sendable (ScriptedConnection) throws -> Void
  ) -> CounterEvent {
    CounterEvent(name, moves) {
      let connection = try ScriptedConnection(peer: P.world(), options: [2, 4, 5, 0xB4, 4, 2])
      for _ in 0..<20 { connection.send([UInt8](repeating: 1, count: 1100)) }
      connection.peer.advance(.milliseconds(300))
      try connection.socket.setsockopt(level: 1, name: 8, 4096)
      _ = connection.peer.all()
      return Prepared(host: connection.peer.host) {
        try happen(connection)
        _ = connection.peer.all()
      }
    }
  }
  static let windows: [CounterEvent] = [
    small(
      "a window closes",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 960, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPToZeroWindowAdv": 1,
        "TcpInSegs": 1, "TcpOutSegs": 1,
      ], before: { fill($0, leaving: 1000) }
    ) { fill($0) },
    small(
      "a reader opens a window",
      [
        "IpExtOutOctets": 40, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPFromZeroWindowAdv": 1,
        "TcpOutSegs": 1,
      ], before: { fill($0) }
    ) { _ = try $0.socket.receive(upTo: 100_000) },
    small(
      "data at a closed window",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 41, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtTCPZeroWindowDrop": 1,
        "TcpInSegs": 1, "TcpOutSegs": 1,
      ], before: { fill($0) }
    ) { $0.send([1]) },
    small(
      "data beyond a window",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 1500, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtBeyondWindow": 1,
        "TcpExtTCPWantZeroWindowAdv": 1, "TcpInSegs": 1, "TcpOutSegs": 1,
      ], before: { fill($0, leaving: 1200) }
    ) { $0.send([UInt8](repeating: 1, count: 1460)) },
    small(
      "too early and one too many",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 50, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtOfoPruned": 1,
        "TcpExtPruneCalled": 1, "TcpExtTCPOFOQueue": 1, "TcpInSegs": 1, "TcpOutSegs": 1,
      ], before: { early($0, 0..<31) }
    ) { early($0, 31..<32) },
    wasteful(
      "more than a buffer that has shrunk",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 41, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtPruneCalled": 1,
        "TcpExtRcvPruned": 1, "TcpExtTCPRcvCollapsed": 6, "TcpExtTCPRcvQDrop": 1, "TcpInSegs": 1,
        "TcpOutSegs": 1,
      ]
    ) { $0.send([1]) },
    wasteful(
      "too early for a buffer that has shrunk",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 50, "IpInDelivers": 1, "IpInReceives": 1,
        "TcpExtPruneCalled": 1, "TcpExtRcvPruned": 1, "TcpExtTCPOFODrop": 1, "TcpExtTCPRcvCollapsed": 6,
        "TcpInSegs": 1,
      ]
    ) { early($0, 1..<2) },
    CounterEvent(
      "a SYN-ACK that echoes a time never sent",
      [
        "IpExtInNoECTPkts": 1, "IpExtInOctets": 56, "IpExtOutOctets": 40, "IpInDelivers": 1,
        "IpInReceives": 1, "IpOutRequests": 1, "IpOutTransmits": 1, "TcpExtPAWSActive": 1, "TcpInSegs": 1,
        "TcpOutRsts": 1, "TcpOutSegs": 1,
      ]
    ) {
      let peer = try P.world()
      let socket = try peer.host.stack.socket(.tcp)
      socket.isNonBlocking = true
      try? socket.connect(to: ScriptedPeer.address)
      let syn = peer.next()
      return Prepared(host: peer.host) {
        guard let syn, let stamps = syn.timestamps else { return }
        peer.hostPort = syn.sourcePort
        peer.send(
          0x12, sequence: 1, acknowledgment: syn.sequence &+ 1,
          options: [2, 4, 5, 0xB4, 1, 1, 8, 10, 0, 0, 0, 1] + ScriptedPeer.bytes(stamps.value &+ 1_000_000))
        withExtendedLifetime(socket) { _ = peer.all() }
      }
    },
  ]
}
