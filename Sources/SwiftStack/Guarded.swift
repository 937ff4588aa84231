import Glibc
import Synchronization

/// A value behind a lock. As `Synchronization.Mutex`, but over the C library's mutex: Swift 6.3's takes its slow path in a
/// library that the thread sanitizer does not see into, and every hand-over would look like a race.
///
/// A thread that leaves and comes back may pass those that sleep on the lock, which costs the least. But none waits longer
/// than a millisecond and the time that those before it hold the lock: from then on the lock goes in order.
///
/// Safety: `turnstile`, `mutex` and `value` are made in `init`, never move, and end in `deinit`, when nobody else is left; `value` is
/// touched only between lock and unlock.
@safe
package final class Guarded<Value: ~Copyable>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  /// Held by the first in line while it waits for `mutex`.
  private let turnstile: UnsafeMutablePointer<pthread_mutex_t>
  /// Threads that stand in line because they have waited too long, or came after such a one.
  private let overdue = Atomic<Int>(0)
  /// The thread inside, 0 for none.
  private let holder = Atomic<UInt>(0)
  private let value: UnsafeMutablePointer<Value>
  /// Released after the value has ended.
  private let memory: AnyObject?

  /// - Parameter memory: what must live longer than the value.
  package init(_ initial: consuming Value, outlivedBy memory: AnyObject? = nil) {
    self.memory = memory
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(mutex, nil)
    unsafe turnstile = .allocate(capacity: 1)
    unsafe turnstile.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(turnstile, nil)
    unsafe value = .allocate(capacity: 1)
    unsafe value.initialize(to: initial)
  }

  deinit {
    unsafe value.deinitialize(count: 1)
    unsafe value.deallocate()
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
    unsafe pthread_mutex_destroy(turnstile)
    unsafe turnstile.deallocate()
  }

  /// Runs `body` with the value, alone. Traps when it is called from inside another call on the same value.
  @inline(__always)
  package func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    if unsafe overdue.load(ordering: .relaxed) > 0 || pthread_mutex_trylock(mutex) != 0 { lockInTurn() }
    holder.store(UInt(pthread_self()), ordering: .relaxed)
    defer {
      holder.store(0, ordering: .relaxed)
      unsafe pthread_mutex_unlock(mutex)
    }
    return unsafe try body(&value.pointee)
  }

  /// Whether the calling thread is inside.
  package var isHeldHere: Bool { holder.load(ordering: .relaxed) == UInt(pthread_self()) }

  private static var patienceNanoseconds: Int { 1_000_000 }

  @inline(never)
  private func lockInTurn() {
    precondition(
      !isHeldHere,
      "A call that takes a lock was made inside it: inside a shard, use the shard that is given there."
    )
    if overdue.load(ordering: .relaxed) == 0 {
      var limit = timespec()
      unsafe clock_gettime(CLOCK_REALTIME, &limit)
      limit.tv_nsec += Self.patienceNanoseconds
      if limit.tv_nsec >= 1_000_000_000 {
        limit.tv_nsec -= 1_000_000_000
        limit.tv_sec += 1
      }
      if unsafe pthread_mutex_timedlock(mutex, &limit) == 0 { return }
    }
    overdue.add(1, ordering: .relaxed)
    unsafe pthread_mutex_lock(turnstile)
    unsafe pthread_mutex_lock(mutex)
    unsafe pthread_mutex_unlock(turnstile)
    overdue.subtract(1, ordering: .relaxed)
  }
}
