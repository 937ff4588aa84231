/// What became of a packet handed to the device. The packet is consumed whatever the answer.
/// Linux: return values of `dev_queue_xmit()`.
@frozen
public enum XmitResult: Sendable, Equatable {
  /// Sent, or waiting in the queueing discipline. Linux: `NET_XMIT_SUCCESS`.
  case success
  /// Queued, but another packet of the flow was dropped, or soon will be: slow down. Linux: `NET_XMIT_CN`.
  case congestion
  /// Thrown away for lack of room, or because the device is down. Linux: `NET_XMIT_DROP`.
  case dropped
}
