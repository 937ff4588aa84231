import IceModel
import LinuxHost
import NetDevice
import SkBuff
import Sockets
import Trace

/// One shard: its state behind one lock. Any thread enters, does its work down to the wire, and leaves.
final class Shard: Sendable {
  private let state: Guarded<ShardState>
  /// Where other shards put frames, and what wakes the event loop.
  let inbox: ShardInbox
  private let clock: StackClock

  init(_ state: consuming ShardState, clock: StackClock, inbox: ShardInbox) {
    let memory = state.memory
    self.state = Guarded(state, outlivedBy: memory)
    self.clock = clock
    self.inbox = inbox
  }

  /// Waits with a limit cannot use the system's clock: time passes when the stack's caller says so.
  var hasManualClock: Bool {
    if case .manual = clock { true } else { false }
  }

  /// Runs `body` inside the stack, then everything that follows from it, whether it threw or not.
  func enter<Result: Sendable, Failure: Error>(
    _ body: (inout ShardState) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var isDueEarlier = false
    defer { if isDueEarlier { signalLoop() } }
    return try locked { (state) throws(Failure) -> Result in
      state.host.net.advance(to: clock.now)
      defer { isDueEarlier = state.leave() }
      return try body(&state)
    }
  }

  /// Looks at the state without running the stack.
  func inspect<Result: Sendable>(_ body: (inout ShardState) -> Result) -> Result {
    locked { body(&$0) }
  }

  /// As `inspect`, with the clock read first, for a caller that runs the stack itself.
  func inspectTimed<Result: Sendable>(_ body: (inout ShardState) -> Result) -> Result {
    locked { state in
      state.host.net.advance(to: clock.now)
      return body(&state)
    }
  }

  /// Every way in: whoever was found to be woken is woken when the lock has been left, so that what runs then may enter.
  @inline(__always)
  private func locked<Result: Sendable, Failure: Error>(
    _ body: (inout ShardState) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var woken = WokenWaiters()
    defer { if !woken.isEmpty { woken.wake() } }
    return try state.withLock { (state) throws(Failure) -> Result in
      defer { if !state.owners.woken.isEmpty { woken = state.owners.woken.take() } }
      return try body(&state)
    }
  }

  func signalLoop() { inbox.signal() }
}

/// Packet memory and trace ring of a shard: handles to them are everywhere in its state, this owns them.
///
/// Safety: outlives the state (`Guarded.init(_:outlivedBy:)`), and with it every handle and packet.
final class ShardMemory: Sendable {
  let pool: SkBuffPool
  let tracer: Tracer

  init(limit: Int) {
    tracer = Tracer()
    pool = SkBuffPool(limit: limit, tracer: tracer)
  }

  deinit {
    pool.destroy()
    tracer.destroy()
  }
}
