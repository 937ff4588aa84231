import IPv4
import SwiftStack
import TestSupport
import Testing
import Wire

private typealias Hand = HandmadePacket

/// By what of a packet one of several next hops is chosen; each line was tried on Linux 6.18 with the same packets.
@Suite struct PathHashTests {
  private static let (from, to) = (IPv4Address(192, 0, 2, 1), IPv4Address(10, 9, 0, 1))
  private static let (inFrom, inTo) = (IPv4Address(172, 16, 0, 1), IPv4Address(172, 17, 0, 1))

  private func bench(policy: Int, fields: Int? = nil) throws -> RouterBench {
    let bench = try RouterBench()
    try bench.change("sysctl net.ipv4.conf.all.send_redirects=0")
    try bench.change("route add 10.9.0.0/16 nexthop via 10.1.0.1 nexthop via 10.2.0.1")
    try bench.change("sysctl net.ipv4.fib_multipath_hash_policy=\(policy)")
    if let fields { try bench.change("sysctl net.ipv4.fib_multipath_hash_fields=\(fields)") }
    return bench
  }

  /// Whether packets that are alike but for a number go different ways.
  private func divides(_ bench: RouterBench, _ packet: (Int) -> [UInt8]) throws -> Bool {
    // As many errors as may be sent at once.
    bench.advance(.milliseconds(100))
    for number in 1...24 { try bench.receive(packet(number), on: "sim0") }
    let counts = [try bench.packets("sim0").count, try bench.packets("sim1").count]
    #expect(counts[0] + counts[1] == 24)
    return counts[0] > 0 && counts[1] > 0
  }

  private static func port(_ number: Int) -> UInt16 { UInt16(1000 + number) }
  private static func address(_ base: IPv4Address, _ number: Int) -> IPv4Address {
    IPv4Address(base.rawValue + UInt32(number))
  }

  /// A packet whose fields are the same for all numbers, but for one.
  private static func plain(_ field: String, _ number: Int) -> [UInt8] {
    let source = field == "source" ? address(from, number) : from
    let target = field == "destination" ? address(to, number) : to
    let payload = Hand.word(field == "sport" ? Int(port(number)) : 7)
    return Hand.ip(
      source, target, protocol: field == "protocol" ? UInt8(60 + number) : 17,
      payload + Hand.word(field == "dport" ? Int(port(number)) : 9) + [0, 9, 0, 0, 1])
  }

  /// The same inside another.
  private static func inside(_ field: String, _ number: Int) -> [UInt8] {
    let source = field == "source" ? address(inFrom, number) : inFrom
    let target = field == "destination" ? address(inTo, number) : inTo
    let payload = Hand.word(field == "sport" ? Int(port(number)) : 7)
    return Hand.ip(
      source, target, protocol: field == "protocol" ? UInt8(60 + number) : 17,
      payload + Hand.word(field == "dport" ? Int(port(number)) : 9) + [0, 9, 0, 0, 1])
  }

  private static func tunnel(_ number: UInt8, fragment: Int = 0, header: [UInt8] = [], _ inner: [UInt8])
    -> [UInt8]
  {
    Hand.ip(from, to, protocol: number, fragment: fragment, header + inner)
  }

  /// RFC 8200: an IPv6 header, and options of 8 bytes in front of UDP.
  private static func six(
    source: Int = 1, target: Int = 2, label: Int = 0, options: Bool = false, port: Int = 7
  ) -> [UInt8] {
    let prefix: [UInt8] = [0x20, 1, 0xD, 0xB8] + [UInt8](repeating: 0, count: 10)
    let udp = Hand.word(port) + Hand.word(9) + [0, 8, 0, 0]
    let extra: [UInt8] = options ? [17, 0, 1, 4, 0, 0, 0, 0] : []
    var bytes: [UInt8] = [0x60, UInt8(label >> 16)] + Hand.word(label)
    bytes += Hand.word(udp.count + extra.count) + [options ? 60 : 17, 64]
    return bytes + prefix + Hand.word(source) + prefix + Hand.word(target) + extra + udp
  }

  @Test("P1 fib_multipath_hash_policy 2: the addresses inside decide, of IPv4 and IPv6, in IP and in GRE")
  func inner() throws {
    let bench = try bench(policy: 2)
    for (gre, name) in [
      ([0, 0, 8, 0], "plain"), ([0xB0, 0, 8, 0] + [UInt8](repeating: 5, count: 12), "sum, key and number"),
      ([0, 0, 0x65, 0x58] + [UInt8](repeating: 2, count: 12) + [8, 0], "Ethernet"),
    ] as [([UInt8], String)] {
      for field in ["source", "destination"] {
        #expect(
          try divides(bench) { Self.tunnel(47, header: gre, Self.inside(field, $0)) }, "\(name) \(field)")
      }
      for field in ["sport", "protocol"] {
        #expect(
          try !divides(bench) { Self.tunnel(47, header: gre, Self.inside(field, $0)) }, "\(name) \(field)")
      }
    }
    for field in ["source", "destination"] {
      #expect(try divides(bench) { Self.tunnel(4, Self.inside(field, $0)) }, "\(field)")
      // A packet in a packet in a packet: the innermost.
      #expect(
        try divides(bench) { Self.tunnel(4, Self.tunnel(4, Self.inside(field, $0))) }, "\(field)")
      #expect(try divides(bench) { Self.plain(field, $0) }, "\(field)")
    }
    for field in ["sport", "dport", "protocol"] {
      #expect(try !divides(bench) { Self.tunnel(4, Self.inside(field, $0)) }, "\(field)")
      #expect(try !divides(bench) { Self.plain(field, $0) }, "\(field)")
    }
    #expect(try divides(bench) { Self.tunnel(41, Self.six(source: $0)) })
    #expect(try divides(bench) { Self.tunnel(41, Self.six(target: $0)) })
    #expect(try divides(bench) { Self.tunnel(41, Self.six(label: $0)) })
    #expect(try !divides(bench) { Self.tunnel(41, Self.six(port: $0)) })
    // What lies outside does not matter where there is an inside.
    #expect(
      try !divides(bench) {
        Hand.ip(Self.address(Self.from, $0), Self.to, protocol: 4, Self.inside("none", 0))
      })
  }

  @Test(
    "P1 fib_multipath_hash_policy 2: no look into fragments, other versions of GRE and what is cut off; 0 and 1 look into none"
  )
  func outer() throws {
    for policy in 0...2 {
      let bench = try bench(policy: policy)
      #expect(
        try !divides(bench) { Self.tunnel(4, fragment: 0x2000, Self.inside("source", $0)) }, "\(policy)")
      for gre in [[0, 1, 8, 0], [0x40, 0, 8, 0], [0, 0, 0x88, 0x47], [0x20, 0, 8]] as [[UInt8]] {
        let isShort = gre.count < 4
        #expect(
          try !divides(bench) { Self.tunnel(47, header: gre, isShort ? [] : Self.inside("source", $0)) },
          "\(policy) \(gre)")
      }
      #expect(try !divides(bench) { Self.tunnel(4, Array(Self.inside("source", $0)[..<19])) }, "\(policy)")
      #expect(try !divides(bench) { Self.tunnel(41, Array(Self.six(source: $0)[..<39])) }, "\(policy)")
      #expect(try divides(bench) { Self.tunnel(4, Self.inside("source", $0)) } == (policy == 2))
      #expect(try divides(bench) { Self.plain("sport", $0) } == (policy == 1))
    }
  }

  @Test(
    "P1 fib_multipath_hash_policy 3: each bit of fib_multipath_hash_fields is one field, of the packet or of what is inside",
    arguments: [
      (0x1, "source"), (0x2, "destination"), (0x4, "protocol"), (0x10, "sport"), (0x20, "dport"),
    ])
  func fields(bit: Int, name: String) throws {
    let names = ["source", "destination", "protocol", "sport", "dport"]
    let own = try bench(policy: 3, fields: bit)
    let inner = try bench(policy: 3, fields: bit << 6)
    for field in names {
      #expect(try divides(own) { Self.plain(field, $0) } == (field == name), "\(field)")
      #expect(try !divides(own) { Self.tunnel(4, Self.inside(field, $0)) }, "\(field)")
      #expect(try divides(inner) { Self.tunnel(4, Self.inside(field, $0)) } == (field == name), "\(field)")
      #expect(try !divides(inner) { Self.plain(field, $0) }, "\(field)")
    }
  }

  @Test("P1 fib_multipath_hash_policy 3: several fields together, and those of IPv6 inside")
  func more() throws {
    let both = try bench(policy: 3, fields: 0x2 | 0x400)
    #expect(try divides(both) { Self.plain("destination", $0) })
    #expect(try divides(both) { Self.tunnel(4, Self.inside("sport", $0)) })
    #expect(try !divides(both) { Self.plain("source", $0) })
    #expect(try !divides(both) { Self.tunnel(4, Self.inside("dport", $0)) })
    // Behind options of IPv6 there are ports as well.
    #expect(try divides(both) { Self.tunnel(41, Self.six(port: $0)) })
    #expect(try divides(both) { Self.tunnel(41, Self.six(options: true, port: $0)) })
    #expect(try !divides(both) { Self.tunnel(41, Self.six(label: $0)) })
    let label = try bench(policy: 3, fields: 0x200)
    #expect(try divides(label) { Self.tunnel(41, Self.six(label: $0)) })
    #expect(try !divides(label) { Self.tunnel(41, Self.six(port: $0)) })
  }

  @Test("P1 fib_multipath_hash_policy 2 and 3 for packets of our own: their own fields, nothing is inside")
  func own() throws {
    for (policy, fields, isDivided) in [
      (2, 7, [true, false]), (3, 7, [true, false]), (3, 0x20, [false, true]), (3, 0x22, [true, true]),
      (3, 0xFC0, [false, false]),
    ] {
      let bench = try bench(policy: policy, fields: fields)
      let socket = try bench.stack.socket(.udp)
      // No device has it: the hash alone decides.
      try bench.stack.apply(.addAddress(#require(IPv4Prefix("10.7.7.7/32")), on: "lo"))
      try socket.bind(to: SocketAddress(IPv4Address(10, 7, 7, 7), port: 0))
      for (index, field) in ["destination", "dport"].enumerated() {
        for number in 1...24 {
          let target = field == "destination" ? Self.address(Self.to, number) : Self.to
          _ = try socket.send([1], to: SocketAddress(target, port: field == "dport" ? Self.port(number) : 9))
        }
        let counts = [try bench.packets("sim0").count, try bench.packets("sim1").count]
        #expect(counts[0] + counts[1] == 24)
        #expect((counts[0] > 0 && counts[1] > 0) == isDivided[index], "\(policy) \(fields) \(field)")
      }
    }
  }

  @Test("P1 an ICMP error of our own gets its next hop by what it is about, as the policy has it")
  func errors() throws {
    for policy in 0...2 {
      let bench = try bench(policy: policy)
      try bench.change("route add 192.0.2.0/24 nexthop via 10.1.0.1 nexthop via 10.2.0.1")
      try bench.change("sysctl net.ipv4.icmp_ratelimit=0")
      /// The packet's last hop is here.
      func last(_ packet: [UInt8]) -> [UInt8] {
        var packet = packet
        (packet[8], packet[10], packet[11]) = (1, 0, 0)
        let sum = ~Hand.sum(packet[..<20]) & 0xFFFF
        packet.replaceSubrange(10..<12, with: Hand.word(sum))
        return packet
      }
      #expect(try divides(bench) { last(Self.plain("destination", $0)) }, "\(policy)")
      #expect(try divides(bench) { last(Self.plain("source", $0)) }, "\(policy)")
      #expect(try divides(bench) { last(Self.plain("sport", $0)) } == (policy == 1), "\(policy)")
      #expect(
        try divides(bench) { last(Self.tunnel(4, Self.inside("source", $0))) } == (policy == 2), "\(policy)")
    }
  }

  @Test("P1 fib_multipath_hash_fields: 1 to 0xFFF, at first addresses and protocol")
  func setting() throws {
    let bench = try RouterBench()
    func value(_ name: String) -> String? { try? bench.stack.setting("net.ipv4.\(name)") }
    #expect(value("fib_multipath_hash_fields") == "7")
    for bad in ["0", "4096", "-1"] {
      #expect(throws: (any Error).self) {
        try bench.change("sysctl net.ipv4.fib_multipath_hash_fields=\(bad)")
      }
    }
    try bench.change("sysctl net.ipv4.fib_multipath_hash_fields=4095")
    #expect(value("fib_multipath_hash_fields") == "4095")
    #expect(throws: (any Error).self) { try bench.change("sysctl net.ipv4.fib_multipath_hash_policy=4") }
    try bench.change("sysctl net.ipv4.fib_multipath_hash_policy=3")
    #expect(value("fib_multipath_hash_policy") == "3")
  }
}
