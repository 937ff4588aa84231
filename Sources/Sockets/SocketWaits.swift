import InetSocket
import NetNamespace
import TCP
import Timers

/// What whoever waits on a socket asks: is it ready, for how long may I wait, is there something to take.
extension SocketLayer {
  /// What the socket is ready for now, for a caller that waits when it is not: a socket that says "no room" owes a
  /// wake-up when there is some, as one that refused a send does. Linux: `sock->ops->poll()`.
  ///
  /// - Returns: error and hang-up for a socket that is not there.
  public mutating func poll(_ id: SocketID) -> Readiness {
    guard let operations = try? operations(id) else { return [.error, .hangup] }
    return operations.poll(id, &self)
  }

  /// `SO_RCVLOWAT` of a stream; 1 for a datagram socket, to which it means nothing.
  public mutating func receiveLowWater(_ id: SocketID) -> Int {
    guard id.kind == .tcp else { return 1 }
    return (try? withCore(id) { (core) throws(Errno) in core.options.receiveLowWater }) ?? 1
  }

  /// Bytes that a receive would find now: of a stream all, of a datagram socket those of the datagram that it would take, or
  /// see as a peek.
  public mutating func receivableByteCount(_ id: SocketID, isPeek: Bool = false) -> Int {
    guard let operations = try? operations(id) else { return 0 }
    return operations.receivableByteCount(id, isPeek: isPeek, &self)
  }

  /// What a socket tells of its queues. Linux: `sock_ioctl()`.
  ///
  /// - Throws: `EBADF`; EINVAL for the queues of a listener; ENOTTY for what the kind of socket does not have.
  public mutating func ioctl(_ id: SocketID, _ request: SocketRequest) throws(Errno) -> Int {
    try operations(id).ioctl(id, request, &self)
  }

  /// Sets `SO_RCVTIMEO`; `nil`: wait for ever.
  public mutating func setReceiveTimeout(_ id: SocketID, _ timeout: Nanoseconds?) {
    try? withCore(id) { (core) throws(Errno) in core.options.receiveTimeout = timeout }
  }
  /// Sets `SO_SNDTIMEO`; `nil`: wait for ever.
  public mutating func setSendTimeout(_ id: SocketID, _ timeout: Nanoseconds?) {
    try? withCore(id) { (core) throws(Errno) in core.options.sendTimeout = timeout }
  }

  /// Bytes of the datagram that the first error on the error queue is about, as far as they are known.
  public mutating func queuedErrorByteCount(_ id: SocketID) -> Int {
    (try? withCore(id) { (core) throws(Errno) in core.queuedErrorByteCount }) ?? 0
  }

  /// How long `close` waits for the peer to acknowledge what was sent: SO_LINGER; `nil`: not at all.
  public mutating func linger(_ id: SocketID) -> Nanoseconds? {
    let time = (try? withCore(id) { (core) throws(Errno) in core.options.linger }) ?? nil
    guard id.kind == .tcp, let time, time > .zero else { return nil }
    return time
  }

  /// Whether the peer of a socket that has been closed has still to acknowledge something.
  public func isClosing(_ id: SocketID) -> Bool { tcp.isClosing(id) }
}
