import InetSocket
import NetNamespace

/// What a caller asks before it waits, and who watches.
extension DatagramTable {
  /// Linux: `datagram_poll()`. Whoever is told that there is no room is owed a wake-up.
  public func readiness(_ id: SocketID) -> Readiness {
    guard let index = try? slot(id) else { return [.error, .hangup] }
    return sockets[index].readiness
  }

  /// Bytes of the datagram that the next receive takes. Linux: `SIOCINQ`.
  public func receivableByteCount(_ id: SocketID) -> Int {
    guard let index = try? slot(id), let first = sockets[index].receiveQueue.first else { return 0 }
    return sockets[index].receiveQueue.length(at: first)
  }

  /// Bytes of the datagram that the next peek sees, which `SO_PEEK_OFF` may have moved on from the first.
  public func peekableByteCount(_ id: SocketID) -> Int {
    var offset = 0
    guard let index = try? slot(id), let place = sockets[index].peeked(&offset) else { return 0 }
    return sockets[index].receiveQueue.length(at: place)
  }

  /// Linux: `udp_ioctl()`.
  ///
  /// - Throws: ENOTTY for what only streams have.
  public func ioctl(_ id: SocketID, _ request: SocketRequest) throws(Errno) -> Int {
    let index = try slot(id)
    // Linux: `ping_prot` has no ioctl().
    guard kind != .ping else { throw .ENOTTY }
    switch request {
    case .unread: return receivableByteCount(id)
    case .unacknowledged: return sockets[index].core.account.writeAllocated
    case .unsent, .atMark: throw .ENOTTY
    }
  }

  /// The path MTU of a connected socket. Linux: `IP_MTU`.
  ///
  /// - Throws: ENOTCONN.
  public func pathMTU(_ id: SocketID) throws(Errno) -> Int {
    let index = try slot(id)
    guard sockets[index].core.peer != nil, let mtu = sockets[index].core.route?.mtu else { throw .ENOTCONN }
    return mtu
  }
}
