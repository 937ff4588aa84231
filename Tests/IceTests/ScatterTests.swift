import Ice
import IceHardware
import IceModel
import NetNamespace
import SkBuff
import Testing
import Timers

/// How the driver keeps within what the hardware gathers, whatever pieces a packet is in.
@Suite struct ScatterTests {
  private func sends(_ pieces: [Int], mss: Int, linear: Int = 0) -> Bool {
    let bench = IceBench(tx: 256)
    let payload = IceBench.pattern(linear + pieces.reduce(0, +))
    guard bench.send(bench.tcp(payload: payload, pieces: pieces, mss: mss)) != .busy else { return false }
    let frames = bench.frames()
    _ = bench.clean()
    return bench.device.maliciousDriverEvent == nil && frames.allSatisfy(isValidTCP)
      && frames.flatMap { $0[54..<14 + (Int($0[16]) << 8 | Int($0[17]))] } == payload
      && bench.pool.buffersInUse == 0
  }

  @Test(
    "D2 a fragment over 16,383 bytes counts as the buffers it is split into",
    arguments: [
      [16384] + [Int](repeating: 243, count: 5) + [244, 2000],
      [16384, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 250, 2000],
      [20000] + [Int](repeating: 200, count: 8) + [16384, 1, 1, 1, 1, 1, 1, 1000],
      [32000, 1, 1, 1, 1, 1, 1, 30000], [16383, 243, 243, 243, 243, 243, 244, 2000],
    ])
  func splitFragments(pieces: [Int]) {
    #expect(sends(pieces, mss: 1460, linear: 10))
    #expect(sends(pieces, mss: 1448))
  }

  @Test(
    "D2 random scatter: every TSO packet goes out whole and the device never stops the queue",
    arguments: 0..<8)
  func randomScatter(seed: UInt64) {
    var random = RandomSource(seed: seed)
    for _ in 0..<60 {
      var pieces: [Int] = []
      var left = 64000
      for _ in 0..<(2 + random.next(below: 16)) {
        let most: UInt32 = [300, 2000, 33000, 1500][Int(random.next(below: 4))]
        let size = 1 + Int(random.next(below: most))
        if size > min(left, 32700) { break }
        pieces.append(size)
        left -= size
      }
      let mss = [64, 536, 1448, 1460][Int(random.next(below: 4))]
      #expect(sends(pieces, mss: mss, linear: Int(random.next(below: 200))), "\(pieces) mss \(mss)")
    }
  }

  @Test("D2 a packet that needs no copy is not copied: six neighbours that just hold a segment")
  func notLinearized() {
    let bench = IceBench(tx: 256)
    // 7 small buffers behind a large one, whose second buffer is larger: any six hold 1,459 bytes and more.
    let pieces = [16700] + [Int](repeating: 244, count: 7)
    let payload = IceBench.pattern(pieces.reduce(0, +))
    #expect(bench.send(bench.tcp(payload: payload, pieces: pieces, mss: 1460)) != .busy)
    #expect(bench.driver.statistics.tx.linearizedCount == 0)
    _ = bench.frames()
    #expect(bench.device.maliciousDriverEvent == nil)
    // One byte less in six of them is too little.
    let fewer = [16700, 243, 243, 243, 243, 243, 243, 243]
    let other = IceBench.pattern(fewer.reduce(0, +))
    #expect(bench.send(bench.tcp(payload: other, pieces: fewer, mss: 1460)) != .busy)
    #expect(bench.driver.statistics.tx.linearizedCount == 1)
  }

  @Test(
    "D2 exactly 16,383 bytes are one buffer, one more is two",
    arguments: [(16383, 1), (16384, 2), (28671, 2)])
  func bufferLimit(size: Int, buffers: Int) {
    let bench = IceBench(engines: .lent)
    let payload = IceBench.pattern(size)
    _ = bench.send(bench.tcp(payload: payload, pieces: [size], mss: 1460))
    // Context, linear area, then the fragment's.
    var index = 2
    var sizes: [Int] = []
    while true {
      let descriptor = TxDataDescriptor(unpacking: bench.bus.txRing[index])
      sizes.append(descriptor.bufferByteCount)
      if descriptor.command.contains(.endOfPacket) { break }
      index += 1
    }
    #expect(sizes.count == buffers)
    #expect(sizes.reduce(0, +) == size)
    #expect(sizes.allSatisfy { $0 <= 16383 })
    #expect(bench.frames()[0].count == 54 + size)
  }

  @Test("D2 a packet gathered into chunks is still the same: number, socket's charge, marks, everything")
  func gatheredPacketIsTheSame() {
    let bench = IceBench(tx: 256)
    let account = SocketAccount(pool: bench.pool, socket: 77)
    let pieces = [Int](repeating: 100, count: 14) + [32000, 16000]
    let payload = IceBench.pattern(pieces.reduce(0, +))
    var skb = bench.tcp(payload: payload, pieces: pieces, mss: 1460)
    skb.chargeWrite(to: account, socket: 77)
    let charge = account.writeAllocated
    let serial = skb.serial
    bench.tracer.isEnabled = true
    #expect(bench.send(skb) != .busy)
    #expect(bench.driver.statistics.tx.linearizedCount == 1)
    // Until the completion the socket pays for it.
    #expect(charge > 0 && account.writeAllocated == charge)
    let maps = bench.tracer.records(from: 0).records.filter { $0.point == .ice_tx_map }
    #expect(maps.count >= 3 && maps.allSatisfy { $0.skb == serial && $0.socket == 77 })
    let frames = bench.frames()
    #expect(frames.flatMap { $0[54...] } == payload && frames.allSatisfy(isValidTCP))
    _ = bench.clean()
    #expect(account.writeAllocated == 0 && bench.pool.buffersInUse == 0)
  }

  @Test("D11 a stopped queue is seen at the next poll, counted by name, and only a reset starts it again")
  func stoppedQueue() {
    let bench = IceBench()
    bench.tracer.isEnabled = true
    bench.device.faults.descriptorsToMisread = 1
    _ = bench.send(bench.tcp(payload: IceBench.pattern(100), pieces: [50]))
    #expect(bench.frames().isEmpty)
    #expect(bench.takeInterrupt())
    let first = bench.driver.poll(into: &bench.received, net: &bench.net).maliciousDriverEvent
    #expect(first == .unknownDescriptorType)
    #expect(bench.isQueueStopped)
    let second = bench.driver.poll(into: &bench.received, net: &bench.net).maliciousDriverEvent
    #expect(second == nil)
    let lines = bench.driver.statistics.lines.filter { $0.name.hasPrefix("tx_mdd") }
    #expect(lines.map(\.name) == ["tx_mdd_events", "tx_mdd.unknownDescriptorType"])
    #expect(lines.allSatisfy { $0.value == 1 })
    let record = bench.tracer.records(from: 0).records.first { $0.point == .device_malicious_driver }
    #expect(record?.a == UInt64(MaliciousDriverEvent.unknownDescriptorType.rawValue))
    let lost = bench.driver.reset(net: &bench.net)
    #expect(lost.packetCount == 1 && bench.pool.buffersInUse == 0)
    #expect(!bench.isQueueStopped)
    _ = bench.send(bench.tcp(payload: IceBench.pattern(100)))
    #expect(bench.frames().count == 1)
  }

  @Test("D11 completions from before the stop do not start the queue")
  func noRestart() {
    let bench = IceBench(tx: 256)
    bench.device.faults.writeBackDelay = .milliseconds(1)
    for _ in 0..<100 { _ = bench.send(bench.plain(IceBench.pattern(60))) }
    #expect(bench.frames().count == 100)
    bench.device.faults.descriptorsToMisread = 1
    _ = bench.send(bench.plain(IceBench.pattern(60)))
    #expect(bench.frames().isEmpty)
    _ = bench.poll()
    #expect(bench.isQueueStopped)
    bench.net.advance(to: .origin + .milliseconds(2))
    #expect(bench.frames().isEmpty)
    let result = bench.poll()
    #expect(result.tx.packetCount == 100 && !result.tx.restarted)
    #expect(bench.isQueueStopped)
  }
}
