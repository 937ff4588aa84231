import InetSocket
import NetNamespace

// What a caller asks before it waits.
extension TCPLayer {
  /// Readiness for a caller that will wait when there is none: who is told "no room" is owed a wake-up as one whose send
  /// was refused. Linux: `tcp_poll()`, `SOCK_NOSPACE`.
  public mutating func poll(_ id: SocketID) -> Readiness {
    let ready = readiness(id)
    if !ready.contains(.writable), let index = try? slot(id) { sockets[index].awaitWriteSpace() }
    return ready
  }

  /// Whether a SYN of this socket has gone, or a SYN-ACK, and the handshake is not over.
  public func isOpening(_ id: SocketID) -> Bool {
    guard let index = try? slot(id) else { return false }
    return sockets[index].isOpening && sockets[index].fastOpen.isDisjoint(with: [.isDeferred, .isPassive])
  }

  /// Bytes that a receive would find now, the urgent byte counted. Linux: `SIOCINQ`.
  public func receivableByteCount(_ id: SocketID) -> Int {
    guard let index = try? slot(id) else { return 0 }
    if sockets[index].isInRepair && sockets[index].repairQueue == .send {
      return sockets[index].sender.writeSeq.offset(from: sockets[index].sender.sndUna)
    }
    return sockets[index].receiver.readableByteCount
  }

  /// Linux: `tcp_ioctl()`.
  ///
  /// - Throws: EINVAL for the queues of a listener.
  public func ioctl(_ id: SocketID, _ request: SocketRequest) throws(Errno) -> Int {
    let index = try slot(id)
    let isOpening = sockets[index].state == .synSent || sockets[index].state == .synReceived
    if request != .atMark && sockets[index].state == .listen { throw .EINVAL }
    switch request {
    case .unread:
      return isOpening
        ? 0 : sockets[index].receiver.byteCountToMark(inline: sockets[index].core.options.outOfBandInline)
    case .atMark: return sockets[index].receiver.isAtMark ? 1 : 0
    case .unacknowledged:
      return isOpening ? 0 : sockets[index].sender.writeSeq.offset(from: sockets[index].sender.sndUna)
    case .unsent:
      return isOpening ? 0 : sockets[index].sender.writeSeq.offset(from: sockets[index].sender.sndNxt)
    }
  }

  /// Whether a closed socket still has data or a FIN that its peer has not acknowledged: what SO_LINGER waits for.
  /// Linux: `sk_stream_closing()`.
  public func isClosing(_ id: SocketID) -> Bool {
    guard id.kind == .tcp, sockets.holds(id) else { return false }
    switch sockets[id.index].state {
    case .finWait1, .closing, .lastAck: return true
    default: return false
    }
  }
}
