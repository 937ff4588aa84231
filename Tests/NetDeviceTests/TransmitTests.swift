import NetDevice
import NetNamespace
import SkBuff
import Testing
import Timers
import Trace

@Suite struct TransmitTests {
  private func tags(_ frames: [[UInt8]]) -> [UInt8] { frames.map { $0.last! } }

  @Test("Q4 an empty queue is passed by: straight to the driver, one doorbell")
  func bypass() {
    let bench = DeviceBench()
    bench.tracer.isEnabled = true
    #expect(bench.send(bench.frame(7)) == .success)
    #expect(bench.count(.dev_queue_xmit) == 1 && bench.count(.qdisc_enqueue) == 0)
    #expect(bench.count(.dev_hard_start_xmit) == 1 && bench.count(.ice_start_xmit) == 1)
    #expect(bench.doorbells == 1)
    bench.settle()
    #expect(tags(bench.frames) == [7])
    let statistics = bench.device.qdiscSnapshot.statistics
    #expect(statistics.sentPackets == 1 && statistics.sentBytes == 60 && statistics.requeues == 0)
    #expect(bench.device.statistics.sentPackets == 1 && bench.pool.buffersInUse == 0)
  }

  @Test("Q4 BUSY: the packet goes back to the head; nothing is lost, doubled or reordered")
  func requeue() {
    let bench = DeviceBench(ring: 64, isLimited: false)
    for tag in 0..<200 {
      #expect(bench.send(bench.frame(UInt8(tag))) == .success)
      // The first that comes back.
      if bench.device.queueLength == 1 { #expect(bench.device.qdiscSnapshot.statistics.requeues == 1) }
    }
    #expect(bench.device.driver.isQueueStopped && bench.device.queueLength > 100)
    bench.settle()
    #expect(tags(bench.frames) == (0..<200).map { UInt8($0) })
    #expect(bench.device.queueLength == 0 && bench.pool.buffersInUse == 0)
    #expect(bench.device.qdiscSnapshot.statistics.sentPackets == 200)
  }

  @Test("Q4 BUSY for a large packet while small ones would fit: it stays ahead of those that come later")
  func requeueLarge() {
    let bench = DeviceBench(ring: 64, isLimited: false)
    for tag in 0..<200 {
      if tag % 3 == 0 {
        _ = bench.send(bench.tcp(payload: 1200, piece: 100, mss: 0, sequence: UInt32(tag)))
      } else {
        _ = bench.send(bench.frame(UInt8(tag)))
      }
    }
    bench.settle()
    let order = bench.frames.map { $0.count > 100 ? UInt8(long($0, 38)) : $0.last! }
    #expect(order == (0..<200).map { UInt8($0) })
  }

  @Test("Q4 BUSY for a packet of more pieces than the driver keeps room for: requeued, counted, sent whole")
  func requeueOversize() {
    let bench = DeviceBench(ring: 64, isLimited: false)
    for tag in 0..<40 { _ = bench.send(bench.frame(UInt8(tag))) }
    // As many descriptors are left as the driver needs to go on: 17 pieces, the linear area, a context, a cache line.
    #expect(!bench.device.driver.isQueueStopped && bench.device.queueLength == 0)
    // A linear area of more than 16 KiB takes one more.
    #expect(bench.send(bench.tcp(payload: 64200, linear: 20000, piece: 2600, mss: 1448)) == .success)
    #expect(bench.device.driver.isQueueStopped && bench.device.queueLength == 1)
    #expect(bench.device.qdiscSnapshot.statistics.requeues == 1)
    #expect(bench.device.driver.ice.statistics.tx.busyCount == 1)
    bench.settle()
    #expect(tags(Array(bench.frames.prefix(40))) == (0..<40).map { UInt8($0) })
    #expect(bench.frames.dropFirst(40).flatMap { $0.dropFirst(66) } == pattern(0..<64200))
    #expect(bench.device.queueLength == 0 && bench.pool.buffersInUse == 0)
  }

  @Test("Q4 a full queue drops the newcomer and says so")
  func dropTail() {
    let bench = DeviceBench(queueLength: 10)
    var results: [XmitResult] = []
    for tag in 0..<20 { results.append(bench.send(bench.frame(UInt8(tag)))) }
    // One on the ring, which stops at byte limit 0; one that passed the empty queue and came back; ten queued.
    #expect(results.count { $0 == .success } == 12)
    #expect(bench.device.qdiscSnapshot.statistics.requeues == 1)
    #expect(results[12...].allSatisfy { $0 == .dropped })
    #expect(bench.device.qdiscSnapshot.statistics.dropped == 8)
    #expect(bench.pool.dropCount(.qdiscDrop) == 8)
    bench.settle()
    #expect(tags(bench.frames) == (0..<12).map { UInt8($0) })
  }

  @Test("Q4 one run takes 64 packets, then asks to be scheduled again")
  func quota() {
    let bench = DeviceBench(ring: 512)
    for tag in 0..<200 { _ = bench.send(bench.frame(UInt8(tag))) }
    bench.transmit()
    // From here the byte limit is out of the way.
    bench.device.limits.minimumLimit = 1 << 20
    bench.poll()
    check(bench.device.hasScheduledWork)
    bench.transmit()
    #expect(bench.frames.count == 65)
    bench.device.runQdisc(net: &bench.net)
    check(bench.device.hasScheduledWork)
    bench.device.runQdisc(net: &bench.net)
    bench.device.runQdisc(net: &bench.net)
    check(!bench.device.hasScheduledWork)
    bench.settle()
    #expect(tags(bench.frames) == (0..<200).map { UInt8($0) })
  }

  @Test("Q6 a list is handed down with xmit_more: one doorbell for 64 packets")
  func xmitMore() {
    let bench = DeviceBench(ring: 512)
    for tag in 0..<65 { _ = bench.send(bench.frame(UInt8(tag))) }
    #expect(bench.doorbells == 1)
    bench.transmit()
    bench.device.limits.minimumLimit = 1 << 20
    bench.poll()
    bench.transmit()
    #expect(bench.frames.count == 65)
    // The requeued one, then a batch.
    #expect(bench.doorbells <= 3)
  }

  @Test("Q7 the byte limit stops the queue, completions wake it, and packets wait in the qdisc meanwhile")
  func byteLimit() {
    let bench = DeviceBench()
    bench.tracer.isEnabled = true
    _ = bench.send(bench.frame(0, length: 1514))
    #expect(bench.device.isStoppedByLimits && bench.device.isStopped && !bench.device.driver.isQueueStopped)
    #expect(bench.count(.dql_stop) == 1)
    for tag in 1..<20 { _ = bench.send(bench.frame(UInt8(tag), length: 1514)) }
    #expect(bench.device.queueLength == 19)
    bench.transmit()
    #expect(bench.frames.count == 1)
    bench.poll()
    #expect(bench.count(.dql_wake) == 1)
    #expect(bench.device.limits.limit == 1514)
    bench.settle()
    #expect(tags(bench.frames) == (0..<20).map { UInt8($0) })
    #expect(bench.device.limits.limit > 1514 && bench.device.limits.inFlight == 0)
    #expect(bench.device.statistics.limitStops >= 2)
  }

  @Test("Q7 the packet that stops the queue rings the doorbell, whatever follows it")
  func doorbellOnStop() {
    let bench = DeviceBench()
    for tag in 0..<50 { _ = bench.send(bench.frame(UInt8(tag), length: 1514)) }
    for _ in 0..<200 where bench.frames.count < 50 {
      bench.transmit()
      // Stopped by the limit or not: nothing may wait on the ring without a doorbell.
      check(!bench.card.nic.hasTransmitWork)
      bench.poll()
    }
    #expect(tags(bench.frames) == (0..<50).map { UInt8($0) })
  }

  @Test("Q7 byte counts agree with the driver's for TSO packets and short frames")
  func accounting() {
    let bench = DeviceBench()
    _ = bench.send(bench.tcp(payload: 20000, mss: 1448))
    // 14 segments: 66 bytes of headers each.
    #expect(bench.device.limits.inFlight == 20000 + 14 * 66)
    _ = bench.send(bench.frame(1, length: 30))
    bench.settle()
    #expect(bench.frames.count == 15)
    #expect(bench.device.limits.inFlight == 0)
    #expect(bench.device.qdiscSnapshot.statistics.sentBytes == UInt64(20000 + 14 * 66 + 30))
    #expect(bench.device.qdiscSnapshot.statistics.sentPackets == 15)
  }

  @Test("Frames longer than the MTU, empty ones, and any on a link that is down are dropped with a reason")
  func refused() {
    let bench = DeviceBench()
    #expect(bench.send(bench.frame(1, length: 1514)) == .success)
    #expect(bench.send(bench.frame(1, length: 1515)) == .dropped)
    #expect(bench.pool.dropCount(.deviceTooLong) == 1)
    #expect(bench.send(bench.tcp(payload: 9000, mss: 1449)) == .dropped)
    #expect(bench.pool.dropCount(.deviceTooLong) == 2)
    #expect(bench.send(bench.packet([1, 2, 3])) == .dropped)
    #expect(bench.pool.dropCount(.packetTooSmall) == 1)
    for tag in 0..<5 { _ = bench.send(bench.frame(UInt8(tag))) }
    bench.device.setLink(up: false, now: bench.net.now)
    #expect(bench.pool.dropCount(.qdiscReset) == 5 && bench.device.queueLength == 0)
    #expect(bench.send(bench.frame(1)) == .congestion)
    #expect(bench.pool.dropCount(.deviceDown) == 1)
    bench.settle()
    bench.device.setLink(up: true, now: bench.net.now)
    #expect(bench.send(bench.frame(9)) == .success)
    bench.settle()
    #expect(bench.frames.last?.last == 9)
    #expect(bench.device.statistics.sentDropped == 9)
  }

  @Test("MTU is 68 to 65535, EINVAL outside", arguments: [-1, 0, 67, 65536, 100_000])
  func mtu(value: Int) throws {
    let bench = DeviceBench()
    #expect(throws: Errno.EINVAL) { try bench.device.setMTU(value) }
    #expect(bench.device.mtu == 1500)
    try bench.device.setMTU(68)
    #expect(bench.send(bench.frame(1, length: 83)) == .dropped)
    #expect(bench.send(bench.frame(1, length: 82)) == .success)
    try bench.device.setMTU(1500)
  }

  @Test("Changing the qdisc drops what waits and starts its statistics anew")
  func replace() {
    let bench = DeviceBench()
    for tag in 0..<5 { _ = bench.send(bench.frame(UInt8(tag))) }
    bench.device.setQdisc(.noqueue, net: &bench.net)
    #expect(bench.pool.dropCount(.qdiscReset) == 4)
    #expect(bench.device.qdiscSnapshot.kind == .noqueue)
    #expect(bench.device.qdiscSnapshot.statistics.sentPackets == 0)
  }

  @Test("Q8 a queue stopped for 5 s is reported and reset; what waited goes, nothing leaks")
  func watchdog() {
    let bench = DeviceBench()
    bench.card.nic.faults.isTransmitStalled = true
    for tag in 0..<5 { _ = bench.send(bench.frame(UInt8(tag))) }
    bench.advance(.milliseconds(4999))
    #expect(bench.device.statistics.watchdogTimeouts == 0)
    bench.advance(.milliseconds(1))
    #expect(bench.device.statistics.watchdogTimeouts == 1)
    #expect(bench.device.statistics.lastWatchdogTimeout == bench.net.now)
    bench.card.nic.faults.isTransmitStalled = false
    bench.settle()
    // The one on the ring is gone with the reset.
    #expect(tags(bench.frames) == [1, 2, 3, 4])
    #expect(bench.device.limits.inFlight == 0 && bench.pool.buffersInUse == 0)
    #expect(bench.send(bench.frame(9)) == .success)
    bench.settle()
    #expect(bench.frames.last?.last == 9)
  }

  @Test("Q8 progress within 5 s keeps the watchdog quiet, and an idle queue is never reset")
  func watchdogQuiet() {
    let bench = DeviceBench()
    for round in 0..<10 {
      for tag in 0..<20 { _ = bench.send(bench.frame(UInt8(tag), length: 1514)) }
      // Too few polls to empty the queue: it stays stopped, but moves.
      bench.transmit()
      if round % 2 == 0 { bench.poll() }
      bench.advance(.seconds(2))
    }
    bench.settle()
    bench.advance(.seconds(60))
    #expect(bench.device.statistics.watchdogTimeouts == 0)
    #expect(bench.frames.count == 200)
  }
}
