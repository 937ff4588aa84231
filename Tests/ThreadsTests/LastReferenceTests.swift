@testable import Shard
import Testing

@testable import SwiftStack

/// Objects whose last reference goes while the thread is inside a shard: nothing that they do at their end may enter one there.
@Suite struct LastReferenceTests {
  @Test("a poller, a capture and a trace that go inside a shard end when it has been left", arguments: 0..<2)
  func watchers(queue: Int) throws {
    let simulated = try SimulatedStack(queues: 2)
    let stack = simulated.stack
    func isWatched(_ shard: LockedShard) -> Bool {
      shard.inspect { state in
        state.polls.sets.contains { $0.waker != nil } || state.traceUsers > 0
          || state.captureUsers.values.contains { $0 > 0 }
      }
    }
    var poller: Poller? = Poller(stack)
    var capture: StackCapture? = try stack.startCapture()
    var trace: StackTrace? = stack.startTrace()
    #expect(stack.shards.allSatisfy(isWatched))
    #expect(poller != nil && capture != nil && trace != nil)
    stack.withShard(queue: queue) { _ in
      poller = nil
      capture = nil
      trace = nil
    }
    simulated.advance(to: simulated.now + .milliseconds(1))
    #expect(!stack.shards.contains(where: isWatched))
  }

  @Test(
    "a socket of another shard that goes inside one is closed by its own: two shards never wait for each other"
  )
  func otherShard() throws {
    let simulated = try SimulatedStack(queues: 2)
    let stack = simulated.stack
    func count() -> Int { stack.shards[1].inspect { $0.sockets.sockets().count } }
    let before = count()
    var socket: Socket? = try stack.socket(.udp, queue: 1)
    #expect(socket != nil && count() == before + 1)
    let whileInside = stack.withShard(queue: 0) { _ in
      socket = nil
      return count()
    }
    #expect(whileInside == before + 1, "the other shard was not entered")
    simulated.advance(to: simulated.now + .milliseconds(1))
    #expect(count() == before)
  }

  @Test(
    "a stack whose last reference goes inside one of its shards ends all the same", .timeLimit(.minutes(1)))
  func stack() async throws {
    var simulated: SimulatedStack? = try SimulatedStack(queues: 2)
    let shards = try #require(simulated).stack.shards
    shards[1].enter { _ in simulated = nil }
    while !shards.allSatisfy({ $0.inspect { $0.isDismantled } }) { await Task.yield() }
  }
}
