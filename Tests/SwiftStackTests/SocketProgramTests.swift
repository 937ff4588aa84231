import Services
import SwiftStack
import Synchronization
import TestSupport
import Testing

/// What programs have seen.
private final class Notes<Value: Sendable>: Sendable {
  private let values = Mutex<[Value]>([])
  func add(_ value: Value) { values.withLock { $0.append(value) } }
  func take() -> [Value] {
    values.withLock { seen in
      let all = seen
      seen = []
      return all
    }
  }
}

@Suite("S8 programs on a socket", .serialized)
struct SocketProgramTests {
  private static let near = IPv4Address(10, 0, 0, 1)

  private func errno(_ body: () throws -> Void) -> Errno? {
    do {
      try body()
      return nil
    } catch { return (error as? SocketError)?.errno }
  }

  /// The destination address and port of a UDP frame.
  private func target(_ frame: [UInt8]) -> [UInt8] { Array(frame[30..<34] + frame[36..<38]) }

  private func datagrams(_ peer: ScriptedPeer) -> [[UInt8]] {
    peer.advance(.zero)
    return peer.otherFrames.filter { $0[12] == 8 && $0[13] == 0 && $0[23] == 17 }
  }

  @Test("S8 a send to a name goes where the program says, or fails with what it says")
  func redirects() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.udp)
    let seen = Notes<SocketAddress?>()
    try socket.attach(
      SocketProgram(send: { (send) throws(Errno) in
        seen.add(send.destination)
        guard let asked = send.destination else { return }
        if asked.port == 66 { throw .EPERM }
        send.destination = SocketAddress(Self.near, port: asked.port == 67 ? 0 : asked.port + 1)
      }))
    try socket.send([1], to: SocketAddress(IPv4Address(192, 0, 2, 1), port: 53))
    #expect(datagrams(peer).map(target) == [[10, 0, 0, 1, 0, 54]])
    #expect(seen.take() == [SocketAddress(IPv4Address(192, 0, 2, 1), port: 53)])
    let elsewhere = SocketAddress(Self.near, port: 66)
    #expect(errno { try socket.send([1], to: elsewhere) } == .EPERM)
    #expect(errno { try socket.send([1], to: SocketAddress(Self.near, port: 67)) } == .EINVAL)
    #expect(datagrams(peer).count == 1)
  }

  @Test(
    "S8 a connected socket's plain sends pass no program; with control messages they do, and go where it is connected"
  )
  func connected() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.udp)
    let seen = Notes<SocketAddress?>()
    try socket.attach(
      SocketProgram(send: { (send) throws(Errno) in
        seen.add(send.destination)
        send.destination = SocketAddress(Self.near, port: 1)
      }))
    try socket.connect(to: SocketAddress(Self.near, port: 99))
    try socket.send([1])
    #expect(seen.take().isEmpty)
    var header = MessageHeader()
    header.control.typeOfService = 8
    _ = try socket.sendmsg(header, [2])
    #expect(seen.take() == [nil])
    #expect(datagrams(peer).map(target) == [[10, 0, 0, 1, 0, 99], [10, 0, 0, 1, 0, 99]])
  }

  @Test("S8 a connect goes where the program says, or fails; of a stream and of a datagram socket")
  func connects() throws {
    let peer = try ScriptedPeer()
    let program = SocketProgram(connect: { (_, remote) throws(Errno) in
      if remote.port == 66 { throw .EACCES }
      remote = SocketAddress(Self.near, port: remote.port + 1)
    })
    let registration = try peer.host.stack.hooks.attach(program)
    let stream = try peer.host.stack.socket(.tcp)
    stream.isNonBlocking = true
    #expect(errno { try stream.connect(to: SocketAddress(Self.near, port: 66)) } == .EACCES)
    #expect(peer.next() == nil)
    try? stream.connect(to: SocketAddress(IPv4Address(192, 0, 2, 1), port: 7000))
    let syn = try #require(peer.next())
    #expect(syn.destinationPort == 7001)
    let datagram = try peer.host.stack.socket(.udp)
    try datagram.connect(to: SocketAddress(IPv4Address(192, 0, 2, 1), port: 5))
    #expect(try datagram.remoteAddress == SocketAddress(Self.near, port: 6))
    // Taken away, from sockets that there are and will be.
    try peer.host.stack.hooks.detach(registration)
    try datagram.connect(to: SocketAddress(Self.near, port: 5))
    #expect(try datagram.remoteAddress.port == 5)
    let later = try peer.host.stack.socket(.udp)
    try later.connect(to: SocketAddress(Self.near, port: 66))
    #expect(try later.remoteAddress.port == 66)
  }

  @Test(
    "S8 options of a program: behind the others on every segment, room kept for them, no-operations behind them"
  )
  func writesOptions() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.attach(
      SocketProgram(
        optionByteCount: { $0.flags.contains(.syn) ? 0 : 6 },
        writeOptions: { [0xFD, 5, 0xAB, 0xCD, UInt8(truncatingIfNeeded: $0.byteCount)] }))
    try? socket.connect(to: ScriptedPeer.address)
    let syn = try #require(peer.next())
    #expect(syn.option(0xFD) == nil)
    peer.hostPort = syn.sourcePort
    peer.send(0x12, sequence: 1000, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
    let ack = try #require(peer.next())
    #expect(ack.options == [0xFD, 5, 0xAB, 0xCD, 0, 1, 1, 1])
    _ = try socket.send([UInt8](repeating: 7, count: 3000))
    let data = peer.all()
    #expect(data.map(\.payload.count) == [1452, 1452, 96])
    #expect(data.allSatisfy { $0.option(0xFD)?.prefix(2) == [0xAB, 0xCD] })
  }

  @Test("S8 more options than there is room for are none; too many bytes are cut off")
  func optionRoom() throws {
    for (count, expected) in [(41, nil), (-1, nil), (4, [UInt8]([9, 9]))] as [(Int, [UInt8]?)] {
      let peer = try ScriptedPeer()
      let socket = try peer.host.stack.socket(.tcp)
      socket.isNonBlocking = true
      try socket.attach(
        SocketProgram(
          optionByteCount: { $0.flags.contains(.syn) ? 0 : count },
          writeOptions: { _ in [0xFD, 4, 9, 9, 8, 8, 8, 8] }))
      try? socket.connect(to: ScriptedPeer.address)
      let syn = try #require(peer.next())
      peer.hostPort = syn.sourcePort
      peer.send(0x12, sequence: 1000, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
      let ack = try #require(peer.next())
      #expect(ack.option(0xFD) == expected && ack.options.count == (expected == nil ? 0 : 4))
      socket.close()
    }
  }

  @Test("S8 options that come are shown of segments that are accepted, and of no others")
  func readsOptions() throws {
    let peer = try ScriptedPeer()
    let seen = Notes<[UInt8]>()
    let connection = try ScriptedConnection(peer: peer) { socket in
      try socket.attach(SocketProgram(readOptions: { _, options in seen.add(options) }))
    }
    #expect(seen.take() == [[2, 4, 5, 0xB4]])
    peer.send(
      0x10, sequence: connection.sequence, acknowledgment: connection.acknowledgment,
      options: [0xFD, 4, 1, 2], payload: [5])
    #expect(seen.take() == [[0xFD, 4, 1, 2]])
    // Far outside of the window.
    peer.send(
      0x10, sequence: connection.sequence &+ 0x4000_0000, acknowledgment: connection.acknowledgment,
      options: [0xFD, 4, 1, 2], payload: [5])
    // Without options there is nothing to show.
    peer.send(
      0x10, sequence: connection.sequence &+ 1, acknowledgment: connection.acknowledgment, payload: [5])
    #expect(seen.take().isEmpty)
    #expect(try connection.socket.receive(upTo: 9) == [5, 5])
  }

  @Test("S8 a listener's program is its connections', from the SYN-ACK on; two stacks talk by options")
  func twoStacks() throws {
    let wire = try SimulatedWire(services: false)
    let seen = Notes<UInt8>()
    func program(_ number: UInt8) -> SocketProgram {
      SocketProgram(
        optionByteCount: { _ in 4 }, writeOptions: { _ in [0xFD, 4, 0x77, number] },
        readOptions: { _, options in
          if let at = options.firstIndex(of: 0xFD), options.count > at + 3 { seen.add(options[at + 3]) }
        })
    }
    let server = try wire.right.stack.socket(.tcp)
    server.isNonBlocking = true
    try server.attach(program(2))
    try server.bind(to: SocketAddress(.any, port: 7))
    try server.listen()
    let client = try wire.left.stack.socket(.tcp)
    client.isNonBlocking = true
    try client.attach(program(1))
    try? client.connect(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 7))
    var child: Socket?
    #expect(
      wire.run(for: .seconds(3)) {
        child = try? server.accept()
        return child != nil
      })
    #expect(Set(seen.take()) == [1, 2])
    let accepted = try #require(child)
    accepted.isNonBlocking = true
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var sent = 0
    var received: [UInt8] = []
    wire.run(for: .seconds(30)) {
      if sent < bytes.count { sent += (try? client.send(Array(bytes[sent...]))) ?? 0 }
      if let part = try? accepted.receive(upTo: 65536) { received += part }
      return received.count == bytes.count
    }
    #expect(received == bytes)
    #expect(Set(seen.take()) == [1, 2])
  }

  @Test("S2 the policy hook sees the message: flags, control messages, its first bytes")
  func inspects() throws {
    let peer = try ScriptedPeer()
    let seen = Notes<OutgoingMessage>()
    let registration = try peer.host.stack.hooks.inspectSends(byteCount: 3) { message in
      seen.add(message)
      return message.bytes.first == 13 ? .EACCES : nil
    }
    let socket = try peer.host.stack.socket(.udp)
    var header = MessageHeader(flags: .confirm)
    header.address = SocketAddress(Self.near, port: 9)
    header.control.typeOfService = 8
    _ = try socket.sendmsg(header, [1, 2, 3, 4])
    let message = try #require(seen.take().first)
    #expect(message.bytes == [1, 2, 3] && message.byteCount == 4)
    #expect(message.flags.contains(.confirm) && message.control.typeOfService == 8)
    #expect(message.destination == SocketAddress(Self.near, port: 9))
    #expect(datagrams(peer).first.map { Array($0[42...].prefix(4)) } == [1, 2, 3, 4])
    #expect(errno { try socket.send([13], to: SocketAddress(Self.near, port: 9)) } == .EACCES)
    // Of a stream, too.
    let connection = try ScriptedConnection(peer: peer)
    #expect(errno { _ = try connection.socket.send([13, 1]) } == .EACCES)
    _ = try connection.socket.send([14, 1])
    #expect(connection.takeData() == [14, 1])
    _ = seen.take()
    try peer.host.stack.hooks.detach(registration)
    _ = try connection.socket.send([13])
    #expect(seen.take().isEmpty)
  }

  @Test("S2 the second hook labels a flow before its route is looked up; the first sees the label")
  func labels() throws {
    let peer = try ScriptedPeer()
    let flows = Notes<ProgramFlow>()
    let labels = Notes<UInt32>()
    _ = try peer.host.stack.hooks.attach(
      SocketProgram(label: { flow in
        flows.add(flow)
        return UInt32(flow.ends.remote.port)
      }))
    _ = try peer.host.stack.hooks.inspectSends { message in
      labels.add(message.flowLabel)
      return nil
    }
    let datagram = try peer.host.stack.socket(.udp)
    try datagram.setsockopt(level: 1, name: 36, 77)
    try datagram.send([1], to: SocketAddress(Self.near, port: 1234))
    let flow = try #require(flows.take().first)
    #expect(flow.ends.remote == SocketAddress(Self.near, port: 1234) && flow.mark == 77)
    #expect(datagram.flowLabel == 1234)
    try datagram.send([1], to: SocketAddress(Self.near, port: 1235))
    #expect(labels.take() == [0, 1234] && datagram.flowLabel == 1235)
    #expect(flows.take().map(\.user) == [0])
    try datagram.setUser(1001)
    try datagram.send([1], to: SocketAddress(Self.near, port: 1235))
    #expect(flows.take().map(\.user) == [1001])
    // A flow that leads nowhere is labelled all the same.
    _ = flows.take()
    let stream = try peer.host.stack.socket(.tcp)
    stream.isNonBlocking = true
    #expect(
      errno { try stream.connect(to: SocketAddress(IPv4Address(192, 0, 2, 1), port: 80)) } == .ENETUNREACH)
    #expect(flows.take().map(\.ends.remote.port) == [80] && stream.flowLabel == 80)
    try? stream.connect(to: ScriptedPeer.address)
    #expect(flows.take().map(\.ends.remote.port) == [7000] && stream.flowLabel == 7000)
    #expect(peer.next() != nil)
  }
}
