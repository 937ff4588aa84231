import Glibc
import Synchronization

/// Runs tasks on the thread of a shard's event loop, between its turns: an `await` on one of the shard's sockets then costs no
/// switch of threads. On a simulated stack whoever drives it runs them; after the stack's end the global executor does.
///
/// ```swift
/// try await withTaskExecutorPreference(stack.executor()) {
///   while true {
///     let bytes = try await connection.receive(upTo: 65536)
///     try await connection.send(bytes)
///   }
/// }
/// ```
///
/// What runs here keeps the shard from its packets meanwhile: it must not block, nor compute for long. The blocking calls of the
/// shard's own sockets fail with EDEADLK where they would wait, and `close()` does not wait for SO_LINGER.
public final class ShardExecutor: TaskExecutor {
  private let jobs = Guarded<[UnownedJob]>([])
  private let inbox: ShardInbox
  /// The event loop's thread while it runs.
  private let thread = Atomic<UInt>(0)
  /// It is in a turn of this shard; it may have others to run.
  private let isTurning = Atomic<Bool>(false)
  private let hasEnded = Atomic<Bool>(false)
  private let used = Atomic<Bool>(false)
  /// The thread that runs jobs at the moment; 0: none does.
  private let runner = Atomic<UInt>(0)

  /// Jobs of one turn; then it is the shard's again.
  private static let turnCount = 64

  init(inbox: ShardInbox) { self.inbox = inbox }

  /// Takes a job. Called by the concurrency runtime.
  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    // Its thread and whoever ends the stack agree on what is left over, under the lock.
    let (isFirst, isOver) = jobs.withLock { list in
      if hasEnded.load(ordering: .relaxed) { return (false, true) }
      list.append(job)
      return (list.count == 1, false)
    }
    if isOver { return Self.runElsewhere(job) }
    if !used.load(ordering: .relaxed) { used.store(true, ordering: .relaxed) }
    if isFirst && !(isLoopThread && isTurning.load(ordering: .relaxed)) { inbox.signal() }
  }

  /// Somebody runs tasks here.
  var isUsed: Bool { used.load(ordering: .relaxed) }

  /// The loop looks for jobs before it ends the turn that it begins now.
  func turnBegins() { isTurning.store(true, ordering: .relaxed) }
  func turnEnds() { isTurning.store(false, ordering: .relaxed) }

  /// The calling thread runs the jobs from now on.
  func adopt() { thread.store(UInt(pthread_self()), ordering: .relaxed) }

  /// Whether the shard waits for the calling thread: it runs one of the jobs here, or of another shard of the same loop.
  var isRunningHere: Bool { runner.load(ordering: .relaxed) == UInt(pthread_self()) || isLoopThread }

  /// Whether the calling thread is the event loop's.
  var isLoopThread: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

  /// Runs what is there, and what comes from that, up to a bound. Returns whether there was anything.
  func runJobs() -> Bool {
    guard isUsed else { return false }
    var ran = 0
    runner.store(UInt(pthread_self()), ordering: .relaxed)
    defer { runner.store(0, ordering: .relaxed) }
    while ran < Self.turnCount {
      let room = Self.turnCount - ran
      let list = jobs.withLock { list in
        let taken = list.count <= room ? list : Array(list[..<room])
        if list.count <= room { list = [] } else { list.removeFirst(room) }
        return taken
      }
      if list.isEmpty { break }
      let executor = unsafe asUnownedTaskExecutor()
      for job in list { unsafe job.runSynchronously(on: executor) }
      ran += list.count
    }
    return ran > 0
  }

  /// Whether jobs wait.
  var hasJobs: Bool { isUsed && jobs.withLock { !$0.isEmpty } }

  /// The event loop has ended: what is left, and what comes, runs on the global executor.
  func end() {
    let left = jobs.withLock { list in
      hasEnded.store(true, ordering: .relaxed)
      defer { list = [] }
      return list
    }
    for job in left { Self.runElsewhere(job) }
  }

  private static func runElsewhere(_ job: UnownedJob) { globalConcurrentExecutor.enqueue(job) }
}

extension Socket {
  /// What runs tasks on the socket's shard's own thread.
  public var executor: ShardExecutor { shard.executor }
}

extension Stack {
  /// What runs tasks on a shard's own thread.
  ///
  /// - Parameter queue: the shard, below `queueCount`: that of the sockets that the tasks use.
  public func executor(queue: Int = 0) -> ShardExecutor { shards[queue].executor }

  /// Runs `body` inside a shard, on the calling thread, when nobody else is in it; what follows from it is done when the call
  /// returns. Traps when it is called from within itself.
  ///
  /// - Parameters:
  ///   - queue: the shard, below `queueCount`.
  ///   - body: what runs in the shard.
  /// - Throws: what `body` throws.
  public func withShard<Result: Sendable, Failure: Error>(
    queue: Int = 0, _ body: (inout Shard) throws(Failure) -> Result
  ) throws(Failure) -> Result { try shards[queue].enter(body) }

  /// Has a shard's own thread run `body` inside the shard, soon; on a simulated stack whoever drives it does.
  ///
  /// - Parameters:
  ///   - queue: the shard, below `queueCount`.
  ///   - body: what runs in the shard.
  public func perform(queue: Int = 0, _ body: @escaping @Sendable (inout Shard) -> Void) {
    let shard = shards[queue]
    Task(executorPreference: shard.executor) { shard.enter(body) }
  }

  /// Starts a program on a shard.
  ///
  /// - Parameters:
  ///   - program: to be used by the shard only from now on.
  ///   - queue: the shard, below `queueCount`.
  ///   - body: gives it its first sockets, inside the shard.
  /// - Throws: what `body` throws; the program does not run then.
  public func start<P: Program, Failure: Error>(
    _ program: sending P, queue: Int = 0, _ body: (P, inout Shard) throws(Failure) -> Void
  ) throws(Failure) {
    try shards[queue].enter { (shard) throws(Failure) in
      let id = shard.start(program)
      do throws(Failure) { try body(program, &shard) } catch {
        shard.end(id)
        throw error
      }
    }
  }
}
