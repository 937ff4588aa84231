import IceHardware
import Testing

@Suite struct IOMMUTests {
  let bus = IceBus(txDescriptorCount: 64, rxDescriptorCount: 64, mappingCapacity: 4)

  private func fault(_ translation: IOMMUTranslation) -> IOMMUFault? {
    if case .fault(let fault) = translation { fault } else { nil }
  }

  /// 8 KiB of memory starting 64 bytes into a page.
  private func withMemory(_ body: (UnsafeMutableRawPointer) -> Void) {
    let block = UnsafeMutableRawPointer.allocate(byteCount: 16384, alignment: 4096)
    defer { unsafe block.deallocate() }
    unsafe body(block + 64)
  }

  @Test("D5 The device reaches exactly what is mapped, and keeps the page offset")
  func bounds() {
    unsafe withMemory { base in
      let iommu = bus.iommu
      guard let iova = unsafe iommu.map(base, byteCount: 5000, .toDevice) else {
        Issue.record("map failed")
        return
      }
      #expect(iova.rawValue & 4095 == 64)
      guard case .memory(let start) = iommu.translate(iova, byteCount: 5000, .toDevice) else {
        Issue.record("translate failed")
        return
      }
      #expect(unsafe start == base)
      guard case .memory(let inside) = iommu.translate(iova.advanced(by: 4990), byteCount: 10, .toDevice)
      else {
        Issue.record("translate failed")
        return
      }
      #expect(unsafe inside == base + 4990)
      #expect(fault(iommu.translate(iova.advanced(by: 4990), byteCount: 11, .toDevice)) == .outOfBounds)
      #expect(fault(iommu.translate(iova.advanced(by: -1), byteCount: 1, .toDevice)) == .outOfBounds)
      #expect(fault(iommu.translate(iova, byteCount: 1, .fromDevice)) == .wrongDirection)
      #expect(fault(iommu.translate(iova, byteCount: .max, .toDevice)) == .outOfBounds)
      iommu.unmap(iova)
      #expect(iommu.mappedCount == 0)
    }
  }

  @Test("D5 Use after unmap is a fault with a name, also after the slot is reused")
  func useAfterUnmap() {
    unsafe withMemory { base in
      let iommu = bus.iommu
      let old = unsafe iommu.map(base, byteCount: 100, .toDevice)!
      iommu.unmap(old)
      #expect(fault(iommu.translate(old, byteCount: 1, .toDevice)) == .useAfterUnmap)
      let new = unsafe iommu.map(base, byteCount: 100, .toDevice)!
      #expect(new != old)
      #expect(fault(iommu.translate(old, byteCount: 1, .toDevice)) == .useAfterUnmap)
      #expect(fault(iommu.translate(new, byteCount: 1, .toDevice)) == nil)
      iommu.unmap(new)
    }
  }

  @Test("D5 Never mapped: zero, an unknown slot, a generation to come")
  func notMapped() {
    let iommu = bus.iommu
    for raw: UInt64 in [0, 0x1234, 1 << 40 | 9 << 20, .max, 1 << 40] {
      #expect(fault(iommu.translate(IOVA(rawValue: raw), byteCount: 1, .toDevice)) == .notMapped)
    }
  }

  @Test("D5 A full table refuses, unmapping makes room; lengths are checked; failures can be injected")
  func capacity() {
    unsafe withMemory { base in
      let iommu = bus.iommu
      var held: [IOVA] = []
      for _ in 0..<4 { held.append(unsafe iommu.map(base, byteCount: 1, .fromDevice)!) }
      #expect(unsafe iommu.map(base, byteCount: 1, .fromDevice) == nil)
      iommu.unmap(held[2])
      #expect(unsafe iommu.map(base, byteCount: 0, .fromDevice) == nil)
      #expect(unsafe iommu.map(base, byteCount: 1 << 20, .fromDevice) == nil)
      iommu.injectMappingFailures(1)
      #expect(unsafe iommu.map(base, byteCount: 1, .fromDevice) == nil)
      #expect(unsafe iommu.map(base, byteCount: 1, .fromDevice) != nil)
      #expect(iommu.mappedCount == 4)
      #expect(iommu.mappingFailureCount == 4)
    }
  }

  @Test("D5 Unmapping twice is a broken driver and traps")
  func doubleUnmap() async {
    await #expect(processExitsWith: .failure) {
      let bus = IceBus(txDescriptorCount: 64, rxDescriptorCount: 64, mappingCapacity: 4)
      var byte: UInt8 = 0
      unsafe withUnsafeMutableBytes(of: &byte) { buffer in
        let iova = unsafe bus.iommu.map(UnsafeRawPointer(buffer.baseAddress!), byteCount: 1, .toDevice)!
        bus.iommu.unmap(iova)
        bus.iommu.unmap(iova)
      }
    }
  }
}
