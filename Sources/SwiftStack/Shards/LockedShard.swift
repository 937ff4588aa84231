import Shard
import Sockets

/// One shard: its state behind one lock. Any thread enters, does its work down to the wire, and leaves.
final class LockedShard: Sendable {
  private let state: Guarded<Shard>
  private let notices: StackNotices
  /// Where other shards put frames, and what wakes the event loop.
  let inbox: ShardInbox
  let clock: StackClock
  /// Runs tasks on the event loop's thread.
  let executor: ShardExecutor

  init(_ state: consuming Shard, clock: StackClock, inbox: ShardInbox, notices: StackNotices) {
    let memory = state.memory
    self.state = Guarded(state, outlivedBy: memory)
    self.clock = clock
    self.inbox = inbox
    self.notices = notices
    executor = ShardExecutor(inbox: inbox)
  }

  /// Waits with a limit cannot use the system's clock: time passes when the stack's caller says so.
  var hasManualClock: Bool {
    if case .manual = clock { true } else { false }
  }

  /// Runs `body` inside the stack, then everything that follows from it, whether it threw or not.
  func enter<Result: Sendable, Failure: Error>(
    _ body: (inout Shard) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var isDueEarlier = false
    defer { if isDueEarlier { signalLoop() } }
    return try locked { (state) throws(Failure) -> Result in
      state.host.net.advance(to: clock.now)
      defer { isDueEarlier = state.leave() }
      return try body(&state)
    }
  }

  /// Whether the calling thread is inside.
  var isHeldHere: Bool { state.isHeldHere }

  /// Looks at the state without running the stack.
  func inspect<Result: Sendable>(_ body: (inout Shard) -> Result) -> Result {
    locked { body(&$0) }
  }

  /// As `inspect`, with the clock read first, for a caller that runs the stack itself.
  func inspectTimed<Result: Sendable>(_ body: (inout Shard) -> Result) -> Result {
    locked { state in
      state.host.net.advance(to: clock.now)
      return body(&state)
    }
  }

  /// Every way in: whoever was found to be woken is woken when the lock has been left, so that what runs then may enter.
  @inline(__always)
  private func locked<Result: Sendable, Failure: Error>(
    _ body: (inout Shard) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Nothing is counted up or down when there is nobody, which is most of the time.
    var leaving: Leaving?
    defer { if let leaving { leaving.tell(notices) } }
    return try state.withLock { (state) throws(Failure) -> Result in
      defer { if !state.owners.woken.isEmpty || !state.notices.isEmpty { leaving = Leaving(&state) } }
      return try body(&state)
    }
  }

  /// What whoever leaves the lock has to do.
  private struct Leaving {
    let notices: [ShardNotice]
    let woken: WokenWaiters

    init(_ state: inout Shard) {
      woken = state.owners.woken.take()
      notices = state.notices
      state.notices = []
    }

    func tell(_ stack: StackNotices) {
      woken.wake()
      if !notices.isEmpty { stack.post(notices) }
    }
  }

  func signalLoop() { inbox.signal() }

  /// The interface was removed under the stack: every wait ends and every call fails with ENETDOWN from now on.
  func linkGone() { inspect { $0.linkGone() } }

  /// Resets connections and wakes everybody who waits.
  func closeAll() { inspectTimed { $0.closeAll() } }

  /// Takes everything off the rings; the event loop has ended. The TAP queue closes here.
  func dismantle() { inspect { $0.dismantle() } }
}

extension [LockedShard] {
  /// Whether the calling thread is inside one of a stack's shards: it must enter none then.
  var areHeldHere: Bool { contains { $0.isHeldHere } }

  /// Enters each in turn: now, or, for an object whose last reference has gone inside one of them, on a shard's own thread.
  func inspectEach(_ body: @escaping @Sendable (Int, inout Shard) -> Void) {
    let visit: @Sendable () -> Void = { [self] in
      for index in indices { self[index].inspect { body(index, &$0) } }
    }
    guard areHeldHere, let executor = first?.executor else { return visit() }
    Task(executorPreference: executor) { visit() }
  }
}
