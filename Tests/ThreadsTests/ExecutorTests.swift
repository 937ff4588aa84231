import Synchronization
import TestSupport
import Testing

@testable import SwiftStack

/// Tasks that run where a shard runs. On a simulated stack that is wherever it is driven.
@Suite struct ExecutorTests {
  private final class Log: Sendable {
    private let lines = Guarded<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
  }

  @Test("a task of a shard runs when the shard is driven, and goes on there after each await")
  func driven() throws {
    let simulated = try SimulatedStack()
    let socket = try simulated.stack.socket(.udp)
    try socket.bind(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 6000))
    let log = Log()
    Task(executorPreference: simulated.stack.executor()) {
      log.add("begin")
      for _ in 0..<2 {
        let bytes = try? await socket.receive(upTo: 10)
        log.add("\(bytes ?? [])")
      }
    }
    #expect(log.all == [])
    simulated.advance(to: simulated.now)
    #expect(log.all == ["begin"])
    let sender = try simulated.stack.socket(.udp)
    try sender.send([1], to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 6000))
    #expect(log.all == ["begin"])
    simulated.advance(to: simulated.now)
    #expect(log.all == ["begin", "[1]"])
    try sender.send([2], to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 6000))
    simulated.advance(to: simulated.now)
    #expect(log.all == ["begin", "[1]", "[2]"])
  }

  @Test("work for a shard's own thread is done inside the shard, when it is driven")
  func perform() throws {
    let simulated = try SimulatedStack()
    let log = Log()
    simulated.stack.perform { shard in log.add("\((try? shard.socket(.udp)) != nil)") }
    #expect(log.all == [])
    simulated.advance(to: simulated.now)
    #expect(log.all == ["true"])
  }

  @Test("what is left at the end of the stack, and what comes later, still runs")
  func end() async throws {
    let simulated = try SimulatedStack()
    let socket = try simulated.stack.socket(.udp)
    let executor = simulated.stack.executor()
    let early = Task(executorPreference: executor) { try await socket.receive(upTo: 10) }
    simulated.stack.close()
    await #expect { try await early.value } throws: { ($0 as? SocketError)?.errno == .ENETDOWN }
    let late = Task(executorPreference: executor) { 7 }
    #expect(await late.value == 7)
  }

  @Test("a loop that does more before it sleeps is not woken meanwhile, and says when it sleeps")
  func settles() throws {
    let simulated = try SimulatedStack()
    let shard = simulated.stack.shards[0]
    let address = SocketAddress(IPv4Address(10, 0, 0, 2), port: 6000)
    let socket = try simulated.stack.socket(.udp)
    try socket.bind(to: address)
    let sender = try simulated.stack.socket(.udp)
    func turn() -> Bool { shard.runLoopTurn(isReadable: false, frameLimit: 0, staysAwake: true).isAwake }
    func wakesAt() -> Instant { shard.inspect { $0.loopWakesAt } }
    #expect(!turn() && wakesAt() == shard.inspect { $0.nextDeadline })
    shard.inspect { [id = socket.id, sender = sender.id] state in
      state.await(id, for: .readable, until: nil)
      _ = try? state.send(sender, [1], to: address)
    }
    #expect(turn() && wakesAt() == .origin)
    let deadline = shard.inspect { $0.settle() }
    #expect(deadline > .origin && wakesAt() == deadline)
  }

  @Test("a program that cannot begin does not run, and whoever starts it hears why")
  func start() throws {
    let simulated = try SimulatedStack()
    final class Nothing: Program {}
    let id = Guarded(ProgramID.none)
    #expect(throws: Errno.EADDRNOTAVAIL) {
      try simulated.stack.start(Nothing()) { (program, shard) throws(Errno) in
        id.withLock { $0 = program.id }
        let socket = try shard.socket(.udp)
        defer { shard.finish(socket) }
        try shard.bind(socket, to: SocketAddress(IPv4Address(1, 2, 3, 4), port: 1))
      }
    }
    let isGone = simulated.stack.withShard { shard in shard.program(id.withLock { $0 }) == nil }
    #expect(isGone)
  }
}
