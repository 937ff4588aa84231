import NetNamespace
import Synchronization
import TestSupport
import Testing

@testable import SwiftStack

/// Runs simulated stacks on the calling thread while calls wait in tasks and threads of their own. Virtual time passes a
/// little at each step, so that what waits has the processor in between.
struct Driver {
  /// One step of everything that is simulated.
  let step: () -> Void
  /// Steps after which a test has failed: far more than any of them needs.
  var stepLimit = 200_000

  init(_ wire: SimulatedWire, step: Nanoseconds = .microseconds(100)) {
    self.step = { wire.run(for: step, until: { false }) }
  }
  init(_ stack: SimulatedStack, step: Nanoseconds = .microseconds(100)) {
    self.step = { stack.advance(to: stack.now + step) }
  }

  /// Drives until `isDone`, or the limit. Returns whether it was done.
  ///
  /// - Parameter socket: time stands still unless somebody waits on it, so that the test can tell how long the wait was.
  @discardableResult
  func run(steps: Int? = nil, pacedBy socket: Socket? = nil, until isDone: () -> Bool) async -> Bool {
    var idle = 0
    var taken = 0
    while taken < steps ?? stepLimit, idle < 1000 * stepLimit {
      if isDone() { return true }
      if socket?.isWaitedFor ?? true {
        step()
        taken += 1
      } else {
        idle += 1
      }
      await Task.yield()
    }
    return isDone()
  }

  /// Drives until `work`, in a task of its own, has ended.
  ///
  /// - Returns: its result; `nil` when it did not end.
  func run<Result: Sendable>(
    pacedBy socket: Socket? = nil, _ work: @escaping @Sendable () async -> Result
  ) async -> Result? {
    let call = Call(work)
    return await run(pacedBy: socket, until: { call.isDone }) ? call.result : nil
  }

  /// As above, on a thread of its own, for calls that block.
  func runBlocking<Result: Sendable>(
    pacedBy socket: Socket? = nil, _ work: @escaping @Sendable () -> Result
  ) async throws -> Result? {
    let call = try Call(blocking: work)
    return await run(pacedBy: socket, until: { call.isDone }) ? call.result : nil
  }
}

/// A call that waits somewhere else than on the thread of the test.
final class Call<Result: Sendable>: Sendable {
  private let value: Guarded<Result?>
  private let task: Guarded<Task<Void, Never>?>

  init(_ work: @escaping @Sendable () async -> Result) {
    let value = Guarded<Result?>(nil)
    self.value = value
    let task = Task.detached {
      let result = await work()
      value.withLock { $0 = result }
    }
    self.task = Guarded(task)
  }

  init(blocking work: @escaping @Sendable () -> Result) throws {
    let value = Guarded<Result?>(nil)
    self.value = value
    task = Guarded(nil)
    try StackThread.start {
      let result = work()
      value.withLock { $0 = result }
    }
  }

  var result: Result? { value.withLock { $0 } }
  var isDone: Bool { value.withLock { $0 != nil } }
  func cancel() { task.withLock { $0?.cancel() } }
}

extension Socket {
  /// Whether somebody has left word that it waits.
  var isWaitedFor: Bool { shard.inspect { [id] in !$0.owners[id].interest.isEmpty } }
}

final class Flag: Sendable {
  private let value = Atomic<Bool>(false)
  var isSet: Bool { value.load(ordering: .acquiring) }
  func set() { value.store(true, ordering: .releasing) }
}
