import IPv4
import NetNamespace
import SkBuff
import Testing
import Timers
import Wire

/// Fragments that repeat what has come, as `inet_frag_queue_insert()` judges them.
@Suite struct FragmentRunTests {
  private let payload = IPv4Bench.pattern(2000)

  private func fragment(_ start: Int, _ end: Int, last: Bool = false, id: Int = 1) -> [UInt8] {
    IPv4Bench.frame(
      id: id, fragment: start / 8 | (last ? 0 : 0x2000), Array(payload[start..<min(end, payload.count)]))
  }
  private func whole() -> IPv4Bench.Outcome {
    .delivered(17, payload: payload, source: IPv4Bench.peer, typeOfService: 0)
  }

  @Test(
    "P6 a fragment inside one that is there, or inside a run of them, is dropped and the rest goes on",
    arguments: [(0, 8), (8, 496), (0, 496), (496, 1000), (304, 704), (0, 1000), (992, 1000)])
  func inside(start: Int, end: Int) {
    let bench = IPv4Bench()
    bench.deliver(fragment(0, 496))
    bench.deliver(fragment(496, 1000))
    #expect(bench.deliver(fragment(start, end)) == .consumed)
    #expect(bench.deliver(fragment(1000, 2000, last: true)) == whole())
    #expect(bench.count(.IpReasmOKs) == 1 && bench.count(.IpReasmFails) == 0)
    #expect(bench.count(.IpExtReasmOverlaps) == 0)
    #expect(bench.pool.dropCount(.fragmentInvalid) == 1)
  }

  @Test("P6 a repeated last fragment is harmless") func lastTwice() {
    let bench = IPv4Bench()
    bench.deliver(fragment(1000, 2000, last: true))
    bench.deliver(fragment(1000, 2000, last: true))
    #expect(bench.deliver(fragment(0, 1000)) == whole())
  }

  @Test(
    "P6 RFC 5722 a fragment that adds to what it overlaps ends the datagram, and is counted",
    arguments: [(496, 1504), (0, 1008), (400, 1504), (992, 1504), (0, 1400)])
  func overlap(start: Int, end: Int) {
    let bench = IPv4Bench()
    bench.deliver(fragment(0, 496))
    bench.deliver(fragment(496, 1000))
    #expect(bench.deliver(fragment(start, end)) == .consumed)
    #expect(bench.deliver(fragment(1000, 2000, last: true)) == .consumed)
    #expect(bench.count(.IpReasmFails) == 1 && bench.count(.IpExtReasmOverlaps) == 1)
    #expect(bench.count(.IpReasmOKs) == 0)
  }

  @Test("P6 a fragment over two runs overlaps, though nothing is missing between them") func acrossRuns() {
    let bench = IPv4Bench()
    // The second comes first, so that the two are not one run.
    bench.deliver(fragment(496, 1000))
    bench.deliver(fragment(0, 496))
    #expect(bench.deliver(fragment(304, 704)) == .consumed)
    #expect(bench.count(.IpExtReasmOverlaps) == 1)
  }

  @Test(
    "P6 a fragment without a byte, or beyond the end that is known, ends the datagram",
    arguments: [(1000, 1000, false), (2000, 2000, true), (1008, 1008, true)])
  func contradictory(start: Int, end: Int, last: Bool) {
    let bench = IPv4Bench()
    bench.deliver(fragment(0, 1000))
    #expect(bench.deliver(fragment(start, end, last: last)) == .consumed)
    #expect(bench.deliver(fragment(1000, 2000, last: true)) == .consumed)
    #expect(bench.count(.IpReasmFails) == 1)
  }

  @Test("P6 a datagram that would pass 65,535 bytes with its first fragment's options is counted and dropped")
  func oversize() {
    let bench = IPv4Bench()
    let options = [UInt8](repeating: 1, count: 40)
    var offset = 0
    let size = 65480
    while offset < size {
      let end = min(offset + 1400, size)
      bench.deliver(
        IPv4Bench.frame(
          fragment: offset / 8 | (end < size ? 0x2000 : 0), options: offset == 0 ? options : [],
          [UInt8](repeating: 7, count: end - offset)))
      offset = end
    }
    #expect(bench.count(.IpReasmFails) == 1 && bench.count(.IpReasmOKs) == 0)
    #expect(bench.count(.IpInDelivers) == 0)
  }

  @Test("P6 at most 256 fragments, and at most ipfrag_high_thresh bytes wait")
  func limits() {
    let bench = IPv4Bench()
    let small = [UInt8](repeating: 1, count: 8)
    for index in 0..<256 {
      bench.deliver(IPv4Bench.frame(fragment: index * 2 | 0x2000, small))
    }
    #expect(bench.count(.IpReasmFails) == 0)
    bench.deliver(IPv4Bench.frame(fragment: 512 | 0x2000, small))
    #expect(bench.count(.IpReasmFails) == 1)

    let tight = IPv4Bench()
    tight.net.settings.reassemblyMemory = 40_000
    var accepted = 0
    for id in 1...64 where tight.count(.IpReasmFails) == 0 {
      tight.deliver(IPv4Bench.frame(id: id, fragment: 0x2000, [UInt8](repeating: 1, count: 1000)))
      accepted = id
    }
    #expect(accepted > 8 && accepted < 40)
    #expect(tight.pool.dropCount(.reassemblyMemory) == 1)
    // What waits goes after 30 s, and there is room again.
    tight.advance(.seconds(31))
    tight.deliver(IPv4Bench.frame(id: 100, fragment: 0x2000, [UInt8](repeating: 1, count: 1000)))
    #expect(tight.pool.dropCount(.reassemblyMemory) == 1)
  }
}
