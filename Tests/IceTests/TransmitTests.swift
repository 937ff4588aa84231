import Ice
import IceHardware
import IceModel
import SkBuff
import Testing
import Timers
import Trace

@Suite struct TransmitTests {
  @Test("D4 TCP checksum offload: the frame on the wire is valid and complete", arguments: [0, 1, 7, 1460])
  func checksum(size: Int) {
    let bench = IceBench()
    let payload = IceBench.pattern(size)
    let pieces = size > 1 ? [size / 2, size - size / 2] : []
    #expect(bench.send(bench.tcp(payload: payload, pieces: pieces)) == .ok(max(54 + size, 60)))
    let frames = bench.frames()
    #expect(frames.count == 1)
    #expect(isValidTCP(frames[0]))
    #expect(Array(frames[0][54..<54 + size]) == payload)
    #expect(bench.bus.txRing[0].type == .done || pieces.count > 0)
    #expect(bench.clean() == completion(1, max(54 + size, 60)))
    #expect(bench.pool.buffersInUse == 0)
    #expect(bench.bus.iommu.mappedCount == 63)
  }

  private func completion(_ packets: Int, _ bytes: Int) -> TxCompletion {
    var result = TxCompletion()
    result.packetCount = packets
    result.byteCount = bytes
    return result
  }

  @Test("D4 TSO: segments join to the payload, each valid; BQL hears the same count twice")
  func tso() {
    let bench = IceBench(tx: 256)
    let payload = IceBench.pattern(60000)
    let pieces = [30000, 20000, 9000]
    let expected = 54 + 60000 + 41 * 54
    #expect(bench.send(bench.tcp(payload: payload, pieces: pieces, mss: 1460)) == .ok(expected))
    let frames = bench.frames()
    #expect(frames.count == 42)
    #expect(frames.allSatisfy(isValidTCP))
    #expect(frames.flatMap { $0[54...] } == payload)
    #expect(frames.dropLast().allSatisfy { $0.count == 1514 && $0[47] & 0x08 == 0 })
    #expect(frames.last?[47] == 0x18)
    #expect(bench.clean() == completion(42, expected))
  }

  @Test("D13 TSO with lent engines: one frame, payload not copied, metadata for the TAP")
  func lent() {
    let bench = IceBench(tx: 256, engines: .lent)
    let payload = IceBench.pattern(64000)
    #expect(bench.send(bench.tcp(payload: payload, pieces: [32000, 32000], mss: 1448)) != .busy)
    let frames = bench.frames()
    #expect(frames.count == 1)
    #expect(frames[0].count == 64054)
    #expect(fold(frames[0][14..<34]) == 0xFFFF)
    #expect(Int(frames[0][16]) << 8 | Int(frames[0][17]) == 64040)
    #expect(Array(frames[0][54...]) == payload)
    let pseudo = fold([10, 0, 0, 2, 10, 0, 0, 1, 0, 6, UInt8(64020 >> 8), UInt8(64020 & 0xFF)])
    #expect(Int(frames[0][50]) << 8 | Int(frames[0][51]) == pseudo)
    #expect(bench.metadata.gsoSize == 1448 && bench.metadata.gsoType == .tcpv4)
  }

  @Test("D2 A buffer over 16,383 bytes is split at 12 KiB on a 4 KiB boundary")
  func split() {
    let bench = IceBench(engines: .lent)
    let payload = IceBench.pattern(30000)
    _ = bench.send(bench.tcp(payload: payload, pieces: [30000], mss: 1460))
    // 0 context, 1 linear, 2... the fragment.
    let ring = bench.bus.txRing
    let first = TxDataDescriptor(unpacking: ring[2])
    let second = TxDataDescriptor(unpacking: ring[3])
    let third = TxDataDescriptor(unpacking: ring[4])
    #expect(first.bufferAddress.rawValue & 4095 == 33)
    #expect(first.bufferByteCount == 12288 + 4096 - 33)
    #expect(second.bufferAddress.rawValue & 4095 == 0)
    #expect(
      first.bufferByteCount + second.bufferByteCount + third.bufferByteCount == 30000
        || second.bufferByteCount == 30000 - first.bufferByteCount)
    #expect(!first.command.contains(.endOfPacket))
    #expect(Array(bench.frames()[0][54...]) == payload)
  }

  @Test("D2 Nine buffers are linearized, eight are not", arguments: [(7, 0), (8, 1)])
  func linearize(fragments: Int, linearized: Int) {
    let bench = IceBench()
    let payload = IceBench.pattern(fragments * 50)
    let pieces = [Int](repeating: 50, count: fragments)
    #expect(bench.send(bench.tcp(payload: payload, pieces: pieces)) != .busy)
    let frames = bench.frames()
    #expect(frames.count == 1 && isValidTCP(frames[0]))
    #expect(Array(frames[0][54...]) == payload)
    #expect(Int(bench.driver.statistics.tx.linearizedCount) == linearized)
    #expect(bench.device.maliciousDriverEvent == nil)
  }

  @Test(
    "D2 TSO over many small fragments: linearized when a segment would need more than 8 buffers, never MDD",
    arguments: [
      ([Int](repeating: 100, count: 17), 1460), ([Int](repeating: 300, count: 17), 1460),
      ([Int](repeating: 244, count: 17), 1460), ([Int](repeating: 243, count: 17), 1460),
      ([4000, 1, 1, 1, 1, 1, 1, 1, 4000], 1460),
      ([16384, 100, 100, 100, 100, 100, 1500, 4000], 1460),
      ([32000, 1, 1, 1, 1, 1, 1, 30000], 1460),
      ([Int](repeating: 64, count: 17), 64), ([1, 63, 64, 65, 1, 1, 1, 1, 1, 1, 1, 1, 60], 64),
    ])
  func tsoScatter(pieces: [Int], mss: Int) {
    let bench = IceBench(tx: 256)
    let payload = IceBench.pattern(pieces.reduce(0, +) + 10)
    #expect(bench.send(bench.tcp(payload: payload, pieces: pieces, mss: mss)) != .busy)
    let frames = bench.frames()
    #expect(bench.device.maliciousDriverEvent == nil)
    #expect(frames.allSatisfy(isValidTCP))
    #expect(frames.flatMap { $0[54..<14 + (Int($0[16]) << 8 | Int($0[17]))] } == payload)
    _ = bench.clean()
    #expect(bench.pool.buffersInUse == 0)
  }

  @Test(
    "D2 Frames under 17 bytes are padded by the driver, under 60 by the device", arguments: [14, 16, 17, 59])
  func pad(size: Int) {
    let bench = IceBench()
    let bytes = IceBench.pattern(size)
    #expect(bench.send(bench.plain(bytes)) == .ok(60))
    #expect(bench.frames() == [bytes + [UInt8](repeating: 0, count: 60 - size)])
  }

  @Test("D3 A context descriptor only when needed: TSO and LLDP, not a checksum")
  func context() {
    let bench = IceBench()
    _ = bench.send(bench.tcp(payload: IceBench.pattern(100)))
    #expect(bench.bus.txRing[0].type == .data)
    _ = bench.send(bench.tcp(payload: IceBench.pattern(200), mss: 100))
    #expect(bench.bus.txRing[1].type == .context)
    var lldp = IceBench.pattern(60)
    lldp[12] = 0x88
    lldp[13] = 0xCC
    _ = bench.send(bench.plain(lldp))
    #expect(TxContextDescriptor(unpacking: bench.bus.txRing[3]).command == .switchUplink)
    #expect(bench.frames().count == 4)
  }

  @Test(
    "D5 A failed mapping unwinds every earlier one, drops with a reason, and the ring goes on",
    arguments: 0..<4)
  func mappingFailure(at index: Int) {
    let bench = IceBench()
    let before = bench.bus.iommu.mappedCount
    // Leave room for exactly `index` mappings.
    var held: [IOVA] = []
    let free = bench.bus.txRing.count + bench.bus.rxRing.count - before - index
    var byte: UInt8 = 0
    unsafe withUnsafeBytes(of: &byte) { buffer in
      for _ in 0..<free {
        held.append(unsafe bench.bus.iommu.map(buffer.baseAddress!, byteCount: 1, .toDevice)!)
      }
    }
    let payload = IceBench.pattern(300)
    #expect(bench.send(bench.tcp(payload: payload, pieces: [100, 100, 100], mss: 150)) == .ok(0))
    #expect(bench.pool.dropCount(.deviceDMAMapping) == 1)
    #expect(bench.pool.buffersInUse == 0)
    #expect(bench.bus.iommu.mappedCount == before + free)
    for address in held { bench.bus.iommu.unmap(address) }
    #expect(bench.frames().isEmpty)
    #expect(bench.send(bench.tcp(payload: payload, pieces: [100, 100, 100], mss: 150)) != .busy)
    #expect(bench.frames().count == 2)
    #expect(bench.driver.statistics.tx.mappingErrorCount == 1)
  }

  @Test("D5 Nothing is left mapped after completion; the device cannot use what it no longer has")
  func unmapped() {
    let bench = IceBench()
    _ = bench.send(bench.tcp(payload: IceBench.pattern(500), pieces: [200, 300]))
    let address = TxDataDescriptor(unpacking: bench.bus.txRing[1]).bufferAddress
    _ = bench.frames()
    _ = bench.clean()
    guard case .fault(.useAfterUnmap) = bench.bus.iommu.translate(address, byteCount: 1, .toDevice) else {
      Issue.record("still mapped")
      return
    }
  }

  @Test("D6 The queue stops short of full, gives back what does not fit, restarts at the wake threshold")
  func stopAndWake() {
    let bench = IceBench()
    var sent = 0
    while !bench.isQueueStopped {
      #expect(bench.send(bench.plain(IceBench.pattern(60)), doorbell: false) == .ok(60))
      sent += 1
    }
    // 63 usable, stopped below 17 fragments + linear + context + a cache line of descriptors.
    #expect(sent == 63 - 22)
    // The stop rang the doorbell for all of them.
    #expect(bench.driver.statistics.tx.doorbellCount == 1)
    var refused = 0
    while bench.send(bench.plain(IceBench.pattern(60)), doorbell: false) != .busy { refused += 1 }
    #expect(refused == 22 - 5)
    #expect(bench.driver.statistics.tx.busyCount == 1)
    #expect(bench.frames().count == sent + refused)
    let first = bench.clean(budget: 10)
    #expect(first.packetCount == 10 && first.isOverBudget && !first.restarted)
    #expect(bench.isQueueStopped)
    let rest = bench.clean()
    #expect(rest.restarted && rest.packetCount == sent + refused - 10)
    #expect(!bench.isQueueStopped)
    #expect(bench.driver.statistics.tx.restartCount == 1)
  }

  @Test("D7 One doorbell a batch; a dropped or refused last packet still rings for those before it")
  func doorbell() {
    let bench = IceBench(tx: 256)
    for _ in 0..<9 { _ = bench.send(bench.plain(IceBench.pattern(60)), doorbell: false) }
    #expect(bench.frames().isEmpty)
    _ = bench.send(bench.plain(IceBench.pattern(60)), doorbell: true)
    #expect(bench.driver.statistics.tx.doorbellCount == 1)
    #expect(bench.frames().count == 10)
    _ = bench.send(bench.plain(IceBench.pattern(60)), doorbell: false)
    bench.bus.iommu.injectMappingFailures(1)
    #expect(bench.send(bench.plain(IceBench.pattern(60)), doorbell: true) == .ok(0))
    #expect(bench.frames().count == 1)
    #expect(bench.driver.statistics.tx.doorbellCount == 2)
  }

  @Test("D1 Thousands of packets of changing shape round a small ring")
  func wrap() {
    let bench = IceBench()
    for round in 0..<2000 {
      let size = round * 37 % 1400 + 1
      let pieces = round % 3 == 0 ? [] : [size / 2, size - size / 2].filter { $0 > 0 }
      let payload = IceBench.pattern(size)
      let mss = round % 5 == 0 && size > 200 ? 100 : 0
      #expect(bench.send(bench.tcp(payload: payload, pieces: pieces, mss: mss)) != .busy)
      let frames = bench.frames()
      #expect(frames.allSatisfy(isValidTCP))
      #expect(frames.flatMap { $0[54..<14 + (Int($0[16]) << 8 | Int($0[17]))] } == payload)
      #expect(bench.clean().packetCount == frames.count)
    }
    #expect(bench.bus.iommu.mappedCount == 63)
  }

  @Test("D8 Completion waits for DD: a delayed write-back holds the packet, and the interrupt")
  func delayed() {
    let bench = IceBench(throttle: 50)
    bench.device.faults.writeBackDelay = .milliseconds(1)
    _ = bench.send(bench.plain(IceBench.pattern(60)))
    #expect(bench.frames().count == 1)
    #expect(bench.clean().packetCount == 0)
    #expect(bench.pool.buffersInUse == 1)
    #expect(!bench.takeInterrupt())
    bench.net.advance(to: .origin + .milliseconds(1))
    #expect(bench.takeInterrupt())
    let result = bench.poll()
    #expect(result.tx.packetCount == 1 && result.isComplete)
    // The poll re-enabled it; with nothing new it stays quiet, with something it waits out the interval.
    bench.device.faults.writeBackDelay = .zero
    #expect(!bench.takeInterrupt())
    _ = bench.send(bench.plain(IceBench.pattern(60)))
    #expect(bench.frames().count == 1)
    #expect(!bench.takeInterrupt())
    bench.net.advance(to: .origin + .milliseconds(1) + .microseconds(50))
    #expect(bench.takeInterrupt())
  }

  @Test("Q8 Reset after a stall frees what was on the ring and starts again")
  func reset() {
    let bench = IceBench()
    bench.device.faults.isTransmitStalled = true
    for _ in 0..<5 { _ = bench.send(bench.tcp(payload: IceBench.pattern(100), pieces: [50])) }
    #expect(bench.frames().isEmpty)
    #expect(bench.hasTransmitsInFlight)
    let lost = bench.driver.reset(net: &bench.net)
    #expect(lost.packetCount == 5 && lost.byteCount == 5 * 154)
    #expect(bench.pool.buffersInUse == 0)
    bench.device.faults.isTransmitStalled = false
    // The first thing the device hears of after the reset may be a frame.
    #expect(bench.deliver([UInt8](repeating: 0xFF, count: 60)) == .delivered)
    #expect(bench.poll().received == 1)
    #expect(bench.frames().isEmpty)
    _ = bench.send(bench.tcp(payload: IceBench.pattern(100)))
    #expect(bench.frames().count == 1)
    #expect(bench.clean().packetCount == 1)
  }

  @Test("D4 A GSO packet the hardware cannot cut is dropped with a reason", arguments: [63, 9669])
  func badSegmentSize(mss: Int) {
    let bench = IceBench()
    #expect(bench.send(bench.tcp(payload: IceBench.pattern(30000), pieces: [29000], mss: mss)) == .ok(0))
    #expect(bench.pool.dropCount(.gsoFailed) == 1)
  }

  @Test("D11 What is longer than the MTU is dropped by the driver and does not stop the queue")
  func tooLong() {
    let bench = IceBench()
    #expect(bench.send(bench.plain(IceBench.pattern(1514))) == .ok(1514))
    #expect(bench.send(bench.plain(IceBench.pattern(1515))) == .ok(0))
    #expect(bench.pool.dropCount(.deviceTooLong) == 1)
    #expect(bench.send(bench.tcp(payload: IceBench.pattern(3000), mss: 1461)) == .ok(0))
    #expect(bench.pool.dropCount(.gsoFailed) == 1)
    #expect(bench.send(bench.tcp(payload: IceBench.pattern(3000), mss: 1460)) != .busy)
    #expect(bench.frames().count == 4)
    #expect(bench.device.maliciousDriverEvent == nil)
  }

  @Test("D6 D7 Tracepoints: start_xmit, tso, map, doorbell, clean, with the packet's serial number")
  func trace() {
    let bench = IceBench()
    bench.tracer.isEnabled = true
    let skb = bench.tcp(payload: IceBench.pattern(3000), pieces: [3000], mss: 1460)
    let serial = skb.serial
    _ = bench.send(skb)
    _ = bench.frames()
    _ = bench.clean()
    let records = bench.tracer.records(from: 0).records
    #expect(
      records.map(\.point) == [
        .ice_start_xmit, .ice_tso, .ice_tx_map, .ice_tx_map, .ice_doorbell, .ice_clean_tx_irq,
      ])
    #expect(records.prefix(4).allSatisfy { $0.skb == serial })
    #expect(records[1].a == 54 && records[1].b == 1460 && records[1].c == 3000)
  }
}
