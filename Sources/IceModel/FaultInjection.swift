import Timers

/// Faults a test, or the operator, asks the device to commit. Mapping failures are injected at the
/// IOMMU (`IOMMU.injectMappingFailures`), not here.
@frozen public struct FaultInjection: Sendable {
  /// The device fetches nothing: what the transmit watchdog is for.
  public var isTransmitStalled = false
  /// So many frames are completed but not put on the wire.
  public var framesToDrop = 0
  /// So many of a hundred frames are completed but not put on the wire, evenly spread; 0 to 100.
  public var dropPercent = 0
  /// Completions are written back this much later.
  public var writeBackDelay = Nanoseconds.zero
  /// So many times a descriptor is read as one of a type that does not exist, which stops the queue (MDD).
  public var descriptorsToMisread = 0
  /// So many writes of the transmit doorbell do not reach the device: what they announced is seen with the next that does.
  public var doorbellsToLose = 0
  /// What the doorbell said that was lost last.
  var lostDoorbell: UInt64?
  /// No carrier: frames in both directions are dropped and counted.
  public var isLinkDown = false

  public init() {}
}
