import SkBuff

/// What the driver answers to a packet. Linux: `netdev_tx_t`.
@frozen public enum NetdevTx: ~Copyable {
  /// Taken: on the ring, or dropped with a reason counted. Linux: NETDEV_TX_OK
  ///
  /// `byteCount` is what the completion will report for it (headers of every segment counted), 0 when the
  /// packet was dropped: the amount for BQL's `dql_queued()`.
  case ok(byteCount: Int)
  /// Taken, and nothing completes it: it has reached its receiver. `byteCount` is 0 when it was dropped.
  case delivered(byteCount: Int)
  /// The ring is full and the queue stopped; the packet comes back. Linux: NETDEV_TX_BUSY
  case busy(SkBuff)
}

/// What one round of completion cleaning found.
@frozen public struct TxCompletion: Equatable, Sendable {
  /// Packets as the wire counts them: a TSO packet counts its segments.
  public var packetCount = 0
  /// Bytes, the sum of what `NetdevTx.ok` gave for the same packets: for BQL's `dql_completed()`.
  public var byteCount = 0
  /// The queue was stopped and has been started again; the qdisc is to run.
  public var restarted = false
  /// The budget ran out before the ring did.
  public var isOverBudget = false

  @inlinable public init() {}
}
