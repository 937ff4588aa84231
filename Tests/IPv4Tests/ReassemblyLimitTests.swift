import IPv4
import NetNamespace
import SkBuff
import Testing
import Timers
import Wire

/// What the sysctls `ipfrag_*` say about fragments that wait.
@Suite struct ReassemblyLimitTests {
  private static let first = [UInt8](repeating: 1, count: 16)
  private static let last = [UInt8](repeating: 2, count: 8)

  /// The first half of a datagram, `between` fragments of others from the same source, and the second half.
  ///
  /// - Returns: whether it became whole.
  private func joins(_ bench: IPv4Bench, between: Int, from other: IPv4Address = IPv4Bench.peer) -> Bool {
    bench.deliver(IPv4Bench.frame(id: 7, fragment: 0x2000, Self.first))
    for id in 0..<between {
      bench.deliver(IPv4Bench.frame(source: other, id: 1000 + id, fragment: 0x2000, Self.first))
    }
    return bench.deliver(IPv4Bench.frame(id: 7, fragment: 2, Self.last)) != .consumed
  }

  @Test(
    "P6 ipfrag_max_dist: after more than so many fragments of the sender's an old half is no part of a new whole"
  )
  func distance() {
    #expect(joins(IPv4Bench(), between: 63))
    let bench = IPv4Bench()
    #expect(!joins(bench, between: 64))
    #expect(bench.count(.IpReasmFails) == 1 && bench.pool.dropCount(.fragmentTooFar) == 1)
    // The half that came last has begun it anew.
    #expect(bench.deliver(IPv4Bench.frame(id: 7, fragment: 0x2000, Self.first)) != .consumed)
    // Others' fragments do not count, and 0 asks nobody.
    #expect(joins(IPv4Bench(), between: 200, from: IPv4Address(10, 0, 0, 9)))
    let off = IPv4Bench()
    off.net.settings.reassemblyDistance = 0
    #expect(joins(off, between: 200))
  }

  @Test("P6 ipfrag_max_dist: a datagram that is begun anew has its whole time again") func time() {
    let bench = IPv4Bench()
    bench.deliver(IPv4Bench.frame(id: 7, fragment: 0x2000, Self.first))
    bench.advance(.seconds(20))
    for id in 0..<64 { bench.deliver(IPv4Bench.frame(id: 1000 + id, fragment: 0x2000, Self.first)) }
    bench.deliver(IPv4Bench.frame(id: 7, fragment: 2, Self.last))
    bench.advance(.seconds(29))
    #expect(bench.deliver(IPv4Bench.frame(id: 7, fragment: 0x2000, Self.first)) != .consumed)
  }

  @Test(
    "P6 ipfrag_high_thresh: beyond it nothing is begun, and what was begun is not finished; 0 begins nothing")
  func memory() {
    let bench = IPv4Bench()
    bench.net.settings.reassemblyMemory = 1
    bench.deliver(IPv4Bench.frame(id: 7, fragment: 0x2000, Self.first))
    bench.deliver(IPv4Bench.frame(id: 8, fragment: 0x2000, Self.first))
    #expect(bench.count(.IpReasmFails) == 1 && bench.pool.dropCount(.reassemblyMemory) == 1)
    #expect(bench.deliver(IPv4Bench.frame(id: 7, fragment: 2, Self.last)) == .consumed)
    #expect(bench.count(.IpReasmFails) == 2 && bench.pool.dropCount(.reassemblyMemory) == 2)
    bench.net.settings.reassemblyMemory = 4 << 20
    #expect(bench.deliver(IPv4Bench.frame(id: 7, fragment: 2, Self.last)) != .consumed)
    bench.net.settings.reassemblyMemory = 0
    #expect(!joins(bench, between: 0))
  }

  /// FragmentSmack: sixteen datagrams are begun, and each of them is sent 255 fragments more.
  @Test("P6 ipfrag_high_thresh: fragments of datagrams that were begun hold no more memory either")
  func begun() {
    let bench = IPv4Bench()
    bench.net.settings.reassemblyMemory = 64 << 10
    let before = bench.pool.buffersInUse
    for place in 0..<256 {
      for id in 0..<16 {
        bench.deliver(IPv4Bench.frame(id: id, fragment: 0x2000 | place * 3, IPv4Bench.pattern(8)))
      }
    }
    #expect(bench.pool.buffersInUse - before <= (64 << 10) / SkBuff.overhead + 1)
    #expect(bench.pool.dropCount(.reassemblyMemory) > 16 * 256 - 60)
  }
}
