@_exported import ShardTestSupport
import SwiftStack
import Testing
import Wire

extension SimulatedStack: CableEnd {
  public func receive(_ frame: SimulatedFrame) { receive(frame, queue: nil) }
}

/// Two stacks joined by a cable.
public typealias SimulatedWire = Cable<SimulatedStack>

extension Cable where End == SimulatedStack {
  public convenience init(
    seed: UInt64 = 1, mtu: Int = 1500, lendsEngines: Bool = false, services: Bool = true,
    settings: NetSettings = NetSettings(), packetMemory: Int = 512 << 20, queues: Int = 1
  ) throws {
    let seed = seed &+ Variation.current.seedOffset
    func configuration(_ last: UInt8) -> StackConfiguration {
      var configuration = StackConfiguration(
        name: "sim\(last)", address: IPv4Prefix(IPv4Address(10, 0, 0, last), length: 24)!,
        macAddress: MACAddress(0x0200_0000_0000 | UInt64(last)), mtu: mtu)
      configuration.services = services
      configuration.announcesAddress = false
      configuration.settings = settings
      configuration.packetMemory = packetMemory
      return configuration
    }
    let left = try SimulatedStack(
      configuration(1), queues: queues, lendsEngines: lendsEngines, seed: seed &* 2 &+ 1)
    let right = try SimulatedStack(
      configuration(2), queues: queues, lendsEngines: lendsEngines, seed: seed &* 2 &+ 2)
    self.init(left: left, right: right, seed: seed)
  }

  /// A connection from left to right, the client's socket not blocking.
  public func connect(port: UInt16 = 5000) throws -> (client: Socket, server: Socket) {
    let listener = try right.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: port))
    try listener.listen()
    listener.isNonBlocking = true
    let client = try left.stack.socket(.tcp)
    client.isNonBlocking = true
    do {
      try client.connect(to: SocketAddress(Self.rightAddress, port: port))
    } catch {
      guard error.errno == .EINPROGRESS else { throw error }
    }
    var server: Socket?
    run(for: .seconds(120)) {
      server = try? listener.accept()
      return server != nil
    }
    let accepted = try #require(server, "the handshake did not end in time")
    #expect(run(for: .seconds(30)) { client.readiness.contains(.writable) })
    return (client, accepted)
  }
}
