import IceHardware
import IceModel
import Testing
import Timers

/// A malformed chain: how it is built, and what the device must call it.
struct MalformedChain: Sendable, CustomTestStringConvertible {
  let event: MaliciousDriverEvent
  let build: @Sendable (HandDriver) -> Void
  var testDescription: String { "\(event)" }

  private static let frame = [UInt8](repeating: 0x45, count: 100)
  private static let generic = GenericChecksum(start: 34, offset: 16, hasPseudoHeader: true)
  private static let tcpOffsets: UInt64 = 7 | 5 << 7 | 8 << 14

  static let all: [MalformedChain] = [
    MalformedChain(event: .tailOutOfRange) { $0.bus.registers.write(.QTX_COMM_DBELL, 64) },
    MalformedChain(event: .unknownDescriptorType) {
      $0.post(TxQuadWords(first: 0, second: 0x7))
      $0.doorbell()
    },
    MalformedChain(event: .unknownDescriptorType) {
      // A descriptor the driver forgot to fill still says "done".
      $0.post(TxQuadWords(first: 0, second: 0xF))
      $0.doorbell()
    },
    MalformedChain(event: .misplacedContext) {
      $0.context(0x1)
      $0.context(0x1)
      $0.doorbell()
    },
    MalformedChain(event: .misplacedContext) {
      $0.data($0.place(frame), 0, 100)
      $0.context(0x1)
      $0.data($0.place(frame), 3, 100)
      $0.doorbell()
    },
    MalformedChain(event: .missingEndOfPacket) {
      $0.data($0.place(frame), 0, 100)
      $0.doorbell()
    },
    MalformedChain(event: .missingEndOfPacket) {
      $0.context(0x1, byteCount: 100, mss: 64)
      $0.doorbell()
    },
    MalformedChain(event: .zeroLengthBuffer) {
      $0.data($0.place(frame), 3, 0)
      $0.doorbell()
    },
    MalformedChain(event: .tooManyBuffers) {
      $0.send(
        [UInt8](repeating: 1, count: 90), pieces: [UInt8](repeating: 10, count: 9).map(Int.init), command: 0,
        offsets: 0)
    },
    MalformedChain(event: .tooManyBuffers) {
      // Header and eight pieces for the first segment.
      $0.context(0x1, byteCount: 150, mss: 64)
      $0.send(
        GoldenFrames.driverTSO, pieces: [66] + [Int](repeating: 8, count: 18) + [6], command: 0x160,
        offsets: tcpOffsets)
    },
    MalformedChain(event: .packetTooShort) {
      $0.send([UInt8](repeating: 1, count: 16), pieces: [16], command: 0, offsets: 0)
    },
    MalformedChain(event: .packetTooLong) {
      $0.send([UInt8](repeating: 1, count: 1515), pieces: [1515], command: 0, offsets: 0)
    },
    MalformedChain(event: .segmentSizeOutOfRange) {
      $0.context(0x1, byteCount: 150, mss: 63)
      $0.send(GoldenFrames.driverTSO, pieces: [216], command: 0x160, offsets: tcpOffsets)
    },
    MalformedChain(event: .segmentSizeOutOfRange) {
      $0.context(0x1, byteCount: 150, mss: 9669)
      $0.send(GoldenFrames.driverTSO, pieces: [216], command: 0x160, offsets: tcpOffsets)
    },
    MalformedChain(event: .tsoLengthMismatch) {
      $0.context(0x1, byteCount: 149, mss: 64)
      $0.send(GoldenFrames.driverTSO, pieces: [216], command: 0x160, offsets: tcpOffsets)
    },
    MalformedChain(event: .badHeaderOffsets) {
      // An IP header of 24 bytes where the packet says 20.
      $0.send(GoldenFrames.udpRequest, pieces: [47], command: 0x340, offsets: 7 | 6 << 7 | 2 << 14)
    },
    MalformedChain(event: .badHeaderOffsets) {
      $0.send(GoldenFrames.udpRequest, pieces: [47], command: 0x340, offsets: 7 | 5 << 7 | 15 << 14)
    },
    MalformedChain(event: .badOffloadRequest) {
      // TSO with the header checksum left alone.
      $0.context(0x1, byteCount: 150, mss: 64)
      $0.send(GoldenFrames.driverTSO, pieces: [216], command: 0x140, offsets: tcpOffsets)
    },
    MalformedChain(event: .badOffloadRequest) {
      $0.send(GoldenFrames.udpRequest, pieces: [47], command: 0x300, offsets: 7 | 2 << 14)
    },
    MalformedChain(event: .badOffloadRequest) {
      // A generic checksum, with TSO and without.
      $0.post(
        TxContextDescriptor(command: .tso, tsoByteCount: 150, segmentByteCount: 64, genericChecksum: generic)
          .packed)
      $0.send(GoldenFrames.driverTSO, pieces: [216], command: 0x160, offsets: tcpOffsets)
    },
    MalformedChain(event: .badOffloadRequest) {
      $0.post(TxContextDescriptor(command: [], genericChecksum: generic).packed)
      $0.send([UInt8](repeating: 1, count: 60), pieces: [60], command: 0, offsets: 0)
    },
    MalformedChain(event: .addressFault) {
      let address = $0.place(frame)
      $0.bus.iommu.unmap(address)
      $0.data(address, 3, 100)
      $0.doorbell()
    },
    MalformedChain(event: .addressFault) {
      $0.data($0.place(frame), 3, 101)
      $0.doorbell()
    },
  ]
}

@Suite struct MaliciousDriverTests {
  @Test("D11 A malformed chain stops the queue with its name in the register", arguments: MalformedChain.all)
  func stops(chain: MalformedChain) {
    let driver = HandDriver()
    driver.bus.registers.write(.GLINT_DYN_CTL, 1)
    chain.build(driver)
    #expect(driver.frame() == nil)
    #expect(driver.device.maliciousDriverEvent == chain.event)
    #expect(driver.interruptPending(at: .distantFuture))
    #expect(MaliciousDriverEvent(registerValue: driver.bus.registers.read(.GL_MDET_TX_PQM)) == chain.event)
    // Stopped for good: a sound packet does not go out either.
    driver.send([UInt8](repeating: 1, count: 60), pieces: [60], command: 0, offsets: 0)
    #expect(driver.frame() == nil)
  }

  @Test("D5 D11 The reason the IOMMU gave is readable")
  func fault() {
    let driver = HandDriver()
    let address = driver.place([UInt8](repeating: 0, count: 60))
    driver.bus.iommu.unmap(address)
    driver.data(address, 3, 60)
    driver.doorbell()
    #expect(driver.frame() == nil)
    #expect(driver.bus.registers.read(.IOMMU_FAULTS) == 1)
    #expect(driver.bus.registers.read(.IOMMU_LAST_FAULT) == UInt64(IOMMUFault.useAfterUnmap.rawValue))
  }

  @Test("Q8 D11 Reset clears the event and starts at index 0")
  func reset() {
    let driver = HandDriver()
    driver.data(driver.place([1]), 0, 1)
    driver.doorbell()
    #expect(driver.frame() == nil)
    driver.next = 0
    driver.bus.registers.write(.PFGEN_CTRL, 1)
    let bytes = [UInt8](repeating: 9, count: 60)
    driver.send(bytes, pieces: [60], command: 0, offsets: 0)
    #expect(driver.frame() == bytes)
    #expect(driver.device.maliciousDriverEvent == nil)
    #expect(driver.bus.registers.read(.PFGEN_CTRL) == 0)
  }

  @Test("D2 Eight buffers are still fine, and so is a dummy packet")
  func limits() {
    let driver = HandDriver()
    driver.send(
      [UInt8](repeating: 1, count: 80), pieces: [Int](repeating: 10, count: 8), command: 0, offsets: 0)
    driver.send([UInt8](repeating: 2, count: 60), pieces: [60], command: 0x10, offsets: 0)
    driver.send([UInt8](repeating: 3, count: 17), pieces: [17], command: 0, offsets: 0)
    #expect(driver.frame()?.count == 80)
    #expect(driver.frame() == [UInt8](repeating: 3, count: 17) + [UInt8](repeating: 0, count: 43))
    #expect(driver.bus.txRing.isDone(8))
  }
}
