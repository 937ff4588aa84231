import IPv4
import NetDevice
import NetNamespace
import Netfilter
import SkBuff
import Testing
import Timers
import Wire

@Suite struct OutputTests {
  private func options(
    _ discovery: IPv4SendOptions.PathMTUDiscovery, id: UInt16? = nil, protocol number: IPProtocol = .udp
  ) -> IPv4SendOptions {
    var options = IPv4SendOptions(protocol: number)
    options.pmtuDiscovery = discovery
    options.identification = id
    return options
  }

  @Test("P2 the header of the worked example: checksum 0xB861") func golden() throws {
    // The header 4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7, worked through in many texts.
    let bench = IPv4Bench()
    try bench.ip.addAddress(IPv4Prefix("192.168.0.1/24")!, on: bench.ethernet, link: bench.link)
    try bench.ip.setNeighbour(
      IPv4Address(192, 168, 0, 199), on: bench.ethernet, hardwareAddress: IPv4Bench.peerMAC,
      link: &bench.link, net: &bench.net)
    bench.send(
      [UInt8](repeating: 0, count: 95), to: IPv4Address(192, 168, 0, 199), options: options(.want, id: 0))
    #expect(
      bench.packets().first?[0..<20] == [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xB8, 0x61, 0xC0, 0xA8, 0x00, 0x01, 0xC0,
        0xA8, 0x00, 0xC7,
      ])
  }

  @Test("P2 TOS, TTL and DF follow the options") func fields() {
    let bench = IPv4Bench()
    var wanted = options(.dont)
    wanted.typeOfService = 0xB8
    wanted.timeToLive = 3
    bench.send([1, 2, 3, 4], options: wanted)
    bench.send([1, 2, 3, 4], options: options(.do))
    bench.send([1, 2, 3, 4], options: options(.probe))
    let packets = bench.packets()
    #expect(packets.map { $0[6] } == [0, 0x40, 0x40])
    #expect(packets[0][1] == 0xB8 && packets[0][8] == 3 && packets[1][8] == 64)
    for packet in packets { #expect(IPv4Bench.sum(packet[0..<20]) == 0xFFFF) }
  }

  @Test("P2 RFC 6864 identifications of packets without DF do not repeat to one destination")
  func identification() {
    let bench = IPv4Bench()
    var seen: Set<Int> = []
    for _ in 0..<2000 {
      bench.send([1, 2, 3, 4], options: options(.dont))
      for packet in bench.packets() { #expect(seen.insert(Int(packet[4]) << 8 | Int(packet[5])).inserted) }
    }
    #expect(seen.count == 2000)
  }

  @Test("P6 fragments: 8-byte units, offsets, MF, one identification, payload whole") func fragments() {
    let bench = IPv4Bench()
    let payload = IPv4Bench.pattern(4000)
    bench.send(payload, options: options(.dont, id: 0x1234))
    let packets = bench.packets()
    #expect(packets.map(\.count) == [1500, 1500, 1060])
    // Offsets 0, 185 and 370 units; MF on all but the last.
    #expect(packets.map { [$0[6], $0[7]] } == [[0x20, 0], [0x20, 185], [0x01, 114]])
    for packet in packets {
      #expect(packet[4] == 0x12 && packet[5] == 0x34)
      #expect(IPv4Bench.sum(packet[0..<20]) == 0xFFFF)
    }
    #expect(Array(packets.map { $0[20...] }.joined()) == payload)
    #expect(bench.count(.IpFragCreates) == 3 && bench.count(.IpFragOKs) == 1)
  }

  @Test("P6 a datagram of 65,535 bytes leaves in 45 fragments; one more byte is refused") func largest() {
    let bench = IPv4Bench()
    let payload = IPv4Bench.pattern(65515)
    #expect(bench.send(payload, options: options(.dont)) == .success)
    let packets = bench.packets()
    #expect(packets.count == 45)
    #expect(Array(packets.map { $0[20...] }.joined()) == payload)
    #expect(bench.send(IPv4Bench.pattern(65516), options: options(.dont)) == .dropped)
  }

  @Test("P6 with DF a packet over the MTU is refused, and EMSGSIZE with the MTU waits") func refused() {
    let bench = IPv4Bench()
    bench.ip.learnPathMTU(destination: IPv4Bench.peer, mtu: 1000, link: bench.link, net: &bench.net)
    #expect(bench.send(IPv4Bench.pattern(1200), options: options(.do)) == .dropped)
    #expect(bench.packets().isEmpty)
    let errors = bench.errors()
    #expect(errors.count == 1 && errors.first?.errno == .EMSGSIZE && errors.first?.mtu == 1000)
    // `.probe` looks at the link only; `.want` fragments.
    #expect(bench.send(IPv4Bench.pattern(1200), options: options(.probe)) == .success)
    #expect(bench.packets().map(\.count) == [1220])
    #expect(bench.send(IPv4Bench.pattern(1200), options: options(.want)) == .success)
    #expect(bench.packets().map(\.count) == [996, 244])
  }

  @Test("P6 a partial checksum is finished before the cut") func partialChecksum() {
    let bench = IPv4Bench()
    var payload = IPv4Bench.pattern(3001)
    payload[6] = 0
    payload[7] = 0
    let pseudo = InternetChecksum.pseudoHeader(
      source: IPv4Bench.own, destination: IPv4Bench.peer, protocol: .udp, byteCount: payload.count)
    payload[6] = UInt8(pseudo.partial >> 8)
    payload[7] = UInt8(pseudo.partial & 0xFF)
    var skb = bench.transport(payload)
    skb.setPartialChecksum(start: 0, offset: 6)
    var route = bench.route()
    _ = bench.ip.output(skb, route: &route, options: options(.dont), link: &bench.link, net: &bench.net)
    let whole = Array(bench.packets().map { $0[20...] }.joined())
    #expect(whole.count == 3001)
    let header: [UInt8] = [10, 0, 0, 2, 10, 0, 0, 1, 0, 17, UInt8(3001 >> 8), UInt8(3001 & 0xFF)]
    #expect(IPv4Bench.sum(header + whole) == 0xFFFF)
  }

  @Test("P7 a GSO packet whose segments exceed the path MTU is segmented and fragmented") func gso() {
    let bench = IPv4Bench()
    bench.ip.learnPathMTU(destination: IPv4Bench.peer, mtu: 600, link: bench.link, net: &bench.net)
    let header: [UInt8] = [0x13, 0x88, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0]
    var skb = bench.transport(header + IPv4Bench.pattern(3000), linear: 20)
    skb.gsoSize = 1000
    skb.gsoSegments = 3
    skb.gsoType = .tcpv4
    skb.setPartialChecksum(start: 0, offset: 16)
    var route = bench.route()
    let sent = bench.ip.output(
      skb, route: &route, options: options(.want, protocol: .tcp), link: &bench.link, net: &bench.net)
    #expect(sent == .success)
    let packets = bench.packets()
    #expect(packets.count == 6)
    #expect(packets.allSatisfy { $0.count <= 600 && $0[6] & 0x40 == 0 })
    // Put together again: three segments with valid checksums, the sequence advanced by 1000.
    var payload: [UInt8] = []
    for index in 0..<3 {
      let segment = Array(packets[2 * index][20...] + packets[2 * index + 1][20...])
      let pseudo: [UInt8] = [
        10, 0, 0, 2, 10, 0, 0, 1, 0, 6, UInt8(segment.count >> 8), UInt8(segment.count & 255),
      ]
      #expect(IPv4Bench.sum(pseudo + segment) == 0xFFFF)
      #expect(Int(segment[6]) << 8 | Int(segment[7]) == 1 + 1000 * index)
      payload += segment[20...]
    }
    #expect(payload == IPv4Bench.pattern(3000))
  }

  @Test("P2 a GSO packet's DF identification advances by its segments") func gsoIdentification() {
    let bench = IPv4Bench()
    var route = bench.route()
    let first = route.identification
    let header: [UInt8] = [0x13, 0x88, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0]
    var skb = bench.transport(header + IPv4Bench.pattern(3000), linear: 20)
    skb.gsoSize = 1000
    skb.gsoSegments = 3
    skb.gsoType = .tcpv4
    skb.setPartialChecksum(start: 0, offset: 16)
    _ = bench.ip.output(
      skb, route: &route, options: options(.do, protocol: .tcp), link: &bench.link, net: &bench.net)
    #expect(route.identification == first &+ 3)
    #expect(bench.packets().map(\.count) == [1040, 1040, 1040])
  }

  @Test("P5 a packet to ourselves comes back whole, whatever its size, and never leaves") func loopback() {
    let bench = IPv4Bench()
    for address in [IPv4Bench.own, .loopback] {
      let payload = IPv4Bench.pattern(40000)
      #expect(bench.send(payload, to: address) == .success)
      guard let skb = bench.net.takeBacklog() else {
        Issue.record("the packet comes back")
        return
      }
      let outcome = bench.receive(skb)
      #expect(outcome == .delivered(17, payload: payload, source: address, typeOfService: 0))
    }
    #expect(bench.frames().isEmpty)
  }

  @Test("P5 broadcast goes to ff:ff:ff:ff:ff:ff and to ourselves; groups to 01:00:5e") func broadcast() throws
  {
    let bench = IPv4Bench()
    bench.send([1, 2, 3, 4], to: .broadcast)
    bench.send([1, 2, 3, 4], to: IPv4Address(10, 0, 0, 255))
    bench.join(IPv4Address(239, 129, 2, 3))
    bench.send([1, 2, 3, 4], to: IPv4Address(239, 129, 2, 3))
    let frames = bench.frames()
    #expect(
      frames.map { Array($0[0..<6]) } == [
        [255, 255, 255, 255, 255, 255], [255, 255, 255, 255, 255, 255], [1, 0, 0x5E, 1, 2, 3],
      ])
    // RFC 1112: TTL 1 unless asked otherwise.
    #expect(frames.map { $0[22] } == [64, 64, 1])
    var copies = 0
    while let skb = bench.net.takeBacklog() {
      if case .delivered = bench.receive(skb) { copies += 1 }
    }
    #expect(copies == 3)
    #expect(bench.count(.IpExtOutBcastPkts) == 2 && bench.count(.IpExtOutMcastPkts) == 1)
  }

  @Test(
    "P8 a packet for a host beyond the gateway goes to the gateway's station, and nobody is asked for the host"
  )
  func gateway() {
    let bench = IPv4Bench()
    #expect(bench.send([0x13, 0x88, 0, 53, 0, 8, 0, 0], to: IPv4Address(192, 0, 2, 9)) == .success)
    let frames = bench.frames()
    #expect(frames.map { Array($0[0..<14]) } == [[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]])
    #expect(frames.first?[30..<34] == [192, 0, 2, 9])
  }

  @Test("P8 headroom is grown when a packet has none") func headroom() {
    let bench = IPv4Bench()
    guard var skb = bench.pool.allocate(headroom: 0, linear: 8) else { return }
    unsafe skb.put([UInt8](1...8).span.bytes)
    skb.setTransportHeader()
    var route = bench.route()
    let sent = bench.ip.output(
      skb, route: &route, options: options(.dont), link: &bench.link, net: &bench.net)
    #expect(sent == .success)
    #expect(bench.packets().first?[20...] == [1, 2, 3, 4, 5, 6, 7, 8])
  }

  @Test("P4 the filter drops, or rejects with EHOSTUNREACH, what its first matching rule says")
  func filter() throws {
    let bench = IPv4Bench()
    let filter = PacketFilter()
    var rule = PacketFilter.Rule(.output, .reject)
    rule.protocol = .udp
    rule.destinationPorts = 53...53
    try filter.append(rule, handle: 1)
    bench.ip.hooks.register(filter, at: filter.hooks)
    #expect(bench.send([0x13, 0x88, 0, 53, 0, 8, 0, 0]) == .failed(.EPERM))
    #expect(bench.errors().map(\.errno) == [.EHOSTUNREACH])
    #expect(bench.send([0x13, 0x88, 0, 54, 0, 8, 0, 0]) == .success)
    var incoming = PacketFilter.Rule(.input, .drop)
    incoming.source = IPv4Prefix("10.0.0.1/32")
    try filter.remove(.output, handle: 1)
    try filter.append(incoming, handle: 2)
    bench.ip.hooks.register(filter, at: filter.hooks)
    #expect(bench.deliver(IPv4Bench.frame([0, 1, 0, 2, 0, 8, 0, 0])) == .consumed)
    #expect(filter.rules[0].packetCount == 1)
    #expect(bench.pool.dropCount(.netfilterDrop) == 2)
  }
}
