import IceHardware
import NetDevice
import NetNamespace
import SkBuff
import Testing
import Timers
import Trace

/// A device that stops, is down, or has no queue: what its senders hear, and how it comes back.
@Suite struct FaultRecoveryTests {
  private func tags(_ frames: [[UInt8]]) -> [UInt8] { frames.map { $0.last! } }

  @Test(
    "Q8 D11 a queue that the device stopped is reset by the watchdog after 5 s; what waited goes, nothing leaks"
  )
  func maliciousDriverEvent() {
    let bench = DeviceBench()
    bench.tracer.isEnabled = true
    bench.card.nic.faults.descriptorsToMisread = 1
    for tag in 0..<5 { _ = bench.send(bench.frame(UInt8(tag))) }
    bench.transmit()
    bench.poll()
    check(bench.device.isStopped)
    #expect(bench.count(.device_malicious_driver) == 1)
    bench.advance(.milliseconds(4999))
    #expect(bench.device.statistics.watchdogTimeouts == 0)
    bench.advance(.milliseconds(1))
    #expect(bench.device.statistics.watchdogTimeouts == 1)
    check(!bench.device.isStopped)
    bench.settle()
    #expect(tags(bench.frames) == [1, 2, 3, 4])
    #expect(bench.device.limits.inFlight == 0 && bench.pool.buffersInUse == 0)
  }

  @Test(
    "Q8 D11 the same with room left on ring and byte limit: the queue need not be full to be looked after")
  func maliciousWithRoom() {
    let bench = DeviceBench(isLimited: false)
    bench.card.nic.faults.descriptorsToMisread = 1
    _ = bench.send(bench.frame(1))
    bench.transmit()
    bench.poll()
    check(bench.device.isStopped)
    bench.advance(.seconds(5))
    #expect(bench.device.statistics.watchdogTimeouts == 1)
    #expect(bench.send(bench.frame(2)) == .success)
    bench.settle()
    #expect(tags(bench.frames) == [2])
  }

  @Test("Q9 a device that is down: nobody is told, counted as dropped, with a reason")
  func down() {
    let bench = DeviceBench()
    bench.device.setLink(up: false, now: bench.net.now)
    #expect(bench.send(bench.frame(1)) == .congestion)
    #expect(bench.pool.dropCount(.deviceDown) == 1)
    #expect(bench.device.statistics.sentDropped == 1)
    bench.device.setLink(up: true, now: bench.net.now)
    #expect(bench.send(bench.frame(2)) == .success)
  }

  @Test("Q9 busy without a queue: ENETDOWN, counted in tx_dropped and by the qdisc")
  func busyWithoutQueue() {
    let bench = DeviceBench(qdisc: .noqueue, ring: 64, isLimited: false)
    var refused: UInt64 = 0
    for tag in 0..<64 where bench.send(bench.frame(UInt8(tag))) == .failed(.ENETDOWN) { refused += 1 }
    #expect(refused > 10)
    #expect(bench.device.statistics.sentDropped == refused)
    #expect(bench.device.qdiscSnapshot.statistics.dropped == refused)
    #expect(bench.pool.dropCount(.deviceFull) == refused)
  }

  @Test("Q9 which results mean that the packet is gone")
  func lost() {
    #expect(!XmitResult.success.isLost && !XmitResult.congestion.isLost)
    #expect(XmitResult.dropped.isLost && XmitResult.failed(.ENETDOWN).isLost)
  }

  @Test("D7 Q7 the byte limit never rings the doorbell: a batch that exceeds it goes with one, at its end")
  func limitInsideBatch() {
    let bench = DeviceBench(features: [.scatterGather, .checksum], ring: 512)
    bench.tracer.isEnabled = true
    // Software segmentation makes ten packets of one; the byte limit is passed with the first.
    #expect(bench.send(bench.tcp(payload: 14480, mss: 1448)) == .success)
    #expect(bench.count(.dev_hard_start_xmit) == 10)
    check(bench.device.isStoppedByLimits)
    #expect(bench.doorbells == 1)
    bench.transmit()
    #expect(bench.frames.count == 10)
    bench.settle()
  }

  @Test("D7 Q4 the driver's own stop inside a batch rings for what went before it")
  func driverStopInsideBatch() {
    let bench = DeviceBench(features: [.scatterGather, .checksum], ring: 64, isLimited: false)
    #expect(bench.send(bench.tcp(payload: 60 * 536, piece: 4000, mss: 536)) == .success)
    check(bench.device.isStopped)
    check(bench.device.queueLength > 0)
    bench.transmit()
    #expect(bench.frames.count > 5)
    bench.settle()
    #expect(bench.frames.count == 60)
    #expect(bench.pool.buffersInUse == 0)
  }
}
