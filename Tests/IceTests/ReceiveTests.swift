import Ice
import IceModel
import SkBuff
import Testing
import Timers
import Wire

@Suite struct ReceiveTests {
  /// A valid TCP frame to us: built by one bench's transmit side, addressed to the station.
  static func frame(_ size: Int) -> [UInt8] {
    let bench = IceBench(mtu: 9000)
    _ = bench.send(bench.tcp(payload: IceBench.pattern(size)))
    var frame = bench.frames()[0]
    frame.replaceSubrange(0..<6, with: [2, 0, 0, 0, 0, 2])
    return frame
  }

  @Test("D12 Short frames are copied whole, longer ones have their headers pulled and pages adopted")
  func shapes() {
    let bench = IceBench()
    for size in [6, 202, 203, 1460] {
      let frame = Self.frame(size)
      #expect(bench.deliver(frame) == .delivered)
      #expect(bench.poll().received == 1)
      let packet = bench.next()
      #expect(packet?.bytes == Array(frame[14...]))
      #expect(packet?.linearByteCount == (frame.count <= 256 ? frame.count - 14 : 40))
      #expect(packet?.fragmentCount == (frame.count <= 256 ? 0 : 1))
      #expect(packet?.checksum == .unnecessary)
      #expect(packet?.etherType == .ipv4 && packet?.packetType == .host && packet?.macHeaderOffset == -14)
    }
  }

  @Test("D12 A jumbo frame spans buffers; every byte arrives in order")
  func jumbo() {
    let bench = IceBench(mtu: 9000)
    let frame = Self.frame(8900)
    #expect(bench.deliver(frame) == .delivered)
    #expect(bench.poll().received == 1)
    let packet = bench.next()
    #expect(packet?.bytes == Array(frame[14...]))
    #expect(packet?.fragmentCount == 3)
    #expect(packet?.checksum == .unnecessary)
  }

  @Test("D12 D13 A 64 KiB frame with lent engines: 17 fragments, segment size and count, trusted checksum")
  func large() {
    let bench = IceBench(rx: 128, engines: .lent)
    var frame = Self.frame(1460)
    frame.replaceSubrange(16..<18, with: [0xFF, 0xFF])
    frame += IceBench.pattern(65549 - frame.count)
    var metadata = WireFrameMetadata()
    metadata.gsoType = .tcpv4
    metadata.gsoSize = 1448
    metadata.needsChecksum = true
    metadata.checksumStart = 34
    metadata.checksumOffset = 16
    #expect(bench.deliver(frame, metadata) == .delivered)
    #expect(bench.poll().received == 1)
    let packet = bench.next()
    #expect(packet?.bytes == Array(frame[14...]))
    #expect(packet?.fragmentCount == 17)
    #expect(packet?.gsoSize == 1448)
    #expect(packet?.gsoSegments == (65549 - 54 + 1447) / 1448)
    #expect(packet?.checksum == .unnecessary)
  }

  @Test("D12 A wrong checksum is left to the stack and counted")
  func badChecksum() {
    let bench = IceBench()
    var frame = Self.frame(100)
    frame[60] ^= 1
    #expect(bench.deliver(frame) == .delivered)
    #expect(bench.poll().received == 1)
    #expect(bench.next()?.checksum == ChecksumStatus.none)
    #expect(bench.driver.statistics.rx.checksumErrorCount == 1)
  }

  @Test("D12 The ring is refilled as it is used: many more frames than buffers, none lost, nothing leaked")
  func refill() {
    let bench = IceBench()
    let frames = [Self.frame(6), Self.frame(1460), Self.frame(700)]
    for round in 0..<1000 {
      #expect(bench.deliver(frames[round % 3]) == .delivered)
      #expect(bench.poll().received == 1)
      #expect(bench.next()?.bytes.count == frames[round % 3].count - 14)
    }
    // A buffer whose frame was copied stays mapped in its slot, posted or not; a page may have one half in use.
    #expect((63...64).contains(bench.bus.iommu.mappedCount))
    #expect(bench.pool.pagesInUse <= 65)
  }

  @Test("D12 A burst that outruns the driver: what was posted arrives, the rest is counted")
  func overrun() {
    let bench = IceBench()
    let frame = Self.frame(1460)
    let outcomes = (0..<100).map { _ in bench.deliver(frame) }
    #expect(outcomes.filter { $0 == .delivered }.count == 63)
    #expect(bench.driver.statistics[.GLV_RDPC] == 37)
    // The budget is respected, and says that there is more.
    let first = bench.poll(budget: 40)
    #expect(first.received == 40 && !first.isComplete)
    let second = bench.poll(budget: 40)
    #expect(second.received == 23 && second.isComplete)
    #expect(bench.deliver(frame) == .delivered)
  }

  @Test("D12 Packet memory runs out: frames are dropped and counted, and reception resumes")
  func outOfMemory() {
    let bench = IceBench(poolLimit: 700_000)
    let frame = Self.frame(1460)
    var held = 0
    for _ in 0..<400 {
      _ = bench.deliver(frame)
      held += bench.poll().received
    }
    let statistics = bench.driver.statistics.rx
    #expect(statistics.pageFailureCount + statistics.bufferFailureCount > 0)
    #expect(held < 400 && held > 0)
    bench.received.removeAll()
    _ = bench.poll()
    #expect(bench.deliver(frame) == .delivered)
    #expect(bench.poll().received == 1)
  }

  @Test("D12 Broadcast, multicast and RSS hash are marked")
  func marks() {
    let bench = IceBench(hash: true)
    var frame = Self.frame(6)
    #expect(bench.deliver(frame) == .delivered)
    frame.replaceSubrange(0..<6, with: [255, 255, 255, 255, 255, 255])
    #expect(bench.deliver(frame) == .delivered)
    frame.replaceSubrange(0..<6, with: [1, 0, 0x5E, 0, 0, 1])
    #expect(bench.deliver(frame) == .delivered)
    #expect(bench.poll().received == 3)
    let expected = ToeplitzHash.standard.hash(
      source: 0x0A00_0002, destination: 0x0A00_0001, ports: 5001 << 16 | 40000)
    #expect(bench.next()?.hash == expected)
    #expect(bench.next()?.packetType == .broadcast)
    #expect(bench.next()?.packetType == .multicast)
  }

  @Test("D12 Any bytes as a frame never trap, and every byte delivered comes out again")
  func anyBytes() {
    let bench = IceBench()
    let base = Self.frame(300)
    for length in stride(from: 0, through: base.count, by: 3) {
      let outcome = bench.deliver(Array(base.prefix(length)))
      #expect((outcome == .delivered) == (length >= 14))
      if outcome == .delivered {
        #expect(bench.poll().received == 1)
        #expect(bench.next()?.bytes == Array(base[14..<max(length, 14)]))
      }
    }
    var random: UInt64 = 42
    for round in 0..<3000 {
      var frame = base
      // Change a few bytes behind the addresses, mostly in the headers.
      for _ in 0..<(round % 4 + 1) {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let index = Int(random >> 33) % 60 + 12
        frame[index] = UInt8(truncatingIfNeeded: random >> 20)
      }
      #expect(bench.deliver(frame) == .delivered)
      #expect(bench.poll().received == 1)
      #expect(bench.next()?.bytes == Array(frame[14...]))
    }
  }

  @Test("D8 ethtool -S: the names, and what the wire saw")
  func statistics() {
    let bench = IceBench()
    _ = bench.send(bench.tcp(payload: IceBench.pattern(100)))
    _ = bench.frames()
    _ = bench.deliver(Self.frame(100))
    _ = bench.poll()
    let lines = bench.driver.statistics.lines
    func value(_ name: String) -> UInt64? { lines.first { $0.name == name }?.value }
    #expect(value("tx_packets") == 1 && value("tx_bytes") == 154 && value("tx_unicast.nic") == 1)
    #expect(value("rx_packets") == 1 && value("rx_bytes") == 154 && value("rx_unicast.nic") == 1)
    #expect(value("tx_busy") == 0 && value("tx_linearize") == 0 && value("tx_restart") == 0)
    #expect(bench.driver.ringParameters.tx == 64 && bench.driver.ringParameters.rx == 64)
  }
}

/// A transport the device knows no checksum of, sent by a kernel that left it to be finished.
@Suite struct UnfinishedChecksumTests {
  /// An echo request whose checksum field holds nothing, as NEEDS_CSUM says.
  private func echo(_ size: Int) -> [UInt8] {
    let total = 28 + size
    var frame: [UInt8] = [
      2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, UInt8(total >> 8), UInt8(total & 0xFF),
    ]
    frame += [0, 1, 0x40, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    let sum = ~fold(frame[14..<34])
    frame[24] = UInt8(sum >> 8 & 0xFF)
    frame[25] = UInt8(sum & 0xFF)
    return frame + [8, 0, 0, 0, 0, 7, 0, 1] + IceBench.pattern(size)
  }
  private func metadata(start: UInt16, offset: UInt16) -> WireFrameMetadata {
    var metadata = WireFrameMetadata()
    metadata.needsChecksum = true
    metadata.checksumStart = start
    metadata.checksumOffset = offset
    return metadata
  }

  @Test("D12 NEEDS_CSUM on ICMP: the checksum is finished on the way in", arguments: [8, 56, 1000, 1472])
  func icmp(size: Int) {
    let bench = IceBench(engines: .lent)
    #expect(bench.deliver(echo(size), metadata(start: 34, offset: 2)) == .delivered)
    #expect(bench.poll().received == 1)
    let packet = bench.next()
    #expect(packet?.checksum == ChecksumStatus.none)
    #expect(fold(packet?.bytes[20...] ?? []) == 0xFFFF)
    #expect(packet?.bytes[28...].elementsEqual(IceBench.pattern(size)) == true)
  }

  @Test(
    "D12 NEEDS_CSUM that points outside the frame: dropped, named and counted",
    arguments: [(1000, 2), (34, 62)])
  func lies(start: UInt16, offset: UInt16) {
    let bench = IceBench(engines: .lent)
    #expect(bench.deliver(echo(20), metadata(start: start, offset: offset)) == .delivered)
    _ = bench.poll()
    #expect(bench.next() == nil)
    #expect(bench.pool.dropCount(.deviceHeader) == 1)
    #expect(bench.driver.statistics.rx.errorCount == 1 && bench.pool.buffersInUse == 0)
  }
}
