import NetNamespace

/// What became of a packet handed to the device. The packet is consumed whatever the answer.
/// Linux: return values of `dev_queue_xmit()`.
@frozen
public enum XmitResult: Sendable, Equatable {
  /// Sent, or waiting in the queueing discipline. Linux: `NET_XMIT_SUCCESS`.
  case success
  /// Queued, but another packet of the flow was dropped, or soon will be: slow down; or dropped by a device that is down,
  /// which nobody is told. Linux: `NET_XMIT_CN`.
  case congestion
  /// Thrown away for lack of room. Linux: `NET_XMIT_DROP`.
  case dropped
  /// Thrown away because of the device's state: ENETDOWN when it is stopped and has no queue, or sends through
  /// itself. Linux: the negative results.
  case failed(Errno)

  /// The packet is gone without having been sent.
  @inlinable public var isLost: Bool {
    switch self {
    case .success, .congestion: false
    case .dropped, .failed: true
    }
  }
}
