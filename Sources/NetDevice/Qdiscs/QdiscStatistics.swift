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
  public var configuration: QdiscConfiguration
  /// What `tc` shows before the colon; 0: the one that the device came with.
  public var handle: UInt16
  public var statistics: QdiscStatistics
  public var backlogBytes: Int
  public var backlogPackets: Int

  public var kind: QdiscKind { configuration.kind }

  /// The lines that `tc -s qdisc` prints.
  public func description(device: String) -> String {
    let options = configuration.options
    let s = statistics
    return """
      qdisc \(kind.rawValue) \(String(handle, radix: 16)): dev \(device) root refcnt 2\(options.isEmpty ? "" : " ")\(options)
       Sent \(s.sentBytes) bytes \(s.sentPackets) pkt (dropped \(s.dropped), overlimits \(s.overlimits) \
      requeues \(s.requeues))
       backlog \(backlogBytes)b \(backlogPackets)p requeues \(s.requeues)
      """
  }
}
