/// Counts the sockets of a shard that have asked when packets come in. While there are any, other sockets that want to be told
/// such times are told them, too. Linux: `netstamp_needed_key`.
public final class ArrivalClock {
  public private(set) var userCount = 0

  public init() {}

  /// One that asks, as long as it lives.
  public final class User {
    private let clock: ArrivalClock

    public init(_ clock: ArrivalClock) {
      self.clock = clock
      clock.userCount += 1
    }
    deinit { clock.userCount -= 1 }

    /// Another that asks, of the same clock.
    public func another() -> User { User(clock) }
  }
}
