import IPv4
import InetSocket
import NetNamespace
import Sockets
import TestSupport
import Testing
import Timers
import UDP
import Wire

@testable import SwiftStack

/// Times of packets (`SO_TIMESTAMP`, `SO_TIMESTAMPING`, `SO_TXTIME`). Numbers and layouts were tried on Linux 6.18.
@Suite("S7 time stamps") struct TimestampTests {
  private static let peer = SocketAddress(IPv4Address(10, 0, 0, 1), port: 7)
  private static let (timestamp, timestampNS, timestamping): (Int32, Int32, Int32) = (29, 35, 37)

  private func socket(_ peer: FramePeer, _ flags: TimestampingFlags = []) throws -> Socket {
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: 5000))
    // A clock that does not stand at its beginning, and a neighbour that is known.
    peer.advance(.seconds(2))
    try socket.send([0], to: Self.peer)
    _ = peer.takePackets()
    try set(socket, flags)
    return socket
  }
  private func set(_ socket: Socket, _ flags: TimestampingFlags) throws {
    try socket.setsockopt(level: 1, name: Self.timestamping, Int32(bitPattern: flags.rawValue))
  }
  private func stamps(_ socket: Socket) throws -> [(event: UInt32, number: UInt32, byteCount: Int)] {
    var list: [(UInt32, UInt32, Int)] = []
    while let message = try? socket.recvmsg(flags: .errorQueue), let error = message.control.error {
      #expect(error.origin == .timestamping && error.errno == .ENOMSG)
      #expect(message.flags == .errorQueue && message.source == nil)
      list.append((error.info, error.data, message.bytes.count))
    }
    return list
  }
  private func described(_ socket: Socket) throws -> [String] {
    try stamps(socket).map { "\($0.event) \($0.number) \($0.byteCount)" }
  }

  @Test("S7 SO_TIMESTAMP and SO_TIMESTAMPNS: sixteen bytes of the time of day at which the datagram came")
  func arrival() throws {
    let peer = try FramePeer()
    let socket = try socket(peer)
    peer.advance(.microseconds(1234))
    let arrived = peer.host.now
    func control(_ name: Int32) throws -> [UInt8] {
      try socket.setsockopt(level: 1, name: name, 1)
      peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 5000)))
      return try socket.recvmsg().controlMessages().bytes
    }
    func number(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
    let nanoseconds = arrived.nanoseconds
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
    for (name, unit) in [(29, UInt64(1000)), (35, 1), (63, 1000), (64, 1)] as [(Int32, UInt64)] {
      let expected = number(32) + [1, 0, 0, 0, UInt8(name), 0, 0, 0] + number(seconds) + number(rest / unit)
      #expect(try control(name) == expected, "\(name)")
    }
    // What waits is as old as when it came.
    peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 5000)))
    let before = peer.host.now.nanoseconds
    peer.advance(.seconds(3))
    #expect(try socket.recvmsg(flags: .peek).control.times?.arrival == before)
    #expect(try socket.recvmsg().control.times?.arrival == before)
    try socket.setsockopt(level: 1, name: Self.timestampNS, 0)
    peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 5000)))
    #expect(try socket.recvmsg().control.times == nil)
  }

  @Test("S7 SO_TIMESTAMPING tells what came only with both bits, in 48 bytes of which the first 16 count")
  func receiving() throws {
    let peer = try FramePeer()
    let socket = try socket(peer)
    for flags in [TimestampingFlags.software, .receiveSoftware] {
      try set(socket, flags)
      peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 5000)))
      #expect(try socket.recvmsg().control.times == nil)
    }
    try set(socket, [.software, .receiveSoftware])
    peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 5000)))
    let message = try socket.recvmsg()
    #expect(message.control.times?.software == peer.host.now.nanoseconds)
    let bytes = message.controlMessages().bytes
    #expect(bytes.count == 64 && bytes[12] == 37 && bytes[32...].allSatisfy { $0 == 0 })
  }

  @Test("S7 what came is told to who wants to be told while any socket asks, but for OPT_RX_FILTER")
  func askedByAnother() throws {
    let peer = try FramePeer()
    let socket = try socket(peer, .software)
    let other = try peer.host.stack.socket(.udp)
    func isTold() throws -> Bool {
      peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 5000)))
      return try socket.recvmsg().control.times?.software != nil
    }
    #expect(try !isTold())
    try other.setsockopt(level: 1, name: Self.timestamping, Int32(8))
    #expect(try isTold())
    try set(socket, [.software, .receiveFilter])
    #expect(try !isTold())
    try set(socket, .software)
    #expect(try isTold())
    try other.setsockopt(level: 1, name: Self.timestamping, 0)
    #expect(try !isTold())
    // Once it has asked with SO_TIMESTAMP it does as long as it lives.
    try other.setsockopt(level: 1, name: Self.timestamp, 1)
    try other.setsockopt(level: 1, name: Self.timestamp, 0)
    try other.setsockopt(level: 1, name: Self.timestamping, 0)
    #expect(try isTold())
    other.close()
    #expect(try !isTold())
  }

  @Test("S7 what a listener accepts asks for times as the listener does")
  func askedByAccepted() throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    try set(server, .software)
    let listener = try wire.right.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 7077))
    try listener.setsockopt(level: 1, name: Self.timestamp, 1)
    try listener.listen()
    let caller = try wire.left.stack.socket(.tcp)
    caller.isNonBlocking = true
    try? caller.connect(to: SocketAddress(try server.localAddress.address, port: 7077))
    wire.run(for: .milliseconds(100), until: { listener.readiness.contains(.readable) })
    let accepted = try listener.accept()
    listener.close()
    func isTold() throws -> Bool {
      try client.send([1])
      wire.run(for: .milliseconds(100), until: { server.readiness.contains(.readable) })
      return try server.recvmsg().control.times?.software != nil
    }
    #expect(try isTold())
    try accepted.setLinger(.zero)
    accepted.close()
    wire.run(for: .milliseconds(100), until: { false })
    #expect(try !isTold())
  }

  @Test("S7 OPT_ID: a datagram's stamps have its number, and one that was not sent takes none") func numbers()
    throws
  {
    let peer = try FramePeer()
    let socket = try socket(
      peer, [.transmitSoftware, .transmitScheduled, .software, .identifiers, .timeOnly])
    try socket.send([1], to: Self.peer)
    #expect(socket.readiness.contains(.error))
    #expect(try described(socket) == ["1 0 0", "0 0 0"])
    #expect(!socket.readiness.contains(.error))
    #expect(throws: (any Error).self) { try socket.send([UInt8](repeating: 0, count: 65_508), to: Self.peer) }
    peer.host.injectCopyFault(1)
    #expect(throws: (any Error).self) { try socket.send([1], to: Self.peer) }
    try socket.send([1], to: Self.peer)
    #expect(try described(socket) == ["1 1 0", "0 1 0"])
    // Switched off and on again it counts anew; without it there are no numbers.
    try set(socket, [.transmitSoftware, .software, .timeOnly])
    try socket.send([1], to: Self.peer)
    try set(socket, [.transmitSoftware, .software, .identifiers, .timeOnly])
    try socket.send([1], to: Self.peer)
    #expect(try described(socket) == ["0 0 0", "0 0 0"])
  }

  @Test("S7 D9 only a datagram's first fragment is stamped, and a corked one counts once") func fragments()
    throws
  {
    let peer = try FramePeer()
    let socket = try socket(peer, [.transmitSoftware, .software, .identifiers, .timeOnly])
    try socket.send([UInt8](repeating: 1, count: 5000), to: Self.peer)
    try socket.send([1], to: Self.peer, flags: .more)
    try socket.send([2])
    try socket.send([3], to: Self.peer)
    #expect(try described(socket) == ["0 0 0", "0 1 0", "0 2 0"])
  }

  @Test("S7 D9 without OPT_TSONLY the frame comes back; OPT_CMSG tells by which device, from where, to whom")
  func frame()
    throws
  {
    let peer = try FramePeer()
    let socket = try socket(peer, [.transmitSoftware, .software])
    _ = peer.takePackets()
    try socket.send([1, 2, 3], to: Self.peer)
    let message = try socket.recvmsg(flags: .errorQueue)
    let sent = try #require(peer.takePackets().first)
    // All but the checksum, which the device makes later.
    #expect(message.bytes.count == 45)
    #expect(Array(message.bytes[14..<40]) == Array(sent.prefix(26)))
    #expect(Array(message.bytes[42...]) == Array(sent[28..<31]))
    #expect(Array(message.bytes.prefix(14)) == FramePeer.mac(1) + FramePeer.hostMAC + [8, 0])
    #expect(message.control.error?.offender == nil && message.control.destination == nil)
    try socket.setsockopt(level: 0, name: 8, 1)
    for flags in [[], TimestampingFlags.controlMessages, [.controlMessages, .timeOnly]] as [TimestampingFlags]
    {
      try set(socket, flags.union([.transmitSoftware, .software]))
      try socket.send([1, 2, 3], to: Self.peer)
      let control = try socket.recvmsg(flags: .errorQueue).control
      let isTold = flags == .controlMessages
      #expect(control.error?.offender == (isTold ? IPv4Address(10, 0, 0, 2) : nil))
      #expect(control.specificDestination == (isTold ? IPv4Address(10, 0, 0, 2) : nil))
      #expect(control.destination == (isTold ? IPv4Address(10, 0, 0, 1) : nil))
      #expect((control.interface != .none) == isTold)
    }
  }

  @Test("S7 stamps wait as long as the receive buffer has room, and stay when IP_RECVERR is switched off")
  func room()
    throws
  {
    let peer = try FramePeer()
    let socket = try socket(peer, [.transmitSoftware, .software, .identifiers, .timeOnly])
    try socket.setsockopt(level: 1, name: 8, 4096)
    for _ in 0..<20 { try socket.send([1], to: Self.peer) }
    try socket.setsockopt(level: 0, name: 11, 1)
    try socket.setsockopt(level: 0, name: 11, 0)
    // SO_RCVBUF doubled, 832 bytes each, and less than the whole.
    #expect(try stamps(socket).map(\.number) == [0, 1, 2, 3, 4, 5, 6, 7, 8])
    try socket.send([1], to: Self.peer)
    #expect(try stamps(socket).map(\.number) == [20])
  }

  @Test("S5 a control message asks for one send, and SCM_TS_OPT_ID gives it a number that does not count")
  func perMessage()
    throws
  {
    let peer = try FramePeer()
    let socket = try socket(peer, [.transmitSoftware, .software, .identifiers, .timeOnly])
    func message(_ kind: UInt8, _ data: [UInt8]) -> [UInt8] {
      [UInt8(16 + data.count), 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, kind, 0, 0, 0] + data
    }
    let name: [UInt8] = [2, 0, 0, 7, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    func send(_ control: [UInt8]) -> Errno? {
      do throws(SocketError) { try socket.sendmsg(name: name, control: control, [1]) } catch {
        return error.errno
      }
      return nil
    }
    #expect(send(message(37, [0, 1, 0, 0, 0, 0, 0, 0])) == .EINVAL)
    #expect(send(message(81, [9, 0, 0, 0])) == nil)
    #expect(send(message(37, [0, 1, 0, 0])) == nil)
    #expect(send(message(37, [0, 0, 0, 0])) == nil)
    #expect(send([]) == nil)
    #expect(try described(socket) == ["0 9 0", "1 0 0", "0 1 0"])
    #expect(send(message(37, [16, 0, 0, 0])) == .EINVAL)
    #expect(send(message(37, [2, 0])) == .EINVAL)
    #expect(send(message(81, [1, 0])) == .EINVAL)
    try set(socket, [.transmitSoftware, .software])
    #expect(send(message(81, [9, 0, 0, 0])) == .EINVAL)
    #expect(send(message(61, [1, 0, 0, 0, 0, 0, 0, 0])) == .EINVAL)
    // What has no bytes goes by the same rules.
    var control = SendControl()
    control.stampNumber = 3
    #expect(throws: SocketError("sendmsg", .EINVAL, Self.peer)) {
      try socket.sendmsg(MessageHeader(address: Self.peer, control: control), [1])
    }
    control = SendControl()
    control.transmitTime = 3
    #expect(throws: SocketError("sendmsg", .EINVAL, Self.peer)) {
      try socket.sendmsg(MessageHeader(address: Self.peer, control: control), [1])
    }
  }

  @Test(
    "S7 flags that nobody knows or that do not go together are EINVAL, a clock without a device EOPNOTSUPP")
  func refusals()
    throws
  {
    let peer = try FramePeer()
    let socket = try socket(peer)
    func error(_ flags: TimestampingFlags, of socket: Socket) -> Errno? {
      do throws(SocketError) {
        try socket.setsockopt(level: 1, name: Self.timestamping, Int32(bitPattern: flags.rawValue))
      } catch { return error.errno }
      return nil
    }
    #expect(error(TimestampingFlags(rawValue: 1 << 19), of: socket) == .EINVAL)
    #expect(error(.identifiersFromWrite, of: socket) == .EINVAL)
    #expect(error(.statistics, of: socket) == .EINVAL)
    #expect(error([.statistics, .timeOnly], of: socket) == nil)
    #expect(error(.boundClock, of: socket) == .EOPNOTSUPP)
    #expect(
      try socket.getsockopt(level: 1, name: Self.timestamping, maximum: 16) == [0, 0x18, 0, 0, 0, 0, 0, 0])
    #expect(try socket.getsockopt(level: 1, name: 65, maximum: 16) == [0, 0, 0, 0, 0, 0, 0, 0])
    let stream = try peer.host.stack.socket(.tcp)
    #expect(error(.identifiers, of: stream) == .EINVAL)
    #expect(error(.transmitSoftware, of: stream) == nil)
  }

  @Test("S7 D9 a stream's stamps are named after the last byte of a send: SCHED, SND, ACK") func stream()
    throws
  {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    client.isNonBlocking = true
    try client.send([UInt8](repeating: 1, count: 10))
    wire.run(for: .milliseconds(300), until: { false })
    let flags: TimestampingFlags = [
      .transmitSoftware, .transmitScheduled, .transmitAcknowledged, .software, .identifiers,
    ]
    try set(client, flags.union(.timeOnly))
    try client.send([UInt8](repeating: 1, count: 100))
    #expect(try described(client) == ["1 99 0", "0 99 0"])
    wire.run(for: .milliseconds(300), until: { false })
    let acknowledged = try client.recvmsg(flags: .errorQueue)
    #expect(acknowledged.control.error?.info == 2 && acknowledged.control.error?.data == 99)
    #expect(acknowledged.control.times?.software != nil)
    try client.send([UInt8](repeating: 1, count: 50))
    wire.run(for: .milliseconds(300), until: { false })
    #expect(try described(client) == ["1 149 0", "0 149 0", "2 149 0"])
    // Of what is acknowledged only the bytes come back, of what is sent the frame.
    try set(client, flags)
    try client.send([UInt8](repeating: 1, count: 5))
    wire.run(for: .milliseconds(300), until: { false })
    #expect(try described(client) == ["1 154 71", "0 154 71", "2 154 5"])
    try set(client, [])
    // From what was written, not from what was acknowledged.
    try client.send([UInt8](repeating: 1, count: 7))
    try set(client, [.transmitAcknowledged, .software, .identifiers, .identifiersFromWrite, .timeOnly])
    try client.send([UInt8](repeating: 1, count: 3))
    wire.run(for: .milliseconds(300), until: { false })
    #expect(try described(client) == ["2 2 0"])
    // Not asked for, there is no number.
    try set(client, [.transmitSoftware, .software, .timeOnly])
    try client.send([UInt8](repeating: 1, count: 5))
    wire.run(for: .milliseconds(300), until: { false })
    #expect(try described(client) == ["0 0 0"])
    #expect(try server.receive(upTo: 1000).count == 180)
  }

  @Test("S7 a send in many parts has one set of stamps, named after its last byte")
  func longSend() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    client.isNonBlocking = false
    server.isNonBlocking = false
    try set(client, [.transmitScheduled, .transmitAcknowledged, .software, .identifiers, .timeOnly])
    let driver = Driver(wire)
    let count = 2 << 20
    let reading = try Call(blocking: { () -> Int in
      (try? server.receive(upTo: count, flags: .waitAll))?.count ?? 0
    })
    let sent = try await driver.runBlocking { (try? client.send([UInt8](repeating: 1, count: count))) ?? 0 }
    #expect(sent == count)
    #expect(await driver.run(until: { reading.isDone }))
    await driver.run(steps: 3000, until: { false })
    client.isNonBlocking = true
    #expect(try described(client) == ["1 \(count - 1) 0", "2 \(count - 1) 0"])
  }

  @Test("S7 a stream tells when what is read came in") func streamArrival() throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    client.isNonBlocking = true
    try client.setsockopt(level: 1, name: Self.timestampNS, 1)
    try server.send([1, 2, 3])
    wire.run(for: .milliseconds(10), until: { client.readiness.contains(.readable) })
    let arrived = wire.left.now.nanoseconds
    wire.run(for: .seconds(2), until: { false })
    for room in [2, 10] {
      let time = try #require(try client.recvmsg(upTo: room).control.times?.arrival)
      #expect(time <= arrived && arrived - time < 1_000_000)
    }
    var rooms: [[UInt8]] = [[0]]
    try server.send([4])
    wire.run(for: .milliseconds(10), until: { client.readiness.contains(.readable) })
    #expect(try client.readv(into: &rooms).control.times?.arrival != nil)
  }

  @Test("S5 SO_TXTIME: its clocks and flags, and SCM_TXTIME only with it") func transmitTime() throws {
    let peer = try FramePeer()
    let socket = try socket(peer)
    func set(_ clock: UInt8, _ flags: UInt8, _ rest: [UInt8] = [0, 0, 0]) -> Errno? {
      let bytes: [UInt8] = [clock, 0, 0, 0, flags] + rest
      do throws(SocketError) {
        try socket.setsockopt(level: 1, name: 61, value: unsafe bytes.span.bytes)
      } catch { return error.errno }
      return nil
    }
    #expect(set(2, 0) == .EINVAL && set(1, 4) == .EINVAL && set(1, 0, [0, 0]) == .EINVAL)
    #expect(set(1, 0, [0, 0, 0, 0]) == .EINVAL)
    #expect(try socket.getsockopt(level: 1, name: 61, maximum: 16) == [0, 0, 0, 0, 0, 0, 0, 0])
    for clock in [UInt8(0), 11, 1] { #expect(set(clock, 3) == nil) }
    #expect(try socket.getsockopt(level: 1, name: 61, maximum: 16) == [1, 0, 0, 0, 3, 0, 0, 0])
    var control = SendControl()
    control.transmitTime = 5
    _ = peer.takePackets()
    try socket.sendmsg(MessageHeader(address: Self.peer, control: control), [1])
    #expect(peer.takePackets().count == 1)
  }

  @Test(
    "S5 a stack's owner may have fewer privileges: EPERM for marks and high priorities, by option and by message"
  )
  func privileges() throws {
    var configuration = StackConfiguration()
    for privileges in [SocketPrivileges.netRaw, .netAdmin, []] {
      configuration.privileges = privileges
      let socket = try SimulatedStack(configuration).stack.socket(.udp)
      let refusal: Errno? = privileges.isEmpty ? .EPERM : nil
      func error(_ body: () throws(SocketError) -> Void) -> Errno? {
        do throws(SocketError) { try body() } catch { return error.errno }
        return nil
      }
      var mark = SendControl()
      mark.mark = 5
      var priority = SendControl()
      priority.priority = 7
      let own = SocketAddress(.loopback, port: 9)
      #expect(error { () throws(SocketError) in try socket.setsockopt(level: 1, name: 36, 5) } == refusal)
      #expect(error { () throws(SocketError) in try socket.setsockopt(level: 1, name: 12, 7) } == refusal)
      for control in [mark, priority] {
        #expect(
          error { () throws(SocketError) in
            try socket.sendmsg(MessageHeader(address: own, control: control), [1])
          } == refusal)
      }
    }
  }
}
