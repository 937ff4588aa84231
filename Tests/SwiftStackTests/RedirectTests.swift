import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket

/// A better next hop that a router names (RFC 1122 section 3.2.2.2); each line was tried on Linux 6.18.
@Suite struct RedirectTests {
  private static let target = IPv4Address(10, 9, 0, 1)
  private static let router = RouterBench.client
  private static let better = IPv4Address(10, 1, 0, 5)
  private static let best = IPv4Address(10, 1, 0, 6)

  private func bench(
    forwards: Bool = false, route: String = "10.9.0.0/16 via 10.1.0.1", queues: Int = 1
  ) throws -> RouterBench {
    let bench = try RouterBench(forwards: forwards, queues: queues)
    for last in [5, 6, 9] as [UInt8] {
      try bench.stack.replaceNeighbour(
        IPv4Address(10, 1, 0, last), hardwareAddress: MACAddress(0x0200_0000_0000 | UInt64(last)))
    }
    try bench.change("route add \(route)")
    return bench
  }

  /// The last byte of the station that each datagram goes to, and the datagram.
  private func sent(_ bench: RouterBench, on name: String = "sim0") throws -> [(
    station: Int, packet: [UInt8]
  )] {
    try bench.host.takeFrames(on: name).filter { $0.bytes[12] == 8 && $0.bytes[13] == 0 }.map {
      (Int($0.bytes[5]), Array($0.bytes[14...]))
    }
  }

  private func socket(_ bench: RouterBench, to address: IPv4Address = target) throws -> Socket {
    let socket = try bench.stack.socket(.udp)
    try socket.connect(to: SocketAddress(address, port: 9))
    return socket
  }

  /// Nobody is asked for.
  private func isQuiet(_ bench: RouterBench) -> Bool {
    !bench.stack.neighbourReports.contains { $0.state == "INCOMPLETE" }
  }

  private func redirect(
    _ bench: RouterBench, to gateway: IPv4Address = better, about packet: [UInt8], from: IPv4Address = router,
    code: UInt8 = 1, on name: String = "sim0"
  ) throws {
    let message = Hand.icmp(
      from, RouterBench.near, 5, code, rest: Hand.octets(gateway), Array(packet.prefix(28)))
    try bench.receive(message, on: name)
  }

  /// Where the second of two datagrams goes, when a redirect came in between.
  private func station(
    _ bench: RouterBench, to gateway: IPv4Address = better, target: IPv4Address = target,
    from: IPv4Address = router, code: UInt8 = 1, on name: String = "sim0",
    change: ([UInt8]) -> [UInt8] = { $0 }
  ) throws -> Int? {
    let socket = try socket(bench, to: target)
    _ = try socket.send([UInt8](repeating: 1, count: 8))
    let first = try #require(try sent(bench).first)
    try redirect(bench, to: gateway, about: change(first.packet), from: from, code: code, on: name)
    _ = try socket.send([2])
    return try sent(bench).first?.station
  }

  @Test("RFC 792 a redirect is followed: for a host or a network, with or without its type of service")
  func followed() throws {
    for code in 0...8 as ClosedRange<UInt8> {
      let bench = try bench()
      #expect(try station(bench, code: code) == (code & 7 < 4 ? 5 : 0x11), "\(code)")
      #expect(bench.count("IcmpInRedirects") == 1)
      // Others go as before.
      let other = try socket(bench, to: IPv4Address(10, 9, 0, 2))
      _ = try other.send([1])
      #expect(try sent(bench).map(\.station) == [0x11])
    }
  }

  @Test(
    "RFC 1122 3.2.2.2 a redirect is believed of the next hop alone, and names another one that is none of ours"
  )
  func checked() throws {
    func unchanged(_ what: Comment, _ call: (RouterBench) throws -> Int?) throws {
      let bench = try bench()
      #expect(try call(bench) == 0x11 && isQuiet(bench), what)
    }
    try unchanged("another router") { try station($0, from: IPv4Address(10, 1, 0, 9)) }
    try unchanged("itself") { try station($0, to: Self.router) }
    try unchanged("us") { try station($0, to: RouterBench.near) }
    try unchanged("a group") { try station($0, to: IPv4Address(224, 0, 0, 5)) }
    try unchanged("everybody") { try station($0, to: .broadcast) }
    try unchanged("the network's broadcast") { try station($0, to: IPv4Address(10, 1, 0, 255)) }
    try unchanged("no network") { try station($0, to: IPv4Address(0, 0, 0, 5)) }
    try unchanged("nothing of ours") { bench in
      try station(bench) { packet in
        var packet = packet
        packet[21] ^= 1
        return packet
      }
    }
    // A destination on the link has no router.
    let near = try bench()
    #expect(try station(near, target: Self.router) == 0x11)
  }

  @Test(
    "RFC 792 a redirect about what no socket sends, or that quotes too little, is an error of ICMP's, as Linux counts it"
  )
  func counted() throws {
    let bench = try bench()
    let source = SocketAddress(RouterBench.near, port: 5)
    let quote = Hand.udp(source, SocketAddress(Self.target, port: 6), [])
    for (about, code) in [
      (quote, 1), (Array(quote[..<24]), 1), ([UInt8](repeating: 0, count: 12), 1), (quote, 5),
    ]
      as [([UInt8], UInt8)]
    {
      let before = bench.count("IcmpInErrors")
      try redirect(bench, about: about, code: code)
      #expect(bench.count("IcmpInErrors") == before + 1)
    }
    #expect(bench.count("IcmpInRedirects") == 4)
  }

  @Test("RFC 1122 3.2.2.2 after a redirect only the new router may send on; it is followed for gc_timeout")
  func chain() throws {
    let bench = try bench()
    let socket = try socket(bench)
    func send() throws -> (station: Int, packet: [UInt8]) {
      _ = try socket.send([UInt8](repeating: 1, count: 8))
      return try #require(try sent(bench).first)
    }
    let quote = try send().packet
    try redirect(bench, about: quote)
    #expect(try send().station == 5)
    try redirect(bench, to: Self.best, about: quote)
    #expect(try send().station == 5)
    try redirect(bench, to: Self.best, about: quote, from: Self.better)
    #expect(try send().station == 6)
    bench.advance(.seconds(299))
    #expect(try send().station == 6)
    bench.advance(.seconds(1))
    #expect(try send().station == 0x11)
    #expect(try bench.stack.setting("net.ipv4.route.gc_timeout") == "300")
    try bench.change("sysctl net.ipv4.route.gc_timeout=5")
    try redirect(bench, about: quote)
    #expect(try send().station == 5)
    bench.advance(.seconds(6))
    #expect(try send().station == 0x11)
  }

  @Test("RFC 792 accept_redirects: a host's own word or that for all, a router's both")
  func setting() throws {
    for (forwards, all, own, isFollowed) in [
      (false, 1, 1, true), (false, 0, 1, true), (false, 1, 0, true), (false, 0, 0, false),
      (true, 1, 1, true), (true, 0, 1, false), (true, 1, 0, false),
    ] {
      let bench = try bench(forwards: forwards)
      try bench.change("sysctl net.ipv4.conf.all.accept_redirects=\(all)")
      try bench.change("sysctl net.ipv4.conf.sim0.accept_redirects=\(own)")
      #expect(try station(bench) == (isFollowed ? 5 : 0x11), "\(forwards) \(all) \(own)")
    }
  }

  @Test("RFC 792 whoever is not known yet is asked for, and taken when it is said again") func unknown()
    throws
  {
    let bench = try bench()
    let stranger = IPv4Address(10, 1, 0, 77)
    #expect(try station(bench, to: stranger) == 0x11)
    #expect(bench.stack.neighbourReports.contains { $0.address == "10.1.0.77" && $0.state == "INCOMPLETE" })
    try bench.stack.replaceNeighbour(stranger, hardwareAddress: MACAddress(0x0200_0000_0077))
    #expect(try station(bench, to: stranger) == 0x77)
  }

  @Test("P1 of several next hops the one that a redirect came from gives way, the others stay") func several()
    throws
  {
    let bench = try bench(route: "10.9.0.0/16 nexthop via 10.1.0.1 nexthop via 10.1.0.9")
    try bench.change("sysctl net.ipv4.fib_multipath_hash_policy=1")
    let socket = try bench.stack.socket(.udp)
    func stations() throws -> [Int] {
      for port in 1...30 as ClosedRange<UInt16> {
        _ = try socket.send([1, 2], to: SocketAddress(Self.target, port: port))
      }
      return try sent(bench).map(\.station)
    }
    let before = try stations()
    #expect(Set(before) == [0x11, 9])
    let bound = try bench.stack.socket(.udp)
    var packet: [UInt8]?
    for port in 1...30 as ClosedRange<UInt16> where packet == nil {
      try bound.connect(to: SocketAddress(Self.target, port: port))
      _ = try bound.send([UInt8](repeating: 1, count: 8))
      packet = try sent(bench).first { $0.station == 0x11 }?.packet
    }
    try redirect(bench, about: try #require(packet))
    #expect(try stations() == before.map { $0 == 0x11 ? 5 : $0 })
  }

  @Test(
    "RFC 792 a route that is replaced or gone forgets what was said of it; another prefix' change does not")
  func forgotten() throws {
    for (change, isKept) in [
      ("route add 10.20.0.0/16 via 10.1.0.1", true), ("route replace 10.9.0.0/16 via 10.1.0.1", true),
      ("route replace 10.9.0.0/16 via 10.1.0.1 mtu 1400", false),
      ("route add 10.9.0.0/24 via 10.1.0.1", false),
    ] {
      let bench = try bench()
      #expect(try station(bench) == 5)
      try bench.change(change)
      let again = try socket(bench)
      _ = try again.send([1])
      #expect(try sent(bench).map(\.station) == [isKept ? 5 : 0x11], "\(change)")
    }
  }

  @Test(
    "RFC 5927 a redirect about a segment that is not outstanding is counted and not followed; about one that is, it is"
  )
  func streams() throws {
    for offset in [0, 1_000_000] as [UInt32] {
      let bench = try bench()
      let socket = try bench.stack.socket(.tcp)
      socket.isNonBlocking = true
      _ = #expect(throws: SocketError.self) { try socket.connect(to: SocketAddress(Self.target, port: 80)) }
      let syn = try #require(try sent(bench).first)
      var quote = syn.packet
      let sequence = quote[24..<28].reduce(0) { $0 << 8 | UInt32($1) } &+ offset
      quote.replaceSubrange(24..<28, with: Hand.octets(IPv4Address(sequence)))
      try redirect(bench, about: quote)
      bench.advance(.seconds(1))
      // The SYN is sent again.
      #expect(try sent(bench).map(\.station) == [offset == 0 ? 5 : 0x11])
      #expect(bench.count("TcpExtOutOfWindowIcmps") == (offset == 0 ? 0 : 1))
      #expect(try socket.getsockopt(level: 1, name: 4) == [0, 0, 0, 0])
    }
  }

  @Test(
    "RFC 792 a ping's redirect is followed; who asks for errors is told by whom and where to, as EREMOTEIO")
  func ping() throws {
    for isAsking in [false, true] {
      let bench = try bench()
      let socket = try bench.stack.socket(.ping)
      socket.isNonBlocking = true
      try socket.setsockopt(level: 0, name: 11, isAsking ? 1 : 0)
      try socket.connect(to: SocketAddress(Self.target, port: 0))
      let echo: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 1]
      _ = try socket.send(echo)
      let first = try #require(try sent(bench).first)
      try redirect(bench, about: first.packet)
      #expect(try socket.getsockopt(level: 1, name: 4) == [isAsking ? 121 : 0, 0, 0, 0])
      let told = try? socket.recvmsg(flags: .errorQueue).control.error
      #expect((told != nil) == isAsking)
      if let told {
        #expect(told.errno.rawValue == 121 && told.kind == 5 && told.code == 1)
        #expect(told.info == Self.better.rawValue && told.offender == Self.router)
      }
      _ = try socket.send(echo)
      #expect(try sent(bench).map(\.station) == [5])
    }
    // Datagrams are not told.
    let bench = try bench()
    let socket = try socket(bench)
    try socket.setsockopt(level: 0, name: 11, 1)
    _ = try socket.send([UInt8](repeating: 1, count: 8))
    try redirect(bench, about: try #require(try sent(bench).first).packet)
    #expect(try socket.getsockopt(level: 1, name: 4) == [0, 0, 0, 0])
    #expect(throws: SocketError("recvmsg", .EAGAIN)) { try socket.recvmsg(flags: .errorQueue) }
  }
}
