import TestSupport
import Testing

@testable import SwiftStack

/// An MTU below Ethernet's is what we send; the NIC takes in what Ethernet has.
@Suite struct SmallMTUTests {
  @Test(
    "D8 a NIC that is opened for a smaller MTU takes in a peer's frames of 1,514 bytes, and no longer ones")
  func received() throws {
    let peer = try FramePeer { $0.mtu = 1400 }
    func isAnswered(_ byteCount: Int) -> Bool {
      peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0, [UInt8](repeating: 7, count: byteCount - 28))))
      return !peer.takePackets().isEmpty
    }
    #expect(isAnswered(1400))
    #expect(isAnswered(1500))
    #expect(!isAnswered(1509))
  }

  @Test(
    "D8 a transfer goes on when the receiver's NIC is opened anew for a smaller MTU",
    arguments: [false, true])
  func transfer(lendsEngines: Bool) throws {
    let wire = try SimulatedWire(lendsEngines: lendsEngines)
    let (client, server) = try wire.connect()
    let pump = StreamPump(from: server, to: client, byteCount: 1_000_003)
    #expect(try !pump.step())
    wire.left.stack.shards[0].enter { $0.reopenNIC(mtu: 1400) }
    var isDone = false
    wire.run(for: .seconds(60)) {
      isDone = (try? pump.step()) ?? true
      return isDone
    }
    #expect(isDone && pump.isIntact && pump.received == 1_000_003)
  }
}
