import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Options that few sockets have, in what they do. Their values and who takes them: the oracle's script `corners.txt`.
@Suite struct RareOptionTests: LoopbackPrograms {
  let simulated = try! SimulatedStack()

  private func set(_ socket: Socket, _ level: Int32, _ name: Int32, _ value: Int32) throws {
    try socket.setsockopt(level: level, name: name, value)
  }
  private func datagrams(_ sizes: [Int]) throws -> (receiver: Socket, sender: Socket) {
    let (receiver, sender) = (try socket(.udp), try socket(.udp))
    try receiver.bind(to: Self.at(5000))
    var next: UInt8 = 0
    for size in sizes {
      let bytes = (0..<size).map { next &+ UInt8($0) }
      next &+= UInt8(size)
      try sender.send(bytes, to: Self.at(5000))
    }
    wait()
    return (receiver, sender)
  }

  // MARK: SO_PEEK_OFF

  private static let peekOffset = SocketOptionName.peekOffset

  @Test("R6 SO_PEEK_OFF: peeks of a stream go on where the last one ended, and reading brings them nearer")
  func peekStream() throws {
    let (client, server) = try stream()
    try client.send((0..<100).map { UInt8($0) })
    wait()
    #expect(try value(server, 1, Self.peekOffset) == -1)
    #expect(try server.receive(upTo: 2, flags: .peek) == [0, 1])
    #expect(try server.receive(upTo: 2, flags: .peek) == [0, 1])
    try set(server, 1, Self.peekOffset, 10)
    #expect(try server.receive(upTo: 5, flags: .peek) == [10, 11, 12, 13, 14])
    #expect(try value(server, 1, Self.peekOffset) == 15)
    #expect(try server.receive(upTo: 5) == [0, 1, 2, 3, 4])
    #expect(try value(server, 1, Self.peekOffset) == 10)
    #expect(try server.receive(upTo: 200, flags: .peek) == (15..<100).map { UInt8($0) })
    #expect(errno { () throws(SocketError) in _ = try server.receive(upTo: 9, flags: .peek) } == .EAGAIN)
    #expect(try server.receive(upTo: 200).count == 95)
    #expect(try value(server, 1, Self.peekOffset) == 0)
  }

  @Test("R6 SO_PEEK_OFF: a peek goes from one segment to the next one")
  func peekSegments() throws {
    let (client, server) = try stream()
    try client.setNoDelay(true)
    for first in [UInt8(0), 10, 20] {
      try client.send((0..<10).map { first + $0 })
      wait()
    }
    try set(server, 1, Self.peekOffset, 0)
    #expect(try server.receive(upTo: 10, flags: .peek) == Array(0..<10))
    #expect(try server.receive(upTo: 5, flags: .peek) == Array(10..<15))
    #expect(try server.receive(upTo: 30, flags: .peek) == Array(15..<30))
  }

  @Test("R6 SO_PEEK_OFF: peeks of datagrams go on in the next one; a receive counts what it has copied")
  func peekDatagrams() throws {
    let (receiver, _) = try datagrams([20, 30])
    try set(receiver, 1, Self.peekOffset, 0)
    #expect(try receiver.receive(upTo: 8, flags: .peek) == Array(0..<8))
    #expect(try receiver.receive(upTo: 80, flags: .peek) == Array(8..<20))
    #expect(try value(receiver, 1, Self.peekOffset) == 20)
    #expect(try receiver.receive(upTo: 8, flags: .peek) == Array(20..<28))
    #expect(try receiver.receive(upTo: 8) == Array(0..<8))
    #expect(try value(receiver, 1, Self.peekOffset) == 20)
    #expect(try receiver.receive(upTo: 80, flags: .peek) == Array(40..<50))
    #expect(errno { () throws(SocketError) in _ = try receiver.receive(upTo: 8, flags: .peek) } == .EAGAIN)
  }

  @Test("R6 SO_PEEK_OFF is not a ping socket's")
  func peekPing() throws {
    let one = try socket(.ping)
    #expect(
      errno { () throws(SocketError) in try one.setsockopt(level: 1, name: Self.peekOffset, 1) }
        == .EOPNOTSUPP)
    #expect(
      errno { () throws(SocketError) in _ = try one.getsockopt(level: 1, name: Self.peekOffset) }
        == .EOPNOTSUPP)
  }

  // MARK: What a receive tells

  @Test("S7 SO_RXQ_OVFL tells with a datagram how many had no room before it", arguments: [true, false])
  func drops(isAsked: Bool) throws {
    let (receiver, sender) = try datagrams([])
    try set(receiver, 1, SocketOptionName.receiveBuffer, 2304)
    if isAsked { try set(receiver, 1, SocketOptionName.receiveOverflow, 1) }
    for _ in 0..<10 { try sender.send([UInt8](repeating: 1, count: 1000), to: Self.at(5000)) }
    wait()
    var came = 0
    while let one = try? receiver.recvmsg() {
      #expect(one.control.dropCount == nil)
      came += 1
    }
    #expect((1..<10).contains(came))
    try sender.send([1], to: Self.at(5000))
    wait()
    #expect(try receiver.recvmsg().control.dropCount == (isAsked ? UInt32(10 - came) : nil))
  }

  @Test("S6 IP_RECVORIGDSTADDR and SO_RCVMARK: where a datagram went, and its mark, as control messages")
  func destinationAndMark() throws {
    let (receiver, sender) = try datagrams([])
    try sender.setsockopt(level: 1, name: SocketOptionName.mark, 7)
    try set(receiver, 1, SocketOptionName.receiveMark, 1)
    try set(receiver, 0, IPOptionName.receiveOriginalDestination, 1)
    try sender.send([1], to: Self.at(5000))
    wait()
    let one = try receiver.recvmsg()
    #expect(one.control.originalDestination == Self.at(5000))
    #expect(one.control.mark != nil)
    let mark = UInt8(try #require(one.control.mark))
    // struct cmsghdr SO_MARK (36) of 4 bytes, then IP_ORIGDSTADDR (20) with a sockaddr_in.
    #expect(
      one.controlMessages().bytes
        == [20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 36, 0, 0, 0, mark, 0, 0, 0, 0, 0, 0, 0]
        + [32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0x13, 0x88, 127, 0, 0, 1]
        + [UInt8](repeating: 0, count: 8))
  }

  @Test("S7 SO_SELECT_ERR_QUEUE: an error of a datagram socket is urgent, too", arguments: [true, false])
  func urgentErrors(isAsked: Bool) throws {
    let one = try socket(.udp)
    try set(one, 0, IPOptionName.receiveErrors, 1)
    if isAsked { try set(one, 1, SocketOptionName.selectErrorQueue, 1) }
    #expect(!one.readiness.contains(.priority))
    try one.send([1], to: Self.at(5999))
    wait()
    #expect(one.readiness.contains(.error) && one.readiness.contains(.priority) == isAsked)
  }

  // MARK: Addresses and ports

  @Test("S4 IP_FREEBIND: an address that nobody has is bound to, and nothing can be sent from it")
  func freeBind() throws {
    let nobody = SocketAddress(IPv4Address(10, 0, 0, 99), port: 5000)
    for kind in [SocketKind.udp, .tcp] {
      let one = try socket(kind)
      #expect(errno { () throws(SocketError) in try one.bind(to: nobody) } == .EADDRNOTAVAIL)
      try set(one, 0, IPOptionName.freeBind, 1)
      try one.bind(to: nobody)
      #expect(try one.localAddress == nobody)
      if kind == .udp {
        #expect(
          errno { () throws(SocketError) in
            try one.send([1], to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 5001))
          } == .ENETUNREACH)
      } else {
        try one.listen()
      }
    }
  }

  @Test("S4 IP_BIND_ADDRESS_NO_PORT: the port comes with connect(), listen() or the first send")
  func addressAlone() throws {
    let without = Self.at(0)
    let (listener, _) = (try socket(.tcp), ())
    try set(listener, 0, IPOptionName.bindAddressNoPort, 1)
    try listener.bind(to: without)
    #expect(try listener.localAddress == without)
    // Not bound yet: it may be bound again.
    try listener.bind(to: without)
    try listener.listen()
    let place = try listener.localAddress
    #expect(place.address == without.address && place.port != 0)
    let client = try socket(.tcp)
    try set(client, 0, IPOptionName.bindAddressNoPort, 1)
    try client.bind(to: without)
    try? client.connect(to: place)
    wait()
    #expect(try client.localAddress.address == without.address && client.localAddress.port != 0)
    let datagram = try socket(.udp)
    try set(datagram, 0, IPOptionName.bindAddressNoPort, 1)
    try datagram.bind(to: without)
    #expect(try datagram.localAddress == without)
    try datagram.send([1], to: Self.at(5000))
    #expect(try datagram.localAddress.address == without.address && datagram.localAddress.port != 0)
    let ping = try socket(.ping)
    try set(ping, 0, IPOptionName.bindAddressNoPort, 1)
    try ping.bind(to: without)
    #expect(try ping.localAddress.port != 0)
  }

  @Test("S4 IP_LOCAL_PORT_RANGE: bind(), listen(), connect() and a send choose from the socket's own ports")
  func ownPorts() throws {
    func socket(_ kind: SocketKind, _ ports: ClosedRange<UInt16>) throws -> Socket {
      let one = try self.socket(kind)
      try set(
        one, 0, IPOptionName.localPortRange,
        Int32(bitPattern: UInt32(ports.lowerBound) | UInt32(ports.upperBound) << 16))
      return one
    }
    let bound = try socket(.tcp, 40_000...40_000)
    try bound.bind(to: Self.at(0))
    #expect(try bound.localAddress.port == 40_000)
    let second = try socket(.tcp, 40_000...40_000)
    #expect(errno { () throws(SocketError) in try second.bind(to: Self.at(0)) } == .EADDRINUSE)
    let listener = try socket(.tcp, 40_001...40_001)
    try listener.listen()
    #expect(try listener.localAddress.port == 40_001)
    var ports: Set<UInt16> = []
    for _ in 0..<3 {
      let client = try socket(.tcp, 40_002...40_004)
      try? client.connect(to: Self.at(40_001))
      ports.insert(try client.localAddress.port)
    }
    #expect(ports == [40_002, 40_003, 40_004])
    let last = try socket(.tcp, 40_002...40_004)
    #expect(errno { () throws(SocketError) in try last.connect(to: Self.at(40_001)) } == .EADDRNOTAVAIL)
    let sender = try socket(.udp, 40_005...40_005)
    try sender.send([1], to: Self.at(5000))
    #expect(try sender.localAddress.port == 40_005)
    // Outside of the system's range it is the system's. Linux: inet_sk_get_local_port_range().
    for _ in 0..<16 {
      let outside = try socket(.udp, 80...81)
      try outside.bind(to: Self.at(0))
      #expect(try outside.localAddress.port >= 32_768)
    }
    let outside = try socket(.udp, 80...81)
    #expect(
      errno { () throws(SocketError) in
        try outside.setsockopt(level: 0, name: IPOptionName.localPortRange, Int32(41_001 | 30_000 << 16))
      } == .EINVAL)
  }

  // MARK: Buffers and names

  @Test("S7 SO_BUF_LOCK: a size that was set stays the caller's until it is given back")
  func bufferLock() throws {
    let one = try socket(.tcp)
    #expect(try value(one, 1, SocketOptionName.bufferLock) == 0)
    try set(one, 1, SocketOptionName.sendBuffer, 9000)
    #expect(try value(one, 1, SocketOptionName.bufferLock) == 1)
    try set(one, 1, SocketOptionName.receiveBuffer, 9000)
    #expect(try value(one, 1, SocketOptionName.bufferLock) == 3)
    #expect(
      errno { () throws(SocketError) in try one.setsockopt(level: 1, name: SocketOptionName.bufferLock, 4) }
        == .EINVAL)
    try set(one, 1, SocketOptionName.bufferLock, 0)
    #expect(try value(one, 1, SocketOptionName.bufferLock) == 0)
    try set(one, 1, SocketOptionName.bufferLock, 2)
    #expect(try value(one, 1, SocketOptionName.bufferLock) == 2)
  }

  @Test("S3 SO_PEERNAME: a sockaddr_in, or a part of it; ENOTCONN, and EINVAL with more room than it has")
  func peerName() throws {
    let one = try socket(.udp)
    #expect(
      errno { () throws(SocketError) in
        _ = try one.getsockopt(level: 1, name: SocketOptionName.peerName, maximum: 16)
      } == .ENOTCONN)
    try one.connect(to: Self.at(5001))
    let name: [UInt8] = [2, 0, 0x13, 0x89, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    #expect(try one.getsockopt(level: 1, name: SocketOptionName.peerName, maximum: 16) == name)
    #expect(try one.getsockopt(level: 1, name: SocketOptionName.peerName, maximum: 8) == Array(name[..<8]))
    #expect(
      errno { () throws(SocketError) in
        _ = try one.getsockopt(level: 1, name: SocketOptionName.peerName, maximum: 17)
      } == .EINVAL)
  }
}
