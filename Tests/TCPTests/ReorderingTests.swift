import NetNamespace
import SwiftStack
import TestSupport
import Testing

/// Whole transfers over a wire that puts frames out of order but loses none.
@Suite("Reordering")
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
  private func bytes(
    seed: UInt64, timestamps: Bool, reordering: Bool
  ) throws -> (count: Int, sender: TCPInfo) {
    var settings = NetSettings()
    settings.tcpTimestamps = timestamps
    settings.tcpReadMemory.most = 500_000
    let bulk = try Bulk(seed: seed, delay: .milliseconds(10), rate: 100_000_000, settings: settings)
    if reordering {
      bulk.wire.leftToRight.reorder = 0.02
      bulk.wire.leftToRight.reorderDelay = .milliseconds(3)
    }
    let count = bulk.run(for: .milliseconds(700))
    return (count, try #require(bulk.sender.tcpInfo))
  }

  @Test("RFC 3522 2 % of frames 3 ms late and none lost: at least 0.8 of what arrives when all come in order")
  func mild() throws {
    for seed in [UInt64(1), 2] {
      let inOrder = try bytes(seed: seed, timestamps: true, reordering: false)
      let mixed = try bytes(seed: seed, timestamps: true, reordering: true)
      #expect(mixed.count * 10 >= inOrder.count * 8)
      // The degree is learnt from the first needless recovery.
      #expect((10...40).contains(mixed.sender.reordering))
      #expect(mixed.sender.reorderingSeen > 0)
      #expect(mixed.sender.totalRetransmissions < 10)
    }
  }

  @Test("RFC 3708 without time stamps the degree of reordering is learnt from D-SACKs")
  func withoutTimestamps() throws {
    let mixed = try bytes(seed: 3, timestamps: false, reordering: true)
    #expect((10...40).contains(mixed.sender.reordering))
    #expect(mixed.sender.totalRetransmissions < 15)
    #expect(mixed.count > 4_000_000)
  }
}
