/// What a call on a socket waits for. Together with `WakeEvent` the one table of who waits and what ends the wait.
package enum Wait: UInt8, CaseIterable, Sendable {
  /// Bytes, a datagram, or the end of the stream.
  case read
  /// Room in the send buffer, which is also room in packet memory.
  case write
  /// A connection that nobody has accepted yet.
  case accept
  /// The peer's answer to a SYN.
  case connect
  /// Something on the error queue; `poll` with no events asked for waits for it too.
  case errors
  /// The acknowledgement of all that was sent, after `close` with SO_LINGER.
  case linger

  /// The readiness that ends the wait. An error or a hang-up ends every wait.
  package var interest: Readiness {
    switch self {
    case .read, .accept: .readable
    case .write, .connect: .writable
    case .errors: .error
    case .linger: .hangup
    }
  }
}

/// What may happen to a socket while somebody waits on it, and who tells.
///
/// Events of the protocol come as `net.wake(_:)`; `Shard.notify()` asks the socket for its readiness then and wakes
/// whoever waits for that. The others come from the calls named here and wake everybody.
package enum WakeEvent: UInt8, CaseIterable, Sendable {
  /// Bytes or a datagram were queued. Linux: `sk_data_ready()`.
  case data
  /// The peer's FIN.
  case endOfStream
  /// A third of the send buffer is free, after a caller was told that it is not. Linux: `sk_write_space()`.
  case space
  /// A connection is complete and waits in its listener's queue.
  case connection
  /// The peer has accepted the connection.
  case established
  /// A reset, a refusal, an ICMP error, a time-out of TCP: the pending error is set. Linux: `sk_error_report()`.
  case failure
  /// An entry on the error queue.
  case queuedError
  /// The peer has acknowledged our FIN.
  case finAcknowledged
  /// `shutdown(read: true)` on another thread.
  case shutdownRead
  /// `shutdown(write: true)` on another thread.
  case shutdownWrite
  /// `close()` on another thread.
  case close
  /// `Stack.close()`.
  case stackEnd
  /// The interface was removed under the stack.
  case linkGone
  /// SO_RCVTIMEO, SO_SNDTIMEO, SO_LINGER, or the call's own limit, on the stack's clock.
  case timeout
  /// The task that waits was cancelled.
  case cancellation
  /// `interrupt()` on another thread, while this one waits.
  case interruption
}

/// What a call returns that was waiting when an event came.
package enum WakeOutcome: Hashable, Sendable {
  /// The wait goes on.
  case none
  /// The call has its result.
  case success
  /// A receive returns no bytes.
  case endOfStream
  /// The call fails: with this error, or with the pending one.
  case failure(Errno)
  case pendingError
}

extension Wait {
  /// The table: what `event` means for a call that waits. A poll returns in every case that is not `.none`.
  package func outcome(of event: WakeEvent) -> WakeOutcome {
    switch (self, event) {
    case (.linger, .stackEnd), (.linger, .linkGone), (.linger, .timeout), (.linger, .finAcknowledged),
      (.linger, .failure), (.linger, .interruption):
      // close(2) has no error to give: what is left goes on in the background or is gone.
      .success
    case (.linger, _): .none

    case (_, .close): .failure(.EBADF)
    case (_, .stackEnd), (_, .linkGone): .failure(.ENETDOWN)
    case (_, .cancellation): .failure(.ECANCELED)
    case (_, .interruption): .failure(.EINTR)
    case (.connect, .timeout): .failure(.EINPROGRESS)
    case (_, .timeout): .failure(.EAGAIN)

    case (.errors, .failure), (.errors, .queuedError): .success
    case (_, .failure): .pendingError

    case (.read, .data): .success
    case (.read, .endOfStream), (.read, .shutdownRead): .endOfStream
    case (.write, .space), (.write, .established): .success
    case (.write, .shutdownWrite): .failure(.EPIPE)
    case (.accept, .connection): .success
    case (.accept, .shutdownRead): .failure(.EINVAL)
    case (.connect, .established): .success
    // Either ends the attempt. Linux: inet_shutdown() in SYN-SENT.
    case (.connect, .shutdownRead), (.connect, .shutdownWrite): .failure(.ECONNRESET)
    default: .none
    }
  }

  /// The error with which `event` ends the wait.
  package func error(of event: WakeEvent) -> Errno {
    guard case .failure(let error) = outcome(of: event) else { return .EAGAIN }
    return error
  }
}
