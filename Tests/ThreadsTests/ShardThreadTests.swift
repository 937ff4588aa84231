import Synchronization
import Testing

@testable import SwiftStack

/// Tasks on a shard's own thread do what they must not: nobody waits for ever.
@Suite struct ShardThreadTests {
  private final class Results: Sendable {
    private let list = Guarded<[Errno?]>([])
    func add(_ error: (any Error)?) { list.withLock { $0.append((error as? SocketError)?.errno) } }
    var all: [Errno?] { list.withLock { $0 } }
  }

  /// Runs a job of shard 0 on a thread of its own while the shard's time goes on here, however long that thread does not
  /// get a processor: time-outs are long against that.
  private func run(_ simulated: SimulatedStack, _ body: @escaping @Sendable () throws -> Void) throws
    -> Errno?
  {
    let results = Results()
    Task(executorPreference: simulated.stack.executor()) {
      do {
        try body()
        results.add(nil)
      } catch { results.add(error) }
    }
    let shard = simulated.stack.shards[0]
    let thread = try StackThread.startJoinable { _ = shard.executor.runJobs() }
    while results.all.isEmpty {
      simulated.time.advance(to: simulated.now + .milliseconds(1))
      _ = shard.runLoopTurn(isReadable: false, frameLimit: 0)
    }
    thread.join()
    return results.all.first ?? nil
  }

  @Test("EDEADLK: a blocking call that would wait on the thread that it waits for")
  func blocking() throws {
    let simulated = try SimulatedStack()
    let socket = try simulated.stack.socket(.udp)
    socket.receiveTimeout = .seconds(600)
    #expect(try run(simulated) { _ = try socket.receive(upTo: 10) } == .EDEADLK)
    let listener = try simulated.stack.socket(.tcp)
    listener.receiveTimeout = .seconds(600)
    try listener.bind(to: SocketAddress(.any, port: 4000))
    try listener.listen()
    #expect(try run(simulated) { _ = try listener.accept() } == .EDEADLK)
    let poller = Poller(simulated.stack)
    #expect(try run(simulated) { _ = try poller.wait(timeout: .seconds(600)) } == .EDEADLK)
    // What need not wait does not fail.
    let own = SocketAddress(IPv4Address(10, 0, 0, 2), port: 6000)
    try socket.bind(to: own)
    try simulated.stack.socket(.udp).send([1], to: own)
    #expect(try run(simulated) { _ = try socket.receive(upTo: 10) } == nil)
  }

  @Test(
    "S11 close() on the shard's own thread does not wait for SO_LINGER, and what was sent is still delivered")
  func linger() throws {
    let simulated = try SimulatedStack()
    let listener = try simulated.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 4000))
    try listener.listen()
    let client = try simulated.stack.socket(.tcp)
    try client.connect(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 4000))
    let server = try listener.accept()
    // More than the peer takes, so that the FIN is not acknowledged.
    server.isNonBlocking = true
    var sent = 0
    while let count = try? server.send([UInt8](repeating: 7, count: 1 << 20)) { sent += count }
    try server.setLinger(.seconds(600))
    let before = simulated.now
    #expect(try run(simulated) { server.close() } == nil)
    #expect(simulated.now < before + .seconds(600))
    client.isNonBlocking = true
    var received = 0
    while received < sent, let part = try? client.receive(upTo: 1 << 20) {
      received += part.count
      simulated.advance(to: simulated.now + .milliseconds(1))
    }
    #expect(received == sent)
    #expect(try client.receive(upTo: 1) == [])
  }

  @Test("64 jobs, and the shard has its turn, however many came at once")
  func bound() throws {
    let simulated = try SimulatedStack()
    let executor = simulated.stack.executor()
    let log = Guarded<[Int]>([])
    for number in 0..<200 { Task(executorPreference: executor) { log.withLock { $0.append(number) } } }
    for count in [64, 128, 192, 200] {
      #expect(executor.runJobs() && log.withLock { $0.count } == count)
    }
    #expect(!executor.runJobs() && !executor.hasJobs && log.withLock { $0 } == Array(0..<200))
  }
}
