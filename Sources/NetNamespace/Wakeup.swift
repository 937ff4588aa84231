/// A socket whose readiness may have changed, and what is known of the change. Linux: the key that
/// `sk_data_ready()` and `sk_write_space()` wake pollers with, by which `ep_poll_callback()` passes by who did not ask.
@frozen
public struct Wakeup: BitwiseCopyable, Equatable, Sendable {
  public var socket: SocketID
  /// Room to send has come, and nothing else. Linux: `sk_write_space()`.
  public var isForRoom = false

  @inlinable
  public init(socket: SocketID, isForRoom: Bool = false) {
    self.socket = socket
    self.isForRoom = isForRoom
  }
}
