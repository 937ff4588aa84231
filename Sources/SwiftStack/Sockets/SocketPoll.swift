import Shard
import Sockets

/// Readiness. Whoever is told that a socket is not ready is owed a wake-up, as one whose call was refused.
extension Socket {
  /// What the socket is ready for now; error and hang-up when it is closed.
  public var readiness: Readiness {
    (try? enter { (state, id) throws(Errno) in state.sockets.poll(id) }) ?? [.error, .hangup]
  }

  /// What the socket tells of its queues now. Linux: ioctl(2).
  ///
  /// - Returns: bytes; for `.atMark` 1 or 0.
  /// - Throws: `EINVAL` for the queues of a listener; `ENOTTY` for what the kind of socket does not have; `EBADF`.
  public func ioctl(_ request: SocketRequest) throws(SocketError) -> Int {
    try Self.calling("ioctl") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in try state.sockets.ioctl(id, request) }
    }
  }

  /// Waits until one of `events`, an error or a hang-up is there. Linux: poll(2) on one descriptor.
  ///
  /// - Parameters:
  ///   - events: what is waited for.
  ///   - timeout: on the stack's clock; `nil` waits for ever.
  /// - Returns: what is there; empty after the time-out or an interruption; error and hang-up when the socket or the stack is closed, and instead
  ///   of a wait in a task on the shard's own thread.
  public func poll(_ events: Readiness, timeout: Duration? = nil) -> Readiness {
    poll(events, timeout.map { Patience.atMost(Nanoseconds($0)) } ?? .until(.distantFuture))
  }

  package func poll(_ events: Readiness, until limit: Instant) -> Readiness { poll(events, .until(limit)) }

  private func poll(_ events: Readiness, _ patience: Patience) -> Readiness {
    var patience = patience
    do throws(Errno) {
      return try waiting(for: .errors, until: events, &patience) { (state, id) throws(Errno) in
        try state.poll(id, events)
      }
    } catch {
      return error == Wait.errors.error(of: .timeout) || error == .EINTR ? [] : [.error, .hangup]
    }
  }

  /// Suspends the task until one of `events`, an error or a hang-up is there.
  ///
  /// - Returns: as the blocking form.
  /// - Throws: ECANCELED when the task was cancelled.
  public func poll(_ events: Readiness, timeout: Duration? = nil) async throws(SocketError) -> Readiness {
    var patience = timeout.map { Patience.atMost(Nanoseconds($0)) } ?? .until(.distantFuture)
    do throws(Errno) {
      return try await suspending(for: .errors, until: events, &patience) { (state, id) throws(Errno) in
        try state.poll(id, events)
      }
    } catch {
      if error == Wait.errors.error(of: .cancellation) { throw SocketError("poll", error) }
      return error == Wait.errors.error(of: .timeout) ? [] : [.error, .hangup]
    }
  }
}

extension Shard {
  fileprivate mutating func poll(_ id: SocketID, _ events: Readiness) throws(Errno) -> Readiness {
    let ready = sockets.poll(id).intersection(events.union([.error, .hangup]))
    if ready.isEmpty { throw .EAGAIN }
    return ready
  }
}
