import IceModel
import Testing

@testable import Shard

/// The NIC's times are timers of the shard as all others: whoever runs it has one deadline to sleep to.
@Suite struct WireRetryTests {
  /// Takes nothing while it is full.
  private final class FullWire: Wire {
    var isFull = true
    var tries = 0
    var sizes: [Int] = []

    override func transmit(_ frame: borrowing FrameVector, _ metadata: WireFrameMetadata) -> WireOutcome {
      tries += 1
      if isFull { return .wouldBlock }
      sizes.append(frame.byteCount)
      return .done(0)
    }
  }

  @Test(
    "D7 a frame that the wire would not take stays with the NIC, is tried again after 200 us; none is lost")
  func retry() throws {
    var configuration = StackConfiguration()
    configuration.announcesAddress = false
    let host = try SimulatedShard(configuration)
    let wire = FullWire()
    func send(_ count: Int, on shard: inout Shard) throws(Errno) {
      let sender = try shard.socket(.udp)
      defer { shard.finish(sender) }
      // SO_BROADCAST: no neighbour has to answer.
      try shard.setsockopt(sender, level: 1, name: 6, 1)
      try shard.send(
        sender, [UInt8](repeating: 1, count: count), to: SocketAddress(IPv4Address(10, 0, 0, 255), port: 9))
    }
    try host.run { (shard) throws(Errno) in
      shard.port = WirePort(wire)
      for count in [100, 200] { try send(count, on: &shard) }
    }
    #expect(wire.tries == 1 && wire.sizes.isEmpty)
    for round in 1...5 {
      let deadline = try #require(host.nextDeadline)
      #expect(deadline == .origin + .microseconds(200 * Int64(round)))
      host.advance(to: deadline)
      #expect(wire.tries == 1 + round && wire.sizes.isEmpty)
    }
    wire.isFull = false
    host.advance(to: host.now + .microseconds(199))
    #expect(wire.sizes.isEmpty)
    host.advance(to: host.now + .microseconds(1))
    #expect(wire.sizes == [142, 242])
    // What the NIC writes back late is waited for, too.
    try host.run { (shard) throws(Errno) in
      shard.nic.faults.writeBackDelay = .microseconds(100)
      try send(100, on: &shard)
    }
    #expect(wire.sizes.count == 3)
    let interrupt = try #require(host.nextDeadline)
    #expect(interrupt == host.now + .microseconds(100))
    host.advance(to: interrupt)
    let left = host.run { $0.host.net.pool.buffersInUse }
    #expect(left == 0)
  }
}
