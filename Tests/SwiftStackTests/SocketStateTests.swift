import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Calls in states they are seldom made in: what Linux 6.18 answers to the same calls over its loopback.
@Suite struct SocketStateTests {
  private static let loopback = IPv4Address(127, 0, 0, 1)
  private static func at(_ port: UInt16) -> SocketAddress { SocketAddress(loopback, port: port) }

  private let simulated = try! SimulatedStack()

  private func socket(_ kind: SocketKind, boundTo port: UInt16? = nil) throws -> Socket {
    let socket = try simulated.stack.socket(kind)
    socket.isNonBlocking = true
    if let port { try socket.bind(to: Self.at(port)) }
    return socket
  }
  private func listener(_ port: UInt16) throws -> Socket {
    let socket = try socket(.tcp, boundTo: port)
    try socket.listen()
    return socket
  }
  private func wait() { simulated.advance(to: simulated.now + .milliseconds(20)) }
  private func connected(to port: UInt16, from socket: Socket) throws {
    #expect(throws: SocketError("connect", .EINPROGRESS, Self.at(port))) {
      try socket.connect(to: Self.at(port))
    }
    wait()
  }
  private func pair(_ port: UInt16) throws -> (Socket, Socket) {
    let listener = try listener(port)
    let client = try socket(.tcp)
    try connected(to: port, from: client)
    let server = try listener.accept()
    server.isNonBlocking = true
    return (client, server)
  }

  @Test("S7 T17 an urgent byte is there to be received though nothing else is") func urgentByteAlone() throws
  {
    let (client, server) = try pair(4000)
    try client.send([9], flags: .outOfBand)
    wait()
    #expect(try server.receive(upTo: 1, flags: .outOfBand) == [9])
    #expect(throws: SocketError("receive", .EINVAL)) { try server.receive(upTo: 1, flags: .outOfBand) }
  }

  @Test("S7 a stream shut down before it connects: ENOTCONN, and shut it stays", arguments: [true, false])
  func shutdownUnconnected(write: Bool) throws {
    let listener = try listener(4000)
    let client = try socket(.tcp)
    #expect(throws: SocketError("shutdown", .ENOTCONN)) { try client.shutdown(read: !write, write: write) }
    let shut: Readiness = write ? [.writable, .hangup] : [.readable, .writable, .hangup, .readHangup]
    #expect(client.readiness == shut)
    try connected(to: 4000, from: client)
    let server = try listener.accept()
    server.isNonBlocking = true
    if write {
      #expect(throws: SocketError("send", .EPIPE)) { try client.send([1]) }
      #expect(throws: SocketError("receive", .EAGAIN)) { try server.receive(upTo: 1) }
      // Only a shutdown of the connection sends its FIN.
      try client.shutdown(write: true)
      wait()
      #expect(try server.receive(upTo: 1).isEmpty)
    } else {
      #expect(client.readiness == [.readable, .writable, .readHangup])
      #expect(try client.receive(upTo: 1).isEmpty)
      #expect(try client.send([1]) == 1)
    }
  }

  @Test("S7 a listener that was shut down before has children that cannot send")
  func shutdownBeforeListen() throws {
    let listener = try socket(.tcp, boundTo: 4000)
    #expect(throws: SocketError("shutdown", .ENOTCONN)) { try listener.shutdown(write: true) }
    try listener.listen()
    let client = try socket(.tcp)
    try connected(to: 4000, from: client)
    let child = try listener.accept()
    #expect(throws: SocketError("send", .EPIPE)) { try child.send([1]) }
  }

  @Test("U1 a source that a connect chose stays until the association ends")
  func chosenSource() throws {
    let socket = try socket(.udp)
    try socket.connect(to: SocketAddress(IPv4Address(127, 0, 0, 1), port: 9))
    #expect(try socket.localAddress.address == IPAddress(IPv4Address(127, 0, 0, 1)))
    let far = SocketAddress(IPv4Address(10, 0, 0, 1), port: 9)
    #expect {
      try socket.connect(to: far)
    } throws: {
      ($0 as? SocketError)?.errno == .EINVAL
    }
    try socket.disconnect()
    try socket.connect(to: far)
    #expect(try socket.localAddress.address == IPAddress(IPv4Address(10, 0, 0, 2)))
  }

  @Test("S7 a receive of no bytes: EAGAIN, ENOTCONN, or that there is something")
  func receiveNothing() throws {
    let alone = try socket(.tcp)
    #expect(throws: SocketError("receive", .ENOTCONN)) { try alone.receive(upTo: 0) }
    let (client, server) = try pair(4000)
    #expect(throws: SocketError("receive", .EAGAIN)) { try client.receive(upTo: 0) }
    try server.send([1])
    wait()
    #expect(try client.receive(upTo: 0).isEmpty)
    #expect(try client.receive(upTo: 9) == [1])
  }

  @Test("S7 after the peer's FIN a receive says end of stream, also when a reset followed")
  func endBeforeReset() throws {
    let (client, server) = try pair(4000)
    try client.send([1, 2])
    try server.send([3])
    wait()
    try client.shutdown(write: true)
    wait()
    // Unread data: the close is a reset.
    client.close()
    wait()
    #expect(server.readiness.contains(.error))
    #expect(try server.receive(upTo: 9) == [1, 2])
    #expect(try server.receive(upTo: 9).isEmpty)
    #expect(try server.receive(upTo: 9).isEmpty)
    #expect(server.takeError() == .EPIPE)
  }

  // MARK: connect() with AF_UNSPEC

  @Test("T2 disconnect resets a connection, and the socket connects anew")
  func disconnect() throws {
    let listener = try listener(4000)
    let client = try socket(.tcp)
    try connected(to: 4000, from: client)
    let first = try listener.accept()
    first.isNonBlocking = true
    try client.disconnect()
    wait()
    #expect(client.readiness == [.writable, .error, .hangup])
    #expect(throws: SocketError("getpeername", .ENOTCONN)) { try client.remoteAddress }
    #expect(throws: SocketError("receive", .ECONNRESET)) { try first.receive(upTo: 1) }
    try connected(to: 4000, from: client)
    #expect(client.takeError() == nil)
    let second = try listener.accept()
    try second.send([1, 2, 3])
    wait()
    #expect(try client.receive(upTo: 9) == [1, 2, 3])
  }

  @Test("T2 disconnect keeps what bind asked for, and ends listening and connecting")
  func disconnectElsewhere() throws {
    let listener = try listener(4000)
    let client = try socket(.tcp, boundTo: 4600)
    try connected(to: 4000, from: client)
    try client.disconnect()
    #expect(try client.localAddress == Self.at(4600))
    try connected(to: 4000, from: client)
    #expect(client.readiness == .writable)

    try listener.disconnect()
    #expect(throws: SocketError("accept", .EINVAL)) { try listener.accept() }
    #expect(try listener.localAddress == Self.at(4000))
    #expect(throws: SocketError("connect", .ECONNREFUSED, Self.at(4000))) {
      let other = try simulated.stack.socket(.tcp)
      try other.connect(to: Self.at(4000))
    }
    try listener.listen()

    let far = SocketAddress(IPv4Address(10, 0, 0, 9), port: 5)
    let connecting = try socket(.tcp)
    #expect(throws: SocketError("connect", .EINPROGRESS, far)) { try connecting.connect(to: far) }
    try connecting.disconnect()
    #expect(connecting.takeError() == .ECONNRESET)
    #expect(connecting.readiness == [.writable, .hangup])

    let alone = try socket(.tcp)
    try alone.disconnect()
    #expect(alone.takeError() == nil)
  }

  @Test("U3 disconnect gives back the port that nobody asked for")
  func disconnectDatagrams() throws {
    let chosen = try socket(.udp)
    try chosen.connect(to: Self.at(4002))
    let port = try chosen.localAddress.port
    #expect(port != 0)
    try chosen.disconnect()
    #expect(try chosen.localAddress == SocketAddress(.any, port: 0))
    _ = try socket(.udp, boundTo: port)
    try chosen.bind(to: Self.at(4010))
    try chosen.connect(to: Self.at(4002))
    try chosen.disconnect()
    #expect(try chosen.localAddress == Self.at(4010))
    try chosen.send([1], to: Self.at(4010))
    wait()
    #expect(try chosen.receive(upTo: 9) == [1])
  }

  @Test("U3 a socket bound to a group or a broadcast connects and sends with the device's address")
  func groupBound() throws {
    let receiver = try socket(.udp, boundTo: 4001)
    for address in [IPv4Address(224, 0, 0, 5), IPv4Address(255, 255, 255, 255), IPv4Address(10, 0, 0, 255)] {
      let sender = try socket(.udp)
      try sender.bind(to: SocketAddress(address, port: 4005))
      try sender.send([1], to: Self.at(4001))
      try sender.connect(to: Self.at(4001))
      try sender.send([2])
      #expect(try sender.localAddress.address == IPAddress(address))
      #expect(try receiver.recvmsg().source == Self.at(4005))
      #expect(try receiver.recvmsg().source == Self.at(4005))
      sender.close()
    }
  }

  @Test(
    "U3 peers with port 0 are none; a shut read side tells its end to those who wait only; MSG_OOB is not looked at"
  )
  func datagramCorners() throws {
    let sender = try socket(.udp)
    try sender.connect(to: Self.at(0))
    #expect(throws: SocketError("getpeername", .ENOTCONN)) { try sender.remoteAddress }
    let receiver = try socket(.udp, boundTo: 4001)
    try sender.send([7], to: Self.at(4001))
    #expect(try receiver.recvmsg(flags: .outOfBand).bytes == [7])
    try receiver.connect(to: Self.at(4002))
    try receiver.shutdown(read: true)
    #expect(throws: SocketError("receive", .EAGAIN)) { try receiver.receive(upTo: 1) }
    receiver.isNonBlocking = false
    #expect(try receiver.receive(upTo: 1).isEmpty)
  }
}
