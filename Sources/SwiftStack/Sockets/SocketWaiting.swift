import LinuxHost
import Shard
import Sockets

/// How long a call may wait.
enum Patience: Sendable {
  /// MSG_DONTWAIT, O_NONBLOCK.
  case none
  /// What the socket's SO_RCVTIMEO or SO_SNDTIMEO says when the first wait begins.
  case receiveTimeout
  case sendTimeout
  /// A time on the stack's clock.
  case until(Instant)
  /// From the first wait on.
  case atMost(Nanoseconds)
}

/// Waiting: a call is tried, leaves word of what it waits for, sleeps, and is tried again. All waits of a socket are here;
/// `Wait` and `WakeEvent` tell what ends them.
extension Socket {
  private enum Attempt<Result: Sendable>: Sendable {
    case done(Result)
    case wait(until: Instant)
  }

  /// Runs a call inside the stack.
  ///
  /// - Throws: EBADF when the socket has been closed, ENETDOWN when the stack or its interface has.
  func enter<Result: Sendable>(
    _ body: (inout Shard, SocketID) throws(Errno) -> Result
  ) throws(Errno) -> Result {
    try shard.enter { [id] (state) throws(Errno) in
      guard state.owners.holds(id) else { throw .EBADF }
      if let end = state.end { throw Wait.read.error(of: end) }
      return try body(&state, id)
    }
  }

  /// One try. EAGAIN leaves word in the stack, under the lock it was found under, so that no wake-up is lost.
  private func attempt<Result: Sendable>(
    _ wait: Wait, _ interest: Readiness, _ patience: Patience, isTask: Bool,
    _ body: (inout Shard, SocketID) throws(Errno) -> Result
  ) throws(Errno) -> Attempt<Result> {
    // A thread's limit goes by the system's clock, if that is the stack's.
    let byTimer = isTask || shard.hasManualClock
    return try enter { (state, id) throws(Errno) in
      do throws(Errno) {
        return .done(try body(&state, id))
      } catch {
        guard error == .EAGAIN else { throw error }
        guard let limit = state.limit(of: patience, id) else {
          throw wait == .connect ? .EINPROGRESS : .EAGAIN
        }
        if limit <= state.host.net.now { throw wait.error(of: .timeout) }
        state.await(id, for: interest, until: byTimer ? limit : nil)
        return .wait(until: limit)
      }
    }
  }

  /// Repeats a call until it does not answer EAGAIN, sleeping in between until the socket may be ready.
  ///
  /// - Parameters:
  ///   - interest: what a poll waits for; `nil`: what the wait itself says.
  ///   - patience: becomes the limit that the first wait sets, so that it holds for all parts of a call.
  func waiting<Result: Sendable>(
    for wait: Wait, until interest: Readiness? = nil, _ patience: inout Patience,
    _ body: (inout Shard, SocketID) throws(Errno) -> Result
  ) throws(Errno) -> Result {
    let interruptions = waiter.interruptions
    while true {
      let generation = waiter.generation
      switch try attempt(wait, interest ?? wait.interest, patience, isTask: false, body) {
      case .done(let result): return result
      case .wait(let limit):
        patience = .until(limit)
        // What would end the wait is done by this very thread, after the task.
        if shard.executor.isRunningHere { throw .EDEADLK }
        waiter.wait(since: generation, until: shard.hasManualClock ? .distantFuture : limit)
        if waiter.interruptions != interruptions { throw wait.error(of: .interruption) }
      }
    }
  }

  /// Ends the calls that threads wait in on this socket, as a signal without SA_RESTART ends a system call: a send or receive
  /// that has moved something returns that, the others fail with EINTR. Tasks are cancelled as tasks.
  public func interrupt() { waiter.interrupt() }

  /// What a failed send of a stream does to its thread, if the owner wants it.
  func signal(_ error: Errno, _ flags: MessageFlags) {
    if raisesSIGPIPE && SocketLayer.raisesSIGPIPE(error, kind: id.kind, flags: flags) { BrokenPipe.raise() }
  }

  /// As `waiting`, suspending the task.
  func suspending<Result: Sendable>(
    for wait: Wait, until interest: Readiness? = nil, _ patience: inout Patience,
    _ body: (inout Shard, SocketID) throws(Errno) -> Result
  ) async throws(Errno) -> Result {
    while true {
      let generation = waiter.generation
      switch try attempt(wait, interest ?? wait.interest, patience, isTask: true, body) {
      case .done(let result): return result
      case .wait(let limit):
        patience = .until(limit)
        await waiter.wait(since: generation)
        if Task.isCancelled { throw wait.error(of: .cancellation) }
      }
    }
  }

  /// - Parameter timeout: the option that limits the wait.
  func patience(_ flags: MessageFlags, _ timeout: Patience) -> Patience {
    flags.contains(.dontWait) || isNonBlocking ? .none : timeout
  }

  // MARK: Closing

  /// Linux: close(2). What was sent is still delivered; with SO_LINGER the call waits until it is, as long as the option
  /// says, but not in a task on the shard's own thread. Calls that wait on other threads fail with EBADF.
  public func close() { close(lingers: !shard.executor.isRunningHere) }

  func close(lingers: Bool) {
    guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
    let limit = shard.enter { [id, waiter] (state) -> Instant? in
      guard let time = state.close(id, lingers: lingers) else { return nil }
      state.owners.setWaiter(id, waiter, kind: .lingerer)
      return state.host.net.now + time
    }
    if let limit { linger(until: limit) }
  }

  /// The last reference went inside a shard. The same one cannot be entered twice, nor another while somebody may come the
  /// other way: the socket's shard's own thread closes. The stack lives
  /// until then, and the waiter, which the shard does not keep, until whoever was found to be woken has been.
  func closeLater() {
    guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
    Task(executorPreference: shard.executor) { [id, shard, stack, waiter] in
      withExtendedLifetime((stack, waiter)) { shard.enter { _ = $0.close(id, lingers: false) } }
    }
  }

  private func linger(until limit: Instant) {
    let interruptions = waiter.interruptions
    while true {
      let generation = waiter.generation
      let byTimer = shard.hasManualClock
      let isInterrupted = waiter.interruptions != interruptions
      let isOver = shard.enter { [id] (state) -> Bool in
        let isOver =
          isInterrupted || state.end != nil || !state.sockets.isClosing(id) || limit <= state.host.net.now
        if isOver {
          state.disown(id)
        } else {
          state.await(id, for: Wait.linger.interest, until: byTimer ? limit : nil)
        }
        return isOver
      }
      if isOver { return }
      waiter.wait(since: generation, until: byTimer ? .distantFuture : limit)
    }
  }

  /// Gives the stack's socket away: this object forgets it.
  func surrender() -> SocketID {
    _ = isOpen.exchange(false, ordering: .acquiringAndReleasing)
    shard.inspect { [id] in $0.disown(id) }
    return id
  }
}

extension Shard {
  /// When a wait that begins now is over; `nil`: it does not begin.
  mutating func limit(of patience: Patience, _ id: SocketID) -> Instant? {
    let timeout: Nanoseconds?
    switch patience {
    case .none: return nil
    case .until(let instant): return instant
    case .atMost(let time): timeout = time
    case .receiveTimeout: timeout = sockets.timeouts(id).receive
    case .sendTimeout: timeout = sockets.timeouts(id).send
    }
    guard let timeout else { return .distantFuture }
    return host.net.now + max(timeout, .zero)
  }
}

extension Shard {
  /// - Returns: how long the caller is to wait for what was sent; `nil`: not at all.
  fileprivate mutating func close(_ id: SocketID, lingers: Bool) -> Nanoseconds? {
    guard owners.holds(id) else { return nil }
    owners.signal(id)
    disown(id)
    guard !isClosed else { return nil }
    let time = lingers ? sockets.linger(id) : nil
    try? sockets.close(id, host: &host)
    guard let time, sockets.isClosing(id) else { return nil }
    return time
  }
}
