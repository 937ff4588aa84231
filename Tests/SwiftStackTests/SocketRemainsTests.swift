import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// What a socket keeps, and what it gives back, when a call is refused or a connection ends: as Linux 6.18 answers the same
/// calls.
@Suite struct SocketRemainsTests {
  private static let loopback = IPv4Address(127, 0, 0, 1)
  private static func at(_ port: UInt16) -> SocketAddress { SocketAddress(loopback, port: port) }
  private static let station = SocketAddress(IPv4Address(10, 0, 0, 1), port: 7001)

  private let simulated = try! SimulatedStack()

  private func socket(_ kind: SocketKind) throws -> Socket {
    let socket = try simulated.stack.socket(kind)
    socket.isNonBlocking = true
    return socket
  }
  private func wait() { simulated.advance(to: simulated.now + .milliseconds(20)) }
  private func listener(_ address: SocketAddress) throws -> Socket {
    let socket = try socket(.tcp)
    try socket.bind(to: address)
    try socket.listen()
    return socket
  }
  private func pair(_ listener: Socket, _ port: UInt16) throws -> (client: Socket, server: Socket) {
    let client = try socket(.tcp)
    try? client.connect(to: Self.at(port))
    wait()
    let server = try listener.accept()
    server.isNonBlocking = true
    return (client, server)
  }
  private func errno(_ body: () throws(SocketError) -> Void) -> Errno? {
    do {
      try body()
      return nil
    } catch { return error.errno }
  }

  // MARK: Ports

  @Test("S4 a send that is refused has taken a port all the same", arguments: [SocketKind.udp, .ping])
  func portOfRefusedSend(kind: SocketKind) throws {
    let one = try socket(kind)
    #expect(errno { () throws(SocketError) in try one.send([8, 0, 0, 0, 0, 0, 0, 0]) } == .EDESTADDRREQ)
    #expect(try one.localAddress.port != 0)
  }

  @Test(
    "S4 bind() looks at the address before it looks whether the socket is bound",
    arguments: [SocketKind.udp, .tcp])
  func addressBeforeState(kind: SocketKind) throws {
    let one = try socket(kind)
    try one.bind(to: Self.at(7000))
    #expect(errno { () throws(SocketError) in try one.bind(to: Self.station) } == .EADDRNOTAVAIL)
    #expect(errno { () throws(SocketError) in try one.bind(to: Self.at(7001)) } == .EINVAL)
  }

  @Test("T1 a port that bind() picked stays while nothing was connected") func pickedPortStays() throws {
    let one = try socket(.tcp)
    try one.bind(to: Self.at(0))
    let picked = try one.localAddress
    #expect(errno { () throws(SocketError) in try one.shutdown(read: true) } == .ENOTCONN)
    #expect(try one.receive(upTo: 5).isEmpty)
    #expect(errno { () throws(SocketError) in try one.bind(to: Self.at(7000)) } == .EINVAL)
    #expect(errno { () throws(SocketError) in try socket(forErrno: .tcp).bind(to: picked) } == .EADDRINUSE)
  }
  private func socket(forErrno kind: SocketKind) throws(SocketError) -> Socket {
    try simulated.stack.socket(kind)
  }

  @Test("T1 a port that connect() picked is given back when the connection has failed, and still shown")
  func pickedPortIsShown() throws {
    let one = try socket(.tcp)
    try? one.connect(to: Self.at(7001))
    let picked = try one.localAddress.port
    wait()
    #expect(errno { () throws(SocketError) in try one.connect(to: Self.at(7001)) } == .ECONNREFUSED)
    #expect(try one.localAddress == SocketAddress(.any, port: picked))
    let other = try socket(.tcp)
    try other.bind(to: Self.at(picked))
  }

  @Test("T1 a listener that was disconnected is where it was bound again, and its connection is in its way")
  func addressComesBack() throws {
    let one = try listener(SocketAddress(.any, port: 7000))
    let (client, server) = try pair(one, 7000)
    try one.disconnect()
    try? one.connect(to: Self.at(7009))
    wait()
    try one.disconnect()
    #expect(try one.localAddress == SocketAddress(.any, port: 7000))
    #expect(errno { () throws(SocketError) in try one.listen() } == .EADDRINUSE)
    try server.disconnect()
    client.close()
    wait()
    try one.listen()
  }

  @Test(
    "T1 the child of a listener on an address keeps it, that of any address does not",
    arguments: [true, false])
  func childAddress(isAny: Bool) throws {
    let address = isAny ? SocketAddress(.any, port: 7000) : Self.at(7000)
    let (_, server) = try pair(listener(address), 7000)
    try server.disconnect()
    #expect(try server.localAddress == address)
  }

  @Test("U3 a connected socket has its port on its source alone, until the association ends")
  func connectedPort() throws {
    let one = try socket(.udp)
    try one.bind(to: SocketAddress(.any, port: 7000))
    try one.connect(to: Self.station)
    let other = try socket(.udp)
    try other.bind(to: Self.at(7000))
    other.close()
    let source = try one.localAddress
    let second = try socket(.udp)
    #expect(errno { () throws(SocketError) in try second.bind(to: source) } == .EADDRINUSE)
    try one.disconnect()
    #expect(errno { () throws(SocketError) in try second.bind(to: Self.at(7000)) } == .EADDRINUSE)
    one.close()
    try second.bind(to: Self.at(7000))
  }

  // MARK: Errors

  @Test("U1 the socket's shutdown is looked at behind the route") func shutdownBehindRoute() throws {
    let one = try socket(.udp)
    try? one.shutdown(write: true)
    try one.connect(to: Self.at(7001))
    #expect(errno { () throws(SocketError) in try one.send([1], to: Self.station) } == .EINVAL)
    #expect(errno { () throws(SocketError) in try one.send([1]) } == .EPIPE)
    try one.setsockopt(level: 0, name: 10, 2)
    #expect(
      errno { () throws(SocketError) in try one.send([UInt8](repeating: 0, count: 65_530)) } == .EMSGSIZE)
  }

  @Test("T2 listening does not take the error of a connection that failed") func errorAfterListen() throws {
    let one = try socket(.tcp)
    try? one.connect(to: Self.at(7001))
    wait()
    try one.disconnect()
    try one.listen()
    #expect(errno { () throws(SocketError) in try one.send([1]) } == .ECONNREFUSED)
    #expect(errno { () throws(SocketError) in try one.send([1]) } == .EPIPE)
  }

  @Test("T2 a connect that no route allows leaves the error that was") func errorAfterRefusedConnect() throws
  {
    let (_, server) = try pair(listener(Self.at(7000)), 7000)
    try server.disconnect()
    #expect(errno { () throws(SocketError) in try server.connect(to: Self.station) } == .EINVAL)
    #expect(errno { () throws(SocketError) in try server.send([1]) } == .ECONNRESET)
  }

  @Test(
    "T2 shutdown while a connect is on its way, which has come about or failed", arguments: [true, false])
  func shutdownWhileConnecting(isThere: Bool) throws {
    let listener = isThere ? try listener(Self.at(7001)) : nil
    defer { listener?.close() }
    let one = try socket(.tcp)
    try? one.connect(to: Self.at(7001))
    wait()
    #expect(errno { () throws(SocketError) in try one.shutdown(read: true) } == (isThere ? nil : .ENOTCONN))
    #expect(
      errno { () throws(SocketError) in try one.connect(to: Self.at(7001)) } == (isThere ? .EISCONN : .EINVAL)
    )
  }

  @Test("P3 IP_MTU is told of a connection that has ended, until it is disconnected") func endedMTU() throws {
    let one = try socket(.tcp)
    try? one.connect(to: Self.at(7001))
    wait()
    #expect(try one.getsockopt(level: 0, name: 14) == [0xFF, 0xFF, 0, 0])
    try one.disconnect()
    #expect(
      errno { () throws(SocketError) in _ = try one.getsockopt(level: 0, name: 14) } == .ENOTCONN)
  }

  @Test("T8 urgent data of a connection that was reset is nobody's") func urgentAfterReset() throws {
    let (client, server) = try pair(listener(Self.at(7000)), 7000)
    try client.shutdown(read: true, write: true)
    wait()
    try server.send([UInt8](repeating: 1, count: 99), flags: .outOfBand)
    wait()
    #expect(
      errno { () throws(SocketError) in _ = try client.receive(upTo: 1, flags: .outOfBand) } == .ENOTCONN)
    #expect(client.readiness.contains(.priority))
  }
}

/// What goes with a segment, and when.
@Suite struct SegmentTermsTests {
  @Test("T11 a SYN-ACK has its listener's IP_TTL and IP_TOS") func synAckTerms() throws {
    let peer = try FramePeer()
    let listener = try peer.host.stack.socket(.tcp)
    try listener.setsockopt(level: 0, name: 2, 33)
    try listener.setsockopt(level: 0, name: 1, 0x10)
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen()
    peer.receive(
      FramePeer.ip(6, FramePeer.tcp(2, from: 4000, to: 80, sequence: 1, acknowledgment: 0)))
    let answer = try #require(peer.takePackets().first)
    #expect(answer[33] == 0x12 && answer[8] == 33 && answer[1] == 0x10)
  }

  @Test(
    "T8 data that tells nothing new does not push out what MSG_MORE holds; an ACK does",
    arguments: [true, false])
  func heldBytes(isData: Bool) throws {
    let peer = try FramePeer()
    let client = try peer.host.stack.socket(.tcp)
    client.isNonBlocking = true
    try? client.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 80))
    let syn = try #require(peer.takePackets().first)
    let port = UInt16(syn[20]) << 8 | UInt16(syn[21])
    let next = syn[24..<28].reduce(0) { $0 << 8 | UInt32($1) } &+ 1
    peer.receive(
      FramePeer.ip(6, FramePeer.tcp(0x12, from: 80, to: port, sequence: 500, acknowledgment: next)))
    _ = peer.takePackets()
    try client.send([1, 2, 3], flags: .more)
    #expect(peer.takePackets().isEmpty)
    peer.receive(
      FramePeer.ip(
        6,
        FramePeer.tcp(
          0x18, from: 80, to: port, sequence: 501, acknowledgment: next, isData ? [7] : [])))
    #expect(peer.takePackets().contains { $0.count == 43 } == !isData)
    // The limit of MSG_MORE holds all the same.
    peer.advance(.milliseconds(250))
    #expect(peer.takePackets().contains { $0.count == 43 })
    #expect(isData ? try client.receive(upTo: 1) == [7] : true)
  }

  @Test(
    "P2 IP_PMTUDISC_DONT: a smaller path is everybody's, and no error of the socket's, as on Linux 6.18",
    arguments: [SocketKind.udp, .ping])
  func unwantedReport(kind: SocketKind) throws {
    let peer = try FramePeer()
    let place = SocketAddress(IPv4Address(10, 0, 0, 1), port: 9)
    let socket = try peer.host.stack.socket(kind)
    socket.isNonBlocking = true
    try socket.setsockopt(level: 0, name: 10, 0)
    try socket.connect(to: place)
    let bytes: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 1] + [UInt8](repeating: 1, count: 92)
    try socket.send(bytes)
    let sent = try #require(peer.takePackets().last)
    peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 4, rest: [0, 0, 4, 0], Array(sent[..<28]))))
    let other = try peer.host.stack.socket(.udp)
    try other.connect(to: place)
    #expect(try other.getsockopt(level: 0, name: 14) == [0, 4, 0, 0])
    try socket.send(bytes)
    #expect(socket.takeError() == nil)
  }

  @Test(
    "P2 IP_PMTUDISC_INTERFACE refuses what OMIT cuts; neither sets DF, nor believes in a smaller path",
    arguments: [4, 5] as [Int32])
  func linkOnly(mode: Int32) throws {
    let peer = try FramePeer()
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.setsockopt(level: 0, name: 10, mode)
    try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    try socket.send([UInt8](repeating: 1, count: 1472))
    let first = try #require(peer.takePackets().first)
    #expect(first.count == 1500 && first[6] & 0x40 == 0)
    peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 4, rest: [0, 0, 4, 0], Array(first[..<28]))))
    // The report is an error of the socket, which is taken.
    #expect(throws: SocketError.self) { try socket.send([1]) }
    try socket.send([UInt8](repeating: 1, count: 1472))
    #expect(peer.takePackets().map(\.count) == [1500])
    // Nobody else is told either.
    let other = try peer.host.stack.socket(.udp)
    try other.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    #expect(try other.getsockopt(level: 0, name: 14) == [0xDC, 5, 0, 0])
    let long = [UInt8](repeating: 1, count: 1473)
    if mode == 4 {
      #expect(throws: SocketError("send", .EMSGSIZE)) { try socket.send(long) }
    } else {
      try socket.send(long)
      #expect(peer.takePackets().map(\.count) == [1500, 21])
    }
  }
}
