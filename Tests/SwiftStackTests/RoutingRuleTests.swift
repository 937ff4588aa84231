import IPv4
import SwiftStack
import TestSupport
import Testing
import Wire

private typealias Hand = HandmadePacket
private let (client, server) = (RouterBench.client, RouterBench.server)
private let target = IPv4Address(198, 51, 100, 1)

/// Rules that ask for protocol, ports and user; tried on Linux 6.18 with the same devices and routes.
@Suite struct RoutingRuleTests {
  /// The default route leads over `sim0`, that of table 100, which a rule leads to, over `sim1`.
  private func bench(_ rule: String) throws -> RouterBench {
    let bench = try RouterBench()
    try bench.change("route add default via 10.1.0.1")
    try bench.change("route add default via 10.2.0.1 table 100")
    if !rule.isEmpty { try bench.change("rule add \(rule) lookup 100") }
    return bench
  }

  /// The one packet that leaves, and by which device.
  private func sent(_ bench: RouterBench) throws -> (way: String, packet: [UInt8])? {
    let (near, far) = (try bench.packets("sim0"), try bench.packets("sim1"))
    guard near.count + far.count == 1 else { return nil }
    return near.isEmpty ? ("sim1", far[0]) : ("sim0", near[0])
  }

  private func socket(
    _ bench: RouterBench, _ kind: SocketKind, port: UInt16 = 0, user: UInt32 = 0
  ) throws -> Socket {
    let socket = try bench.stack.socket(kind)
    socket.isNonBlocking = true
    if user != 0 { try socket.setUser(user) }
    if port != 0 { try socket.bind(to: SocketAddress(.any, port: port)) }
    return socket
  }

  private func connected(
    _ bench: RouterBench, to port: UInt16, from own: UInt16 = 0, user: UInt32 = 0
  ) throws -> (way: String, packet: [UInt8])? {
    let socket = try socket(bench, .tcp, port: own, user: user)
    do { try socket.connect(to: SocketAddress(target, port: port)) } catch {
      if error.errno != .EINPROGRESS { throw error }
    }
    return try sent(bench)
  }

  @Test("P1 rules: protocol and ports decide about a connection's way, and with it about its source")
  func connections() throws {
    for (rule, port, own, way) in [
      ("ipproto tcp", UInt16(80), UInt16(0), "sim1"), ("ipproto 6", 80, 0, "sim1"),
      ("ipproto udp", 80, 0, "sim0"), ("not ipproto tcp", 80, 0, "sim0"),
      ("dport 80", 80, 0, "sim1"), ("dport 80", 81, 0, "sim0"), ("dport 80-90", 80, 0, "sim1"),
      ("dport 80-90", 90, 0, "sim1"), ("dport 80-90", 79, 0, "sim0"), ("dport 80-90", 91, 0, "sim0"),
      ("sport 4000", 80, 4000, "sim1"), ("sport 4000", 80, 4001, "sim0"), ("sport 80", 80, 4000, "sim0"),
      ("ipproto tcp dport 80 sport 4000-4001", 80, 4001, "sim1"),
      ("ipproto tcp dport 80 sport 4000-4001", 81, 4001, "sim0"),
    ] {
      let out = try connected(bench(rule), to: port, from: own)
      #expect(out?.way == way, "\(rule)")
      #expect(out.map { Array($0.packet[12..<16]) } == [10, way == "sim1" ? 2 : 1, 0, 2], "\(rule)")
    }
  }

  @Test("P1 rules: the port and the source that connect() chose are asked for too, the source stays")
  func chosenPort() throws {
    for rule in ["sport 32768-60999", "from 10.1.0.2"] {
      let out = try connected(bench(rule), to: 80)
      #expect(out?.way == "sim1" && out.map { Array($0.packet[12..<16]) } == [10, 1, 0, 2], "\(rule)")
    }
    let bench = try bench("")
    try bench.change("rule add sport 32768-60999 unreachable")
    let socket = try socket(bench, .tcp)
    for _ in 0..<2 {
      let error = #expect(throws: SocketError.self) {
        try socket.connect(to: SocketAddress(target, port: 80))
      }
      #expect(error?.errno == .ENETUNREACH)
      #expect(try socket.localAddress.address == IPAddress(IPv4Address.any))
    }
    // Nothing is left that would be in the way.
    try bench.change("rule del sport 32768-60999")
    let error = #expect(throws: SocketError.self) { try socket.connect(to: SocketAddress(target, port: 80)) }
    #expect(error?.errno == .EINPROGRESS)
    #expect(try sent(bench)?.way == "sim0")
  }

  @Test("P1 rules: a datagram's way is that of its ports, of each anew, connected or not")
  func datagrams() throws {
    let bench = try bench("ipproto udp dport 53-54")
    let socket = try socket(bench, .udp)
    for (port, way) in [(UInt16(53), "sim1"), (55, "sim0"), (54, "sim1"), (54, "sim1"), (52, "sim0")] {
      _ = try socket.send([1], to: SocketAddress(target, port: port))
      #expect(try sent(bench)?.way == way, "\(port)")
    }
    try socket.connect(to: SocketAddress(target, port: 53))
    for _ in 0..<2 {
      _ = try socket.send([1])
      let out = try sent(bench)
      #expect(out?.way == "sim1" && out.map { Array($0.packet[12..<16]) } == [10, 2, 0, 2])
    }
    _ = try socket.send([1], to: SocketAddress(target, port: 99))
    // The source is the connection's: it leaves by the other device all the same.
    #expect(try sent(bench)?.way == "sim0")
    let own = try self.bench("sport 7000")
    for (port, way) in [(UInt16(7000), "sim1"), (7001, "sim0")] {
      let socket = try self.socket(own, .udp, port: port)
      _ = try socket.send([1], to: SocketAddress(target, port: 9))
      #expect(try sent(own)?.way == way, "\(port)")
    }
    // The source that connect() chose is asked for, the one that a send has not chosen yet is not.
    let source = try self.bench("from 10.1.0.2")
    let third = try self.socket(source, .udp)
    _ = try third.send([1], to: SocketAddress(target, port: 9))
    #expect(try sent(source)?.way == "sim0")
    try third.connect(to: SocketAddress(target, port: 9))
    _ = try third.send([1])
    #expect(try sent(source)?.way == "sim1")
  }

  @Test("P1 rules: an echo request has its type for a destination port, and the protocol ICMP")
  func echoes() throws {
    for (rule, way) in [
      ("ipproto icmp", "sim1"), ("ipproto tcp", "sim0"), ("dport 2048", "sim1"), ("sport 2048", "sim0"),
    ] {
      let bench = try bench(rule)
      let socket = try socket(bench, .ping)
      _ = try socket.send([8, 0, 0, 0, 0, 0, 0, 1], to: SocketAddress(target, port: 0))
      #expect(try sent(bench)?.way == way, "\(rule)")
    }
  }

  @Test("P1 rules: a socket's user is root until it is made another's; connections are their listener's")
  func users() throws {
    for (user, way) in [(UInt32(5), "sim1"), (6, "sim1"), (4, "sim0"), (7, "sim0"), (0, "sim0")] {
      let bench = try bench("uidrange 5-6")
      #expect(try connected(bench, to: 80, user: user)?.way == way, "\(user)")
      let socket = try socket(bench, .udp, user: user)
      #expect(socket.user == user)
      _ = try socket.send([1], to: SocketAddress(target, port: 9))
      #expect(try sent(bench)?.way == way, "\(user)")
      try socket.setUser(5)
      _ = try socket.send([1], to: SocketAddress(target, port: 9))
      #expect(try sent(bench)?.way == "sim1", "\(user)")
    }
    let root = try bench("uidrange 0-0")
    #expect(try connected(root, to: 80)?.way == "sim1")
  }

  @Test("P1 rules: the SYN-ACK of a listener and a reset go by the ports and the user that they have")
  func replies() throws {
    let from = SocketAddress(target, port: 4000)
    for (rule, flags, way) in [
      ("sport 80 dport 4000", UInt8(0x12), "sim1"), ("dport 80", 0x12, "sim0"),
      ("uidrange 5-5", 0x12, "sim1"), ("ipproto tcp", 0x12, "sim1"), ("sport 81", 0x14, "sim1"),
      ("uidrange 5-5", 0x14, "sim0"), ("uidrange 0-0", 0x14, "sim1"),
    ] {
      let bench = try bench(rule)
      let listener = try socket(bench, .tcp, port: 80, user: 5)
      try listener.listen(backlog: 4)
      let port: UInt16 = flags == 0x12 ? 80 : 81
      try bench.receive(Hand.tcp(from, SocketAddress(RouterBench.near, port: port), 2), on: "sim0")
      let out = try sent(bench)
      #expect(out?.way == way && out?.packet[33] == flags, "\(rule)")
    }
    // The accepted connection is its listener's user's.
    let bench = try bench("uidrange 5-5")
    let listener = try socket(bench, .tcp, port: 80, user: 5)
    try listener.listen(backlog: 4)
    let near = SocketAddress(RouterBench.near, port: 80)
    try bench.receive(Hand.tcp(from, near, 2, sequence: 1000), on: "sim0")
    let answer = try #require(try sent(bench)).packet
    let number = answer[24..<28].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    try bench.receive(Hand.tcp(from, near, 0x10, sequence: 1001, acknowledgment: number &+ 1), on: "sim0")
    let accepted = try listener.accept()
    #expect(accepted.user == 5)
    _ = try accepted.send([1])
    #expect(try sent(bench)?.way == "sim1")
  }

  @Test("P1 rules: a forwarded packet's protocol and ports are read, a fragment's are not known")
  func forwarding() throws {
    let (from, to) = (SocketAddress(client, port: 7), SocketAddress(IPv4Address(192, 0, 2, 1), port: 9))
    let udp = Hand.udp(from, to, [1])
    let first = Hand.udp(from, to, fragment: 0x2000, [UInt8](repeating: 1, count: 16))
    let tcp = Hand.tcp(from, to, 2)
    let echo = Hand.icmp(client, IPv4Address(192, 0, 2, 1), 8, 0, rest: [0, 1, 0, 1])
    let esp = Hand.ip(client, IPv4Address(192, 0, 2, 1), protocol: 50, [0, 7, 0, 9, 0, 0, 0, 0])
    for (rule, packet, passes) in [
      ("ipproto udp", udp, true), ("ipproto udp", tcp, false), ("ipproto udp", first, true),
      ("sport 7 dport 9", udp, true), ("sport 7", tcp, true), ("dport 9", tcp, true), ("dport 7", tcp, false),
      ("sport 9", udp, false), ("dport 9", first, false), ("ipproto icmp", echo, true),
      ("dport 2048", echo, false), ("sport 7 dport 9", esp, true), ("uidrange 0-0", udp, true),
      ("uidrange 1-4", udp, false), ("iif lo dport 9", udp, false), ("iif sim0 dport 9", udp, true),
    ] {
      let bench = try RouterBench()
      try bench.change("route add 192.0.2.0/24 via 10.2.0.1 table 100")
      try bench.change("rule add \(rule) lookup 100")
      #expect(try bench.forward(packet).count == (passes ? 1 : 0), "\(rule)")
    }
  }

  @Test("P1 rules: a filter of sources asks for the way back, with the ports the other way round")
  func reversePath() throws {
    for (rule, passes) in [("sport 9 dport 7", true), ("sport 7 dport 9", false)] {
      let bench = try RouterBench()
      try bench.change("sysctl net.ipv4.conf.all.rp_filter=1")
      try bench.change("route add 192.0.2.0/24 via 10.1.0.1 table 100")
      try bench.change("route add 192.0.2.0/24 via 10.2.0.1")
      try bench.change("rule add \(rule) lookup 100")
      let packet = Hand.udp(
        SocketAddress(IPv4Address(192, 0, 2, 1), port: 7), SocketAddress(server, port: 9), [1])
      #expect(try bench.forward(packet).count == (passes ? 1 : 0), "\(rule)")
    }
  }

  @Test("P1 rules: what a table has is passed over up to a length of its prefix, what refuses is not")
  func suppressed() throws {
    let bench = try bench("")
    try bench.change("rule add priority 10 lookup main suppress_prefixlength 0")
    try bench.change("rule add priority 20 lookup 100")
    let socket = try socket(bench, .udp)
    func way() throws -> String? {
      _ = try socket.send([1], to: SocketAddress(target, port: 9))
      return try sent(bench)?.way
    }
    #expect(try way() == "sim1")
    try bench.change("route add 198.51.100.0/24 via 10.1.0.1")
    #expect(try way() == "sim0")
    try bench.change("rule del priority 10 suppress_prefixlength 0")
    try bench.change("rule add priority 10 lookup main sup_pl 24")
    #expect(try way() == "sim1")
    try bench.change("rule del priority 10")
    try bench.change("rule add priority 10 lookup main sup_pl 23")
    #expect(try way() == "sim0")
    try bench.change("route del 198.51.100.0/24")
    try bench.change("route add unreachable 198.51.100.0/24")
    try bench.change("rule del priority 10")
    try bench.change("rule add priority 10 lookup main sup_pl 24")
    let error = #expect(throws: SocketError.self) { try way() }
    #expect(error?.errno == .EHOSTUNREACH)
  }

  @Test("P1 rules: one that refuses is ENETUNREACH, EACCES or EINVAL, whatever the tables have")
  func refusals() throws {
    for (action, errno) in [
      ("unreachable", Errno.ENETUNREACH), ("prohibit", .EACCES), ("blackhole", .EINVAL),
    ] {
      let bench = try bench("")
      try bench.change("rule add ipproto udp dport 9 \(action)")
      let socket = try socket(bench, .udp)
      let error = #expect(throws: SocketError.self) {
        try socket.send([1], to: SocketAddress(target, port: 9))
      }
      #expect(error?.errno == errno)
      _ = try socket.send([1], to: SocketAddress(target, port: 8))
      #expect(try sent(bench)?.way == "sim0")
    }
  }

  @Test("P1 rules: a packet that a hook sends another way goes by its protocol and ports")
  func rerouted() throws {
    let bench = try bench("fwmark 7 ipproto udp dport 9")
    try bench.filter("output meta mark set 7")
    let socket = try socket(bench, .udp)
    for (port, way) in [(UInt16(9), "sim1"), (10, "sim0")] {
      _ = try socket.send([1], to: SocketAddress(target, port: port))
      #expect(try sent(bench)?.way == way, "\(port)")
    }
  }

  @Test(
    "P1 a packet that a hook sends another way stays on the device that its socket is bound to, and is no user's any more"
  )
  func reroutedBound() throws {
    // What leads over `sim1` is not asked; a socket that is bound elsewhere stays there.
    let marked = try bench("fwmark 7")
    try marked.filter("output meta mark set 7")
    for (device, way) in [(0, "sim1"), (2, "sim0"), (3, "sim1")] as [(Int32, String)] {
      let datagrams = try socket(marked, .udp)
      let stream = try socket(marked, .tcp)
      for socket in [datagrams, stream] where device != 0 {
        try socket.setsockopt(level: 1, name: 62, device)
      }
      _ = try datagrams.send([1], to: SocketAddress(target, port: 9))
      #expect(try sent(marked)?.way == way, "\(device)")
      _ = try datagrams.send([UInt8](repeating: 1, count: 2000), to: SocketAddress(target, port: 9))
      let pieces = [try marked.packets("sim0").count, try marked.packets("sim1").count]
      #expect(pieces == (way == "sim0" ? [2, 0] : [0, 2]))
      _ = #expect(throws: SocketError.self) { try stream.connect(to: SocketAddress(target, port: 80)) }
      #expect(try sent(marked)?.way == way, "\(device)")
    }
    let owned = try bench("uidrange 1000-1000")
    let datagrams = try socket(owned, .udp, user: 1000)
    _ = try datagrams.send([1], to: SocketAddress(target, port: 9))
    #expect(try sent(owned)?.way == "sim1")
    try owned.filter("output meta mark set 7")
    _ = try datagrams.send([1], to: SocketAddress(target, port: 9))
    #expect(try sent(owned)?.way == "sim0")
  }

  @Test("P1 rules: read and printed as ip rule does")
  func words() throws {
    let bench = try RouterBench()
    // As iproute2 6.1 printed them on Linux 6.18.
    let printed = [
      ("ipproto tcp dport 80 lookup 100", "from all ipproto tcp dport 80 lookup 100"),
      ("ipproto 17 sport 1000-2000 lookup 101", "from all ipproto udp sport 1000-2000 lookup 101"),
      ("uidrange 1-5 lookup 102", "from all uidrange 1-5 lookup 102"),
      ("not ipproto icmp lookup 103", "not from all ipproto icmp lookup 103"),
      ("from all suppress_prefixlength 0 lookup main", "from all lookup main suppress_prefixlength 0"),
      ("ipproto 200 lookup 7", "from all ipproto ipproto-200 lookup 7"),
      (
        "not tos 0x10 fwmark 1/3 iif lo oif lo uidrange 0-0 ipproto tcp sport 1 dport 2-3 sup_pl 3 lookup 9",
        "not from all tos 0x10 fwmark 0x1/0x3 iif lo oif lo uidrange 0-0 ipproto tcp sport 1 dport 2-3 lookup 9 "
          + "suppress_prefixlength 3"
      ),
      ("sport 5-5 lookup 1", "from all sport 5 lookup 1"), ("ipproto 0 lookup 1", "from all lookup 1"),
      ("uidrange 3-4294967294 lookup 5", "from all uidrange 3-4294967294 lookup 5"),
      ("ipproto SCTP lookup 2", "from all ipproto sctp lookup 2"),
      ("ipproto 47 lookup 3", "from all ipproto gre lookup 3"),
      ("suppress_prefixlength 33 lookup 1", "from all lookup 1 suppress_prefixlength 33"),
    ]
    for (rule, text) in printed {
      try bench.change("rule add \(rule)")
      #expect(bench.stack.ruleReports[1].text == text)
    }
    #expect(bench.stack.ruleReports.map(\.priority).prefix(3) == [0, 32753, 32754])
    for (wrong, sentence) in [
      ("sport 0", "Invalid sport range."), ("sport 5-4", "Invalid sport range."),
      ("sport 0-4", "Invalid sport range."), ("dport 1-65535", "Invalid dport range."),
      ("uidrange 5-4", "Invalid uid range."), ("uidrange 0-4294967295", "Invalid uid range."),
      ("uidrange 5", "argument \"5\" is wrong: invalid UID range"),
      ("ipproto foo", "argument \"foo\" is wrong: Invalid \"ipproto\" value"),
      ("ipproto 256", "argument \"256\" is wrong: Invalid \"ipproto\" value"),
      ("dport x", "argument \"x\" is wrong: invalid dport range"),
      ("dport http", "argument \"http\" is wrong: invalid dport range"),
      ("suppress_prefixlength x", "argument \"x\" is wrong: suppress_prefixlength value is invalid"),
      (
        "suppress_prefixlength 2147483648",
        "argument \"2147483648\" is wrong: suppress_prefixlength value is invalid"
      ),
    ] {
      let error = #expect(throws: StackError.self) { try bench.change("rule add \(wrong) lookup 1") }
      #expect(error?.description == sentence)
    }
    for (rule, text) in printed.reversed() where text != "from all lookup 1" {
      try bench.change("rule del \(rule)")
      #expect(!bench.stack.ruleReports.contains { $0.text == text }, "\(rule)")
    }
    for gone in ["ipproto tcp", "sport 5", "dport 80", "uidrange 1-5", "sup_pl 0"] {
      let error = #expect(throws: StackError.self) { try bench.change("rule del \(gone)") }
      #expect(error?.code == .ENOENT)
    }
  }

  @Test("P1 rules: those that no packet could fit are EINVAL for a program as well")
  func ranges() throws {
    let bench = try RouterBench()
    var rule = RoutingRule(priority: 5, action: .lookup(100))
    for ports in [0...4, 0...0, 1...UInt16.max] as [ClosedRange<UInt16>] {
      rule.sourcePorts = ports
      rule.destinationPorts = nil
      #expect(throws: StackError.self) { try bench.stack.addRule(NamedRule(rule)) }
      (rule.sourcePorts, rule.destinationPorts) = (nil, ports)
      #expect(throws: StackError.self) { try bench.stack.addRule(NamedRule(rule)) }
    }
    rule.destinationPorts = 1...65534
    rule.users = 1 ... .max
    #expect(throws: StackError.self) { try bench.stack.addRule(NamedRule(rule)) }
    rule.users = 1...4_294_967_294
    try bench.stack.addRule(NamedRule(rule))
    #expect(bench.stack.ruleReports[1].text == "from all uidrange 1-4294967294 dport 1-65534 lookup 100")
  }
}
