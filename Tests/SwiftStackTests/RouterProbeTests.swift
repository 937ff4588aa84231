import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket
private let (client, server) = (RouterBench.client, RouterBench.server)
private let (near, far) = (RouterBench.near, RouterBench.far)

private func source(_ packet: [UInt8]) -> [UInt8] { Array(packet[12..<16]) }
private func destination(_ packet: [UInt8]) -> [UInt8] { Array(packet[16..<20]) }
private func port(_ packet: [UInt8], _ place: Int) -> Int { Int(packet[place]) << 8 + Int(packet[place + 1]) }

/// Frames that hostile and odd peers send to a router and to its sockets. What is expected is what the kernel (6.18) did with
/// the same frames.
@Suite struct RouterProbeTests {
  private func datagram(
    _ from: IPv4Address = client, _ to: IPv4Address = server, _ ports: (UInt16, UInt16) = (4000, 53),
    ttl: UInt8 = 64, options: [UInt8] = []
  ) -> [UInt8] {
    Hand.udp(
      SocketAddress(from, port: ports.0), SocketAddress(to, port: ports.1), ttl: ttl, options: options,
      [1, 2])
  }
  private func acceptingRoutes() throws -> RouterBench {
    let bench = try RouterBench()
    try bench.stack.set("net.ipv4.conf.all.accept_source_route", to: "1")
    return bench
  }

  @Test("U7 RFC 1122 3.2.1.3 a source route leads nobody to 127.0.0.0/8")
  func routeToLoopback() throws {
    let bench = try acceptingRoutes()
    let udp = try bench.stack.socket(.udp)
    try udp.bind(to: SocketAddress(IPv4Address.loopback, port: 53))
    try bench.receive(datagram(client, near, options: [131, 7, 4, 127, 0, 0, 1, 0]), on: "sim0")
    #expect(bench.count("UdpInDatagrams") == 0 && bench.count("IpInDelivers") == 0)
    #expect(try bench.packets("sim0").isEmpty)
    // An address of ours that others have, too, is one.
    try bench.receive(datagram(client, near, options: [131, 7, 4, 10, 2, 0, 2, 0]), on: "sim0")
    #expect(bench.count("IpInDelivers") == 1)
    udp.close()
  }

  @Test(
    "U7 RFC 1812 4.3.2.6 an error goes back by the source route of what it is about, unless that is what is wrong"
  )
  func errorByRoute() throws {
    let bench = try acceptingRoutes()
    let hop = IPv4Address(10, 1, 0, 9)
    try bench.stack.replaceNeighbour(hop, hardwareAddress: MACAddress("02:00:00:00:00:11")!)
    let route: [UInt8] = [131, 7, 8, 10, 1, 0, 9, 0]
    try bench.receive(datagram(client, near, (4000, 99), options: route), on: "sim0")
    let error = try #require(try bench.packets("sim0").first)
    #expect(destination(error) == [10, 1, 0, 9] && Array(error[20..<28]) == [131, 7, 4, 10, 1, 0, 1, 0])
    #expect(Array(error[28..<30]) == [3, 3])
    try bench.receive(datagram(client, near, (4000, 99), options: route.dropLast() + [1] + route), on: "sim0")
    let problem = try #require(try bench.packets("sim0").first)
    #expect(destination(problem) == [10, 1, 0, 1] && Array(problem[20..<22]) == [12, 0])
  }

  @Test("R a reset carries the IP options that an answer carries, and there is none where they leave no room")
  func resetWithOptions() throws {
    let bench = try RouterBench()
    func syn(_ options: [UInt8]) -> [UInt8] {
      let plain = Hand.tcp(SocketAddress(client, port: 4000), SocketAddress(near, port: 99), 2, sequence: 7)
      return Hand.ip(client, near, protocol: 6, options: options, Array(plain[20...]))
    }
    try bench.receive(syn([7, 7, 4, 0, 0, 0, 0, 0]), on: "sim0")
    let reset = try #require(try bench.packets("sim0").first)
    #expect(reset.count == 48 && Array(reset[20..<28]) == [7, 7, 8, 10, 1, 0, 2, 0] && reset[41] == 0x14)
    #expect(Hand.isIntact(reset))
    try bench.receive(syn([7, 11, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0]), on: "sim0")
    #expect(try bench.packets("sim0").isEmpty)
    try bench.receive(syn([1, 1, 1, 1]), on: "sim0")
    #expect(try bench.packets("sim0").map(\.count) == [40])
  }

  @Test("P9 a reset without a way counts as sent, and not as want of a route")
  func resetWithoutRoute() throws {
    let bench = try RouterBench()
    let stranger = SocketAddress(IPv4Address(8, 8, 8, 8), port: 4000)
    try bench.receive(Hand.tcp(stranger, SocketAddress(near, port: 99), 2, sequence: 7), on: "sim0")
    #expect(bench.count("TcpOutRsts") == 1 && bench.count("TcpOutSegs") == 1)
    #expect(bench.count("IpOutNoRoutes") == 0 && bench.count("IpOutRequests") == 0)
  }

  @Test("P9 segments cut short count as received, and as nothing else")
  func shortSegment() throws {
    let bench = try RouterBench()
    try bench.receive(Hand.ip(client, near, protocol: 6, [15, 160, 0, 80, 0, 0, 0, 1]), on: "sim0")
    #expect(bench.count("TcpInSegs") == 1 && bench.count("TcpInErrs") == 0)
    var bad = Hand.tcp(SocketAddress(client, port: 4000), SocketAddress(near, port: 99), 2, sequence: 7)
    bad[32] = 0x40
    try bench.receive(bad, on: "sim0")
    #expect(bench.count("TcpInSegs") == 2 && bench.count("TcpInErrs") == 1)
    // Sent to everybody on the link.
    let frame = [UInt8](repeating: 0xFF, count: 6) + [2, 0, 0, 0, 0, 0x11, 8, 0]
    let whole = Hand.tcp(SocketAddress(client, port: 4000), SocketAddress(near, port: 99), 2, sequence: 7)
    bench.advance(.microseconds(200))
    let padding = [UInt8](repeating: 0, count: 6)
    try bench.host.receive(SimulatedFrame(bytes: frame + whole + padding), on: "sim0")
    #expect(bench.count("TcpInSegs") == 2 && bench.count("IpInDelivers") == 3)
  }

  @Test("P3 the way of an answer that no socket sent is learned from its errors, too")
  func echoReplyTooLong() throws {
    let bench = try RouterBench()
    let question = Hand.icmp(client, near, 8, 0, rest: [0, 1, 0, 1], [UInt8](repeating: 5, count: 1400))
    try bench.receive(question, on: "sim0")
    let answer = try #require(try bench.packets("sim0").first)
    try bench.receive(
      Hand.icmp(client, near, 3, 4, rest: [0, 0, 2, 88], Array(answer.prefix(28))), on: "sim0")
    let socket = try bench.stack.socket(.udp)
    try socket.connect(to: SocketAddress(client, port: 9))
    _ = try socket.send([UInt8](repeating: 1, count: 1000))
    #expect(try bench.packets("sim0").map(\.count) == [596, 452])
    socket.close()
  }

  @Test("P4 two connections that a rule leads to one place differ in their source")
  func clash() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting udp dport 8080 dnat to 10.2.0.1:53")
    let first = try bench.forward(datagram(client, near, (4000, 8080)))
    let second = try bench.forward(datagram(client, IPv4Address(192, 0, 2, 7), (4000, 8080)))
    #expect(first.count == 1 && second.count == 1)
    #expect(first.map { port($0, 20) } == [4000])
    let other = try #require(second.first)
    #expect(destination(other) == [10, 2, 0, 1] && port(other, 22) == 53 && port(other, 20) != 4000)
    #expect(port(other, 20) >= 1024 && Hand.isIntact(other))
    // Each answer comes from whom its question was for.
    let back = Hand.udp(
      SocketAddress(server, port: 53), SocketAddress(client, port: UInt16(port(other, 20))), [3])
    let answer = try #require(try bench.forward(back, from: "sim1").first)
    #expect(source(answer) == [192, 0, 2, 7] && port(answer, 20) == 8080 && port(answer, 22) == 4000)
  }

  @Test("P4 a reset that is believed but not exact leaves a tracked connection ten seconds")
  func inexactReset() throws {
    let bench = try RouterBench()
    try bench.filter("forward ct state invalid drop")
    let (a, b) = (SocketAddress(client, port: 4000), SocketAddress(server, port: 80))
    _ = try bench.forward(Hand.tcp(a, b, 2, sequence: 100))
    _ = try bench.forward(Hand.tcp(b, a, 0x12, sequence: 500, acknowledgment: 101), from: "sim1")
    _ = try bench.forward(Hand.tcp(a, b, 0x10, sequence: 101, acknowledgment: 501))
    #expect(try bench.forward(Hand.tcp(b, a, 4, sequence: 550), from: "sim1").count == 1)
    let line = bench.stack.hooks.connections.map(\.line).joined()
    #expect(line.hasPrefix("tcp      6 10 ESTABLISHED "), "\(line)")
    _ = try bench.forward(Hand.tcp(a, b, 0x10, sequence: 101, acknowledgment: 501))
    // It goes on, for as long as what stands unacknowledged: the reset's number is not.
    #expect(bench.stack.hooks.connections.map(\.line).joined().hasPrefix("tcp      6 300 ESTABLISHED "))
  }

  @Test("P9 a message of our own that a hook refuses counts as discarded: a redirect of what is translated")
  func refusedRedirect() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting udp dport 8080 dnat to 10.1.0.9:53")
    try bench.stack.replaceNeighbour(
      IPv4Address(10, 1, 0, 9), hardwareAddress: MACAddress("02:00:00:00:00:19")!)
    try bench.receive(datagram(client, near, (4000, 8080)), on: "sim0")
    #expect(try bench.packets("sim0").map { destination($0) } == [[10, 1, 0, 9]])
    #expect(bench.count("IcmpOutRedirects") == 1 && bench.count("IpOutDiscards") == 1)
  }

  @Test("P4 an error that quotes another total length than was sent finds its translated connection")
  func quotedLengthTranslated() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    var sent = try #require(try bench.forward(datagram()).first)
    (sent[2], sent[3]) = (0, 0)
    let error = Hand.icmp(server, far, 3, 4, rest: [0, 0, 2, 88], Array(sent.prefix(28)))
    let told = try #require(try bench.forward(error, from: "sim1").first)
    #expect(destination(told) == [10, 1, 0, 1] && Array(told[40..<44]) == [10, 1, 0, 1])
    #expect(Hand.isIntact(told))
  }

  @Test(
    "RFC 1812 5.2.7.2 whoever becomes a router believes no redirects until told so; whoever ceases to be one does"
  )
  func routerRedirects() throws {
    let bench = try RouterBench(forwards: false)
    let key = "net.ipv4.conf.all.accept_redirects"
    func accepts() -> String? { bench.stack.settingReports.first { $0.name == key }?.value }
    #expect(accepts() == "1")
    try bench.stack.set("net.ipv4.ip_forward", to: "1")
    #expect(accepts() == "0")
    try bench.stack.set(key, to: "1")
    // It is one already.
    try bench.stack.set("net.ipv4.ip_forward", to: "1")
    #expect(accepts() == "1")
    try bench.stack.set(key, to: "0")
    try bench.stack.set("net.ipv4.ip_forward", to: "0")
    #expect(accepts() == "1")
  }

  @Test("B5 reasons that are told apart: by what address, want of a way in, sums and kinds of ICMP")
  func reasons() throws {
    let bench = try RouterBench()
    func drops(_ name: String, _ packet: [UInt8]) throws -> UInt64 {
      func count() -> UInt64 { bench.stack.dropReports.first { $0.name == name }?.value ?? 0 }
      let before = count()
      try bench.receive(packet, on: "sim0")
      return count() - before
    }
    #expect(try drops("IP_LOCALNET", datagram(IPv4Address(127, 0, 0, 1))) == 1)
    #expect(try drops("IP_LOCALNET", datagram(client, IPv4Address(127, 0, 0, 1))) == 1)
    #expect(try drops("IP_LOCAL_SOURCE", datagram(near)) == 1)
    #expect(try drops("IP_INVALID_SOURCE", datagram(IPv4Address(224, 0, 0, 1))) == 1)
    #expect(try drops("IP_INNOROUTES", datagram(client, IPv4Address(8, 8, 8, 8))) == 1)
    var echo = Hand.icmp(client, near, 8, 0, rest: [0, 1, 0, 1], [1, 2])
    echo[23] ^= 1
    #expect(try drops("ICMP_CSUM", echo) == 1)
    #expect(try drops("UNHANDLED_PROTO", Hand.icmp(client, near, 77, 0, rest: [0, 0, 0, 0])) == 1)
    let listener = try bench.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen(backlog: 5)
    let (a, b) = (SocketAddress(client, port: 4000), SocketAddress(near, port: 80))
    #expect(try drops("TCP_FLAGS", Hand.tcp(a, b, 0x10, acknowledgment: 5)) == 1)
    #expect(try drops("TCP_RESET", Hand.tcp(a, b, 4)) == 1)
    #expect(try drops("NO_SOCKET", Hand.tcp(a, SocketAddress(near, port: 81), 4)) == 1)
    listener.close()
    let everybody = IPv4Address(10, 1, 0, 255)
    #expect(try drops("INVALID_PROTO", Hand.icmp(client, everybody, 8, 0, rest: [0, 0, 0, 0])) == 1)
  }

  @Test("R ICMP an error about a protocol that nobody here sends counts as no error")
  func errorAboutUnknown() throws {
    let bench = try RouterBench()
    let quoted = Hand.ip(near, client, protocol: 99, [UInt8](repeating: 0, count: 20))
    try bench.receive(Hand.icmp(client, near, 3, 1, rest: [0, 0, 0, 0], quoted), on: "sim0")
    #expect(bench.count("IcmpInDestUnreachs") == 1 && bench.count("IcmpInErrors") == 0)
  }
}
