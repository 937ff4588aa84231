import IceModel
import LinuxHost
import NetDevice
import SkBuff
import Sockets

/// One shard: its state behind one lock. Any thread enters, does its work down to the wire, and leaves.
final class Shard: Sendable {
  private let state: Guarded<ShardState>
  /// Where other shards put frames, and what wakes the event loop.
  let inbox: ShardInbox
  private let clock: StackClock

  init(_ state: consuming ShardState, clock: StackClock, inbox: ShardInbox) {
    self.state = Guarded(state)
    self.clock = clock
    self.inbox = inbox
  }

  /// Runs `body` inside the stack, then everything that follows from it, whether it threw or not.
  func enter<Result: Sendable, Failure: Error>(
    _ body: (inout ShardState) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var isDueEarlier = false
    defer { if isDueEarlier { signalLoop() } }
    return try state.withLock { (state) throws(Failure) -> Result in
      state.net.advance(to: clock.now)
      defer { isDueEarlier = state.leave() }
      return try body(&state)
    }
  }

  /// Looks at the state without running the stack.
  func inspect<Result: Sendable>(_ body: (inout ShardState) -> Result) -> Result {
    state.withLock { body(&$0) }
  }

  /// As `inspect`, with the clock read first, for a caller that runs the stack itself.
  func inspectTimed<Result: Sendable>(_ body: (inout ShardState) -> Result) -> Result {
    state.withLock { state in
      state.net.advance(to: clock.now)
      return body(&state)
    }
  }

  func signalLoop() { inbox.signal() }
}
