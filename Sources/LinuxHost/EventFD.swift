import CLinux
import Glibc

/// A wake-up that one thread gives and another waits for in epoll. Signals between two drains
/// count as one. Both ends may be used by any thread.
public struct EventFD: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  public init() throws(LinuxError) {
    let number = clinux_eventfd()
    guard number >= 0 else { throw .last("make", "an event descriptor") }
    descriptor = OwnedDescriptor(owning: number)
  }

  /// Makes the descriptor readable. Never blocks, never fails: a full counter is already readable.
  public func signal() {
    var one: UInt64 = 1
    // Safe: eventfd(2) reads exactly the eight bytes of the local.
    _ = unsafe write(descriptor.rawValue, &one, 8)
  }

  /// Makes it unreadable again. Returns whether it had been signalled.
  @discardableResult
  public func drain() -> Bool {
    var counter: UInt64 = 0
    // Safe: eventfd(2) writes exactly the eight bytes of the local.
    return unsafe read(descriptor.rawValue, &counter, 8) == 8
  }
}
