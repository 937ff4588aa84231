import IceHardware
import IceModel
import Testing
import Timers
import Wire

@Suite struct ReceiveEngineTests {
  /// The golden UDP frame, addressed to us.
  static var udp: [UInt8] {
    var frame = GoldenFrames.udpSent
    frame.replaceSubrange(0..<6, with: [2, 0, 0, 0, 0, 2])
    return frame
  }

  @Test("D12 A frame lands in the posted buffer and is written back with its verdict")
  func delivers() {
    let driver = HandDriver()
    driver.postBuffers(8)
    #expect(driver.receive(Self.udp) == .delivered)
    let descriptor = driver.written(0)
    #expect(descriptor?.packetByteCount == 60)
    #expect(descriptor?.packetType == .ipv4UDP)
    #expect(descriptor?.status == [.done, .endOfFrame, .l3l4Processed])
    #expect(driver.received(0, 60) == Self.udp)
    #expect(driver.written(1) == nil)
    #expect(driver.bus.registers.read(.GLPRT_UPRC) == 1)
  }

  @Test("D12 Wrong checksums are told apart: byte 24 is the IP header's, 40 UDP's, 42 payload, 59 padding")
  func checksums() {
    let driver = HandDriver()
    driver.postBuffers(8)
    for (index, flipped) in [24, 40, 42, 59].enumerated() {
      var frame = Self.udp
      frame[flipped] ^= 0x10
      #expect(driver.receive(frame) == .delivered)
      let status = driver.written(index)?.status ?? []
      #expect(status.contains(.l3l4Processed))
      #expect(status.contains(.ipChecksumError) == (flipped == 24))
      #expect(status.contains(.l4ChecksumError) == (flipped == 40 || flipped == 42))
    }
    var frame = Self.udp
    frame.replaceSubrange(40..<42, with: [0, 0])
    #expect(driver.receive(frame) == .delivered)
    #expect(driver.written(4)?.status.contains(.l4ChecksumError) == false)
  }

  @Test("D12 TCP is verified across buffers, odd boundaries included")
  func tcpAcrossBuffers() {
    let driver = HandDriver()
    driver.postBuffers(8, byteCount: 128)
    var frame = GoldenFrames.segment1
    frame.replaceSubrange(0..<6, with: [2, 0, 0, 0, 0, 2])
    #expect(driver.receive(frame) == .delivered)
    #expect(driver.written(0)?.status == .done)
    #expect(driver.written(0)?.packetByteCount == 128)
    #expect(driver.written(1)?.status == [.done, .endOfFrame, .l3l4Processed])
    #expect(driver.written(1)?.packetByteCount == 2)
    #expect(driver.received(0, 128) + driver.received(1, 2) == frame)
  }

  @Test("D12 D13 What the wire vouches for is not summed, and a coalesced frame's segment size arrives")
  func lentMetadata() {
    let driver = HandDriver(engines: .lent)
    driver.postBuffers(32, byteCount: 4096)
    var metadata = WireFrameMetadata()
    metadata.needsChecksum = true
    metadata.checksumStart = 34
    metadata.checksumOffset = 16
    metadata.gsoType = .tcpv4
    metadata.gsoSize = 1448
    var frame = GoldenFrames.lentTSO
    frame.replaceSubrange(0..<6, with: [2, 0, 0, 0, 0, 2])
    frame += [UInt8](repeating: 7, count: 60000)
    #expect(driver.receive(frame, metadata) == .delivered)
    let used = (frame.count + 4095) / 4096
    let descriptor = driver.written(used - 1)
    #expect(descriptor?.status == [.done, .endOfFrame, .l3l4Processed])
    #expect(descriptor?.status1 == [.metadata4Valid, .metadata5Valid])
    #expect(descriptor?.metadata5 == 1448)
    // Start 34 in bits 0...9, offset 16 in bits 10...15.
    #expect(descriptor?.metadata4 == 0x4022)
    #expect(driver.written(used) == nil)
  }

  @Test("D12 receiveVector gives room for the largest frame or nothing; the wire reads straight into it")
  func vector() {
    let driver = HandDriver(engines: .lent)
    driver.postBuffers(16, byteCount: 4096)
    // 16 x 4096 is 65536, 17 bytes short of 64 KiB with a tagged header.
    #expect(!driver.offer())
    #expect(driver.vector.count == 0)
    driver.device.receiveDrop()
    #expect(driver.bus.registers.read(.GLV_RDPC) == 1)

    let small = HandDriver()
    small.postBuffers(2)
    #expect(small.offer())
    #expect(small.vector.count == 1 && small.vector.byteCount == 2048)
    _ = unsafe Self.udp.withUnsafeBytes { bytes in unsafe small.vector.copyBytes(from: bytes) }
    #expect(
      small.complete(60) == .delivered)
    #expect(small.received(0, 60) == Self.udp)
  }

  @Test("D12 D5 Buffers fetched ahead are used in order, fetched once, and not once one of them is unmapped")
  func fetchedAhead() {
    let driver = HandDriver(engines: .lent)
    driver.postBuffers(40, maxFrame: 9018)
    // 33 buffers of 2 KiB for 64 KiB and a header.
    #expect(driver.offer())
    #expect(driver.vector.count == 33)
    let ahead = driver.vector.segment(at: 1)
    for index in 0..<3 {
      #expect(driver.offer())
      _ = unsafe Self.udp.withUnsafeBytes { bytes in unsafe driver.vector.copyBytes(from: bytes) }
      #expect(driver.complete(60) == .delivered)
      #expect(driver.received(index, 60) == Self.udp)
      #expect(driver.written(index + 1) == nil)
    }
    #expect(driver.offer())
    #expect(driver.vector.count == 33 && driver.vector.byteCount == 33 * 2048)
    let third = driver.vector.segment(at: 0)
    #expect(unsafe third.base == ahead.base + 2 * 2048)
    // A frame over three buffers, then the first of the next three is unmapped: the device asks the IOMMU again.
    _ = unsafe Self.udp.withUnsafeBytes { bytes in unsafe driver.vector.copyBytes(from: bytes) }
    #expect(driver.complete(5000) == .delivered)
    #expect(driver.written(5)?.packetByteCount == 5000 - 2 * 2048)
    driver.bus.iommu.unmap(driver.rxAddresses[7])
    let faults = driver.bus.registers.read(.IOMMU_FAULTS)
    #expect(!driver.offer())
    #expect(driver.bus.registers.read(.IOMMU_FAULTS) == faults + 1)
  }

  @Test("D12 Filter: ours, broadcast and multicast pass; others, short and long ones are counted")
  func filter() {
    let driver = HandDriver()
    driver.postBuffers(8)
    func to(_ address: [UInt8], count: Int = 60) -> [UInt8] {
      address + [UInt8](repeating: 0, count: count - address.count)
    }
    #expect(driver.receive(to([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])) == .delivered)
    #expect(driver.receive(to([1, 0, 0x5E, 0, 0, 1])) == .delivered)
    #expect(driver.receive(to([2, 0, 0, 0, 0, 3])) == .filtered)
    #expect(driver.receive([2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]) == .tooShort)
    #expect(driver.receive([]) == .tooShort)
    #expect(driver.receive(to([2, 0, 0, 0, 0, 2], count: 1518)) == .delivered)
    #expect(driver.receive(to([2, 0, 0, 0, 0, 2], count: 1519)) == .tooLong)
    let registers = driver.bus.registers
    #expect(
      registers.read(.GLPRT_BPRC) == 1 && registers.read(.GLPRT_MPRC) == 1 && registers.read(.GLPRT_UPRC) == 1
    )
    #expect(
      registers.read(.GLPRT_RUC) == 2 && registers.read(.GLPRT_ROC) == 1 && registers.read(.GLV_REPC) == 1)
  }

  @Test("D12 Without posted buffers frames are dropped and counted; the ring wraps")
  func noBuffer() {
    let driver = HandDriver()
    #expect(driver.receive(Self.udp) == .noBuffer)
    #expect(driver.bus.registers.read(.GLV_RDPC) == 1)
    driver.postBuffers(63)
    for round in 0..<200 {
      #expect(driver.receive(Self.udp) == .delivered)
      let index = round % 64
      #expect(driver.written(index) != nil)
      // Posted again one behind, as a driver would.
      let free = (index + 63) % 64
      bind(driver, slot: free, from: index)
    }
  }

  private func bind(_ driver: HandDriver, slot: Int, from index: Int) {
    let address = driver.rxAddresses[index % 63]
    driver.bus.rxRing[slot] = RxQuadWords(address.rawValue, 0, 0, 0)
    driver.bus.rxRing[index] = RxQuadWords(0, 0, 0, 0)
    driver.bus.registers.write(.QRX_TAIL, UInt64((slot + 1) % 64))
  }

  @Test("D5 D12 An unmapped posted buffer is a fault, not a write")
  func fault() {
    let driver = HandDriver()
    driver.postBuffers(2)
    driver.bus.iommu.unmap(driver.rxAddresses[0])
    #expect(driver.receive(Self.udp) == .addressFault)
    #expect(driver.bus.registers.read(.IOMMU_LAST_FAULT) == UInt64(IOMMUFault.useAfterUnmap.rawValue))
    #expect(driver.written(0) == nil)
  }

  @Test("D12 RSS hash: Microsoft's verification suite")
  func toeplitz() {
    let hash = ToeplitzHash.standard
    let vectors: [(String, UInt32, String, UInt32, UInt32, UInt32)] = [
      ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x51cc_c178, 0x323e_8fc2),
      ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xc626_b0ea, 0xd718_262a),
      ("24.19.198.95", 12898, "12.22.207.184", 38024, 0x5c2b_394a, 0xd2d0_a5de),
    ]
    for (source, sourcePort, destination, port, withPorts, without) in vectors {
      let from = IPv4Address(source)!.rawValue
      let to = IPv4Address(destination)!.rawValue
      #expect(hash.hash(source: from, destination: to, ports: sourcePort << 16 | port) == withPorts)
      #expect(hash.hash(source: from, destination: to, ports: nil) == without)
    }
    let driver = HandDriver()
    driver.postBuffers(4, hash: true)
    #expect(driver.receive(Self.udp) == .delivered)
    let expected = hash.hash(source: 0x0A00_0002, destination: 0x0A00_0001, ports: 7 << 16 | 1234)
    #expect(driver.written(0)?.rssHash == expected)
    #expect(driver.written(0)?.status.contains(.rssValid) == true)
  }

  @Test("D12 Any bytes at all: truncations, then every single byte changed, never trap")
  func anyBytes() {
    for base in [Self.udp, GoldenFrames.segment0, GoldenFrames.lentTSO] {
      for length in 0...base.count {
        let driver = HandDriver()
        driver.postBuffers(4, byteCount: 128, hash: true)
        _ = driver.receive(Array(base.prefix(length)))
      }
      for index in 0..<min(base.count, 80) {
        let driver = HandDriver()
        driver.postBuffers(4, byteCount: 128, hash: true)
        var frame = base
        frame.replaceSubrange(0..<6, with: [255, 255, 255, 255, 255, 255])
        for value: UInt8 in [0x00, 0x0F, 0x40, 0x4F, 0x7F, 0x80, 0xF0, 0xFF] {
          frame[index] = value
          #expect(driver.receive(frame) != .addressFault)
        }
      }
    }
  }
}
