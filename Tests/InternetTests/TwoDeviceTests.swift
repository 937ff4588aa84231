import DeviceTestSupport
import NetTestSupport
import IPv4
import NetDevice
import NetNamespace
import Neighbour
import SkBuff
import Testing
import Timers
import Wire

@testable import Internet

/// A host with two Ethernet devices, each on a link of its own; nobody above.
final class TwoDevices {
  static let networks = [IPv4Address(10, 0, 1, 0), IPv4Address(10, 0, 2, 0)]

  private let memory = TestMemory()
  var pool: SkBuffPool { memory.pool }
  var host: Host
  var nics: [NIC] = []

  final class NIC {
    let interface: InterfaceIndex
    var card: TestCard
    var macAddress: MACAddress { card.macAddress }
    init(_ interface: InterfaceIndex, _ card: consuming TestCard) {
      self.interface = interface
      self.card = card
    }
  }

  init() throws {
    host = Host(net: memory.net())
    for number in 1...2 {
      let card = TestCard(macAddress: MACAddress(0x0200_0000_0000 + UInt64(number)), txRing: 64, rxRing: 64)
      let interface = host.link.devices.add(card.device(name: "test\(number)", net: &host.net))
      nics.append(NIC(interface, card))
      let address = try #require(IPv4Prefix("10.0.\(number).2/24"))
      try host.addAddress(address, on: interface)
    }
  }

  deinit {
    host.close()
  }

  func route(to destination: IPv4Address) throws -> Route { try host.route(to: destination, from: nil) }
  var neighbours: [NeighbourSnapshot] { host.link.neighbours.snapshot(now: host.net.now) }

  /// What a transport gives down: an empty datagram.
  func datagram() throws -> SkBuff {
    guard var skb = pool.allocate(headroom: 64, linear: 64) else { throw Errno.ENOBUFS }
    skb.put(8)
    skb.setTransportHeader()
    return skb
  }

  /// Sends an empty datagram, as a transport does.
  func send(to destination: IPv4Address, from source: IPv4Address? = nil) throws {
    var route = try host.route(to: destination, from: source)
    _ = host.output(try datagram(), route: &route, options: IPv4SendOptions(protocol: .udp))
  }

  /// The frames that a device puts on its wire.
  func frames(_ number: Int) -> [[UInt8]] {
    var list: [[UInt8]] = []
    while let frame = nics[number].card.nextFrame(now: host.net.now) { list.append(frame) }
    var received = SkBuffQueue()
    if nics[number].card.nic.takeInterrupt(now: host.net.now) {
      _ = host.poll(nics[number].interface, into: &received)
    }
    return list
  }

  /// A frame from a device's wire, and up.
  ///
  /// - Returns: the interface and source of a datagram that a transport would have got.
  @discardableResult
  func receive(_ frame: [UInt8], by number: Int) -> (interface: InterfaceIndex, source: IPv4Address)? {
    nics[number].card.receive(frame, now: host.net.now)
    _ = nics[number].card.nic.takeInterrupt(now: host.net.now)
    var received = SkBuffQueue()
    _ = host.poll(nics[number].interface, into: &received)
    var got: (interface: InterfaceIndex, source: IPv4Address)?
    while let skb = received.popFirst() {
      if case .udp(let datagram, let header) = host.receive(skb) {
        got = (datagram.interface, header.source)
      }
    }
    return got
  }

  static func bytes(_ address: IPv4Address) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: address.rawValue >> (24 - 8 * UInt32($0))) }
  }
  static func bytes(_ address: MACAddress) -> [UInt8] {
    (0..<6).map { UInt8(truncatingIfNeeded: address.rawValue >> (40 - 8 * UInt64($0))) }
  }

  static let station: [UInt8] = [2, 0, 0, 0, 0, 9]

  /// A station on a link asks for, or tells of, an address.
  func arp(
    _ operation: UInt8, _ sender: IPv4Address, for target: IPv4Address, by number: Int,
    station: [UInt8] = station
  ) {
    let own = Self.bytes(nics[number].macAddress)
    receive(
      own + station + [8, 6, 0, 1, 8, 0, 6, 4, 0, operation] + station + Self.bytes(sender) + own
        + Self.bytes(target), by: number)
  }
}

@Suite("Two devices")
struct TwoDeviceTests {
  @Test("N1 each destination leaves by the device of its route, asked for on that link only")
  func sending() throws {
    let two = try TwoDevices()
    for number in 0...1 {
      let peer = IPv4Address(10, 0, UInt8(number + 1), 1)
      try two.send(to: peer)
      let asked = two.frames(number)
      #expect(two.frames(1 - number).isEmpty)
      let question = try #require(asked.first)
      #expect(asked.count == 1 && Array(question[12..<14]) == [8, 6] && question[21] == 1)
      #expect(Array(question[22..<28]) == TwoDevices.bytes(two.nics[number].macAddress))
      #expect(Array(question[28..<32]) == [10, 0, UInt8(number + 1), 2])
      two.arp(2, peer, for: IPv4Address(10, 0, UInt8(number + 1), 2), by: number)
      let sent = two.frames(number)
      let frame = try #require(sent.first)
      #expect(two.frames(1 - number).isEmpty)
      #expect(sent.count == 1 && Array(frame[0..<6]) == TwoDevices.station)
      #expect(Array(frame[6..<12]) == TwoDevices.bytes(two.nics[number].macAddress))
      #expect(Array(frame[26..<34]) == [10, 0, UInt8(number + 1), 2, 10, 0, UInt8(number + 1), 1])
    }
  }

  @Test("N5 a question is answered by the device it came in by, with that device's link-layer address")
  func answering() throws {
    let two = try TwoDevices()
    for number in 0...1 {
      let own = IPv4Address(10, 0, UInt8(number + 1), 2)
      two.arp(1, IPv4Address(10, 0, UInt8(number + 1), 1), for: own, by: number)
      let sent = two.frames(number)
      let reply = try #require(sent.first)
      #expect(two.frames(1 - number).isEmpty)
      #expect(sent.count == 1 && reply[21] == 2)
      #expect(Array(reply[22..<32]) == TwoDevices.bytes(two.nics[number].macAddress) + TwoDevices.bytes(own))
    }
  }

  @Test("N1 the same address at two links is two neighbours")
  func neighbours() throws {
    let two = try TwoDevices()
    let address = IPv4Address(10, 0, 1, 1)
    let stations = [MACAddress(0x0200_0000_0021), MACAddress(0x0200_0000_0022)]
    for number in 0...1 {
      try two.host.setNeighbour(address, on: two.nics[number].interface, hardwareAddress: stations[number])
    }
    let known = two.neighbours
    #expect(known.map(\.hardwareAddress) == stations)
    #expect(known.map(\.interface) == two.nics.map(\.interface))
    let wasThere = two.host.deleteNeighbour(address, on: two.nics[0].interface)
    #expect(wasThere)
    #expect(two.neighbours.map(\.hardwareAddress) == [stations[1]])
  }

  @Test("N1 the same address at two links is two neighbours also where both fall into one bucket")
  func sharedBucket() throws {
    let two = try TwoDevices()
    let stations = [MACAddress(0x0200_0000_0021), MACAddress(0x0200_0000_0022)]
    // Of so many pairs, in a table that stays small, some share one.
    for host in UInt16(3)..<3000 {
      let address = IPv4Address(10, 1, UInt8(host >> 8), UInt8(truncatingIfNeeded: host))
      for number in 0...1 {
        try two.host.setNeighbour(address, on: two.nics[number].interface, hardwareAddress: stations[number])
      }
      #expect(Set(two.neighbours.map(\.hardwareAddress)) == Set(stations), "\(address)")
      for nic in two.nics { _ = two.host.deleteNeighbour(address, on: nic.interface) }
    }
  }

  @Test("P1 a route names its device: by the gateway's link, MTU and source address with it")
  func gateways() throws {
    let two = try TwoDevices()
    try two.host.setMTU(1280, of: two.nics[1].interface)
    try two.host.addRoute(RouteEntry(#require(IPv4Prefix("0.0.0.0/0")), gateway: IPv4Address(10, 0, 2, 1)))
    let far = IPv4Address(192, 0, 2, 1)
    let route = try two.route(to: far)
    #expect(route.interface == two.nics[1].interface && route.mtu == 1280 && route.linkMTU == 1280)
    #expect(route.source == IPv4Address(10, 0, 2, 2))
    let near = try two.route(to: IPv4Address(10, 0, 1, 1))
    #expect(near.interface == two.nics[0].interface && near.mtu == 1500)
    #expect(throws: Errno.ENETUNREACH) {
      try two.host.addRoute(
        RouteEntry(
          #require(IPv4Prefix("198.51.100.0/24")), gateway: IPv4Address(10, 0, 2, 1),
          interface: two.nics[0].interface))
    }
  }

  @Test("P1 a link that goes down takes its own routes and neighbours, and no others")
  func down() throws {
    let two = try TwoDevices()
    let peers = [IPv4Address(10, 0, 1, 1), IPv4Address(10, 0, 2, 1)]
    for number in 0...1 {
      try two.host.setNeighbour(
        peers[number], on: two.nics[number].interface, hardwareAddress: MACAddress(0x0200_0000_0021))
    }
    two.host.setLink(two.nics[0].interface, up: false)
    #expect(throws: Errno.ENETUNREACH) { try two.route(to: peers[0]) }
    #expect(try two.route(to: peers[1]).interface == two.nics[1].interface)
    #expect(
      two.neighbours.map(\.interface) == [two.nics[1].interface])
    two.host.setLink(two.nics[0].interface, up: true)
    #expect(try two.route(to: peers[0]).interface == two.nics[0].interface)
  }

  @Test("S6 IP_PKTINFO: a packet knows the device that it came in by")
  func receiving() throws {
    let two = try TwoDevices()
    for number in 0...1 {
      let source = IPv4Address(10, 0, UInt8(number + 1), 1)
      let own = IPv4Address(10, 0, UInt8(number + 1), 2)
      var packet: [UInt8] = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]
      packet += TwoDevices.bytes(source) + TwoDevices.bytes(own)
      var sum = stride(from: 0, to: 20, by: 2).reduce(UInt32(0)) {
        $0 + UInt32(packet[$1]) << 8 + UInt32(packet[$1 + 1])
      }
      sum = (sum & 0xFFFF) + sum >> 16
      packet[10] = UInt8(truncatingIfNeeded: ~sum >> 8)
      packet[11] = UInt8(truncatingIfNeeded: ~sum)
      packet += [0, 9, 0, 9, 0, 8, 0, 0]
      let frame = TwoDevices.bytes(two.nics[number].macAddress) + TwoDevices.station + [8, 0] + packet
      let got = try #require(two.receive(frame, by: number))
      #expect(got.interface == two.nics[number].interface && got.source == source)
    }
  }
}
