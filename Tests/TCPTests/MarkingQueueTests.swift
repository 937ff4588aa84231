import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

/// Connections through a queue that marks what waits longer than a threshold (RFC 8257 section 3.1).
@Suite("RFC 8257, RFC 9768 through a queue that marks", .everyVariation)
struct MarkingQueueTests {
  private static let rate: UInt64 = 40_000_000
  /// More than a seventh of the round trip of 10 ms (RFC 8257 section 4.1).
  private static let threshold = Nanoseconds.milliseconds(2)

  private func bulk(_ congestion: CongestionControlKind, ecn: Int, marks: Bool = true) throws -> BulkTransfer
  {
    var settings = NetSettings()
    settings.tcpCongestionControl = congestion
    settings.tcpECN = ecn
    let bulk = try BulkTransfer(seed: 3, delay: .milliseconds(5), rate: Self.rate, settings: settings)
    if marks { bulk.wire.leftToRight.markBeyond = Self.threshold }
    return bulk
  }

  /// Of the path's rate, less headers.
  private func share(_ bytes: Int, seconds: Int) -> Double {
    Double(bytes) * 8 / Double(Self.rate) / Double(seconds) * 1514 / 1448
  }

  @Test("DCTCP: the queue stays at the threshold, and the path is full; nothing is lost", arguments: [0, 3])
  func shortQueue(ecn: Int) throws {
    let bulk = try bulk(.dctcp, ecn: ecn)
    _ = bulk.run(for: .seconds(2))
    bulk.wire.forgetWaits()
    let bytes = bulk.run(for: .seconds(2))
    #expect(share(bytes, seconds: 2) > 0.97)
    #expect(bulk.wire.longestWait < Self.threshold * 2)
    #expect(bulk.wire.marked > 0 && bulk.sender.tcpInfo?.totalRetransmissions == 0)
    // Each window is closed by as much as was marked of it, never by half.
    let index = bulk.sender.id.index
    let alpha = bulk.wire.left.stack.shards[0].inspect { shard -> UInt32 in
      switch shard.sockets.tcp.sockets[index].sender.congestion {
      case .dctcp(let dctcp): return dctcp.value.alpha
      default: return 1024
      }
    }
    #expect(alpha > 0 && alpha < 512)
  }

  @Test("without marks DCTCP's queue is as long as the buffers let it be, as Reno's is")
  func longQueue() throws {
    let bulk = try bulk(.dctcp, ecn: 0, marks: false)
    _ = bulk.run(for: .seconds(2))
    #expect(bulk.wire.longestWait > Self.threshold * 4)
  }

  @Test("Accurate ECN: sender and receiver agree on how many packets and bytes were marked")
  func agreement() throws {
    for congestion in [CongestionControlKind.cubic, .reno, .dctcp] {
      let bulk = try bulk(congestion, ecn: 3)
      _ = bulk.run(for: .seconds(1))
      bulk.wire.run(for: .seconds(2)) {
        while let bytes = try? bulk.reader.receive(upTo: 1 << 20), !bytes.isEmpty {}
        return bulk.sender.tcpInfo?.unacknowledged == 0
      }
      let sent = try #require(bulk.sender.tcpInfo)
      let received = try #require(bulk.reader.tcpInfo).accurateECN
      #expect(sent.unacknowledged == 0 && received.receivedMarked > 0)
      #expect(UInt64(received.receivedMarked) == sent.deliveredMarked)
      #expect(received.receivedBytes == sent.accurateECN.deliveredBytes)
      #expect(sent.accurateECN.failures == 0 && received.failures == 0)
      #expect(bulk.wire.longestWait < .milliseconds(40))
    }
  }
}
