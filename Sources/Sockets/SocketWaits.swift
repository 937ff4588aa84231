import IPv4
import NetNamespace
import TCP
import Timers
import UDP

/// What whoever waits on a socket asks: is it ready, for how long may I wait, is there something to take.
extension SocketLayer {
  /// What the socket is ready for now, for a caller that waits when it is not: a socket that says "no room" owes a
  /// wake-up when there is some, as one that refused a send does. Linux: `sock->ops->poll()`.
  ///
  /// - Returns: error and hang-up for a socket that is not there.
  public mutating func poll(_ id: SocketID) -> Readiness {
    switch id.kind {
    case .tcp: tcp.poll(id)
    // Datagram sockets register whenever they are asked.
    case .udp: udp.readiness(id)
    case .ping: ping.readiness(id)
    case nil: [.error, .hangup]
    }
  }

  /// `SO_RCVLOWAT` of a stream; 1 for a datagram socket, to which it means nothing.
  public func receiveLowWater(_ id: SocketID) -> Int { id.kind == .tcp ? tcp.receiveLowWater(id) : 1 }

  /// Bytes that a receive would find now: of a stream all, of a datagram socket the first datagram's. Linux: SIOCINQ.
  public func receivableByteCount(_ id: SocketID) -> Int {
    switch id.kind {
    case .tcp: tcp.receivableByteCount(id)
    case .udp: udp.receivableByteCount(id)
    case .ping: ping.receivableByteCount(id)
    case nil: 0
    }
  }

  /// Sets `SO_RCVTIMEO`; `nil`: wait for ever.
  public mutating func setReceiveTimeout(_ id: SocketID, _ timeout: Nanoseconds?) {
    extras[id, default: SocketExtras()].receiveTimeout = timeout
  }
  /// Sets `SO_SNDTIMEO`; `nil`: wait for ever.
  public mutating func setSendTimeout(_ id: SocketID, _ timeout: Nanoseconds?) {
    extras[id, default: SocketExtras()].sendTimeout = timeout
  }

  /// Bytes of the datagram that the first error on the error queue is about, as far as they are known.
  public func queuedErrorByteCount(_ id: SocketID) -> Int {
    switch id.kind {
    case .udp: udp.queuedErrorByteCount(id)
    case .ping: ping.queuedErrorByteCount(id)
    default: 0
    }
  }

  /// How long `close` waits for the peer to acknowledge what was sent: SO_LINGER; `nil`: not at all.
  public func linger(_ id: SocketID) -> Nanoseconds? {
    guard id.kind == .tcp, let time = extra(id).linger, time > .zero else { return nil }
    return time
  }

  /// Whether the peer of a socket that has been closed has still to acknowledge something.
  public func isClosing(_ id: SocketID) -> Bool { tcp.isClosing(id) }
}
