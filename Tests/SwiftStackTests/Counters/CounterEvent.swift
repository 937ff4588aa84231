import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Something that happens to a stack, and every counter that it moves, by how much. All others stand still.
struct CounterEvent: Sendable, CustomTestStringConvertible {
  var name: String
  var moves: [String: Int]
  /// Brings a stack to just before; the result makes it happen.
  var prepare: @Sendable () throws -> Prepared

  struct Prepared {
    var host: SimulatedStack
    var happen: () throws -> Void
  }

  var testDescription: String { name }

  init(_ name: String, _ moves: [String: Int], _ prepare: @escaping @Sendable () throws -> Prepared) {
    self.name = name
    self.moves = moves
    self.prepare = prepare
  }

  static let all = network + messages + datagrams + handshakes + reception + transmission + recovery + windows

  /// Makes it happen and tells what moved.
  func measure() throws -> [String: Int] {
    let prepared = try prepare()
    let before = Self.values(prepared.host)
    try prepared.happen()
    let after = Self.values(prepared.host)
    return after.merging(before) { $0 &- $1 }.filter { $0.value != 0 }
  }

  private static func values(_ host: SimulatedStack) -> [String: Int] {
    Dictionary(
      uniqueKeysWithValues: host.stack.counterReports.map { ($0.name, Int(truncatingIfNeeded: $0.value)) })
  }
}

/// Packets for the events, written out by RFC 791 and its kin.
enum CounterPackets {
  static func ip(
    _ number: UInt8, _ payload: [UInt8], tos: UInt8 = 0, fragment: UInt16 = 0, id: UInt16 = 1,
    source: [UInt8] = [10, 0, 0, 1], destination: [UInt8] = [10, 0, 0, 2], options: [UInt8] = [],
    change: (inout [UInt8]) -> Void = { _ in }
  ) -> [UInt8] {
    let header = 20 + options.count
    var ip: [UInt8] = [0x40 | UInt8(header / 4), tos] + ScriptedPeer.bytes(UInt16(header + payload.count))
    ip +=
      ScriptedPeer.bytes(id) + ScriptedPeer.bytes(fragment) + [64, number, 0, 0] + source + destination
      + options
    ip.replaceSubrange(10..<12, with: ScriptedPeer.bytes(ScriptedPeer.checksum(ip)))
    change(&ip)
    return [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0] + ip + payload
  }

  static func udp(port: UInt16, _ count: Int = 4, checksum: UInt16 = 0, length: Int? = nil) -> [UInt8] {
    ScriptedPeer.bytes(UInt16(9000)) + ScriptedPeer.bytes(port)
      + ScriptedPeer.bytes(UInt16(length ?? 8 + count))
      + ScriptedPeer.bytes(checksum) + [UInt8](repeating: 7, count: count)
  }

  static func icmp(_ type: UInt8, code: UInt8 = 0, rest: [UInt8] = [0, 1, 0, 1], _ payload: [UInt8] = [])
    -> [UInt8]
  {
    var message: [UInt8] = [type, code, 0, 0] + rest + payload
    message.replaceSubrange(2..<4, with: ScriptedPeer.bytes(ScriptedPeer.checksum(message)))
    return message
  }

  /// A host that has resolved its peer's address, so that no ARP is part of an event.
  static func world(_ settings: NetSettings = NetSettings()) throws -> ScriptedPeer {
    let peer = try ScriptedPeer(settings: settings)
    peer.host.receive(ip(1, icmp(8)))
    peer.advance(.milliseconds(1))
    return peer
  }

  static func datagramSocket(_ peer: ScriptedPeer, port: UInt16 = 5000) throws -> Socket {
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: port))
    return socket
  }

  static let peerAddress = IPv4Address(10, 0, 0, 1)
}
