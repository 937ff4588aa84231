import Glibc
import LinuxHost

/// A POSIX thread of the rim: the event loop of a shard, a control conversation, a relay.
package struct StackThread: ~Copyable {
  private let thread: pthread_t

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private init(_ thread: pthread_t) { self.thread = thread }

  /// Starts a thread that `join` waits for.
  package static func startJoinable(
    _ body: @escaping @Sendable () -> Void
  ) throws(LinuxError) -> StackThread {
    var thread = pthread_t()
    let boxed = unsafe Unmanaged.passRetained(Body(body))
    // Safe: the one reference passed in is taken over by the thread.
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        unsafe Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, boxed.toOpaque())
    guard result == 0 else {
      unsafe boxed.release()
      throw LinuxError(result, "start", "a thread")
    }
    return StackThread(thread)
  }

  /// Starts a thread that nobody waits for.
  package static func start(_ body: @escaping @Sendable () -> Void) throws(LinuxError) {
    let started = try startJoinable(body)
    _ = pthread_detach(started.thread)
  }

  /// Waits until the thread has ended; of itself a thread cannot, and ends unwaited for.
  package consuming func join() {
    guard pthread_equal(thread, pthread_self()) == 0 else {
      _ = pthread_detach(thread)
      return
    }
    // No result is asked for; the thread was started joinable and is joined once.
    _ = pthread_join(thread, nil)
  }
}
