import Foundation
import Testing
import Wire

@testable import LinuxHost
@testable import SwiftStack

/// More shards than processors: a loop's thread has several, and none is forgotten for another's sake.
@Suite("Shards that share a thread", .enabled(if: isPrivileged)) struct SharedLoopTests {
  private static let queues = 8
  private static func port(_ queue: Int) -> UInt16 { UInt16(7000 + queue) }

  private func withStack(_ body: (Stack) throws -> Void) throws {
    let stack = try NetworkNamespace.anonymous().run { () throws(LinuxError) in
      do {
        return try Stack(tap: TapParameters(interface: InterfaceName("tap0"), queues: Self.queues))
      } catch {
        throw LinuxError(EIO, "run", "a stack", reason: "\(error)")
      }
    }
    try body(stack)
    stack.close()
  }

  private static func udp(_ stack: Stack, _ queue: Int) throws -> Socket {
    let socket = try stack.socket(.udp, queue: queue)
    try socket.bind(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: Self.port(queue)))
    return socket
  }

  @Test("each shard's timers expire, whatever the others do")
  func timers() throws {
    try withStack { stack in
      for queue in 0..<Self.queues {
        let done = DispatchSemaphore(value: 0)
        stack.withShard(queue: queue) { shard in
          let program = shard.start(Ringer(done))
          shard.setTimer(of: program, at: shard.now + .milliseconds(20))
        }
        #expect(done.wait(timeout: .now() + 20) == .success, "shard \(queue)")
      }
    }
  }

  private final class Ringer: Program {
    private let done: DispatchSemaphore
    init(_ done: DispatchSemaphore) { self.done = done }
    override func timeIsUp(on shard: inout Shard) { done.signal() }
  }

  @Test("a task that is woken by another shard of its thread runs, and what goes from shard to shard arrives")
  func tasks() throws {
    try withStack { stack in
      let done = DispatchSemaphore(value: 0)
      let sockets = try (0..<Self.queues).map { try Self.udp(stack, $0) }
      for queue in 0..<Self.queues {
        Task(executorPreference: stack.executor(queue: queue)) {
          // A ring: each passes on what it gets, three times round.
          for _ in 0..<3 {
            let bytes = try await sockets[queue].receive(upTo: 10)
            if queue == Self.queues - 1, bytes == [3] {
              done.signal()
              return
            }
            let next = (queue + 1) % Self.queues
            try await sockets[queue].send(
              next == 0 ? [bytes[0] + 1] : bytes,
              to: SocketAddress(IPv4Address(10, 0, 0, 2), port: Self.port(next)))
          }
        }
      }
      try stack.socket(.udp, queue: 3).send(
        [1], to: SocketAddress(IPv4Address(10, 0, 0, 2), port: Self.port(0)))
      #expect(done.wait(timeout: .now() + 20) == .success)
    }
  }

  @Test("tasks of two shards on one thread wake each other, without a packet")
  func pingPong() throws {
    try withStack { stack in
      let done = DispatchSemaphore(value: 0)
      // With up to four loops, shards 0 and 4 have one thread; with more than that, two, which is no harder.
      let (pings, ping) = AsyncStream<Int>.makeStream()
      let (pongs, pong) = AsyncStream<Int>.makeStream()
      Task(executorPreference: stack.executor(queue: 4)) { for await value in pings { pong.yield(value) } }
      Task(executorPreference: stack.executor(queue: 0)) {
        var answers = pongs.makeAsyncIterator()
        for round in 0..<1000 {
          ping.yield(round)
          _ = await answers.next()
        }
        ping.finish()
        done.signal()
      }
      #expect(done.wait(timeout: .now() + 20) == .success)
    }
  }

  @Test("the rings for receiving share 1,024 descriptors; a size that is asked for is each ring's")
  func rings() throws {
    let shared = try SimulatedStack(queues: 8).stack.nicReports
    #expect(shared.allSatisfy { $0.receiveRing == 128 && $0.transmitRing == 1024 })
    var configuration = StackConfiguration()
    #expect(try SimulatedStack(configuration).stack.nicReports.map(\.receiveRing) == [1024])
    configuration.ring = 256
    let asked = try SimulatedStack(configuration, queues: 8).stack.nicReports
    #expect(asked.allSatisfy { $0.receiveRing == 256 && $0.transmitRing == 256 })
  }

  @Test("no more processors are used than the caller may run on")
  func processors() {
    let all = ProcessInfo.processInfo.activeProcessorCount
    #expect(Processors.availableCount == all)
  }
}
