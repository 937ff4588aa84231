import Sockets
import SwiftStack
import TestSupport
import Timers
import Wire

/// A stack of several shards and a peer that all of them have an ARP entry for, so that only datagrams are handed over.
struct DatagramBench {
  let peer: FramePeer
  static let own = IPv4Address(10, 0, 0, 2)

  init(queues: Int = 4, _ configure: (inout StackConfiguration) -> Void = { _ in }) throws {
    peer = try FramePeer(queues: queues) {
      // So that a route leads to groups.
      $0.gateway = IPv4Address(10, 0, 0, 1)
      configure(&$0)
    }
    for queue in 0..<queues {
      peer.host.receive(
        FramePeer.arp(1, FramePeer.mac(1), [10, 0, 0, 1], [0, 0, 0, 0, 0, 0], [10, 0, 0, 2]), queue: queue)
    }
    peer.collect()
  }

  /// How often something went from one shard to another.
  var handedOver: UInt64 {
    peer.host.stack.nicReports.flatMap(\.statistics).filter { $0.name == "rx_handed_over" }
      .reduce(0) { $0 + $1.value }
  }

  enum Sharing: Int32 {
    case none = 0
    case reuseAddress = 2
    case reusePort = 15
  }

  func socket(
    _ type: SocketKind = .udp, in queue: Int, port: UInt16? = nil, at address: IPv4Address = .any,
    _ sharing: Sharing = .none
  ) throws -> Socket {
    let socket = try peer.host.stack.socket(type, queue: queue)
    socket.isNonBlocking = true
    if sharing != .none {
      try socket.setsockopt(level: SocketOptionLevel.socket, name: sharing.rawValue, 1)
    }
    if let port { try socket.bind(to: SocketAddress(address, port: port)) }
    return socket
  }

  /// A datagram of the peer's arrives.
  func datagram(
    _ payload: [UInt8], from port: UInt16 = 5000, to service: UInt16 = 700,
    destination: [UInt8] = FramePeer.hostAddress, at queue: Int
  ) {
    peer.receive(
      FramePeer.ip(
        17, FramePeer.udp(payload, from: port, to: service, destination: destination),
        destination: destination),
      to: destination[0] == 255
        ? [255, 255, 255, 255, 255, 255]
        : destination[0] >= 224
          ? [1, 0, 0x5E, destination[1] & 0x7F, destination[2], destination[3]]
          : FramePeer.hostMAC,
      queue: queue)
  }

  /// What waits at a socket.
  static func take(_ socket: Socket) -> [[UInt8]] {
    var all: [[UInt8]] = []
    while let bytes = try? socket.receive(upTo: 70000) { all.append(bytes) }
    return all
  }
}
