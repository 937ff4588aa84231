import NetNamespace
import SkBuff

/// The queue of errors that `IP_RECVERR` asks for. Linux: `sk_error_queue`.
extension SocketCore {
  /// Most entries that wait on the error queue.
  static let errorQueueLimit = 256

  public var hasQueuedError: Bool {
    guard let rare else { return false }
    return !rare.errorQueue.isEmpty
  }

  /// Bytes that the next receive from the error queue takes.
  public var queuedErrorByteCount: Int { rare?.errorQueue.first?.payload.count ?? 0 }

  /// Linux: `ip_icmp_error()`, `ip_local_error()`.
  public mutating func queueError(_ error: ExtendedError) {
    withRare { rare in
      if rare.errorQueue.count < Self.errorQueueLimit { rare.errorQueue.append(error) }
    }
  }

  /// Takes the first entry, as a receive with `MSG_ERRQUEUE` does. Linux: `ip_recv_error()`.
  ///
  /// - Throws: EAGAIN when there is none; EFAULT when the buffer cannot be written.
  public mutating func receiveError(into iter: inout IovIter) throws(Errno) -> ReceivedMessage {
    guard let rare, !rare.errorQueue.isEmpty else { throw .EAGAIN }
    let entry = rare.errorQueue.removeFirst()
    // The next error in line becomes the socket's, when a packet brought it. Linux: sock_dequeue_err_skb().
    if let next = rare.errorQueue.first, next.origin == .icmp {
      pendingError = next.errno
    } else if entry.origin == .icmp {
      pendingError = nil
    }
    let count = min(entry.payload.count, iter.count)
    let copied = unsafe entry.payload.withUnsafeBytes { bytes in
      unsafe iter.copyTo(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    }
    guard copied == count else { throw .EFAULT }
    var message = ReceivedMessage(byteCount: count, source: entry.destination, flags: .errorQueue)
    if count < entry.payload.count { message.flags.insert(.truncate) }
    message.control.error = entry
    return message
  }
}
