import InetSocket
import Internet
import NetNamespace
import SkBuff
import TCP
import Wire

// Sends that lend their memory: one call may be several attempts, and has one number.
extension SocketLayer {
  /// Takes the number of a send with `MSG_ZEROCOPY` that is going to wait for room. A datagram's is taken with it.
  ///
  /// - Returns: `nil` when it takes none: ended by `endZeroCopy` otherwise.
  /// - Throws: EBADF; ENOBUFS at `net.core.optmem_max`.
  package mutating func beginZeroCopy(
    _ id: SocketID, byteCount: Int, flags: MessageFlags, net: borrowing Net
  ) throws(Errno) -> SendNotification? {
    guard id.kind == .tcp, flags.contains(.zeroCopy), byteCount > 0 else { return nil }
    return try tcp.beginZeroCopy(id, byteCount: byteCount, net: net)
  }

  /// - Parameter isAborted: nothing was queued, and nobody hears of the number.
  package mutating func endZeroCopy(
    _ id: SocketID, _ notification: SendNotification, isAborted: Bool, net: borrowing Net
  ) {
    try? withCore(id) { (core) throws(Errno) in
      if isAborted {
        core.abortZeroCopy(notification, net: net)
      } else {
        core.endZeroCopy(notification, net: net)
      }
    }
  }

  /// Takes the first completion off the error queue; errors stay there.
  ///
  /// - Throws: EBADF; EAGAIN when there is none.
  public mutating func takeCompletion(_ id: SocketID) throws(Errno) -> SendCompletion {
    try withCore(id) { (core) throws(Errno) in try core.takeCompletion() }
  }
}

extension SocketLayer {
  /// Whether the next call gets an error. Completions that wait are none. Linux: `sk_err`.
  package mutating func hasPendingError(_ id: SocketID) -> Bool {
    (try? withCore(id) { (core) throws(Errno) in core.pendingError != nil }) ?? false
  }
}
