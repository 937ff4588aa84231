import Foundation
import IceHardware
import IceModel
import SkBuff
import Synchronization
import Testing
import Timers
import Wire

/// The device's end of the bus, given to another thread as a whole.
private struct DeviceEnd: ~Copyable {
  var device: IceDevice
  var vector = FrameVector()
  var metadata = WireFrameMetadata()

  /// Sends what is on the ring back to where it came from, addressed to the station.
  mutating func loopBack() -> Int {
    var count = 0
    while device.fetchFrame(into: &vector, metadata: &metadata, now: .origin) {
      var frame = vector.bytes
      device.frameDone(accepted: true)
      frame.replaceSubrange(0..<6, with: [2, 0, 0, 0, 0, 2])
      while device.receive(frame.span, now: .origin) == .noBuffer { sched_yield() }
      count += 1
    }
    return count
  }
}

/// The thread the device runs on.
private final class DeviceThread: Sendable {
  private let end: Mutex<DeviceEnd>
  private let isStopping = Atomic(false)
  private let hasEnded = Atomic(false)

  init(bus: IceBus) {
    end = Mutex(DeviceEnd(device: IceDevice(bus: bus, configuration: .init(macAddress: IceBench.mac))))
  }

  func start() {
    Thread.detachNewThread {
      // The lock is taken once: what orders the memory is the queue protocol alone.
      self.end.withLock { end in
        while !self.isStopping.load(ordering: .acquiring) {
          if end.loopBack() == 0 { sched_yield() }
        }
      }
      self.hasEnded.store(true, ordering: .releasing)
    }
  }

  func stop() {
    isStopping.store(true, ordering: .releasing)
    while !hasEnded.load(ordering: .acquiring) { sched_yield() }
  }
}

@Suite struct DeviceThreadTests {
  @Test("D8 D12 Driver and device on two threads: doorbell and DD order every access (run it under TSan)")
  func twoThreads() {
    let bench = IceBench()
    let thread = DeviceThread(bus: bench.bus)
    thread.start()
    let total = 3000
    var sent = 0
    var arrived = 0
    var intact = 0
    var idleRounds = 0
    while (arrived < total || bench.hasTransmitsInFlight) && idleRounds < 10_000_000 {
      if sent < total && sent - arrived < 32 && !bench.isQueueStopped {
        let size = sent * 31 % 1400 + 1
        let pieces = size > 1 ? [size / 2] : []
        if bench.send(bench.tcp(payload: IceBench.pattern(size), pieces: pieces)) != .busy { sent += 1 }
      }
      let received = bench.poll().received
      arrived += received
      idleRounds = received == 0 ? idleRounds + 1 : 0
      if received == 0 { sched_yield() }
      while let packet = bench.next() { intact += packet.checksum == .unnecessary ? 1 : 0 }
    }
    thread.stop()
    #expect(arrived == total && intact == total)
    #expect(bench.pool.buffersInUse == 0)
  }
}
