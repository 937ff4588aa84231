import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Two stacks on a simulated wire.
@Suite struct SimulatedTransferTests {
  static let right = SimulatedWire.rightAddress

  @Test("T2 R a connection: both ends know each other's address")
  func addresses() throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    #expect(try client.remoteAddress == SocketAddress(Self.right, port: 5000))
    #expect(try server.remoteAddress == client.localAddress)
    #expect(try server.localAddress == SocketAddress(Self.right, port: 5000))
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var fault: @Sendable () -> WireFault
    var byteCount: Int
    var testDescription: String { name }
  }
  static let cases = [
    Case(name: "clean", fault: { WireFault() }, byteCount: 2_000_000),
    Case(name: "1 % loss", fault: { .loss(0.01) }, byteCount: 500_000),
    Case(name: "5 % loss", fault: { .loss(0.05) }, byteCount: 200_000),
    Case(name: "20 % loss", fault: { .loss(0.2) }, byteCount: 50_000),
    Case(
      name: "reordering and duplicates",
      fault: {
        var fault = WireFault()
        fault.reorder = 0.1
        fault.duplicate = 0.1
        return fault
      }, byteCount: 500_000),
    Case(
      name: "corruption",
      fault: {
        var fault = WireFault()
        fault.corrupt = 0.02
        return fault
      }, byteCount: 200_000),
    Case(
      name: "10 Mbit/s",
      fault: {
        var fault = WireFault()
        fault.rate = 10_000_000
        return fault
      }, byteCount: 200_000),
  ]

  @Test("T10 T11 R every byte arrives, once and in order, both ways", arguments: cases, [1, 2])
  func transfer(_ condition: Case, seed: UInt64) throws {
    let wire = try SimulatedWire(seed: seed)
    let (client, server) = try wire.connect()
    wire.leftToRight = condition.fault()
    wire.rightToLeft = condition.fault()
    let out = StreamPump(from: client, to: server, byteCount: condition.byteCount)
    let back = StreamPump(from: server, to: client, byteCount: condition.byteCount / 2)
    let isDone = try wire.run(for: .seconds(1800)) {
      let first = try out.step()
      return try back.step() && first
    }
    #expect(isDone, "out \(out.received), back \(back.received) after \(wire.now)")
    #expect(out.received == condition.byteCount && out.isIntact)
    #expect(back.received == condition.byteCount / 2 && back.isIntact)
  }

  @Test("D13 engines lent to the wire: super-frames arrive whole", arguments: [1500, 9000, 576])
  func lentEngines(mtu: Int) throws {
    let wire = try SimulatedWire(mtu: mtu, lendsEngines: true)
    var largest = 0
    wire.tap = { frame, _ in largest = max(largest, frame.bytes.count) }
    let (client, server) = try wire.connect()
    let pump = StreamPump(from: client, to: server, byteCount: 3_000_000)
    #expect(try wire.run(for: .seconds(60)) { try pump.step() })
    #expect(pump.isIntact && pump.received == 3_000_000)
    #expect(largest > mtu + 14, "no frame was larger than the MTU")
  }

  @Test("D4 own engines: no frame is larger than the MTU", arguments: [1500, 9000, 576])
  func ownEngines(mtu: Int) throws {
    let wire = try SimulatedWire(mtu: mtu)
    var largest = 0
    wire.tap = { frame, _ in largest = max(largest, frame.bytes.count) }
    let (client, server) = try wire.connect()
    let pump = StreamPump(from: client, to: server, byteCount: 300_000)
    #expect(try wire.run(for: .seconds(60)) { try pump.step() })
    #expect(pump.isIntact && pump.received == 300_000)
    #expect(largest == mtu + 14)
  }

  @Test("S1 UDP datagrams of 0 to 65,507 bytes", arguments: [0, 1, 1472, 1473, 9000, 65507])
  func datagrams(size: Int) throws {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.udp)
    socket.isNonBlocking = true
    let payload = (0..<size).map(StreamPump.pattern)
    try socket.send(payload, to: SocketAddress(Self.right, port: 7))
    var answer: Received?
    wire.run(for: .seconds(5)) {
      answer = try? socket.recvmsg()
      return answer != nil
    }
    let echoed = try #require(answer)
    #expect(echoed.bytes == payload)
    #expect(echoed.source == SocketAddress(Self.right, port: 7))
  }

  @Test("U5 65,508 bytes are EMSGSIZE")
  func tooLong() throws {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.udp)
    #expect(throws: SocketError("send", .EMSGSIZE, SocketAddress(Self.right, port: 7))) {
      try socket.send([UInt8](repeating: 0, count: 65508), to: SocketAddress(Self.right, port: 7))
    }
  }

  @Test("R ping, whole and in fragments", arguments: [0, 56, 1473, 65507])
  func ping(size: Int) throws {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.ping)
    socket.isNonBlocking = true
    try socket.connect(to: SocketAddress(Self.right, port: 0))
    let payload = (0..<size).map(StreamPump.pattern)
    try socket.send([8, 0, 0, 0, 0, 0, 0, 9] + payload)
    var reply: [UInt8]?
    wire.run(for: .seconds(5)) {
      reply = try? socket.receive(upTo: 65535)
      return reply != nil
    }
    let bytes = try #require(reply)
    #expect(bytes.count == size + 8 && bytes[0] == 0 && bytes[7] == 9)
    #expect(Array(bytes[8...]) == payload)
  }

  @Test("N1 a host that does not exist: EHOSTUNREACH after about 3 s")
  func noSuchHost() throws {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.tcp)
    socket.isNonBlocking = true
    #expect(throws: SocketError.self) {
      try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 77), port: 80))
    }
    #expect(wire.run(for: .seconds(10)) { socket.readiness.contains(.error) })
    #expect(socket.takeError() == .EHOSTUNREACH)
    #expect(wire.now >= Instant.origin + .seconds(2) && wire.now <= Instant.origin + .seconds(4))
  }

  @Test("R a closed port refuses, TCP and UDP")
  func refused() throws {
    let wire = try SimulatedWire()
    let stream = try wire.left.stack.socket(.tcp)
    stream.isNonBlocking = true
    _ = try? stream.connect(to: SocketAddress(Self.right, port: 81))
    #expect(wire.run(for: .seconds(5)) { stream.readiness.contains(.error) })
    #expect(stream.takeError() == .ECONNREFUSED)

    let datagrams = try wire.left.stack.socket(.udp)
    datagrams.isNonBlocking = true
    try datagrams.connect(to: SocketAddress(Self.right, port: 81))
    try datagrams.send([1])
    #expect(wire.run(for: .seconds(5)) { datagrams.readiness.contains(.error) })
    #expect(datagrams.takeError() == .ECONNREFUSED)
  }

  @Test("R half-close: one direction ends, the other goes on")
  func halfClose() throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    server.isNonBlocking = true
    try client.shutdown(write: true)
    #expect(wire.run(for: .seconds(5)) { (try? server.receive(upTo: 1)) == [] })
    let back = StreamPump(from: server, to: client, byteCount: 100_000)
    #expect(try wire.run(for: .seconds(30)) { try back.step() })
    #expect(back.isIntact && back.received == 100_000)
  }

  @Test("D11 nothing leaks: packets in use are the rings' own after the traffic has ended")
  func noLeak() throws {
    let wire = try SimulatedWire(seed: 3)
    let before = (wire.left.buffersInUse, wire.right.buffersInUse)
    do {
      let (client, server) = try wire.connect()
      wire.leftToRight = .loss(0.05)
      let pump = StreamPump(from: client, to: server, byteCount: 300_000)
      #expect(try wire.run(for: .seconds(600)) { try pump.step() })
    }
    wire.run(for: .seconds(300), until: { false })
    #expect(wire.left.buffersInUse == before.0 && wire.right.buffersInUse == before.1)
  }

  @Test("a seed is a history: the same run twice puts the same frames on the wire")
  func deterministic() throws {
    func history() throws -> [Int] {
      let wire = try SimulatedWire(seed: 9)
      var sizes: [Int] = []
      wire.tap = { frame, _ in sizes.append(frame.bytes.count) }
      let (client, server) = try wire.connect()
      wire.leftToRight = .loss(0.1)
      let pump = StreamPump(from: client, to: server, byteCount: 100_000)
      #expect(try wire.run(for: .seconds(600)) { try pump.step() })
      return sizes
    }
    #expect(try history() == history())
  }
}
