import IPv4
import NetNamespace
import SkBuff
import Testing
import Timers
import Wire

@Suite struct ReassemblyTests {
  /// Fragments `bounds[i]..<bounds[i + 1]` of a datagram.
  private func fragments(_ payload: [UInt8], _ bounds: [Int], id: Int = 1, tos: [UInt8]? = nil) -> [[UInt8]] {
    (0..<bounds.count - 1).map { index in
      let isLast = bounds[index + 1] == payload.count
      return IPv4Bench.frame(
        id: id, fragment: bounds[index] / 8 | (isLast ? 0 : 0x2000), tos: tos?[index] ?? 0,
        Array(payload[bounds[index]..<bounds[index + 1]]))
    }
  }
  private func whole(_ payload: [UInt8], tos: UInt8 = 0) -> IPv4Bench.Outcome {
    .delivered(17, payload: payload, source: IPv4Bench.peer, typeOfService: tos)
  }

  @Test("P6 fragments in every order make the datagram") func orders() {
    let bench = IPv4Bench()
    let payload = IPv4Bench.pattern(4001)
    let parts = fragments(payload, [0, 1480, 2960, 4001])
    for (round, order) in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].enumerated() {
      #expect(bench.deliver(parts[order[0]]) == .consumed)
      #expect(bench.deliver(parts[order[1]]) == .consumed)
      #expect(bench.deliver(parts[order[2]]) == whole(payload), "\(order)")
      #expect(bench.count(.IpReasmOKs) == UInt64(round + 1))
    }
  }

  @Test("P6 datagrams are told apart by identification, and mixed fragments go to their own")
  func interleaved() {
    let bench = IPv4Bench()
    let first = IPv4Bench.pattern(2000)
    let second = Array(first.reversed())
    let a = fragments(first, [0, 1000, 2000], id: 1)
    let b = fragments(second, [0, 1000, 2000], id: 2)
    bench.deliver(a[0])
    bench.deliver(b[1])
    #expect(bench.deliver(b[0]) == whole(second))
    #expect(bench.deliver(a[1]) == whole(first))
  }

  @Test("P6 the same fragment twice is harmless") func duplicate() {
    let bench = IPv4Bench()
    let payload = IPv4Bench.pattern(2000)
    let parts = fragments(payload, [0, 1000, 2000])
    bench.deliver(parts[0])
    bench.deliver(parts[0])
    #expect(bench.deliver(parts[1]) == whole(payload))
  }

  @Test(
    "P6 RFC 5722 an overlap drops the whole datagram", arguments: [(992, 1500), (0, 1008)])
  func overlap(start: Int, end: Int) {
    let bench = IPv4Bench()
    let payload = IPv4Bench.pattern(2000)
    let parts = fragments(payload, [0, 1000, 2000])
    bench.deliver(parts[0])
    bench.deliver(
      IPv4Bench.frame(
        id: 1, fragment: start / 8 | 0x2000, [UInt8](repeating: 0xEE, count: (end - start) & ~7)))
    #expect(bench.deliver(parts[1]) == .consumed)
    #expect(bench.count(.IpReasmFails) == 1)
  }

  @Test("P6 after 30 s the fragments go, and who sent the first one is told") func timeout() {
    let bench = IPv4Bench()
    let payload = IPv4Bench.pattern(2000)
    let parts = fragments(payload, [0, 1000, 2000])
    bench.deliver(parts[0])
    bench.advance(.milliseconds(29_900))
    #expect(bench.frames().isEmpty)
    bench.advance(.milliseconds(200))
    let report = bench.packets().first ?? []
    #expect(report.count == 576 && report[20] == 11 && report[21] == 1)
    #expect(bench.deliver(parts[1]) == .consumed)
    // A later fragment alone: nobody is told.
    bench.advance(.seconds(31))
    #expect(bench.frames().isEmpty)
    #expect(bench.count(.IpReasmTimeout) == 2)
  }

  @Test("P6 what waits is limited in memory, and is freed") func memory() {
    let bench = IPv4Bench()
    for id in 0..<4000 {
      bench.deliver(IPv4Bench.frame(id: id, fragment: 0x2000, IPv4Bench.pattern(1480)))
    }
    #expect(bench.pool.dropCount(.reassemblyMemory) > 0)
    let held = bench.pool.buffersInUse
    bench.advance(.seconds(31))
    _ = bench.frames()
    #expect(bench.pool.buffersInUse < held / 2)
    let payload = IPv4Bench.pattern(2000)
    let parts = fragments(payload, [0, 1000, 2000])
    bench.deliver(parts[0])
    #expect(bench.deliver(parts[1]) == whole(payload))
  }

  @Test("P6 a fragment that would end past 65,535 bytes, or is empty, is dropped") func tooFar() {
    let bench = IPv4Bench()
    bench.deliver(IPv4Bench.frame(fragment: 0x1FFF, IPv4Bench.pattern(64)))
    bench.deliver(IPv4Bench.frame(fragment: 0x2000, []))
    bench.deliver(IPv4Bench.frame(fragment: 0x2000, [1, 2, 3]))
    #expect(bench.count(.IpReasmFails) == 3)
  }

  @Test("P6 more fragments than 256 end the datagram") func tooMany() {
    let bench = IPv4Bench()
    for index in 0..<257 {
      bench.deliver(IPv4Bench.frame(fragment: 0x2000 | index, IPv4Bench.pattern(8)))
    }
    #expect(bench.count(.IpReasmFails) == 1)
    #expect(bench.pool.dropCount(.fragmentTooFar) == 1)
  }

  @Test(
    "RFC 3168 5.3 CE in one fragment marks the whole, of two kinds of ECT it is the first's; a mixture with Not-ECT is dropped",
    arguments: [(2, 2, 2), (2, 3, 3), (1, 3, 3), (1, 2, 1), (2, 1, 2), (0, 0, 0), (0, 3, nil), (2, 0, nil)]
      as [(UInt8, UInt8, UInt8?)])
  func ecn(first: UInt8, second: UInt8, expected: UInt8?) {
    let bench = IPv4Bench()
    let payload = IPv4Bench.pattern(2000)
    let parts = fragments(payload, [0, 1000, 2000], tos: [first, second])
    bench.deliver(parts[0])
    let outcome = bench.deliver(parts[1])
    if let expected {
      #expect(outcome == whole(payload, tos: expected))
    } else {
      #expect(outcome == .consumed)
    }
  }
}
