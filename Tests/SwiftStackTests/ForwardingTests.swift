import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket
private let client = RouterBench.client
private let server = RouterBench.server

/// A packet's field.
private func source(_ packet: [UInt8]) -> [UInt8] { Array(packet[12..<16]) }
private func destination(_ packet: [UInt8]) -> [UInt8] { Array(packet[16..<20]) }
private func word(_ packet: [UInt8], _ place: Int) -> Int { Int(packet[place]) << 8 + Int(packet[place + 1]) }

/// The stack as a router between two interfaces. What is expected is what the kernel (6.18) did with the same packets.
@Suite struct ForwardingTests {
  private func datagram(
    ttl: UInt8 = 64, id: Int = 1, fragment: Int = 0, tos: UInt8 = 0, options: [UInt8] = [], bytes: Int = 100,
    to: IPv4Address = server
  ) -> [UInt8] {
    Hand.udp(
      SocketAddress(client, port: 5000), SocketAddress(to, port: 53), ttl: ttl, id: id, fragment: fragment,
      tos: tos, options: options, (0..<bytes).map { UInt8(truncatingIfNeeded: $0) })
  }

  @Test(
    "P1 forwarding: off until net.ipv4.ip_forward says otherwise; then one hop less and nothing else changes")
  func onAndOff() throws {
    let off = try RouterBench(forwards: false)
    #expect(try off.forward(datagram()).isEmpty)
    #expect(off.count("IpInAddrErrors") == 1 && off.count("IpForwDatagrams") == 0)
    let bench = try RouterBench()
    try bench.receive(datagram(), on: "sim0")
    let frames = try bench.host.takeFrames(on: "sim1")
    #expect(frames.count == 1)
    let frame = try #require(frames.first).bytes
    #expect(Array(frame[0..<6]) == [2, 0, 0, 0, 0, 0x22])
    let out = Array(frame[14...])
    #expect(out == datagram(ttl: 63) && Hand.isIntact(out))
    #expect(try bench.packets("sim0").isEmpty)
    #expect(bench.count("IpForwDatagrams") == 1 && bench.count("IpOutTransmits") == 1)
    #expect(bench.count("IpOutRequests") == 0 && bench.count("IpInDelivers") == 0)
    #expect(bench.count("IpExtOutOctets") == 128 && bench.count("IpInAddrErrors") == 0)
  }

  @Test("P2 forwarding: the header's checksum stays right whatever it was")
  func checksums() throws {
    let bench = try RouterBench()
    for id in stride(from: 0, through: 65535, by: 97) {
      for ttl: UInt8 in [2, 64, 255] {
        let out = try bench.forward(datagram(ttl: ttl, id: id, bytes: 0))
        #expect(out == [datagram(ttl: ttl - 1, id: id, bytes: 0)], "\(id) \(ttl)")
      }
    }
  }

  @Test("P4 forwarding: the last hop is told of, with what was left of the packet")
  func timeExceeded() throws {
    let bench = try RouterBench()
    #expect(try bench.forward(datagram(ttl: 1)).isEmpty)
    let answers = try bench.packets("sim0")
    let answer = try #require(answers.first)
    #expect(answers.count == 1 && Hand.isIntact(answer))
    #expect(source(answer) == [10, 1, 0, 2] && destination(answer) == [10, 1, 0, 1])
    #expect(answer[20] == 11 && answer[21] == 0 && answer[1] == 0xC0)
    #expect(Array(answer[28..<56]) == Array(datagram(ttl: 1)[0..<28]))
    #expect(bench.count("IpInHdrErrors") == 1 && bench.count("IpForwDatagrams") == 0)
    #expect(bench.count("IcmpOutTimeExcds") == 1)
    #expect(try bench.forward(datagram(ttl: 2)).count == 1)
  }

  @Test("P6 forwarding: over the MTU with DF the sender is told how much fits; without, it is cut")
  func tooBig() throws {
    let bench = try RouterBench(mtu: 1000)
    #expect(try bench.forward(datagram(fragment: 0x4000, bytes: 1200)).isEmpty)
    let answer = try #require(try bench.packets("sim0").first)
    #expect(answer[20] == 3 && answer[21] == 4 && word(answer, 26) == 1000 && Hand.isIntact(answer))
    #expect(bench.count("IpFragFails") == 1 && bench.count("IpForwDatagrams") == 1)
    let whole = datagram(id: 77, bytes: 1200)
    let pieces = try bench.forward(whole)
    #expect(pieces.map(\.count) == [996, 252] && pieces.allSatisfy { Hand.sum($0[..<20]) == 0xFFFF })
    #expect(pieces.map { word($0, 6) } == [0x2000, 122])
    #expect(pieces.flatMap { $0[20...] } == Array(whole[20...]))
    #expect(bench.count("IpFragOKs") == 1 && bench.count("IpFragCreates") == 2)
    #expect(bench.count("IpForwDatagrams") == 2)
  }

  @Test("P6 forwarding: a piece that is cut once more stays where it is in its datagram, and more follow it")
  func fragmentOfFragment() throws {
    let bench = try RouterBench(mtu: 1000)
    let piece = Hand.ip(
      client, server, protocol: 17, id: 9, fragment: 0x2000 | 185, [UInt8](repeating: 7, count: 1200))
    let pieces = try bench.forward(piece)
    #expect(pieces.map { word($0, 6) } == [0x2000 | 185, 0x2000 | (185 + 122)])
    let last = Hand.ip(client, server, protocol: 17, id: 9, fragment: 370, [UInt8](repeating: 7, count: 1200))
    #expect(try bench.forward(last).map { word($0, 6) } == [0x2000 | 370, 370 + 122])
  }

  @Test("P4 forwarding: what a route says of its destinations is what their senders are told")
  func noWay() throws {
    let bench = try RouterBench()
    for (route, code) in [("", 0), ("unreachable", 1), ("prohibit", 13), ("blackhole", -1)] {
      let target = IPv4Address(192, 0, 2, UInt8(9 + code + 1))
      if !route.isEmpty { try bench.change("route add \(route) \(target)/32") }
      #expect(try bench.forward(datagram(to: target)).isEmpty)
      let answers = try bench.packets("sim0")
      #expect(answers.map { Int($0[21]) } == (code < 0 ? [] : [code]), "\(route)")
      bench.advance(.seconds(70))
    }
    #expect(bench.count("IpExtInNoRoutes") == 1 && bench.count("IcmpOutDestUnreachs") == 3)
  }

  @Test(
    "P4 forwarding: of twenty packets without a way in two seconds two are told of, as Linux's ip_error() does"
  )
  func routeErrorLimit() throws {
    let bench = try RouterBench()
    for _ in 0..<20 {
      #expect(try bench.forward(datagram(to: IPv4Address(192, 0, 2, 9))).isEmpty)
      bench.advance(.milliseconds(100))
    }
    #expect(bench.count("IcmpOutDestUnreachs") == 2 && bench.count("IpExtInNoRoutes") == 20)
    #expect(bench.count("IcmpOutRateLimitHost") == 2)
  }

  @Test("N2 forwarding: when nobody has the next hop the sender is told after three seconds")
  func noNeighbour() throws {
    let bench = try RouterBench()
    #expect(try bench.forward(datagram(to: IPv4Address(10, 2, 0, 77))).isEmpty)
    bench.advance(.milliseconds(2900))
    #expect(try bench.packets("sim0").isEmpty)
    bench.advance(.milliseconds(300))
    let answer = try #require(try bench.packets("sim0").first)
    #expect(answer[20] == 3 && answer[21] == 1 && Array(answer[28 + 16..<28 + 20]) == [10, 2, 0, 77])
  }

  @Test(
    "P4 forwarding: back out by the same link its sender is told of the better way, ever more seldom, nine times"
  )
  func redirects() throws {
    let bench = try RouterBench()
    try bench.stack.replaceNeighbour(IPv4Address(10, 1, 0, 9), hardwareAddress: MACAddress(0x0200_0000_0099))
    try bench.change("route add 198.51.100.0/24 via 10.1.0.9")
    let packet = datagram(to: IPv4Address(198, 51, 100, 1))
    try bench.receive(packet, on: "sim0")
    let out = try bench.packets("sim0")
    #expect(out.count == 2)
    let redirect = try #require(out.first { $0[9] == 1 })
    #expect(redirect[20] == 5 && redirect[21] == 1 && Array(redirect[24..<28]) == [10, 1, 0, 9])
    #expect(Hand.isIntact(redirect) && redirect[28 + 8] == 63)
    #expect(out.contains { $0[9] == 17 && $0[8] == 63 })
    var told = 1
    for _ in 0..<3000 {
      bench.advance(.milliseconds(10))
      try bench.receive(packet, on: "sim0")
      told += try bench.packets("sim0").count { $0[9] == 1 }
    }
    #expect(told == 9 && bench.count("IcmpOutRedirects") == 9)
    // Who was silent for 20 s is told anew.
    bench.advance(.seconds(21))
    try bench.receive(packet, on: "sim0")
    #expect(bench.count("IcmpOutRedirects") == 10)
    try bench.stack.set("net.ipv4.conf.all.send_redirects", to: "0")
    bench.advance(.seconds(21))
    try bench.receive(packet, on: "sim0")
    #expect(bench.count("IcmpOutRedirects") == 10)
  }

  @Test(
    "U7 forwarding: a recorded route takes the address of the link that the packet leaves by, a time stamp ours"
  )
  func options() throws {
    let bench = try RouterBench()
    let record: [UInt8] = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    let out = try #require(try bench.forward(datagram(options: record)).first)
    #expect(Array(out[20..<32]) == [7, 11, 8, 10, 2, 0, 2, 0, 0, 0, 0, 0] && Hand.sum(out[..<32]) == 0xFFFF)
    let stamp: [UInt8] = [68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    let other = try #require(try bench.forward(datagram(options: stamp)).first)
    #expect(Array(other[20..<28]) == [68, 12, 13, 1, 10, 1, 0, 2] && Hand.sum(other[..<32]) == 0xFFFF)
    #expect(try bench.forward(datagram(options: [131, 7, 4, 10, 2, 0, 9, 0])).isEmpty)
  }

  @Test(
    "P1 forwarding: 240.0.0.0/4 and 0.0.0.0/8 are addresses as others are, to and from; tried on Linux 6.18")
  func formerMartians() throws {
    let bench = try RouterBench()
    for network in ["240.0.0.0/8", "0.1.0.0/16", "255.255.255.254/32"] {
      try bench.change("route add \(network) via 10.2.0.1 dev sim1")
    }
    let odd = [IPv4Address(240, 0, 0, 1), IPv4Address(0, 1, 2, 3), IPv4Address(255, 255, 255, 254)]
    for address in odd {
      #expect(try bench.forward(datagram(to: address)).count == 1, "\(address)")
      let from = Hand.udp(SocketAddress(address, port: 1), SocketAddress(server, port: 2), [1])
      #expect(try bench.forward(from).count == 1, "\(address)")
    }
    #expect(bench.count("IpInAddrErrors") == 0)
  }

  @Test("U7 P1 a source route of another host's: refused, loose passed on as it is, strict told of")
  func sourceRoutes() throws {
    let bench = try RouterBench()
    let hops: [UInt8] = [7, 4, 10, 3, 0, 3, 0]
    #expect(try bench.forward(datagram(options: [131] + hops)).isEmpty)
    #expect(try bench.forward(datagram(options: [137] + hops)).isEmpty && bench.packets("sim0").isEmpty)
    try bench.stack.set("net.ipv4.conf.all.accept_source_route", to: "1")
    let out = try #require(try bench.forward(datagram(options: [131] + hops)).first)
    #expect(Array(out[16..<28]) == [10, 2, 0, 1, 131] + hops)
    #expect(try bench.forward(datagram(options: [137] + hops)).isEmpty)
    let error = try #require(try bench.packets("sim0").first)
    #expect([error[20], error[21], error[24]] == [12, 0, 16])
    #expect(bench.count("IpInHdrErrors") == 0)
  }

  @Test("P1 forwarding: what is for no host, or was sent to everybody on the link, is not passed on")
  func martians() throws {
    let bench = try RouterBench()
    #expect(try bench.forward(datagram(to: .any)).isEmpty)
    // Linux counts those that it does not pass on because it is no router, and no others.
    #expect(bench.count("IpInAddrErrors") == 0)
    let all = [UInt8](repeating: 0xFF, count: 6) + [2, 0, 0, 0, 0, 0x11, 8, 0] + datagram()
    try bench.host.receive(SimulatedFrame(bytes: all), on: "sim0")
    #expect(try bench.packets("sim1").isEmpty && bench.count("IpForwDatagrams") == 0)
    #expect(try bench.packets("sim0").isEmpty)
  }

  /// From and to, whether it was broadcast on the link.
  private func received(
    _ bench: RouterBench, _ from: IPv4Address, _ to: IPv4Address, isForAll: Bool = false,
    protocol number: UInt8 = 17
  ) throws -> [[UInt8]] {
    let packet =
      number == 17
      ? Hand.udp(SocketAddress(from, port: 7), SocketAddress(to, port: 9), [1])
      : Hand.ip(from, to, protocol: number, [0x16, 0, 0, 0, 0, 0, 0, 0])
    if isForAll {
      let all = [UInt8](repeating: 0xFF, count: 6) + [2, 0, 0, 0, 0, 0x11, 8, 0] + packet
      try bench.host.receive(SimulatedFrame(bytes: all), on: "sim0")
      return []
    }
    return try bench.forward(packet)
  }

  @Test(
    "P1 forwarding: a network's broadcast address for a source is passed on, unless sources are looked at")
  func broadcastSources() throws {
    let bench = try RouterBench()
    for source in [IPv4Address(10, 1, 0, 255), IPv4Address(10, 2, 0, 255)] {
      #expect(try received(bench, source, server).count == 1)
    }
    // Our own is refused all the same, and so is a broadcast source for ourselves.
    #expect(try received(bench, RouterBench.near, server).isEmpty)
    _ = try received(bench, IPv4Address(10, 1, 0, 255), RouterBench.near)
    #expect(bench.count("UdpNoPorts") == 0)
    for filter in ["1", "2"] {
      try bench.stack.set("net.ipv4.conf.all.rp_filter", to: filter)
      #expect(try received(bench, IPv4Address(10, 1, 0, 255), server).isEmpty)
    }
    #expect(bench.count("TcpExtIPReversePathFilter") == 0 && bench.count("IpInAddrErrors") == 0)
  }

  @Test(
    "P1 0.0.0.0 for a source: to everybody on the link and to its groups, not to a network's broadcast address"
  )
  func nobody() throws {
    let bench = try RouterBench(forwards: false)
    let socket = try bench.stack.socket(.udp)
    let membership = HandmadePacket.octets(IPv4Address(239, 1, 1, 1)) + [10, 1, 0, 2]
    // Safe: a byte has no padding.
    try socket.setsockopt(level: 0, name: 35, value: unsafe membership.span.bytes)
    for (to, number, isTaken) in [
      (IPv4Address(10, 1, 0, 255), UInt8(17), false), (.broadcast, 17, true),
      (IPv4Address(239, 1, 1, 1), 17, false), (IPv4Address(239, 1, 1, 1), 2, true),
      (IPv4Address(224, 0, 0, 1), 17, true), (RouterBench.near, 17, false),
    ] {
      let before = bench.count("IpInDelivers")
      _ = try received(bench, .any, to, isForAll: true, protocol: number)
      bench.advance(.milliseconds(1))
      #expect(bench.count("IpInDelivers") == before + (isTaken ? 1 : 0), "\(to) \(number)")
    }
    #expect(bench.count("IpInAddrErrors") == 0)
  }

  @Test(
    "P1 src_valid_mark: a packet's mark counts where its source is looked at", arguments: ["all", "sim0"])
  func markedSources(of interface: String) throws {
    let bench = try RouterBench()
    try bench.change("sysctl net.ipv4.conf.all.rp_filter=1")
    try bench.change("route add 192.0.2.0/24 via 10.2.0.1")
    try bench.change("route add 192.0.2.0/24 via 10.1.0.1 table 100")
    try bench.change("rule add fwmark 7 lookup 100")
    try bench.filter("prerouting meta mark set 7")
    let from = Hand.udp(
      SocketAddress(IPv4Address(192, 0, 2, 1), port: 1), SocketAddress(server, port: 2), [1])
    #expect(try bench.forward(from).isEmpty && bench.count("TcpExtIPReversePathFilter") == 1)
    try bench.change("sysctl net.ipv4.conf.\(interface).src_valid_mark=1")
    #expect(try bench.forward(from).count == 1)
  }

  @Test("P1 rp_filter: what came by the wrong device is dropped; loose, what comes from nowhere")
  func reversePath() throws {
    let bench = try RouterBench()
    let wrong = Hand.udp(
      SocketAddress(IPv4Address(10, 2, 0, 5), port: 1), SocketAddress(server, port: 2), [1])
    #expect(try bench.forward(wrong).count == 1)
    try bench.stack.set("net.ipv4.conf.all.rp_filter", to: "1")
    #expect(try bench.forward(wrong).isEmpty && bench.count("TcpExtIPReversePathFilter") == 1)
    #expect(try bench.forward(datagram()).count == 1)
    try bench.stack.set("net.ipv4.conf.all.rp_filter", to: "2")
    #expect(try bench.forward(wrong).count == 1)
    let nowhere = Hand.udp(
      SocketAddress(IPv4Address(192, 0, 2, 5), port: 1), SocketAddress(server, port: 2), [1])
    #expect(try bench.forward(nowhere).isEmpty && bench.count("TcpExtIPReversePathFilter") == 2)
  }

  @Test(
    "P7 forwarding: a packet that stands for several is cut into them, and those into pieces, where they do not fit"
  )
  func largePackets() throws {
    let bench = try RouterBench(mtu: 1000, lendsEngines: true)
    let payload = (0..<4200).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var packet = Hand.tcp(
      SocketAddress(client, port: 4000), SocketAddress(server, port: 80), 0x18, acknowledgment: 1, payload)
    // DF off; the checksum is the sender's to leave undone.
    packet[6] = 0
    packet[10] = 0
    packet[11] = 0
    packet.replaceSubrange(10..<12, with: Hand.word(~Hand.sum(packet[..<20]) & 0xFFFF))
    let pseudo = Hand.sum(Hand.pseudo(packet, packet.count - 20))
    packet.replaceSubrange(36..<38, with: Hand.word(pseudo))
    var metadata = WireFrameMetadata()
    metadata.gsoType = .tcpv4
    metadata.gsoSize = 1400
    metadata.headerByteCount = 54
    metadata.needsChecksum = true
    metadata.checksumStart = 34
    metadata.checksumOffset = 16
    try bench.receive(packet, on: "sim0", metadata: metadata)
    let pieces = try bench.packets("sim1")
    #expect(pieces.map(\.count) == [996, 464, 996, 464, 996, 464])
    // Put together again they are segments with right checksums.
    for place in stride(from: 0, to: pieces.count, by: 2) {
      let segment = Hand.ip(
        client, server, protocol: 6, Array(pieces[place][20...]) + Array(pieces[place + 1][20...]))
      #expect(Hand.isIntact(segment))
    }
    #expect(pieces.flatMap { word($0, 6) & 0x1FFF == 0 ? $0[40...] : $0[20...] } == payload)
    #expect(bench.count("IpForwDatagrams") == 1 && bench.count("IpFragOKs") == 3)
    #expect(bench.count("IpFragCreates") == 6)
    // What fits is left to the device.
    let wide = try RouterBench(lendsEngines: true)
    try wide.receive(packet, on: "sim0", metadata: metadata)
    let frames = try wide.host.takeFrames(on: "sim1")
    #expect(frames.count == 1 && frames[0].metadata.gsoSize == 1400 && frames[0].metadata.needsChecksum)
    // With DF the segments, not the whole, decide.
    packet[6] = 0x40
    packet.replaceSubrange(10..<12, with: [0, 0])
    packet.replaceSubrange(10..<12, with: Hand.word(~Hand.sum(packet[..<20]) & 0xFFFF))
    try wide.receive(packet, on: "sim0", metadata: metadata)
    #expect(try wide.host.takeFrames(on: "sim1").count == 1)
    try bench.receive(packet, on: "sim0", metadata: metadata)
    #expect(try bench.packets("sim1").isEmpty)
    #expect(try bench.packets("sim0").first.map { $0[21] } == 4)
  }

  @Test(
    "P2 forwarding: a checksum that the sender left to a device is finished; UDP without one stays without")
  func checksumLeftUndone() throws {
    let bench = try RouterBench(lendsEngines: true)
    var packet = datagram(bytes: 40)
    let whole = packet
    packet.replaceSubrange(26..<28, with: Hand.word(Hand.sum(Hand.pseudo(packet, 48))))
    var metadata = WireFrameMetadata()
    metadata.needsChecksum = true
    metadata.checksumStart = 34
    metadata.checksumOffset = 6
    try bench.receive(packet, on: "sim0", metadata: metadata)
    let frame = try #require(try bench.host.takeFrames(on: "sim1").first)
    if frame.metadata.needsChecksum {
      #expect(Array(frame.bytes[14 + 26..<14 + 28]) == Array(packet[26..<28]))
      #expect(frame.metadata.checksumStart == 34 && frame.metadata.checksumOffset == 6)
    } else {
      #expect(Array(frame.bytes[14 + 26..<14 + 28]) == Array(whole[26..<28]))
    }
    let none = Hand.udp(
      SocketAddress(client, port: 1), SocketAddress(server, port: 2), hasChecksum: false, [1, 2, 3])
    try bench.receive(none, on: "sim0")
    let out = try #require(try bench.packets("sim1").first)
    #expect(out[26] == 0 && out[27] == 0)
  }

  @Test("P4 the forward hook sees both devices; drop and every kind of reject are what their names say")
  func forwardHook() throws {
    let bench = try RouterBench()
    try bench.filter("forward iifname sim0 oifname sim1 udp dport 53 drop")
    #expect(try bench.forward(datagram()).isEmpty && bench.packets("sim0").isEmpty)
    let other = Hand.udp(SocketAddress(client, port: 1), SocketAddress(server, port: 54), [1])
    #expect(try bench.forward(other).count == 1)
    try bench.change("filter del forward handle 1")
    for (name, code) in [
      ("net-unreachable", 0), ("host-unreachable", 1), ("prot-unreachable", 2), ("port-unreachable", 3),
      ("net-prohibited", 9), ("host-prohibited", 10), ("admin-prohibited", 13),
    ] {
      try bench.filter("forward reject with icmp type \(name)")
      bench.advance(.seconds(70))
      #expect(try bench.forward(datagram()).isEmpty)
      #expect(try bench.packets("sim0").map { [Int($0[20]), Int($0[21])] } == [[3, code]], "\(name)")
      let handle = try #require(bench.stack.hooks.rules.first?.handle)
      try bench.change("filter del forward handle \(handle)")
    }
    try bench.filter("forward ip protocol tcp reject with tcp reset")
    let syn = Hand.tcp(SocketAddress(client, port: 4000), SocketAddress(server, port: 80), 2, sequence: 7)
    #expect(try bench.forward(syn).isEmpty)
    let reset = try #require(try bench.packets("sim0").first)
    #expect(source(reset) == [10, 2, 0, 1] && reset[33] == 0x14 && Hand.isIntact(reset))
    #expect(Array(reset[28..<32]) == [0, 0, 0, 8] && Array(reset[20..<24]) == [0, 80, 15, 160])
    let push = Hand.tcp(
      SocketAddress(client, port: 4000), SocketAddress(server, port: 80), 0x18, sequence: 7,
      acknowledgment: 99, [1])
    #expect(try bench.forward(push).isEmpty)
    let second = try #require(try bench.packets("sim0").first)
    #expect(second[33] == 4 && Array(second[24..<28]) == [0, 0, 0, 99])
    let end = Hand.tcp(SocketAddress(client, port: 4000), SocketAddress(server, port: 80), 4, sequence: 7)
    #expect(try bench.forward(end).isEmpty && bench.packets("sim0").isEmpty)
  }
}
