import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Behind one address a port is one thing, whichever shard its sockets live in.
@Suite struct SharedPortTests {
  private let stack = try! SimulatedStack(queues: 3).stack

  /// - Parameters:
  ///   - reuse: SO_REUSEADDR 2, SO_REUSEPORT 15.
  private func socket(in queue: Int, reuse: Int32? = nil) throws -> Socket {
    let socket = try stack.socket(.tcp, queue: queue)
    if let reuse { try socket.setsockopt(level: 1, name: reuse, 1) }
    return socket
  }
  private static let any = SocketAddress(.any, port: 4000)
  private static let loopback = SocketAddress(IPv4Address(127, 0, 0, 1), port: 4000)

  @Test("a port of another shard is in use: bind()")
  func bind() throws {
    let first = try socket(in: 1)
    try first.bind(to: Self.loopback)
    for (queue, address) in [(0, Self.any), (2, Self.loopback), (0, Self.loopback)] {
      #expect(throws: SocketError("bind", .EADDRINUSE, address)) { try socket(in: queue).bind(to: address) }
      #expect(throws: SocketError("bind", .EADDRINUSE, address)) {
        try socket(in: queue, reuse: 2).bind(to: address)
      }
    }
    try socket(in: 0).bind(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 4000))
    first.close()
    try socket(in: 2).bind(to: Self.loopback)
  }

  @Test("SO_REUSEADDR shares a port between shards until one listens")
  func reuseAddress() throws {
    let sockets = try (0..<3).map { try socket(in: $0, reuse: 2) }
    for socket in sockets { try socket.bind(to: Self.any) }
    try sockets[1].listen()
    #expect(throws: SocketError("listen", .EADDRINUSE)) { try sockets[2].listen() }
    #expect(throws: SocketError("bind", .EADDRINUSE, Self.any)) {
      try socket(in: 0, reuse: 2).bind(to: Self.any)
    }
    try sockets[1].listen(backlog: 3)
    sockets[1].close()
    try sockets[2].listen()
  }

  @Test("SO_REUSEPORT: listeners of all shards on one port; one without is refused")
  func reusePort() throws {
    for queue in 0..<3 {
      let listener = try socket(in: queue, reuse: 15)
      try listener.bind(to: Self.any)
      try listener.listen()
      kept.append(listener)
    }
    #expect(throws: SocketError("bind", .EADDRINUSE, Self.any)) {
      try socket(in: 0, reuse: 2).bind(to: Self.any)
    }
  }
  private let kept = Kept()
  private final class Kept {
    var sockets: [Socket] = []
    func append(_ socket: Socket) { sockets.append(socket) }
  }
}
