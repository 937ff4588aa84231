import InetSocket
import TestSupport
import Testing

@testable import SwiftStack

/// Completions beside calls that wait.
@Suite("T4 completions and waiting calls")
struct CompletionWaitTests {
  /// A connection whose first send is complete, which nobody has read.
  private func connect(_ wire: SimulatedWire) throws -> (client: Socket, server: Socket) {
    let (client, server) = try wire.connect()
    try client.setZeroCopy(true)
    try client.send(ExternalMemory(copying: [1]))
    wire.run(for: .milliseconds(100), until: { client.readiness.contains(.error) })
    #expect(client.readiness.contains(.error))
    client.isNonBlocking = false
    return (client, server)
  }
  // Where tasks are, calls suspend: these do not.
  private static func send(_ socket: Socket, _ bytes: [UInt8]) throws { try socket.send(bytes) }
  private static func take(_ socket: Socket) throws {
    #expect(try socket.completion() == SendCompletion(first: 0, last: 0, isCopied: false))
  }
  private static func drain(_ server: Socket) -> [UInt8] {
    var bytes: [UInt8] = []
    while let part = try? server.receive(upTo: 65536), !part.isEmpty { bytes += part }
    return bytes
  }

  @Test("T4 a completion that waits does not end a blocking send, nor a receive that wants more")
  func noError() async throws {
    let wire = try SimulatedWire()
    let (client, server) = try connect(wire)
    server.isNonBlocking = true
    let data = ProtectedMemory.pattern(600_000)
    let sent = try Call(blocking: { outcome { () throws(SocketError) in try client.send(data) } })
    var received: [UInt8] = []
    await Driver(wire).run(until: {
      received += Self.drain(server)
      return sent.isDone
    })
    #expect(sent.result == .success(600_000))
    let wanted = try Call(blocking: {
      outcome { () throws(SocketError) in try client.receive(upTo: 4, flags: .waitAll) }
    })
    try Self.send(server, [1, 2])
    await Driver(wire).run(steps: 200, until: { false })
    try Self.send(server, [3, 4])
    await Driver(wire).run(until: { wanted.isDone })
    #expect(wanted.result == .success([1, 2, 3, 4]))
  }

  @Test("T4 a blocking send of lent memory is one send, however often it waits", arguments: [false, true])
  func oneNumber(isTask: Bool) async throws {
    let wire = try SimulatedWire(mtu: 1500)
    let (client, server) = try connect(wire)
    server.isNonBlocking = true
    try Self.take(client)
    let memory = ProtectedMemory(ProtectedMemory.pattern(3_000_000))
    let header = MessageHeader(flags: .zeroCopy)
    let slice = memory.memory.slice
    let sent =
      isTask
      ? Call { await outcome { () async throws(SocketError) in try await client.send([slice], header) } }
      : try Call(blocking: { outcome { () throws(SocketError) in try client.send([slice], header) } })
    let told = Call { await outcome { () async throws(SocketError) in try await client.completion() } }
    var received: [UInt8] = []
    await Driver(wire).run(until: {
      received += Self.drain(server)
      return sent.isDone && told.isDone
    })
    memory.protect()
    #expect(sent.result == .success(3_000_000))
    #expect(told.result == .success(SendCompletion(first: 1, last: 1, isCopied: false)))
    wire.run(for: .seconds(2), until: { false })
    received += Self.drain(server)
    #expect(received.dropFirst() == ProtectedMemory.pattern(3_000_000)[...])
  }

  @Test("T4 a poller is told of a completion")
  func poller() throws {
    let wire = try SimulatedWire()
    let (client, _) = try connect(wire)
    let poller = Poller(client.stack)
    try poller.add(client, for: [], token: 7)
    #expect(try poller.wait(timeout: .zero).map(\.readiness) == [.error])
    _ = try client.completion()
    #expect(try poller.wait(timeout: .zero).isEmpty)
  }

  @Test("T4 memory is protected as soon as it is complete, under loss", arguments: [0.01, 0.1])
  func underLoss(loss: Double) throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    server.isNonBlocking = true
    wire.leftToRight = .loss(loss)
    wire.rightToLeft = .loss(loss)
    try client.setZeroCopy(true)
    var pieces: [UInt32: ProtectedMemory] = [:]
    var next: UInt32 = 0
    var rest: ProtectedMemory?
    var offset = 0
    var sent = 0
    var received: [UInt8] = []
    let total = 400_000
    wire.run(for: .seconds(600)) {
      while let done = try? client.completion() {
        for number in done.first...done.last { pieces.removeValue(forKey: number)?.protect() }
      }
      while sent < total {
        let memory = rest ?? ProtectedMemory(ProtectedMemory.pattern(10_000, from: sent))
        rest = memory
        // What is left of a piece that did not go whole is a send of its own, of a copy.
        let part = ProtectedMemory((offset..<10_000).map { memory[$0] })
        guard let count = try? client.send(part.memory) else { break }
        pieces[next] = part
        next += 1
        sent += count
        offset += count
        if offset == 10_000 {
          rest = nil
          offset = 0
        }
      }
      received += Self.drain(server)
      return received.count == total && pieces.isEmpty
    }
    #expect(received == ProtectedMemory.pattern(total) && pieces.isEmpty)
  }
}
