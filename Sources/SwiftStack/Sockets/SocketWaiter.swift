import Glibc
import LinuxHost
import Shard
import Synchronization

/// What threads and tasks sleep on until a socket's readiness may have changed. One for each socket, reused for every
/// wait; nothing is allocated when a thread waits.
///
/// Whoever waits reads `generation` first, then tries the operation under the shard's lock and, when it would block,
/// leaves its interest there; a signal after that moves the generation on, so none is lost.
///
/// Safety: `mutex` and `condition` are made in `init`, never move, and are destroyed in `deinit`, when nobody waits,
/// for whoever waits holds a reference.
@safe
package final class SocketWaiter: Waker, @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  /// Guarded by `mutex`.
  private var moves: UInt64 = 0
  private var sleepers = 0
  private var interruptCount: UInt64 = 0
  private var continuations: [(number: UInt64, continuation: CheckedContinuation<Void, Never>)] = []
  private var nextContinuation: UInt64 = 0

  package override init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition.initialize(to: pthread_cond_t())
    unsafe pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// To be read before the attempt that may have to wait.
  package var generation: UInt64 {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return moves
  }

  /// Threads and tasks that sleep.
  var waitCount: Int {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return sleepers + continuations.count
  }
  var isAwaited: Bool { waitCount > 0 }

  /// Wakes everybody, in the order they came: readiness may have changed, or the socket is closing.
  package override func signal() {
    unsafe pthread_mutex_lock(mutex)
    moves &+= 1
    let tasks = continuations
    if !tasks.isEmpty { continuations = [] }
    if sleepers > 0 { unsafe pthread_cond_broadcast(condition) }
    unsafe pthread_mutex_unlock(mutex)
    for task in tasks { task.continuation.resume() }
  }

  /// How often threads that sleep were interrupted, to be read before the first attempt.
  var interruptions: UInt64 {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return interruptCount
  }

  /// Wakes the threads that sleep: their calls end.
  func interrupt() {
    unsafe pthread_mutex_lock(mutex)
    if sleepers > 0 {
      interruptCount &+= 1
      moves &+= 1
      unsafe pthread_cond_broadcast(condition)
    }
    unsafe pthread_mutex_unlock(mutex)
  }

  /// Blocks the thread until a signal comes after generation `seen`. Returns false when the deadline came first.
  @discardableResult
  package func wait(since seen: UInt64, until deadline: Instant) -> Bool {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    sleepers += 1
    defer { sleepers -= 1 }
    while moves == seen {
      if deadline == .distantFuture {
        unsafe pthread_cond_wait(condition, mutex)
      } else {
        var time = timespec(
          tv_sec: Int(deadline.nanoseconds / 1_000_000_000),
          tv_nsec: Int(deadline.nanoseconds % 1_000_000_000))
        if unsafe pthread_cond_timedwait(condition, mutex, &time) == ETIMEDOUT { return moves != seen }
      }
    }
    return true
  }

  /// Suspends the task until a signal comes after generation `seen`, or the task is cancelled.
  func wait(since seen: UInt64) async {
    let number = reserveNumber()
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if !enlist(continuation, number, since: seen) || Task.isCancelled {
          // A cancellation that came before the continuation was there has nothing to resume.
          withdraw(number)?.resume()
        }
      }
    } onCancel: {
      withdraw(number)?.resume()
    }
  }

  private func reserveNumber() -> UInt64 {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    nextContinuation &+= 1
    return nextContinuation
  }

  /// Returns false when the signal has been given already; the continuation is then still enlisted.
  private func enlist(
    _ continuation: CheckedContinuation<Void, Never>, _ number: UInt64, since seen: UInt64
  ) -> Bool {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    continuations.append((number, continuation))
    return moves == seen
  }

  private func withdraw(_ number: UInt64) -> CheckedContinuation<Void, Never>? {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    guard let place = continuations.firstIndex(where: { $0.number == number }) else { return nil }
    return continuations.remove(at: place).continuation
  }
}
