import Timers

/// What `ip -s link` shows. Linux: `struct rtnl_link_stats64`.
@frozen
public struct LinkStatistics: Sendable {
  public var receivedPackets: UInt64 = 0
  public var receivedBytes: UInt64 = 0
  public var sentPackets: UInt64 = 0
  public var sentBytes: UInt64 = 0
  /// Packets that came in and found the backlog full. Linux: `rx_dropped`.
  public var receivedDropped: UInt64 = 0
  /// Packets that were thrown away on their way to the driver: device down, too long, no memory, queue full.
  public var sentDropped: UInt64 = 0
  /// Packets that the stack cut into segments because the device could not.
  public var softwareSegmented: UInt64 = 0
  /// Checksums that the stack computed because the device could not.
  public var softwareChecksummed: UInt64 = 0
  /// Times the byte queue limit stopped the queue.
  public var limitStops: UInt64 = 0
  /// Transmit queue time-outs, and when the last one was. Linux: `trans_timeout`.
  public var watchdogTimeouts: UInt64 = 0
  public var lastWatchdogTimeout: Instant? = nil

  public init() {}
}
