import IceHardware
import IceModel
import Testing
import Timers

/// MACLEN 14, IPLEN 20, L4LEN 32, in the descriptor's units.
private let tcpOffsets: UInt64 = 7 | 5 << 7 | 8 << 14
private let udpOffsets: UInt64 = 7 | 5 << 7 | 2 << 14
/// IPv4 with checksum, TCP.
private let tcpCommand: UInt64 = 0x160
private let udpCommand: UInt64 = 0x340

@Suite struct TransmitEngineTests {
  @Test(
    "D11 TSO: three segments, every header field as computed by hand",
    arguments: [[216], [66, 150], [14, 20, 32, 150], [66, 1, 63, 1, 85], [80, 136]])
  func segmentation(pieces: [Int]) {
    let driver = HandDriver()
    driver.context(0x1, byteCount: 150, mss: 64)
    driver.send(GoldenFrames.driverTSO, pieces: pieces, command: tcpCommand, offsets: tcpOffsets)
    #expect(driver.frame() == GoldenFrames.segment0)
    #expect(!driver.metadata.isLastOfPacket && !driver.metadata.needsChecksum)
    let last = driver.metadata.lastDescriptor
    #expect(!driver.bus.txRing.isDone(Int(last)))
    #expect(driver.frame() == GoldenFrames.segment1)
    #expect(driver.frame() == GoldenFrames.segment2)
    #expect(driver.metadata.isLastOfPacket && driver.metadata.segmentIndex == 2)
    #expect(driver.bus.txRing.isDone(Int(last)))
    #expect(driver.frame() == nil)
    #expect(driver.bus.registers.read(.GLPRT_UPTC) == 3)
    #expect(driver.bus.registers.read(.QTX_COMM_HEAD) == UInt64(pieces.count + 1))
  }

  @Test("D13 Lent engines: one frame, valid IP checksum, pseudo-header sum, payload where it was mapped")
  func lent() {
    let driver = HandDriver(engines: .lent)
    driver.context(0x1, byteCount: 150, mss: 64)
    driver.send(GoldenFrames.driverTSO, pieces: [66, 150], command: tcpCommand, offsets: tcpOffsets)
    let payload = IOVA(rawValue: driver.bus.txRing[2].first)
    guard driver.fetch() else {
      Issue.record("no frame")
      return
    }
    #expect(driver.vector.bytes == GoldenFrames.lentTSO)
    guard case .memory(let base) = driver.bus.iommu.translate(payload, byteCount: 150, .toDevice) else {
      Issue.record("not mapped")
      return
    }
    #expect(driver.vector.count == 2)
    #expect(unsafe driver.vector.segment(at: 1).base == base)
    let metadata = driver.metadata
    #expect(metadata.gsoType == .tcpv4 && metadata.gsoSize == 64 && metadata.isECN)
    #expect(metadata.needsChecksum && metadata.checksumStart == 34 && metadata.checksumOffset == 16)
    #expect(metadata.headerByteCount == 66)
    driver.device.frameDone(accepted: true)
    #expect(driver.bus.txRing.isDone(2))
  }

  @Test("D11 UDP checksum inserted, frame padded to 60 with zeros", arguments: [[47], [42, 5], [43, 4]])
  func udp(pieces: [Int]) {
    let driver = HandDriver()
    driver.send(GoldenFrames.udpRequest, pieces: pieces, command: udpCommand, offsets: udpOffsets)
    #expect(driver.frame() == GoldenFrames.udpSent)
  }

  @Test("U8 A UDP checksum that comes out 0 is sent as 0xFFFF")
  func udpZero() {
    let driver = HandDriver()
    driver.send(GoldenFrames.udpZeroRequest, pieces: [44], command: udpCommand, offsets: udpOffsets)
    let frame = driver.frame()
    #expect(frame?[40...41] == [0xFF, 0xFF])
  }

  @Test("D11 UDP segmentation: lengths, identification and checksums per datagram")
  func udpSegmentation() {
    let driver = HandDriver()
    driver.context(0x1, byteCount: 138, mss: 64)
    driver.send(GoldenFrames.driverUSO, pieces: [42, 138], command: 0x360, offsets: udpOffsets)
    #expect(driver.frame() == GoldenFrames.usoSegment0)
    #expect(driver.frame() == GoldenFrames.usoSegment1)
    #expect(driver.frame() == GoldenFrames.usoSegment2)
    #expect(driver.frame() == nil)
  }

  @Test("D13 Lent engines leave a plain packet's checksum to the wire")
  func lentChecksum() {
    let driver = HandDriver(engines: .lent)
    driver.send(GoldenFrames.udpRequest, pieces: [47], command: udpCommand, offsets: udpOffsets)
    #expect(driver.frame() == GoldenFrames.udpRequest + [UInt8](repeating: 0, count: 13))
    let metadata = driver.metadata
    #expect(metadata.needsChecksum && metadata.gsoType == .none)
    #expect(metadata.checksumStart == 34 && metadata.checksumOffset == 6)
  }

  @Test("D11 A packet without offloads goes out untouched, from where it lies")
  func passThrough() {
    let driver = HandDriver()
    let bytes = (0..<100).map { UInt8($0) }
    driver.send(bytes, pieces: [100], command: 0, offsets: 0)
    #expect(driver.frame() == bytes)
    #expect(driver.vector.count == 1)
  }

  @Test("D10 VLAN tags: L2TAG1 alone, L2TAG2 alone, both")
  func vlan() {
    let driver = HandDriver()
    let bytes = (0..<64).map { UInt8($0) }
    driver.data(driver.place(bytes), 0x3 | 0x8, 64, tag: 0x2064)
    driver.context(0x4, tag: 0x0005)
    driver.data(driver.place(bytes), 0x3, 64)
    driver.context(0x4, tag: 0x0005)
    driver.data(driver.place(bytes), 0x3 | 0x8, 64, tag: 0x2064)
    driver.doorbell()
    #expect(driver.frame() == bytes[..<12] + [0x81, 0x00, 0x20, 0x64] + bytes[12...])
    #expect(driver.frame() == bytes[..<12] + [0x81, 0x00, 0x00, 0x05] + bytes[12...])
    #expect(driver.frame() == bytes[..<12] + [0x88, 0xA8, 0, 5, 0x81, 0, 0x20, 0x64] + bytes[12...])
  }

  @Test("D1 The chain wraps at the end of the ring")
  func wrap() {
    let driver = HandDriver()
    for round in 0..<100 {
      let bytes = [UInt8](repeating: UInt8(round), count: 90)
      driver.send(bytes, pieces: [30, 30, 30], command: 0, offsets: 0)
      #expect(driver.frame() == bytes)
      #expect(driver.frame() == nil)
    }
    #expect(driver.bus.registers.read(.QTX_COMM_HEAD) == 300 % 64)
  }

  @Test("D11 A wire that would block is offered the same frame again")
  func wouldBlock() {
    let driver = HandDriver()
    driver.context(0x1, byteCount: 150, mss: 64)
    driver.send(GoldenFrames.driverTSO, pieces: [66, 150], command: tcpCommand, offsets: tcpOffsets)
    _ = driver.frame()
    for _ in 0..<3 {
      #expect(driver.fetch())
      #expect(driver.vector.bytes == GoldenFrames.segment1)
    }
    driver.device.frameDone(accepted: true)
    #expect(driver.frame() == GoldenFrames.segment2)
  }

  @Test("D11 Faults: stall, drop, delayed write-back, link down")
  func faults() {
    let driver = HandDriver()
    let bytes = [UInt8](repeating: 1, count: 60)
    func send() { driver.send(bytes, pieces: [60], command: 0, offsets: 0) }
    driver.device.faults.isTransmitStalled = true
    send()
    #expect(driver.frame() == nil)
    driver.device.faults.isTransmitStalled = false
    driver.device.faults.framesToDrop = 1
    #expect(driver.frame() == nil)
    #expect(driver.bus.txRing.isDone(0))
    #expect(driver.bus.registers.read(.GLV_TEPC) == 1)
    driver.device.faults.writeBackDelay = .microseconds(100)
    send()
    #expect(driver.frame() == bytes)
    #expect(!driver.bus.txRing.isDone(1))
    #expect(driver.device.nextInterruptDeadline == .origin + .microseconds(100))
    _ = driver.takeInterrupt(at: .origin + .microseconds(99))
    #expect(!driver.bus.txRing.isDone(1))
    _ = driver.takeInterrupt(at: .origin + .microseconds(100))
    #expect(driver.bus.txRing.isDone(1))
    driver.device.faults = FaultInjection()
    driver.device.faults.isLinkDown = true
    send()
    #expect(driver.frame() == nil)
    #expect(driver.bus.registers.read(.GLPRT_TDOLD) == 1)
    #expect(driver.bus.txRing.isDone(2))
  }

  @Test("D8 Interrupt: enabled, moderated, disabled by firing, re-enabled by the driver")
  func interrupt() {
    let driver = HandDriver()
    let bytes = [UInt8](repeating: 1, count: 60)
    func send() {
      driver.send(bytes, pieces: [60], command: 0, offsets: 0)
      _ = driver.frame()
    }
    send()
    #expect(!driver.takeInterrupt(at: .origin))
    driver.bus.registers.write(.GLINT_DYN_CTL, 0x323)
    #expect(driver.interruptPending(at: .origin))
    #expect(driver.takeInterrupt(at: .origin))
    send()
    #expect(!driver.takeInterrupt(at: .origin + .milliseconds(1)))
    driver.bus.registers.write(.GLINT_DYN_CTL, 0x323)
    #expect(driver.device.nextInterruptDeadline == .origin + .microseconds(50))
    #expect(!driver.takeInterrupt(at: .origin + .microseconds(49)))
    #expect(driver.takeInterrupt(at: .origin + .microseconds(50)))
    #expect(driver.device.nextInterruptDeadline == nil)
  }
}
