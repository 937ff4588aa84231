import NetNamespace
import SkBuff

/// The queue of errors about what was sent: those that `IP_RECVERR` asks for, and those that end a TCP handshake. Bounded
/// by the receive buffer, in which its entries count; between them stand completions of sends, which count elsewhere. Linux: `sk_error_queue`.
extension ExtendedError {
  /// Something failed; else a send is done or a packet came by.
  var isError: Bool { origin != .zeroCopy && origin != .timestamping }
}

extension SocketCore {
  /// What an entry costs in the receive buffer beside the bytes it quotes: Linux's `truesize` of an empty packet.
  static let errorEntryByteCount = 832

  public var hasQueuedError: Bool {
    guard let rare else { return false }
    return !rare.errorQueue.isEmpty
  }

  /// Bytes that the next receive from the error queue takes.
  public var queuedErrorByteCount: Int { rare?.errorQueue.first?.payload.count ?? 0 }

  /// Puts an error at the end of the queue; one that finds the receive buffer full is lost. Linux: `sock_queue_err_skb()`.
  ///
  /// - Returns: whether there was room.
  @discardableResult
  public mutating func queueError(_ error: ExtendedError) -> Bool {
    let byteCount = Self.memory(of: error)
    guard account.receiveAllocated + byteCount < receiveBuffer else { return false }
    account.chargeReceive(by: byteCount)
    withRare { $0.errorQueue.append(error) }
    return true
  }

  private static func memory(of error: ExtendedError) -> Int { errorEntryByteCount + error.payload.count }

  /// An entry leaves the queue.
  func discharge(_ entry: ExtendedError) {
    if entry.origin == .zeroCopy {
      rare?.optionMemory -= Self.notificationByteCount
    } else {
      account.chargeReceive(by: -Self.memory(of: entry))
    }
  }

  /// `IP_RECVERR` was switched off: errors that wait are thrown away, completions and times stay. Linux: `skb_errqueue_purge()`.
  public mutating func purgeErrorQueue() {
    guard let rare else { return }
    for entry in rare.errorQueue where entry.isError { discharge(entry) }
    rare.errorQueue.removeAll { $0.isError }
  }

  /// Takes the first entry, as a receive with `MSG_ERRQUEUE` does. Linux: `ip_recv_error()`.
  ///
  /// - Parameter now: nanoseconds since 1970 in UT.
  /// - Throws: EAGAIN when there is none; EFAULT when the buffer cannot be written.
  public mutating func receiveError(
    into iter: inout IovIter, now: UInt64
  ) throws(Errno) -> ReceivedMessage {
    guard let rare, !rare.errorQueue.isEmpty else { throw .EAGAIN }
    var entry = rare.errorQueue.removeFirst()
    discharge(entry)
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
    // Linux: `ip_cmsg_recv()`, on the ICMP message.
    if let bearer = entry.bearer.take() {
      message.control.describe(
        bearer.destination, bearer.interface, timeToLive: bearer.timeToLive,
        typeOfService: bearer.typeOfService, by: options)
      if options.packetInfo {
        // What an ICMP message is about was for somebody else.
        message.control.specificDestination = entry.origin == .timestamping ? entry.offender : .any
      }
    }
    message.control.times = times(of: entry.time, now: now, isReport: true)
    if entry.isStatistics && message.control.times?.software != nil {
      message.control.stampStatistics = entry.payload
    }
    message.control.error = entry
    return message
  }
}
