import CLinux
import Glibc
import Timers

/// An epoll instance: many descriptors, one wait, nanosecond time-outs (`epoll_pwait2`, Linux 5.11).
///
/// Descriptors may be added and removed by any thread while another waits.
public struct Epoll: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  public init() throws(LinuxError) {
    let number = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard number >= 0 else { throw .last("make", "an epoll instance") }
    descriptor = OwnedDescriptor(owning: number)
  }

  /// Watches a descriptor; `token` comes back with each report. The caller keeps the descriptor
  /// open until it is removed.
  public func add(
    _ watched: borrowing OwnedDescriptor, for readiness: Readiness, token: UInt64
  ) throws(LinuxError) {
    try add(rawDescriptor: watched.rawValue, for: readiness, token: token)
  }

  public func add(rawDescriptor: Int32, for readiness: Readiness, token: UInt64) throws(LinuxError) {
    try control(EPOLL_CTL_ADD, rawDescriptor, readiness, token, "watch")
  }

  /// Changes what a watched descriptor is watched for, and its token.
  package func modify(rawDescriptor: Int32, for readiness: Readiness, token: UInt64) throws(LinuxError) {
    try control(EPOLL_CTL_MOD, rawDescriptor, readiness, token, "change the watch on")
  }

  /// Stops watching. Needed before closing when the descriptor has been duplicated or passed on.
  public func remove(rawDescriptor: Int32) throws(LinuxError) {
    try control(EPOLL_CTL_DEL, rawDescriptor, [], 0, "stop watching")
  }

  private func control(
    _ operation: Int32, _ number: Int32, _ readiness: Readiness, _ token: UInt64, _ phrase: String
  ) throws(LinuxError) {
    guard clinux_epoll_control(descriptor.rawValue, operation, number, readiness.rawValue, token) == 0 else {
      throw .last(phrase, "descriptor \(number)")
    }
  }

  /// Waits until something is ready or the time-out has passed, and leaves what is ready in `events`.
  ///
  /// - Parameter timeout: zero polls, `nil` waits for ever, negative counts as zero.
  /// - Returns: how many events there are; 0 after the time-out or a signal.
  public func wait(into events: inout EpollEvents, timeout: Nanoseconds?) throws(LinuxError) -> Int {
    let nanoseconds = timeout.map { max($0.rawValue, 0) } ?? -1
    // Safe: `storage` has room for `capacity` events.
    let result = unsafe clinux_epoll_wait(
      descriptor.rawValue, events.storage, Int32(events.capacity), nanoseconds)
    if result >= 0 {
      events.count = Int(result)
      return Int(result)
    }
    events.count = 0
    guard errno == EINTR else { throw .last("wait on", "the epoll instance") }
    return 0
  }

  /// Waits until something is ready or the deadline on `MonotonicClock` is reached.
  public func wait(
    into events: inout EpollEvents, until deadline: Instant, now: Instant
  ) throws(LinuxError) -> Int {
    if deadline == .distantFuture { return try wait(into: &events, timeout: nil) }
    return try wait(into: &events, timeout: deadline > now ? deadline - now : .zero)
  }
}

/// One waiter's buffer of reports, allocated once and used for every wait.
@safe
public struct EpollEvents: ~Copyable {
  /// Owned from init to deinit; all `capacity` places are initialized.
  fileprivate let storage: UnsafeMutablePointer<epoll_event>
  public let capacity: Int
  /// How many reports the last wait left.
  public fileprivate(set) var count = 0

  public init(capacity: Int = 64) {
    precondition(capacity > 0, "An epoll wait needs room for at least one event.")
    self.capacity = capacity
    unsafe storage = .allocate(capacity: capacity)
    unsafe storage.initialize(repeating: epoll_event(), count: capacity)
  }

  deinit {
    unsafe storage.deallocate()
  }

  /// The `index`-th report of the last wait.
  public subscript(index: Int) -> EpollEvent {
    precondition(
      index >= 0 && index < count, "An epoll report was asked for that the last wait did not give.")
    // Safe: index is below count, which is at most capacity.
    return unsafe EpollEvent(
      token: clinux_epoll_token(storage + index),
      readiness: Readiness(rawValue: clinux_epoll_readiness(storage + index)))
  }
}

/// One report: which descriptor, by the token it was added with, and what it is ready for.
@frozen
public struct EpollEvent: Equatable, Sendable {
  public var token: UInt64
  public var readiness: Readiness
}
