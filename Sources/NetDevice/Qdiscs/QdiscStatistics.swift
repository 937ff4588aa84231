/// What `tc -s qdisc` shows of a queueing discipline.
@frozen
public struct QdiscStatistics: Sendable {
  /// Bytes as they will be on the wire, headers of every segment counted, and packets given to the device.
  public var sentBytes: UInt64 = 0
  public var sentPackets: UInt64 = 0
  public var dropped: UInt64 = 0
  /// Packets that waited longer than they had to because of a rate limit.
  public var overlimits: UInt64 = 0
  /// Packets that came back because the device had no room.
  public var requeues: UInt64 = 0

  @inlinable public init() {}

  @inlinable @inline(__always) mutating func sent(_ size: WireSize) {
    sentBytes &+= UInt64(truncatingIfNeeded: size.byteCount)
    sentPackets &+= UInt64(truncatingIfNeeded: size.segmentCount)
  }
}

/// A queueing discipline at one moment, for display.
public struct QdiscSnapshot: Sendable {
  public var kind: QdiscKind
  public var statistics: QdiscStatistics
  public var backlogBytes: Int
  public var backlogPackets: Int

  /// The lines that `tc -s qdisc` prints.
  public func description(device: String) -> String {
    let head =
      switch kind {
      case .noqueue: "qdisc noqueue 0: dev \(device) root refcnt 2"
      case .pfifoFast:
        "qdisc pfifo_fast 0: dev \(device) root refcnt 2 bands 3 priomap "
          + (0..<16).map { "\(PfifoFast.band(priority: UInt32($0)))" }.joined(separator: " ")
      }
    let s = statistics
    return """
      \(head)
       Sent \(s.sentBytes) bytes \(s.sentPackets) pkt (dropped \(s.dropped), overlimits \(s.overlimits) \
      requeues \(s.requeues))
       backlog \(backlogBytes)b \(backlogPackets)p requeues \(s.requeues)
      """
  }
}
