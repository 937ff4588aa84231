import LinuxHost
import SkBuff
import Sockets
import Synchronization

/// A socket of a stack. Every call may come from any thread; it runs on that thread, down to the wire.
///
/// Calls wait as those of a blocking Linux socket do, within `sendTimeout` and `receiveTimeout`; with `isNonBlocking`
/// set, or the flag `.dontWait`, they fail with EAGAIN instead. The `async` forms suspend the task. The socket closes
/// when the last reference goes.
public final class Socket: Sendable {
  public let type: SocketKind
  /// Kept alive by its sockets.
  private let stack: Stack
  let shard: Shard
  let id: SocketID
  let waiter = SocketWaiter()
  private let isOpen = Atomic<Bool>(true)
  private let nonBlocking = Atomic<Bool>(false)
  /// Nanoseconds; 0: for ever.
  private let receiveNanoseconds = Atomic<Int64>(0)
  private let sendNanoseconds = Atomic<Int64>(0)

  init(stack: Stack, shard: Shard, type: SocketKind) throws(SocketError) {
    let waiter = waiter
    self.type = type
    self.stack = stack
    self.shard = shard
    acceptedFrom = nil
    id = try Self.calling("socket") { () throws(Errno) in
      try shard.enter { (state) throws(Errno) in
        if state.isClosed { throw .ENETDOWN }
        let id = try state.socket(type)
        state.owners.setWaiter(id, waiter)
        return id
      }
    }
  }

  /// Takes over an accepted connection.
  private init(stack: Stack, shard: Shard, accepted id: SocketID) {
    type = .tcp
    self.stack = stack
    self.shard = shard
    self.id = id
    acceptedFrom = shard.inspect { $0.sockets.tcpInfo(id, now: $0.net.now)?.remote }
    let waiter = waiter
    shard.inspect { $0.owners.setWaiter(id, waiter) }
  }

  deinit { close() }

  // MARK: Modes

  /// O_NONBLOCK.
  public var isNonBlocking: Bool {
    get { nonBlocking.load(ordering: .relaxed) }
    set { nonBlocking.store(newValue, ordering: .relaxed) }
  }
  /// SO_RCVTIMEO: how long a receive or an accept waits before EAGAIN; `nil`: for ever.
  public var receiveTimeout: Nanoseconds? {
    get { Self.timeout(receiveNanoseconds.load(ordering: .relaxed)) }
    set { receiveNanoseconds.store(newValue?.rawValue ?? 0, ordering: .relaxed) }
  }
  /// SO_SNDTIMEO: how long a send (EAGAIN) or a connect (EINPROGRESS) waits; `nil`: for ever.
  public var sendTimeout: Nanoseconds? {
    get { Self.timeout(sendNanoseconds.load(ordering: .relaxed)) }
    set { sendNanoseconds.store(newValue?.rawValue ?? 0, ordering: .relaxed) }
  }
  private static func timeout(_ value: Int64) -> Nanoseconds? { value > 0 ? Nanoseconds(value) : nil }

  // MARK: Inside

  static func calling<Result>(
    _ operation: String, _ address: SocketAddress? = nil, _ body: () throws(Errno) -> Result
  ) throws(SocketError) -> Result {
    do { return try body() } catch { throw SocketError(operation, error, address) }
  }

  /// Runs a call inside the stack.
  func enter<Result: Sendable>(
    _ body: (inout ShardState, SocketID) throws(Errno) -> Result
  ) throws(Errno) -> Result {
    guard isOpen.load(ordering: .acquiring) else { throw .EBADF }
    return try shard.enter { [id] (state) throws(Errno) in
      if state.isClosed { throw .ENETDOWN }
      return try body(&state, id)
    }
  }

  /// When a wait that begins now is over.
  func deadline(_ timeout: Nanoseconds?) -> Instant {
    guard let timeout else { return .distantFuture }
    return MonotonicClock.now() + timeout
  }

  /// Repeats a call until it does not answer EAGAIN, sleeping in between until the socket may be ready.
  func waiting<Result: Sendable>(
    for interest: Readiness, until deadline: Instant?,
    _ body: (inout ShardState, SocketID) throws(Errno) -> Result
  ) throws(Errno) -> Result {
    guard let deadline else { return try enter(body) }
    while true {
      let generation = waiter.generation
      let result = try enter { (state, id) throws(Errno) -> Result? in
        do throws(Errno) {
          return try body(&state, id)
        } catch {
          guard error == .EAGAIN else { throw error }
          state.owners[id].interest.formUnion(interest)
          return nil
        }
      }
      if let result { return result }
      if !waiter.wait(since: generation, until: deadline) { throw .EAGAIN }
    }
  }

  /// As `waiting`, suspending the task.
  func suspending<Result: Sendable>(
    for interest: Readiness, _ body: (inout ShardState, SocketID) throws(Errno) -> Result
  ) async throws(Errno) -> Result {
    while true {
      let generation = waiter.generation
      let result = try enter { (state, id) throws(Errno) -> Result? in
        do throws(Errno) {
          return try body(&state, id)
        } catch {
          guard error == .EAGAIN else { throw error }
          state.owners[id].interest.formUnion(interest)
          return nil
        }
      }
      if let result { return result }
      await waiter.wait(since: generation)
      if Task.isCancelled { throw .ECANCELED }
    }
  }

  func waitLimit(_ flags: MessageFlags, _ timeout: Nanoseconds?) -> Instant? {
    flags.contains(.dontWait) || isNonBlocking ? nil : deadline(timeout)
  }

  // MARK: Names and connections

  /// Linux: bind(2). Port 0 picks one.
  public func bind(to address: SocketAddress) throws(SocketError) {
    try Self.calling("bind", address) { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        try state.sockets.bind(id, to: address, ip: &state.ip, net: &state.net)
      }
    }
  }

  /// Linux: listen(2).
  public func listen(backlog: Int = 4096) throws(SocketError) {
    try Self.calling("listen") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        try state.sockets.listen(id, backlog: backlog, net: &state.net)
      }
    }
  }

  /// Linux: accept(2).
  public func accept() throws(SocketError) -> Socket {
    try accept(until: isNonBlocking ? nil : deadline(receiveTimeout))
  }

  func accept(until deadline: Instant?) throws(SocketError) -> Socket {
    let child = try Self.calling("accept") { () throws(Errno) in
      try waiting(for: .readable, until: deadline) { (state, id) throws(Errno) in
        try state.sockets.accept(id, net: &state.net)
      }
    }
    return Socket(stack: stack, shard: shard, accepted: child)
  }

  /// The other end as accept(2) names it: also when the connection has ended since; `nil` for a socket that was not
  /// accepted.
  public let acceptedFrom: SocketAddress?

  public func accept() async throws(SocketError) -> Socket {
    let child: SocketID
    do throws(Errno) {
      child = try await suspending(for: .readable) { (state, id) throws(Errno) in
        try state.sockets.accept(id, net: &state.net)
      }
    } catch {
      throw SocketError("accept", error)
    }
    return Socket(stack: stack, shard: shard, accepted: child)
  }

  /// Linux: connect(2). A TCP socket waits for its peer's answer, at most `sendTimeout`.
  public func connect(to address: SocketAddress) throws(SocketError) {
    try connect(to: address, until: isNonBlocking ? nil : deadline(sendTimeout))
  }

  func connect(to address: SocketAddress, until deadline: Instant?) throws(SocketError) {
    try Self.calling("connect", address) { () throws(Errno) in
      guard try startConnecting(to: address) else { return }
      guard let deadline else { throw .EINPROGRESS }
      do throws(Errno) {
        try waiting(for: .writable, until: deadline) { (state, id) throws(Errno) in
          try state.finishConnecting(id)
        }
      } catch {
        throw error == .EAGAIN ? .EINPROGRESS : error
      }
    }
  }

  public func connect(to address: SocketAddress) async throws(SocketError) {
    do throws(Errno) {
      guard try startConnecting(to: address) else { return }
      try await suspending(for: .writable) { (state, id) throws(Errno) in
        try state.finishConnecting(id)
      }
    } catch {
      throw SocketError("connect", error, address)
    }
  }

  /// Returns whether the answer is still to come.
  private func startConnecting(to address: SocketAddress) throws(Errno) -> Bool {
    try enter { (state, id) throws(Errno) in
      do throws(Errno) {
        try state.sockets.connect(id, to: address, ip: &state.ip, net: &state.net)
      } catch {
        guard error == .EINPROGRESS else { throw error }
      }
      do throws(Errno) {
        try state.finishConnecting(id)
        return false
      } catch {
        guard error == .EAGAIN else { throw error }
        return true
      }
    }
  }

  /// The own end.
  public var localAddress: SocketAddress {
    get throws(SocketError) {
      try Self.calling("getsockname") { () throws(Errno) in
        try enter { (state, id) throws(Errno) in try state.sockets.localAddress(id) }
      }
    }
  }

  /// The other end.
  public var remoteAddress: SocketAddress {
    get throws(SocketError) {
      try Self.calling("getpeername") { () throws(Errno) in
        try enter { (state, id) throws(Errno) in try state.sockets.remoteAddress(id) }
      }
    }
  }

  /// Linux: shutdown(2).
  public func shutdown(read: Bool = false, write: Bool = false) throws(SocketError) {
    try Self.calling("shutdown") { () throws(Errno) in
      try enter { (state, id) throws(Errno) in
        try state.sockets.shutdown(id, read: read, write: write, ip: &state.ip, net: &state.net)
      }
    }
  }

  /// Linux: close(2). What was sent is still delivered. Calls that wait on other threads fail with EBADF.
  public func close() {
    guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
    shard.enter { [id] state in
      state.owners.clear(id)
      guard !state.isClosed else { return }
      try? state.sockets.close(id, ip: &state.ip, net: &state.net)
    }
    waiter.signal()
  }

  /// Gives the stack's socket away: this object forgets it.
  func surrender() -> SocketID {
    _ = isOpen.exchange(false, ordering: .acquiringAndReleasing)
    shard.inspect { [id] in $0.owners.clear(id) }
    return id
  }

  // MARK: Readiness

  /// What the socket is ready for now.
  public var readiness: Readiness {
    (try? enter { (state, id) throws(Errno) in state.sockets.readiness(id) }) ?? [.error, .hangup]
  }

  /// Waits until one of `events`, an error or a hang-up is there. Linux: poll(2) on one descriptor.
  ///
  /// - Parameter timeout: `nil` waits for ever.
  /// - Returns: what is there; empty after the time-out.
  public func poll(_ events: Readiness, timeout: Nanoseconds? = nil) -> Readiness {
    let wanted = events.union([.error, .hangup])
    let result = try? waiting(for: events, until: deadline(timeout)) { (state, id) throws(Errno) in
      let ready = state.sockets.readiness(id).intersection(wanted)
      if ready.isEmpty { throw .EAGAIN }
      return ready
    }
    return result ?? []
  }

  /// Suspends the task until one of `events`, an error or a hang-up is there.
  public func poll(_ events: Readiness) async throws(SocketError) -> Readiness {
    let wanted = events.union([.error, .hangup])
    do throws(Errno) {
      return try await suspending(for: events) { (state, id) throws(Errno) in
        let ready = state.sockets.readiness(id).intersection(wanted)
        if ready.isEmpty { throw .EAGAIN }
        return ready
      }
    } catch {
      throw SocketError("poll", error)
    }
  }
}
