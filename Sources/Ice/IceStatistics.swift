import IceHardware

/// What the driver counts for its Tx queue.
@frozen public struct TxStatistics: Equatable, Sendable {
  /// Packets put on the ring; a TSO packet counts its segments.
  public var packetCount: UInt64 = 0
  public var byteCount: UInt64 = 0
  /// Packets given back for want of descriptors. ethtool: `tx_busy`
  public var busyCount: UInt64 = 0
  /// Packets too scattered for the hardware. ethtool: `tx_linearize`
  public var linearizedCount: UInt64 = 0
  /// Times a stopped queue was started again. ethtool: `tx_restart`
  public var restartCount: UInt64 = 0
  /// Times the tail register was written.
  public var doorbellCount: UInt64 = 0
  /// Packets dropped because memory could not be mapped.
  public var mappingErrorCount: UInt64 = 0
  /// Packets dropped by the driver for any reason.
  public var dropCount: UInt64 = 0

  public init() {}
}

/// What the driver counts for its Rx queue.
@frozen public struct RxStatistics: Equatable, Sendable {
  public var packetCount: UInt64 = 0
  public var byteCount: UInt64 = 0
  /// Frames dropped because there was no sk_buff for them. ethtool: `rx_alloc_fail`
  public var bufferFailureCount: UInt64 = 0
  /// Buffers not posted because there was no page, or no mapping. ethtool: `rx_pg_alloc_fail`
  public var pageFailureCount: UInt64 = 0
  /// Frames the hardware found a wrong checksum in. ethtool: `rx_csum_bad.nic`
  public var checksumErrorCount: UInt64 = 0
  /// Frames dropped as broken: receive error, too many buffers, too short.
  public var errorCount: UInt64 = 0
  /// Frames whose source is our own station address: another station has it, or a bridge sends frames back.
  public var ownAddressCount: UInt64 = 0

  public init() {}
}

/// One line of `ethtool -S`.
@frozen public struct IceStatistic: Equatable, Sendable {
  public var name: String
  public var value: UInt64
}

/// A snapshot of every counter of the driver and the device.
public struct IceStatistics: Sendable {
  public var tx: TxStatistics
  public var rx: RxStatistics
  /// How often the device stopped the Tx queue, by what it found.
  public var maliciousDriverEvents: [(event: MaliciousDriverEvent, count: UInt64)]
  /// The registers, by register.
  private var registers: [UInt64]

  init(
    tx: TxStatistics, rx: RxStatistics, faultCounts: InlineArray<16, UInt64>, registers: RegisterFile
  ) {
    self.tx = tx
    self.rx = rx
    maliciousDriverEvents = MaliciousDriverEvent.allCases.map { ($0, faultCounts[Int($0.rawValue & 15)]) }
    self.registers = DeviceRegister.allCases.map { registers.read($0) }
  }

  /// A device counter.
  public subscript(register: DeviceRegister) -> UInt64 { registers[register.rawValue] }

  /// The lines of `ethtool -S`, with the names the `ice` driver gives them; those of its own come last.
  public var lines: [IceStatistic] {
    let named: [(String, UInt64)] = [
      ("rx_packets", rx.packetCount), ("rx_bytes", rx.byteCount), ("tx_packets", tx.packetCount),
      ("tx_bytes", tx.byteCount), ("rx_dropped", self[.GLV_RDPC]), ("rx_alloc_fail", rx.bufferFailureCount),
      ("rx_pg_alloc_fail", rx.pageFailureCount), ("tx_errors", self[.GLV_TEPC]),
      ("tx_linearize", tx.linearizedCount), ("tx_busy", tx.busyCount), ("tx_restart", tx.restartCount),
      ("rx_bytes.nic", self[.GLPRT_GORC]), ("tx_bytes.nic", self[.GLPRT_GOTC]),
      ("rx_unicast.nic", self[.GLPRT_UPRC]), ("tx_unicast.nic", self[.GLPRT_UPTC]),
      ("rx_multicast.nic", self[.GLPRT_MPRC]), ("tx_multicast.nic", self[.GLPRT_MPTC]),
      ("rx_broadcast.nic", self[.GLPRT_BPRC]), ("tx_broadcast.nic", self[.GLPRT_BPTC]),
      ("rx_undersize.nic", self[.GLPRT_RUC]), ("rx_oversize.nic", self[.GLPRT_ROC]),
      ("rx_csum_bad.nic", rx.checksumErrorCount), ("tx_dropped_link_down.nic", self[.GLPRT_TDOLD]),
      ("rx_errors", rx.errorCount), ("rx_filtered.nic", self[.GLV_REPC]), ("tx_ring_dropped", tx.dropCount),
      ("rx_own_address", rx.ownAddressCount), ("tx_dma_errors", tx.mappingErrorCount),
      ("tx_doorbells", tx.doorbellCount),
      ("iommu_faults.nic", self[.IOMMU_FAULTS]),
      ("tx_mdd_events", maliciousDriverEvents.reduce(0) { $0 + $1.count }),
    ]
    // Of the events by name only those that have happened.
    let events = maliciousDriverEvents.filter { $0.count > 0 }.map { ("tx_mdd.\($0.event)", $0.count) }
    return (named + events).map { IceStatistic(name: $0.0, value: $0.1) }
  }
}

/// Ring sizes as `ethtool -g` shows them.
@frozen public struct RingParameters: Equatable, Sendable {
  public var tx: Int
  public var rx: Int
  public init(tx: Int, rx: Int) {
    self.tx = tx
    self.rx = rx
  }
  /// Linux: ICE_MAX_NUM_DESC
  public static var maximum: Int { 8160 }
  /// Linux: ICE_MIN_NUM_DESC
  public static var minimum: Int { 64 }
  /// Linux: ICE_REQ_DESC_MULTIPLE
  public static var multiple: Int { 32 }
  /// Whether a ring may have so many descriptors.
  public static func isValid(_ count: Int) -> Bool {
    count >= minimum && count <= maximum && count % multiple == 0
  }
}
