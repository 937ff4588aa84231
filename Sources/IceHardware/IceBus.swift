/// All that a driver and a device share: descriptor memory, registers, and the IOMMU table.
///
/// The class owns the memory; `txRing`, `rxRing`, `registers` and `iommu` are handles into it, to be copied
/// into the driver's and the device's own values so that no packet costs a retain. Both also hold the bus,
/// which keeps the memory alive for as long as either exists.
public final class IceBus: @unchecked Sendable {
  // Sendable: all but one field are constant; what they refer to is synchronised by the queue protocol
  // (doorbell and DD are released and acquired), as with a device on a real bus.
  public let txRing: TxDescriptorRing
  public let rxRing: RxDescriptorRing
  public let registers: RegisterFile
  public let iommu: IOMMU
  /// Returns when the device reads no transmitted frame's memory any more; `nil`: it never does between two calls. Set
  /// before the device is used, called by the driver before it takes packets off the ring that are not done.
  /// Linux: what `ice_stop_lan_tx_rings()` waits for.
  public nonisolated(unsafe) var stopTransmit: (() -> Void)?

  /// - Parameters:
  ///   - txDescriptorCount: 64...8160, a multiple of 32.
  ///   - rxDescriptorCount: 64...8160, a multiple of 32.
  ///   - mappingCapacity: simultaneous IOMMU mappings; by default one for each descriptor.
  public init(txDescriptorCount: Int = 1024, rxDescriptorCount: Int = 512, mappingCapacity: Int? = nil) {
    txRing = TxDescriptorRing(count: txDescriptorCount)
    rxRing = RxDescriptorRing(count: rxDescriptorCount)
    registers = RegisterFile()
    iommu = IOMMU(capacity: mappingCapacity ?? txDescriptorCount + rxDescriptorCount)
  }

  deinit {
    txRing.deallocate()
    rxRing.deallocate()
    registers.deallocate()
    iommu.deallocate()
  }
}
