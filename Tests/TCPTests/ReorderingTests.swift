import NetNamespace
import SwiftStack
import TestSupport
import Testing

/// Whole transfers over a wire that puts frames out of order but loses none.
@Suite("Reordering", .everyVariation)
struct ReorderingTests {
  /// 100 Mbit/s, 20 ms there and back: 167 segments under way.
  private func bulk(seed: UInt64, timestamps: Bool, reordering: Bool) throws -> BulkTransfer {
    var settings = NetSettings()
    settings.tcpTimestamps = timestamps
    settings.tcpReadMemory.most = 500_000
    let bulk = try BulkTransfer(seed: seed, delay: .milliseconds(10), rate: 100_000_000, settings: settings)
    if reordering {
      bulk.wire.leftToRight.reorder = 0.02
      bulk.wire.leftToRight.reorderDelay = .milliseconds(3)
    }
    return bulk
  }

  @Test("RFC 3522 2 % of frames 3 ms late and none lost: at least 0.8 of what arrives when all come in order")
  func mild() throws {
    let inOrder = try bulk(seed: 1, timestamps: true, reordering: false).run(for: .milliseconds(400))
    let bulk = try bulk(seed: 1, timestamps: true, reordering: true)
    let mixed = bulk.run(for: .milliseconds(400))
    #expect(mixed * 10 >= inOrder * 8)
    // The degree is learnt from the first needless recovery.
    let sender = try #require(bulk.sender.tcpInfo)
    #expect((10...40).contains(sender.reordering))
    #expect(sender.reorderingSeen > 0)
    #expect(sender.totalRetransmissions < 15)
  }

  /// A D-SACK comes a round trip after its retransmission. When the next episode has begun by then, what the last one took
  /// is not given back, as in Linux: how much arrives before the degree is known is a matter of luck.
  @Test("RFC 3708 without time stamps the degree of reordering is learnt from D-SACKs")
  func withoutTimestamps() throws {
    let bulk = try bulk(seed: 3, timestamps: false, reordering: true)
    let first = bulk.run(for: .milliseconds(600))
    let learnt = try #require(bulk.sender.tcpInfo)
    #expect((10...40).contains(learnt.reordering))
    #expect(learnt.totalRetransmissions < 30)
    // From then on the window grows.
    let second = bulk.run(for: .milliseconds(600))
    let later = try #require(bulk.sender.tcpInfo)
    #expect(second > first)
    #expect(later.totalRetransmissions - learnt.totalRetransmissions < 8)
  }
}
