import NetDevice
import SkBuff
import Testing
import Timers
import Trace

@Suite struct QdiscTests {
  @Test("Q3 pfifo_fast: the band of every priority, as Linux prints its priomap")
  func priomap() {
    #expect(
      (0..<16).map { PfifoFast.band(priority: $0) } == [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    #expect(PfifoFast.band(priority: 16) == PfifoFast.band(priority: 0))
  }

  @Test("Q3 pfifo_fast: band 0 first, in order within a band, one limit for all")
  func bands() {
    let bench = DeviceBench()
    var fifo = PfifoFast(limit: 5)
    let sent: [(UInt8, UInt32)] = [(1, 2), (2, 0), (3, 6), (4, 2), (5, 7), (6, 6)]
    for (tag, priority) in sent {
      let result = fifo.enqueue(bench.frame(tag, priority: priority))
      #expect(result == (tag == 6 ? .dropped : .success))
    }
    #expect(fifo.count == 5 && fifo.byteCount == 300)
    #expect(bench.pool.dropCount(.qdiscDrop) == 1)
    var order: [UInt8] = []
    while let skb = fifo.dequeue() { order.append(skb.bytes.last!) }
    #expect(order == [3, 5, 2, 1, 4])
    #expect(fifo.count == 0 && fifo.byteCount == 0)
  }

  @Test("Q3 noqueue: straight to the driver, dropped when the driver is full")
  func noqueue() {
    let bench = DeviceBench(qdisc: .noqueue, ring: 64, isLimited: false)
    var results: [XmitResult] = []
    for tag in 0..<64 { results.append(bench.send(bench.frame(UInt8(tag)))) }
    let sent = results.count { $0 == .success }
    #expect(sent > 30 && sent < 64)
    #expect(results[sent...].allSatisfy { $0 == .failed(.ENETDOWN) })
    #expect(bench.device.queueLength == 0)
    #expect(bench.pool.dropCount(.deviceFull) == UInt64(64 - sent))
    bench.settle()
    #expect(bench.frames.count == sent)
    #expect(bench.send(bench.frame(1)) == .success)
  }

  @Test("Q3 noqueue: the ninth transmission inside another is refused")
  func recursion() {
    var state = NoQueue()
    for _ in 0..<NoQueue.recursionLimit {
      let entered = state.enter()
      #expect(entered)
    }
    let ninth = state.enter()
    #expect(!ninth && state.depth == 8)
    state.leave()
    let again = state.enter()
    #expect(again)
  }

  @Test("tc -s qdisc: the lines tc prints")
  func lines() {
    let bench = DeviceBench(ring: 64)
    _ = bench.send(bench.frame(1, length: 100))
    _ = bench.send(bench.frame(2, length: 200))
    let snapshot = bench.device.qdiscSnapshot
    #expect(
      snapshot.description(device: "test0") == """
        qdisc pfifo_fast 0: dev test0 root refcnt 2 bands 3 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1
         Sent 300 bytes 2 pkt (dropped 0, overlimits 0 requeues 1)
         backlog 200b 1p requeues 1
        """)
    let none = DeviceBench(qdisc: .noqueue).device.qdiscSnapshot.description(device: "lo")
    #expect(none.hasPrefix("qdisc noqueue 0: dev lo root refcnt 2\n"))
  }
}
