@_exported import ShardTestSupport
import SwiftStack

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
}
