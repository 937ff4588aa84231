import Testing
import Timers
import Trace

@Suite("Tracepoints")
struct TracerTests {
  @Test("Off, nothing is recorded and no argument is worked out")
  func off() {
    let tracer = Tracer(capacity: 4)
    defer { tracer.destroy() }
    var asked = 0
    func argument() -> UInt64 {
      asked += 1
      return 1
    }
    tracer.record(.tcp_ack, argument())
    #expect(tracer.written == 0)
    #expect(asked == 0)
  }

  @Test("On, records carry the shard's time, oldest first; a full ring forgets the oldest")
  func ring() {
    let tracer = Tracer(capacity: 4)
    defer { tracer.destroy() }
    tracer.isEnabled = true
    for number in 1...6 {
      tracer.now = Instant(nanoseconds: UInt64(number))
      tracer.record(.tcp_ack, skb: UInt32(number), UInt64(number * 10))
    }
    let (records, next) = tracer.records(from: 0)
    #expect(records.map(\.skb) == [3, 4, 5, 6])
    #expect(records.map(\.nanoseconds) == [3, 4, 5, 6])
    #expect(records.map(\.a) == [30, 40, 50, 60])
    #expect(next == 6)
    #expect(tracer.records(from: next).records.isEmpty)
  }

  @Test("Points are called as the Linux functions that do the work")
  func names() {
    #expect(TracePoint.tcp_write_xmit.name == "tcp_write_xmit")
    #expect(TracePoint.ice_start_xmit.name == "ice_start_xmit")
    #expect(TracePoint.allCases.allSatisfy { !$0.argumentNames.0.isEmpty })
  }
}
