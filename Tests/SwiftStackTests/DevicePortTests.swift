import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Wire

/// `SO_BINDTODEVICE` in a stack of several shards: ports of other shards, and which shard a packet goes to.
@Suite("S10 devices and shards")
struct DevicePortTests {
  private let simulated = try! SimulatedStack(queues: 3)
  private var stack: Stack { simulated.stack }
  /// What goes from one shard to another is taken in.
  private func settle() { _ = simulated.takeFrames() }
  private static let own = IPv4Address(10, 0, 0, 2)

  private func socket(_ kind: SocketKind, in queue: Int, _ device: Int32, port: UInt16) throws -> Socket {
    let socket = try stack.socket(kind, queue: queue)
    socket.isNonBlocking = true
    try socket.setsockopt(level: 1, name: 62, device)
    try socket.bind(to: SocketAddress(.any, port: port))
    return socket
  }

  @Test("a port of another shard is in the way on the same device only", arguments: [SocketKind.tcp, .udp])
  func ports(kind: SocketKind) throws {
    let lo = try socket(kind, in: 0, 1, port: 700)
    let ethernet = try socket(kind, in: 1, 2, port: 700)
    for device: Int32 in [0, 1, 2] {
      #expect(throws: SocketError("bind", .EADDRINUSE, SocketAddress(.any, port: 700))) {
        try socket(kind, in: 2, device, port: 700)
      }
    }
    lo.close()
    let next = try socket(kind, in: 2, 1, port: 700)
    withExtendedLifetime((ethernet, next)) {}
  }

  @Test(
    "a datagram goes to the shard whose socket is bound to its device, wherever it comes in", arguments: 0..<3
  )
  func datagrams(sender: Int) throws {
    let lo = try socket(.udp, in: 1, 1, port: 700)
    let ethernet = try socket(.udp, in: 2, 2, port: 700)
    let client = try stack.socket(.udp, queue: sender)
    for (address, right, wrong) in [(IPv4Address.loopback, lo, ethernet), (Self.own, ethernet, lo)] {
      try client.send([7], to: SocketAddress(address, port: 700))
      settle()
      #expect(try right.receive(upTo: 9) == [7])
      #expect(throws: SocketError("receive", .EAGAIN)) { try wrong.receive(upTo: 9) }
    }
    ethernet.close()
    try client.send([8], to: SocketAddress(Self.own, port: 700))
    settle()
    #expect(throws: SocketError("receive", .EAGAIN)) { try lo.receive(upTo: 9) }
  }

  @Test(
    "a connection goes to the shard whose listener is bound to its device, wherever it comes in",
    arguments: 0..<3)
  func connections(sender: Int) throws {
    let lo = try socket(.tcp, in: 1, 1, port: 700)
    let ethernet = try socket(.tcp, in: 2, 2, port: 700)
    for listener in [lo, ethernet] { try listener.listen() }
    for (address, right, wrong) in [(IPv4Address.loopback, lo, ethernet), (Self.own, ethernet, lo)] {
      let client = try stack.socket(.tcp, queue: sender)
      client.isNonBlocking = true
      try? client.connect(to: SocketAddress(address, port: 700))
      settle()
      let child = try right.accept()
      #expect(try child.getsockopt(level: 1, name: 62) == right.getsockopt(level: 1, name: 62))
      #expect(throws: SocketError("accept", .EAGAIN)) { try wrong.accept() }
    }
  }

  @Test("S4 one four-tuple bound in two shards: the second connect() is EADDRNOTAVAIL, as within one")
  func sameTuple() throws {
    let listener = try stack.socket(.tcp, queue: 0)
    try listener.bind(to: SocketAddress(.any, port: 700))
    try listener.listen()
    let there = SocketAddress(Self.own, port: 700)
    var clients: [Socket] = []
    for queue in [1, 2] {
      let client = try stack.socket(.tcp, queue: queue)
      client.isNonBlocking = true
      try client.setReuseAddress(true)
      try client.bind(to: SocketAddress(Self.own, port: 600))
      clients.append(client)
    }
    try? clients[0].connect(to: there)
    settle()
    #expect(throws: SocketError("connect", .EADDRNOTAVAIL, there)) { try clients[1].connect(to: there) }
  }
}
