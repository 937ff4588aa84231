import IPv4
import Ice
import IceHardware
import NetDevice
import NetNamespace
import SkBuff
import Testing
import Timers
import Trace
import Wire

@testable import Internet

@Suite("What lies below the transports")
struct HostTests {
  @Test("a packet to an address of ours that nobody takes is given back when the host is closed")
  func closing() throws {
    let tracer = Tracer()
    let pool = SkBuffPool(tracer: tracer)
    var net = Net(pool: pool, tracer: tracer, seed: 1, now: Instant(nanoseconds: 1_000_000_000))
    let mac = try #require(MACAddress("02:00:00:00:00:02"))
    let bus = IceBus(txDescriptorCount: 64, rxDescriptorCount: 64)
    var driver = IceDriver(bus: bus, configuration: IceDriver.Configuration(macAddress: mac))
    driver.open(net: &net)
    let device = NetDevice(
      configuration: NetDeviceConfiguration(name: "test0", macAddress: mac), driver: driver, net: &net)
    var host = Host(net: net)
    let ethernet = host.link.devices.add(device)
    try host.addAddress(#require(IPv4Prefix("10.0.0.2/24")), on: ethernet)
    var route = try host.route(to: IPv4Address(10, 0, 0, 2), from: IPv4Address.any)
    guard let skb = host.net.pool.allocate(headroom: 128, linear: 64) else {
      Issue.record("there is packet memory")
      return
    }
    let result = host.output(
      skb, route: &route, options: IPv4SendOptions(protocol: .udp))
    #expect(result == .success)
    host.close()
    // Traps when a packet was leaked.
    pool.destroy()
    tracer.destroy()
  }
}
