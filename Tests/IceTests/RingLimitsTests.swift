import Ice
import IceHardware
import SkBuff
import Testing

/// The driver's thresholds and budgets, each at its value and one beside it.
@Suite struct RingLimitsTests {
  @Test(
    "D6 a stopped queue starts at 46 free descriptors, twice what the largest packet needs, and not before")
  func wakeThreshold() {
    let bench = IceBench()
    while !bench.isQueueStopped { _ = bench.send(bench.plain(IceBench.pattern(60)), doorbell: false) }
    // 17 fragments, linear area, context and a cache line of 4 are 23.
    let unused = bench.driver.unusedDescriptorCount
    #expect(unused == 22)
    _ = bench.frames()
    var free: [Int] = []
    while bench.isQueueStopped {
      let result = bench.clean(budget: 1)
      free.append(bench.driver.unusedDescriptorCount)
      #expect(result.restarted == !bench.isQueueStopped)
    }
    #expect(free == Array(23...46))
  }

  @Test("D8 one poll frees 256 packets and says that there are more")
  func transmitBudget() {
    let bench = IceBench(tx: 512)
    for _ in 0..<300 { _ = bench.send(bench.plain(IceBench.pattern(60))) }
    #expect(bench.frames().count == 300)
    let first = bench.poll()
    #expect(first.tx.packetCount == 256 && first.tx.isOverBudget && !first.isComplete)
    let second = bench.poll()
    #expect(second.tx.packetCount == 44 && second.isComplete)
  }

  @Test("D8 D12 one poll takes in 64 packets and says that there are more")
  func receiveBudget() {
    let bench = IceBench(rx: 128)
    let frame = ReceiveTests.frame(10)
    for _ in 0..<70 { #expect(bench.deliver(frame) == .delivered) }
    let first = bench.poll()
    #expect(first.received == 64 && !first.isComplete)
    let second = bench.poll()
    #expect(second.received == 6 && second.isComplete)
  }
}
