import NetNamespace
import SwiftStack
import TestSupport
import Testing

/// Whole transfers over a wire that puts frames out of order but loses none.
@Suite("Reordering", .everyVariation)
struct ReorderingTests {
  /// One sender that never stops, one reader that always reads.
  struct Bulk {
    let wire: SimulatedWire
    let sender: Socket
    let reader: Socket

    init(seed: UInt64, delay: Nanoseconds, rate: UInt64, settings: NetSettings = NetSettings()) throws {
      wire = try SimulatedWire(seed: seed, services: false, settings: settings)
      let server = try wire.right.stack.socket(.tcp)
      server.isNonBlocking = true
      try server.bind(to: SocketAddress(.any, port: 9000))
      try server.listen()
      sender = try wire.left.stack.socket(.tcp)
      sender.isNonBlocking = true
      wire.leftToRight.delay = delay
      wire.rightToLeft.delay = delay
      wire.leftToRight.rate = rate
      try? sender.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 9000))
      var accepted: Socket?
      wire.run(for: .seconds(5)) {
        if accepted == nil { accepted = try? server.accept() }
        return accepted != nil
      }
      guard let accepted else { throw SocketError("accept", .ETIMEDOUT) }
      accepted.isNonBlocking = true
      reader = accepted
    }

    /// - Returns: bytes that arrived.
    func run(for span: Nanoseconds) -> Int {
      let block = [UInt8](repeating: 7, count: 65536)
      var total = 0
      wire.run(for: span) {
        while (try? sender.send(block)) != nil {}
        while let bytes = try? reader.receive(upTo: 1 << 20), !bytes.isEmpty { total += bytes.count }
        return false
      }
      return total
    }
  }

  /// 100 Mbit/s, 20 ms there and back: 167 segments under way.
  private func bulk(seed: UInt64, timestamps: Bool, reordering: Bool) throws -> Bulk {
    var settings = NetSettings()
    settings.tcpTimestamps = timestamps
    settings.tcpReadMemory.most = 500_000
    let bulk = try Bulk(seed: seed, delay: .milliseconds(10), rate: 100_000_000, settings: settings)
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
