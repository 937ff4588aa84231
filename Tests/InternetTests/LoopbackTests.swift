import IPv4
import NetDevice
import NetNamespace
import SkBuff
import Testing
import Timers
import Wire

@testable import Internet

/// `lo` among a host's devices. What is expected was tried on Linux 6.18 (`ip route get`, `ip -s link show lo`).
@Suite("The loopback device")
struct LoopbackTests {
  private let own = IPv4Address(10, 0, 1, 2)

  /// What waits in the backlog, taken in turn by turn.
  private func receive(_ two: TwoDevices) -> [(interface: InterfaceIndex, source: IPv4Address)] {
    var got: [(InterfaceIndex, IPv4Address)] = []
    while two.host.net.hasBacklog {
      var queue = SkBuffQueue()
      two.host.pollBacklog(into: &queue)
      while let skb = queue.popFirst() {
        if case .udp(let datagram, let header) = two.host.receive(skb) {
          got.append((datagram.interface, header.source))
        }
      }
    }
    return got
  }

  @Test("P5 lo is a host's first device: number 1, MTU 65536, no queue, no station address, 127.0.0.1/8")
  func first() throws {
    let two = try TwoDevices()
    #expect(two.host.link.devices.indices.map(\.rawValue) == [1, 2, 3])
    let names = two.host.link.devices.indices.map { two.host.link.devices[$0].name }
    #expect(names == ["lo", "test1", "test2"])
    let interface = InterfaceIndex.loopback
    #expect(two.host.link.devices[interface].mtu == 65536)
    #expect(two.host.link.devices[interface].qdiscSnapshot.kind == .noqueue)
    #expect(two.host.link.devices[interface].transmitQueueLength == 1000)
    #expect(two.host.link.devices[interface].macAddress == .zero)
    let addresses = two.host.internet.addresses
    #expect(addresses.first?.prefix == IPv4Prefix("127.0.0.1/8") && addresses.first?.interface == interface)
  }

  @Test("P5 lo hears no ARP: what is announced goes out by the devices that have neighbours")
  func announced() throws {
    let two = try TwoDevices()
    two.host.announceAddresses()
    #expect(two.host.link.devices[.loopback].statistics.sentPackets == 0 && !two.host.net.hasBacklog)
    #expect(two.host.net.counters[.ArpOutRequests] == 2)
  }

  @Test("P5 127/8 and our own addresses are reached by lo, with the source and MTU that Linux's routes have")
  func routes() throws {
    let two = try TwoDevices()
    for (text, source) in [
      ("127.0.0.1", "127.0.0.1"), ("127.1.2.3", "127.0.0.1"), ("10.0.1.2", "10.0.1.2"),
      ("10.0.2.2", "10.0.2.2"),
    ] {
      let route = try two.route(to: #require(IPv4Address(text)))
      #expect(route.interface == .loopback && route.kind == .local && "\(route.source)" == source)
      #expect(route.mtu == 65535 && route.linkMTU == 65535)
    }
    let broadcast = try two.route(to: #require(IPv4Address("127.255.255.255")))
    #expect(broadcast.interface == .loopback && broadcast.kind == .broadcast)
    #expect("\(broadcast.source)" == "127.0.0.1")
    // Others are not told of 127.0.0.1.
    let other = try two.host.route(to: .broadcast, from: own)
    #expect(other.interface == two.nics[0].interface && other.source == own)
  }

  @Test("P5 lo counts what it carries in both directions, from the IP header on; taps see it once")
  func counts() throws {
    let two = try TwoDevices()
    two.host.link.devices[.loopback].startCapture(slots: 8, snapByteCount: 128)
    try two.send(to: own)
    try two.send(to: .loopback)
    try two.send(to: #require(IPv4Address("127.255.255.255")))
    let got = receive(two)
    #expect(got.map(\.source) == [own, .loopback, .loopback])
    let counts = two.host.link.devices[.loopback].statistics
    #expect(counts.sentPackets == 3 && counts.receivedPackets == 3)
    #expect(counts.sentBytes == 84 && counts.receivedBytes == 84)
    #expect(two.host.net.counters[.IpOutTransmits] == 3 && two.host.net.counters[.IpInReceives] == 3)
    let frames = two.host.link.devices[.loopback].capturedFrames(from: 0).frames
    #expect(frames.count == 3 && frames.allSatisfy { $0.direction == .incoming })
    let first = try #require(frames.first)
    #expect(Array(first.bytes[0..<14]) == [UInt8](repeating: 0, count: 12) + [8, 0])
    #expect(Array(first.bytes[26..<34]) == [10, 0, 1, 2, 10, 0, 1, 2])
    for nic in two.nics { #expect(two.host.link.devices[nic.interface].statistics.sentPackets == 0) }
  }

  @Test("S6 IP_PKTINFO: what we send to ourselves came in by the device of the address it was sent to")
  func packetInfo() throws {
    let two = try TwoDevices()
    for address in [own, IPv4Address(10, 0, 2, 2), .loopback] { try two.send(to: address) }
    #expect(receive(two).map(\.interface) == [two.nics[0].interface, two.nics[1].interface, .loopback])
  }

  @Test("P5 a packet to ourselves is off its socket's account when it is on its way up")
  func account() throws {
    let two = try TwoDevices()
    let account = SocketAccount(pool: two.pool, socket: 7)
    var route = try two.route(to: own)
    var skb = try two.datagram()
    skb.chargeWrite(to: account, socket: 7)
    #expect(account.writeAllocated > 0)
    _ = two.host.output(skb, route: &route, options: IPv4SendOptions(protocol: .udp))
    #expect(two.host.net.hasBacklog && account.writeAllocated == 0)
    _ = receive(two)
  }

  @Test("P1 a device without an address sends with another's, but never with one that only this host knows")
  func hostScope() throws {
    let two = try TwoDevices()
    let far = IPv4Address(198, 51, 100, 1)
    try two.host.removeAddress(IPv4Address(10, 0, 2, 2))
    try two.host.addRoute(
      RouteEntry(#require(IPv4Prefix("198.51.100.0/24")), interface: two.nics[1].interface))
    #expect(try two.route(to: far).source == own)
  }

  @Test("P5 an address of lo is reached by it with all of its network, and goes with it")
  func addresses() throws {
    let two = try TwoDevices()
    let service = try #require(IPv4Prefix("192.0.2.0/28").flatMap { IPv4Prefix($0.address, length: 28) })
    let address = IPv4Address(192, 0, 2, 1)
    let other = IPv4Address(192, 0, 2, 9)
    try two.host.addAddress(#require(IPv4Prefix(address, length: service.length)), on: .loopback)
    for one in [address, other] { #expect(try two.route(to: one).kind == .local) }
    try two.send(to: other)
    #expect(receive(two).map(\.interface) == [.loopback])
    try two.host.removeAddress(address)
    #expect(throws: Errno.ENETUNREACH) { try two.route(to: address) }
    try two.host.removeAddress(.loopback)
    #expect(throws: Errno.ENETUNREACH) { try two.route(to: .loopback) }
  }

  @Test("P5 with a smaller MTU lo has what it carries cut, and it is put together again")
  func fragments() throws {
    let two = try TwoDevices()
    try two.host.setMTU(1000, of: .loopback)
    var route = try two.route(to: own)
    #expect(route.mtu == 1000 && route.linkMTU == 1000)
    guard var skb = two.pool.allocate(headroom: 64, linear: 1800) else { return }
    skb.put(1800)
    skb.setTransportHeader()
    var options = IPv4SendOptions(protocol: .udp)
    options.pmtuDiscovery = .dont
    #expect(two.host.output(skb, route: &route, options: options) == .success)
    #expect(two.host.link.devices[.loopback].statistics.sentPackets == 2)
    let got = receive(two)
    #expect(got.count == 1 && got.first?.interface == two.nics[0].interface)
  }

  @Test("P5 one turn takes at most 64 packets to ourselves, so that the NIC gets its own")
  func turns() throws {
    let two = try TwoDevices()
    for _ in 0..<70 { try two.send(to: own) }
    var queue = SkBuffQueue()
    two.host.pollBacklog(into: &queue)
    #expect(queue.count == 64 && two.host.net.hasBacklog)
    two.host.pollBacklog(into: &queue)
    #expect(queue.count == 70 && !two.host.net.hasBacklog)
    queue.removeAll()
  }

  @Test("D1 to ourselves segments are left whole, TCP's and UDP's")
  func segmentation() throws {
    let two = try TwoDevices()
    #expect(
      two.host.link.features(of: .loopback).contains([.scatterGather, .checksum, .tsoV4, .udpSegmentation]))
  }
}
