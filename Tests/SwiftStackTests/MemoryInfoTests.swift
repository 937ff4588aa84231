import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// `SO_MEMINFO`: a socket's memory, as `ss -m` shows it.
@Suite struct MemoryInfoTests {
  private func words(_ socket: Socket) throws -> [Int] {
    let bytes = try socket.getsockopt(level: 1, name: 55)
    #expect(bytes.count == 36)
    return stride(from: 0, to: bytes.count, by: 4).map { place in
      bytes[place..<place + 4].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
  }

  @Test(
    "B4 SO_MEMINFO of datagrams: what lies unread counts, the bounds are those of the buffers, lost ones are counted"
  )
  func datagrams() throws {
    let wire = try SimulatedWire(services: false)
    let peer = SocketAddress(IPv4Address(10, 0, 0, 2), port: 9)
    let reader = try wire.right.stack.socket(.udp)
    try reader.bind(to: peer)
    #expect(try words(reader) == [0, 212992, 0, 212992, 0, 0, 0, 0, 0])
    try reader.setsockopt(level: 1, name: 8, 5000)
    try reader.setsockopt(level: 1, name: 7, 6000)
    #expect(try words(reader) == [0, 10000, 0, 12000, 0, 0, 0, 0, 0])
    let writer = try wire.left.stack.socket(.udp)
    func send(_ count: Int) throws {
      for _ in 0..<count { _ = try writer.send([UInt8](repeating: 1, count: 100), to: peer) }
      wire.run(for: .milliseconds(20), until: { false })
    }
    try send(1)
    let one = try words(reader)[0]
    #expect(one > 100)
    try send(1)
    #expect(try words(reader)[0] == 2 * one)
    try send(40)
    let full = try words(reader)
    #expect(full[8] > 0 && full[8] == 42 - full[0] / one)
    while (try? reader.receive(upTo: 200, flags: .dontWait)) != nil {}
    #expect(try words(reader) == [0, 10000, 0, 12000, 0, 0, 0, 0, full[8]])
  }

  @Test(
    "B4 SO_MEMINFO of a stream: what waits to be sent and acknowledged is queued, what the peer has is not")
  func streams() throws {
    let wire = try SimulatedWire(services: false)
    let (client, server) = try wire.connect()
    #expect(try words(client)[5] == 0)
    client.isNonBlocking = true
    let sent = try client.send([UInt8](repeating: 1, count: 200_000))
    let waiting = try words(client)
    #expect(waiting[5] > sent / 2 && waiting[5] <= waiting[3] + 70_000)
    #expect(waiting[0] == 0 && waiting[4] == 0)
    wire.run(for: .seconds(1), until: { false })
    // As much as the peer keeps unread has gone.
    let read = try words(server)
    #expect(read[0] > 0 && read[0] <= read[1])
    while let bytes = try? server.receive(upTo: 1 << 20, flags: .dontWait), !bytes.isEmpty {
      wire.run(for: .milliseconds(100), until: { false })
    }
    #expect(try words(client)[5] == 0 && words(client)[2] == 0)
    #expect(try words(server)[0] == 0)
  }

  @Test("B4 SO_MEMINFO can only be read, and is cut to the room there is") func access() throws {
    let wire = try SimulatedWire(services: false)
    let socket = try wire.left.stack.socket(.udp)
    let error = #expect(throws: SocketError.self) { try socket.setsockopt(level: 1, name: 55, 1) }
    #expect(error?.errno == .ENOPROTOOPT)
    #expect(try socket.getsockopt(level: 1, name: 55, maximum: 6) == [0, 0, 0, 0, 0, 0x40])
  }
}
