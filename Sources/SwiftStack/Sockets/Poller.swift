import Shard
import Synchronization

/// One thread or task that serves any number of a stack's sockets: it is told which are ready. Linux: epoll(7).
///
/// ```swift
/// let poller = Poller(stack)
/// try poller.add(listener, for: .readable, token: 0)
/// while true {
///   for event in try poller.wait() { serve(event.token, event.readiness) }
/// }
/// ```
///
/// What is done with a ready socket uses its non-blocking calls. A closed socket is watched no more. Usable from any thread;
/// meant for one that waits.
public final class Poller: Sendable {
  private let stack: Stack
  private let waiter = SocketWaiter()
  /// The poller's set in each shard.
  private let sets: [Int]
  private let isWoken = Atomic<Bool>(false)
  /// The shard that is asked first: each in turn.
  private let first = Atomic<Int>(0)

  /// A poller that watches nothing yet.
  public init(_ stack: Stack) {
    self.stack = stack
    let waiter = waiter
    sets = stack.shards.map { shard in shard.inspect { $0.makePollSet(waiter) } }
  }

  deinit { stack.shards.inspectEach { [sets] in $1.removePollSet(sets[$0]) } }

  private func set(of socket: Socket) throws(SocketError) -> Int {
    guard let index = stack.shards.firstIndex(where: { $0 === socket.shard }) else {
      throw SocketError("poller", .EINVAL)
    }
    return sets[index]
  }

  /// Watches a socket. Linux: EPOLL_CTL_ADD.
  ///
  /// - Parameters:
  ///   - socket: of the poller's stack.
  ///   - events: what is asked for; errors and hang-ups are told always.
  ///   - trigger: how often.
  ///   - token: what the events call the socket.
  /// - Throws: EEXIST when this poller watches it already, EINVAL for another stack's, EBADF when it is closed.
  public func add(
    _ socket: Socket, for events: Readiness, _ trigger: PollTrigger = .level, token: UInt64
  ) throws(SocketError) {
    let set = try set(of: socket)
    try Socket.calling("poller add") { () throws(Errno) in
      try socket.enter { (state, id) throws(Errno) in
        try state.watch(id, in: set, for: events, trigger, token: token)
      }
    }
  }

  /// Asks for something else, or, after `.once`, again. Linux: EPOLL_CTL_MOD.
  ///
  /// - Throws: ENOENT when this poller does not watch the socket, EBADF when it is closed.
  public func modify(
    _ socket: Socket, for events: Readiness, _ trigger: PollTrigger = .level
  ) throws(SocketError) {
    let set = try set(of: socket)
    try Socket.calling("poller modify") { () throws(Errno) in
      try socket.enter { (state, id) throws(Errno) in try state.rewatch(id, in: set, for: events, trigger) }
    }
  }

  /// Watches a socket no more; what was ready of it is not told. Linux: EPOLL_CTL_DEL.
  ///
  /// - Throws: ENOENT when this poller does not watch the socket, EBADF when it is closed.
  public func remove(_ socket: Socket) throws(SocketError) {
    let set = try set(of: socket)
    try Socket.calling("poller remove") { () throws(Errno) in
      try socket.enter { (state, id) throws(Errno) in try state.unwatch(id, in: set) }
    }
  }

  /// Ends a wait, or the next one, without an event. Linux: eventfd(2) beside the sockets.
  public func wake() {
    isWoken.store(true, ordering: .releasing)
    waiter.signal()
  }

  /// Blocks until a socket is ready. Linux: epoll_wait(2).
  ///
  /// - Parameters:
  ///   - limit: most events at a time.
  ///   - timeout: on the stack's clock; `nil` waits for ever.
  /// - Returns: what is ready, those that became so first at first; empty after the time-out or `wake()`.
  /// - Throws: ENETDOWN when the stack or its interface is gone; EINVAL for a limit below 1; EDEADLK for a wait in a task on
  ///   the thread of one of the stack's shards.
  public func wait(upTo limit: Int = 256, timeout: Duration? = nil) throws(SocketError) -> [PollEvent] {
    let byTimer = stack.shards[0].hasManualClock
    let deadline = deadline(timeout)
    while true {
      let generation = waiter.generation
      let events = try take(limit, byTimer ? deadline : nil)
      if !events.isEmpty || isWoken.exchange(false, ordering: .acquiring) { return events }
      if deadline <= stack.shards[0].clock.now { return [] }
      if stack.shards.contains(where: { $0.executor.isRunningHere }) {
        throw SocketError("poller wait", .EDEADLK)
      }
      waiter.wait(since: generation, until: byTimer ? .distantFuture : deadline)
    }
  }

  /// As the blocking form, suspending the task.
  ///
  /// - Throws: ECANCELED, too, when the task was cancelled, but not EDEADLK.
  public func wait(
    upTo limit: Int = 256, timeout: Duration? = nil
  ) async throws(SocketError) -> [PollEvent] {
    let deadline = deadline(timeout)
    while true {
      let generation = waiter.generation
      let events = try take(limit, deadline)
      if !events.isEmpty || isWoken.exchange(false, ordering: .acquiring) { return events }
      if deadline <= stack.shards[0].clock.now { return [] }
      await waiter.wait(since: generation)
      if Task.isCancelled { throw SocketError("poller wait", .ECANCELED) }
    }
  }

  /// Whether somebody sleeps here, for tests.
  var isAwaited: Bool {
    zip(stack.shards, sets).allSatisfy { shard, set in shard.inspect { $0.isAwaited(set) } }
      && waiter.isAwaited
  }
  /// Who sleeps here, for tests.
  var waitCount: Int { waiter.waitCount }

  private func deadline(_ timeout: Duration?) -> Instant {
    timeout.map { stack.shards[0].clock.now + Nanoseconds(max($0, .zero)) } ?? .distantFuture
  }

  private func take(_ limit: Int, _ deadline: Instant?) throws(SocketError) -> [PollEvent] {
    guard limit > 0 else { throw SocketError("poller wait", .EINVAL) }
    var events: [PollEvent] = []
    let start = first.wrappingAdd(1, ordering: .relaxed).oldValue
    for step in sets.indices where events.count < limit {
      let place = Int((UInt(bitPattern: start) &+ UInt(step)) % UInt(sets.count))
      let shard = stack.shards[place]
      let set = sets[place]
      do throws(Errno) {
        // In order: a shard that finds nothing ready is to wake the poller only if those before had nothing either.
        events = try shard.enter { [events] (state) throws(Errno) in
          var events = events
          try state.takeEvents(of: set, into: &events, limit: limit, wait: events.isEmpty, until: deadline)
          return events
        }
      } catch {
        throw SocketError("poller wait", error)
      }
    }
    return events
  }
}
