import IceModel
import Testing

@testable import Shard

/// How often the wire is asked for frames.
@Suite struct WireReadTests {
  /// Has so many frames for another station.
  private final class StockedWire: Wire {
    var stock = 0
    var looks = 0
    var byteCount = 60

    override func receive(
      into frame: borrowing FrameVector, _ metadata: inout WireFrameMetadata
    ) -> WireOutcome {
      looks += 1
      guard stock > 0 else { return .wouldBlock }
      stock -= 1
      return .done(byteCount)
    }
  }

  private let wire = StockedWire()
  private let host: SimulatedShard

  init() throws {
    var configuration = StackConfiguration()
    configuration.announcesAddress = false
    let wire = wire
    host = try SimulatedShard(configuration)
    host.run { $0.port = WirePort(wire) }
  }

  /// One turn that finds `count` frames.
  ///
  /// - Returns: how often the wire was asked, and whether the turn wants another.
  private func turn(_ count: Int) -> (looks: Int, mayHaveMore: Bool) {
    wire.stock += count
    wire.looks = 0
    let mayHaveMore = host.run { $0.turn(isReadable: true, frameLimit: 256).mayHaveMore }
    return (wire.looks, mayHaveMore)
  }

  @Test("R frames that come one by one cost one look each; every eighth turn looks for a second")
  func alone() {
    #expect(turn(1) == (2, false))
    for _ in 0..<3 {
      for _ in 0..<7 { #expect(turn(1) == (1, false)) }
      #expect(turn(1) == (2, false))
    }
  }

  @Test(
    "R frames that come together are taken together from the first turn that sees a second, until one comes alone"
  )
  func together() {
    #expect(turn(5) == (6, false))
    #expect(turn(5) == (6, false))
    #expect(turn(1) == (2, false))
    // Seven turns leave what comes behind the first frame to the next turn.
    for _ in 0..<7 { #expect(turn(2) == (1, false)) }
    #expect(wire.stock == 7)
    #expect(turn(0) == (8, false))
    #expect(turn(3) == (4, false))
  }

  @Test("R a long frame is a part of more: each turn looks for a second")
  func long() {
    #expect(turn(1) == (2, false))
    wire.byteCount = 513
    for _ in 0..<3 { #expect(turn(1) == (2, false)) }
    wire.byteCount = 512
    #expect(turn(1) == (1, false))
  }

  @Test("R an empty wire says nothing about how frames come")
  func nothing() {
    #expect(turn(0) == (1, false))
    #expect(turn(1) == (2, false))
    #expect(turn(0) == (1, false))
    #expect(turn(1) == (1, false))
  }

  @Test("D8 what a poll leaves when its budget is spent is polled at the same entry")
  func spentBudget() {
    // A broadcast of a type that nobody takes.
    let frame =
      [UInt8](repeating: 0xFF, count: 6) + [2, 0, 0, 0, 0, 9, 0x88, 0xB5] + [UInt8](repeating: 0, count: 46)
    host.run { shard in
      for _ in 0..<200 { shard.receive(SimulatedFrame(bytes: frame)) }
    }
    // Asked before the next entry drains.
    #expect(host.run { $0.host.link.devices[$0.ethernet].statistics.receivedPackets } == 200)
  }
}
