import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket
private let client = RouterBench.client
private let server = RouterBench.server

private func word(_ packet: [UInt8], _ place: Int) -> Int { Int(packet[place]) << 8 + Int(packet[place + 1]) }
private func end(_ packet: [UInt8], source: Bool) -> SocketAddress {
  let place = source ? 12 : 16
  let address = IPv4Address(packet[place], packet[place + 1], packet[place + 2], packet[place + 3])
  return SocketAddress(address, port: UInt16(word(packet, source ? 20 : 22)))
}

/// Connections that are tracked and whose addresses are translated, in virtual time. Lines as conntrack(8) prints them.
@Suite struct TranslationTests {
  private let near = SocketAddress(client, port: 4000)
  private let web = SocketAddress(server, port: 80)
  private let outside = SocketAddress(RouterBench.far, port: 4000)

  private func line(_ bench: RouterBench) -> String {
    bench.stack.hooks.connections.map(\.line).joined(separator: "\n")
  }

  /// A connection from the client to the server, opened through a masquerade.
  ///
  /// - Parameter isLent: the sums are left to the wire's engines.
  private func open(_ bench: RouterBench, isLent: Bool = false) throws {
    let syn = try #require(try bench.forward(Hand.tcp(near, web, 2, sequence: 100)).first)
    #expect(
      end(syn, source: true) == outside && end(syn, source: false) == web && (isLent || Hand.isIntact(syn)))
    let answer = try #require(
      try bench.forward(Hand.tcp(web, outside, 0x12, sequence: 500, acknowledgment: 101), from: "sim1").first)
    #expect(
      end(answer, source: false) == near && end(answer, source: true) == web
        && (isLent || Hand.isIntact(answer)))
    let ack = try #require(
      try bench.forward(Hand.tcp(near, web, 0x10, sequence: 101, acknowledgment: 501)).first)
    #expect(end(ack, source: true) == outside && (isLent || Hand.isIntact(ack)))
  }

  @Test(
    "P4 masquerade: a TCP connection leaves with our address and its answers find back; conntrack's line of each state"
  )
  func masquerade() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    _ = try bench.forward(Hand.tcp(near, web, 2, sequence: 100))
    #expect(
      line(bench)
        == "tcp      6 120 SYN_SENT src=10.1.0.1 dst=10.2.0.1 sport=4000 dport=80 [UNREPLIED] "
        + "src=10.2.0.1 dst=10.2.0.2 sport=80 dport=4000 mark=0")
    _ = try bench.forward(Hand.tcp(web, outside, 0x12, sequence: 500, acknowledgment: 101), from: "sim1")
    #expect(line(bench).hasPrefix("tcp      6 60 SYN_RECV ") && !line(bench).contains("UNREPLIED"))
    _ = try bench.forward(Hand.tcp(near, web, 0x10, sequence: 101, acknowledgment: 501))
    #expect(line(bench).hasPrefix("tcp      6 432000 ESTABLISHED ") && line(bench).contains("[ASSURED]"))
    _ = try bench.forward(Hand.tcp(near, web, 0x11, sequence: 101, acknowledgment: 501))
    #expect(line(bench).hasPrefix("tcp      6 120 FIN_WAIT "))
    _ = try bench.forward(Hand.tcp(web, outside, 0x10, sequence: 501, acknowledgment: 102), from: "sim1")
    #expect(line(bench).hasPrefix("tcp      6 60 CLOSE_WAIT "))
    _ = try bench.forward(Hand.tcp(web, outside, 0x11, sequence: 501, acknowledgment: 102), from: "sim1")
    #expect(line(bench).hasPrefix("tcp      6 30 LAST_ACK "))
    _ = try bench.forward(Hand.tcp(near, web, 0x10, sequence: 102, acknowledgment: 502))
    #expect(line(bench).hasPrefix("tcp      6 120 TIME_WAIT "))
    bench.advance(.seconds(119))
    #expect(line(bench).hasPrefix("tcp      6 1 TIME_WAIT "))
    bench.advance(.seconds(2))
    #expect(line(bench).isEmpty)
  }

  @Test("P4 masquerade: what the server sends unasked finds nobody, and is ours")
  func unasked() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    try open(bench)
    let stranger = SocketAddress(server, port: 81)
    #expect(try bench.forward(Hand.tcp(stranger, outside, 0x12, acknowledgment: 101), from: "sim1").isEmpty)
    // Out of the window it belongs to no connection, and is not translated: it is for us.
    let wild = Hand.tcp(web, outside, 0x10, sequence: 90_000_000, acknowledgment: 101)
    #expect(try bench.forward(wild, from: "sim1").isEmpty)
    #expect(bench.stack.hooks.connectionStatistics.invalid >= 1)
    // A reset elsewhere than where the next byte is expected does not end it (RFC 5961).
    let guess = Hand.tcp(web, outside, 4, sequence: 600)
    _ = try bench.forward(guess, from: "sim1")
    #expect(line(bench).contains("ESTABLISHED"))
    #expect(try bench.forward(Hand.tcp(web, outside, 4, sequence: 501), from: "sim1").count == 1)
    #expect(line(bench).hasPrefix("tcp      6 10 CLOSE "))
  }

  @Test(
    "P4 masquerade: two senders with one port get two; a reset that is the only answer forgets the connection"
  )
  func ports() throws {
    let bench = try RouterBench()
    let other = SocketAddress(IPv4Address(10, 1, 0, 3), port: 4000)
    try bench.filter("postrouting oifname sim1 masquerade")
    try open(bench)
    let syn = try #require(try bench.forward(Hand.tcp(other, web, 2, sequence: 9)).first)
    let moved = end(syn, source: true)
    #expect(moved.address == IPAddress(RouterBench.far) && moved.port != 4000 && moved.port >= 1024)
    #expect(Hand.isIntact(syn))
    // To another server its own would be free: it keeps what it got all the same.
    let elsewhere = SocketAddress(IPv4Address(10, 2, 0, 1), port: 81)
    #expect(try bench.forward(Hand.tcp(other, elsewhere, 2)).first.map { end($0, source: true) } == moved)
    #expect(bench.stack.hooks.connections.count == 3)
    let refusal = Hand.tcp(web, moved, 0x14, sequence: 0, acknowledgment: 10)
    try bench.stack.replaceNeighbour(IPv4Address(10, 1, 0, 3), hardwareAddress: MACAddress(0x0200_0000_0033))
    let back = try bench.forward(refusal, from: "sim1")
    #expect(back.first.map { end($0, source: false) } == other && bench.stack.hooks.connections.count == 2)
  }

  @Test("P4 snat and dnat: addresses and ports of rules, decided by the first packet of a connection alone")
  func fixed() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting iifname sim0 tcp dport 8080 dnat to 10.2.0.1:80")
    try bench.filter("postrouting oifname sim1 ip protocol udp snat to 10.2.0.50:7000-7001")
    let door = SocketAddress(RouterBench.near, port: 8080)
    let syn = try #require(try bench.forward(Hand.tcp(near, door, 2, sequence: 100)).first)
    #expect(end(syn, source: false) == web && end(syn, source: true) == near && Hand.isIntact(syn))
    let answer = try #require(
      try bench.forward(Hand.tcp(web, near, 0x12, sequence: 5, acknowledgment: 101), from: "sim1").first)
    #expect(end(answer, source: true) == door && Hand.isIntact(answer))
    #expect(line(bench).contains("src=10.1.0.1 dst=10.1.0.2 sport=4000 dport=8080"))
    #expect(line(bench).contains("src=10.2.0.1 dst=10.1.0.1 sport=80 dport=4000"))
    // The rule has counted one packet, and goes without the connection's noticing.
    #expect(bench.stack.hooks.rules[0].packetCount == 1)
    try bench.change("filter del prerouting handle 1")
    let ack = Hand.tcp(near, door, 0x10, sequence: 101, acknowledgment: 6)
    #expect(try bench.forward(ack).first.map { end($0, source: false) } == web)
    // Two ports for three senders: the third finds none.
    var seen: Set<UInt16> = []
    for host: UInt8 in 3...5 {
      let from = SocketAddress(IPv4Address(10, 1, 0, host), port: 6000)
      let out = try bench.forward(Hand.udp(from, SocketAddress(server, port: 53), [1]))
      #expect(out.count == (host < 5 ? 1 : 0) && out.allSatisfy { Hand.isIntact($0) })
      if let packet = out.first { seen.insert(end(packet, source: true).port) }
    }
    #expect(seen == [7000, 7001])
  }

  @Test("P4 redirect: a connection to anybody is ours, and its answers come from whom it was meant for")
  func redirect() throws {
    let bench = try RouterBench()
    try bench.filter("prerouting iifname sim0 tcp dport 80 redirect to :8888")
    let listener = try bench.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 8888))
    try listener.listen()
    #expect(try bench.forward(Hand.tcp(near, web, 2, sequence: 100)).isEmpty)
    let answer = try #require(try bench.packets("sim0").first)
    #expect(end(answer, source: true) == web && end(answer, source: false) == near)
    #expect(answer[33] == 0x12 && Hand.isIntact(answer))
  }

  @Test(
    "P4 output: a destination is translated and the way is looked for anew; the socket talks to whom it asked for"
  )
  func output() throws {
    let bench = try RouterBench()
    try bench.filter("output ip daddr 10.1.0.1 udp dport 53 dnat to 10.2.0.1:5353")
    let socket = try bench.stack.socket(.udp)
    socket.isNonBlocking = true
    _ = try socket.send([1, 2, 3], to: SocketAddress(client, port: 53))
    #expect(try bench.packets("sim0").isEmpty)
    let out = try #require(try bench.packets("sim1").first)
    #expect(end(out, source: false) == SocketAddress(server, port: 5353) && Hand.isIntact(out))
    let own = end(out, source: true)
    #expect(own.address == IPAddress(RouterBench.near))
    _ = try bench.forward(Hand.udp(SocketAddress(server, port: 5353), own, [9]), from: "sim1")
    let got = try socket.recvmsg(upTo: 10)
    #expect(got.bytes == [9] && got.source == SocketAddress(client, port: 53))
  }

  @Test(
    "P4 UDP: 30 s until an answer, a stream after two seconds 120 s; the next packet of either end keeps it")
  func datagrams() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    let question = Hand.udp(near, SocketAddress(server, port: 53), [1])
    let answer = Hand.udp(SocketAddress(server, port: 53), outside, [2])
    _ = try bench.forward(question)
    #expect(line(bench).hasPrefix("udp      17 30 src=") && line(bench).contains("[UNREPLIED]"))
    #expect(try bench.forward(answer, from: "sim1").first.map { end($0, source: false) } == near)
    #expect(line(bench).hasPrefix("udp      17 30 src=") && !line(bench).contains("ASSURED"))
    bench.advance(.seconds(3))
    _ = try bench.forward(question)
    #expect(line(bench).hasPrefix("udp      17 120 src=") && line(bench).contains("[ASSURED]"))
    bench.advance(.seconds(121))
    #expect(line(bench).isEmpty)
    try bench.stack.set("net.netfilter.nf_conntrack_udp_timeout", to: "5")
    _ = try bench.forward(question)
    #expect(line(bench).hasPrefix("udp      17 5 "))
    bench.advance(.seconds(6))
    #expect(line(bench).isEmpty)
  }

  @Test("P4 echo: the identifier is the port; two pings with one get two")
  func echo() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    let ping = Hand.icmp(client, server, 8, 0, rest: [0, 77, 0, 1], [1, 2, 3, 4])
    let out = try #require(try bench.forward(ping).first)
    #expect(Array(out[12..<16]) == [10, 2, 0, 2] && word(out, 24) == 77 && Hand.isIntact(out))
    #expect(
      line(bench)
        == "icmp     1 30 src=10.1.0.1 dst=10.2.0.1 type=8 code=0 id=77 [UNREPLIED] src=10.2.0.1 dst=10.2.0.2 "
        + "type=0 code=0 id=77 mark=0")
    let other = Hand.icmp(IPv4Address(10, 1, 0, 3), server, 8, 0, rest: [0, 77, 0, 1], [1])
    let second = try #require(try bench.forward(other).first)
    #expect(word(second, 24) != 77 && Hand.isIntact(second))
    let answer = Hand.icmp(server, RouterBench.far, 0, 0, rest: [0, 77, 0, 1], [1, 2, 3, 4])
    let back = try #require(try bench.forward(answer, from: "sim1").first)
    #expect(Array(back[16..<20]) == [10, 1, 0, 1] && Hand.isIntact(back))
    // An answer that nobody asked for begins nothing.
    #expect(try bench.forward(Hand.icmp(client, server, 0, 0, rest: [0, 5, 0, 1])).count == 1)
    #expect(bench.stack.hooks.connections.count == 2)
  }

  @Test("P4 an ICMP error about a translated packet reaches its sender, and quotes what the sender sent")
  func errors() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    let sent = Hand.udp(near, SocketAddress(server, port: 9), [1, 2, 3, 4, 5, 6])
    let out = try #require(try bench.forward(sent).first)
    let router = IPv4Address(10, 2, 0, 99)
    let report = Hand.icmp(router, RouterBench.far, 3, 3, rest: [0, 0, 0, 0], out)
    let back = try #require(try bench.forward(report, from: "sim1").first)
    #expect(Hand.isIntact(back) && Array(back[12..<16]) == [10, 2, 0, 99])
    #expect(Array(back[16..<20]) == [10, 1, 0, 1])
    let quoted = Array(back[28...])
    #expect(end(quoted, source: true) == near && Hand.isIntact(quoted))
    // Its identity apart it is what was sent, one hop later.
    #expect(Array(quoted[20...]) == Array(sent[20...]) && quoted[8] == 63)
    // A packet of eight bytes is quoted whole enough.
    let short = Hand.icmp(router, RouterBench.far, 11, 0, rest: [0, 0, 0, 0], Array(out[..<28]))
    let second = try #require(try bench.forward(short, from: "sim1").first)
    #expect(Array(second[28 + 12..<28 + 16]) == [10, 1, 0, 1] && word(second, 28 + 20) == 4000)
    // One about what was never sent is not let in.
    let lie = Hand.icmp(
      router, RouterBench.far, 3, 3, rest: [0, 0, 0, 0],
      Hand.udp(SocketAddress(RouterBench.far, port: 4001), SocketAddress(server, port: 9), [1]))
    #expect(try bench.forward(lie, from: "sim1").isEmpty)
    // The other way: the client tells the server that it has no such port.
    let reply = Hand.udp(SocketAddress(server, port: 9), outside, [7])
    let delivered = try #require(try bench.forward(reply, from: "sim1").first)
    let complaint = try #require(
      try bench.forward(Hand.icmp(client, server, 3, 3, rest: [0, 0, 0, 0], delivered)).first)
    #expect(Array(complaint[12..<16]) == [10, 2, 0, 2] && Hand.isIntact(complaint))
    #expect(end(Array(complaint[28...]), source: false) == outside)
  }

  @Test(
    "P4 ct state: new, established, related and invalid are told apart; input lets in what was asked for only"
  )
  func states() throws {
    let bench = try RouterBench()
    try bench.filter("forward ct state established,related accept")
    try bench.filter("forward iifname sim0 ct state new accept")
    try bench.filter("forward drop")
    let question = Hand.udp(near, SocketAddress(server, port: 53), [1])
    let answer = Hand.udp(SocketAddress(server, port: 53), near, [2])
    #expect(try bench.forward(answer, from: "sim1").isEmpty)
    #expect(try bench.forward(question).count == 1 && bench.forward(answer, from: "sim1").count == 1)
    let report = Hand.icmp(server, client, 3, 3, rest: [0, 0, 0, 0], question)
    #expect(try bench.forward(report, from: "sim1").count == 1)
    // An answer to no SYN.
    #expect(try bench.forward(Hand.tcp(near, web, 0x12, acknowledgment: 5)).isEmpty)
    // Damaged: of no connection.
    var damaged = question
    damaged[28] ^= 1
    #expect(try bench.forward(damaged).isEmpty)
    let counts = bench.stack.hooks.rules.map(\.packetCount)
    #expect(counts == [2, 1, 3])
  }

  @Test(
    "P4 conntrack: what did not get through is not kept; a full table gives up what nobody has answered, else drops"
  )
  func limits() throws {
    let bench = try RouterBench()
    try bench.filter("forward udp dport 666 drop")
    try bench.filter("postrouting oifname sim1 masquerade")
    for port in UInt16(1)...200 {
      _ = try bench.forward(
        Hand.udp(SocketAddress(client, port: port), SocketAddress(server, port: 666), [1]))
    }
    #expect(bench.stack.hooks.connections.isEmpty)
    try bench.stack.set("net.netfilter.nf_conntrack_max", to: "100")
    var through = 0
    for port in UInt16(1000)..<2000 {
      let packet = Hand.udp(SocketAddress(client, port: port), SocketAddress(server, port: 53), [1])
      through += try bench.forward(packet).count
    }
    let statistics = bench.stack.hooks.connectionStatistics
    #expect(bench.stack.hooks.connections.count <= 100 && through + Int(statistics.dropped) == 1000)
    #expect(statistics.earlyDropped == UInt64(through - bench.stack.hooks.connections.count))
    #expect(statistics.earlyDropped > 100)
    bench.advance(.seconds(31))
    #expect(bench.stack.hooks.connections.isEmpty)
    // What both ends want stays.
    try bench.stack.set("net.netfilter.nf_conntrack_max", to: "1")
    try open(bench)
    for port in UInt16(5000)..<5100 {
      let packet = Hand.udp(SocketAddress(client, port: port), SocketAddress(server, port: 53), [1])
      #expect(try bench.forward(packet).isEmpty)
    }
    #expect(line(bench).contains("ESTABLISHED"))
  }

  @Test(
    "P6 a packet put together on the way goes out in pieces no larger than its largest; one that must not be cut stays so"
  )
  func piecesKeepTheirSize() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    let whole = Hand.udp(near, SocketAddress(server, port: 53), id: 5, [UInt8](repeating: 3, count: 1400))
    func piece(_ range: Range<Int>, more: Bool, uncut: Bool = false) -> [UInt8] {
      let flags = (more ? 0x2000 : 0) | (uncut ? 0x4000 : 0) | range.lowerBound / 8
      return Hand.ip(
        client, server, protocol: 17, id: 5, fragment: flags,
        Array(whole[20 + range.lowerBound..<20 + range.upperBound]))
    }
    #expect(try bench.forward(piece(0..<600, more: true)).isEmpty)
    let out = try bench.forward(piece(600..<1408, more: false))
    // The larger had 828 bytes: 808 to a piece.
    #expect(out.map(\.count) == [828, 620] && out.map { word($0, 6) } == [0x2000, 101])
    let joined = Hand.ip(RouterBench.far, server, protocol: 17, id: 5, out.flatMap { $0[20...] })
    #expect(Hand.isIntact(joined) && end(joined, source: true) == outside)
    #expect(bench.count("IpReasmOKs") == 1 && bench.count("IpFragOKs") == 1)
    // DF in the largest piece is in all that go out.
    #expect(try bench.forward(piece(0..<800, more: true, uncut: true)).isEmpty)
    let uncut = try bench.forward(piece(800..<1408, more: false, uncut: true))
    #expect(uncut.map { word($0, 6) } == [0x6000, 0x4000 | 100])
  }

  @Test("P4 a large packet of a translated stream is cut by the device with the new addresses in its sums")
  func largePacket() throws {
    let bench = try RouterBench(lendsEngines: true)
    try bench.filter("postrouting oifname sim1 masquerade")
    try open(bench, isLent: true)
    var packet = Hand.tcp(
      near, web, 0x18, sequence: 101, acknowledgment: 501, [UInt8](repeating: 5, count: 4200))
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
    let frame = try #require(try bench.host.takeFrames(on: "sim1").first)
    let out = Array(frame.bytes[14...])
    #expect(
      end(out, source: true) == outside && frame.metadata.needsChecksum && frame.metadata.gsoSize == 1400)
    let sum = Hand.sum(Hand.pseudo(out, out.count - 20))
    #expect(word(out, 36) == sum || word(out, 36) == Hand.sum(Hand.pseudo(out, 0)))
  }

  @Test("P4 conntrack flush forgets all; without a rule that needs it nothing is tracked")
  func flush() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting oifname sim1 masquerade")
    try open(bench)
    try bench.change("conntrack flush")
    #expect(bench.stack.hooks.connections.isEmpty)
    _ = try bench.forward(Hand.udp(near, SocketAddress(server, port: 53), [1]))
    #expect(bench.stack.hooks.connections.count == 1)
    try bench.change("filter del postrouting handle 1")
    #expect(bench.stack.hooks.connections.isEmpty)
    _ = try bench.forward(Hand.udp(near, SocketAddress(server, port: 53), [1]))
    #expect(bench.stack.hooks.connections.isEmpty && bench.host.timerCount < 20)
    try bench.stack.hooks.trackConnections(true)
    _ = try bench.forward(Hand.udp(near, SocketAddress(server, port: 53), [1]))
    #expect(bench.stack.hooks.connections.count == 1)
  }
}

/// Says the same of every packet.
private final class Program: EgressClient {
  let answer: EgressVerdict
  var seen: [Int] = []
  init(_ answer: EgressVerdict) { self.answer = answer }
  func egress(on packet: borrowing HookPacket) -> EgressVerdict {
    seen.append(packet.byteCount)
    return answer
  }
}

/// Programs before a packet is cut, marks, and rules about routing tables.
@Suite struct RoutingPolicyTests {
  private let mark = "meta mark set 7"

  @Test(
    "P4 egress programs: asked once a packet, before it is cut; congestion goes on, a drop is EPERM with its reason"
  )
  func egress() throws {
    for (answer, pieces) in [(EgressVerdict.pass, 2), (.passCongested, 2), (.drop, 0)] {
      let bench = try RouterBench()
      let program = Program(answer)
      let registration = try bench.stack.hooks.registerEgress { program }
      let socket = try bench.stack.socket(.udp)
      socket.isNonBlocking = true
      try socket.setsockopt(level: 0, name: 10, 0)
      let target = SocketAddress(client, port: 9)
      if answer == .drop {
        #expect(throws: SocketError.self) { try socket.send([UInt8](repeating: 1, count: 2000), to: target) }
      } else {
        _ = try socket.send([UInt8](repeating: 1, count: 2000), to: target)
      }
      #expect(try bench.packets("sim0").count == pieces && program.seen == [2028])
      let dropped = bench.stack.dropReports.first { $0.name == "BPF_CGROUP_EGRESS" }?.value ?? 0
      #expect(dropped == (answer == .drop ? 1 : 0))
      // Of what is passed on for others nothing is asked. Linux: only of packets with a socket.
      #expect(
        try bench.forward(Hand.udp(SocketAddress(client, port: 1), SocketAddress(server, port: 2), [1])).count
          == 1)
      #expect(program.seen.count == 1)
      try bench.stack.hooks.unregister(registration)
      _ = try socket.send([1], to: target)
      #expect(program.seen.count == 1)
    }
  }

  @Test(
    "P1 rules: by mark, source, destination, device and type of service a packet's way is another table's")
  func selectors() throws {
    for (rule, matches) in [
      ("from 10.1.0.1", true), ("from 10.1.0.2", false), ("to 192.0.2.0/24", true),
      ("to 192.0.3.0/24", false),
      ("iif sim0", true), ("iif sim1", false), ("iif lo", false), ("tos 0x10", true), ("tos 0x08", false),
      ("fwmark 0x7", true), ("fwmark 0x6", false), ("fwmark 0x5/0x5", true), ("not from 10.1.0.1", false),
      ("not from 10.9.0.0/16", true),
    ] {
      let bench = try RouterBench()
      try bench.change("route add 192.0.2.0/24 via 10.2.0.1 table 100")
      try bench.change("rule add \(rule) lookup 100")
      try bench.filter("prerouting \(mark)")
      let packet = Hand.udp(
        SocketAddress(client, port: 1), SocketAddress(IPv4Address(192, 0, 2, 1), port: 2), tos: 0x10, [1])
      #expect(try bench.forward(packet).count == (matches ? 1 : 0), "\(rule)")
    }
  }

  @Test(
    "P1 rules: in the order of their priorities; a table without the way is passed over; list and del as ip rule"
  )
  func order() throws {
    let bench = try RouterBench()
    try bench.change("rule add from all lookup 100")
    try bench.change("rule add to 192.0.2.7 unreachable priority 5")
    try bench.change("rule add fwmark 1 iif sim1 lookup main priority 9")
    #expect(
      bench.stack.ruleReports.map { "\($0.priority): \($0.text)" } == [
        "0: from all lookup local", "5: from all to 192.0.2.7 unreachable",
        "9: from all fwmark 0x1 iif sim1 lookup main", "32765: from all lookup 100",
        "32766: from all lookup main", "32767: from all lookup default",
      ])
    func way(_ last: UInt8) throws -> Int {
      let packet = Hand.udp(
        SocketAddress(client, port: 1), SocketAddress(IPv4Address(192, 0, 2, last), port: 2), [1])
      return try bench.forward(packet).count
    }
    #expect(try way(8) == 0)
    try bench.change("route add 192.0.2.0/24 via 10.2.0.1")
    #expect(try way(8) == 1 && way(7) == 0)
    try bench.change("route add blackhole 192.0.2.8/32 table 100")
    #expect(try way(8) == 0 && way(9) == 1)
    try bench.change("route del blackhole 192.0.2.8/32 table 100")
    #expect(try way(8) == 1)
    try bench.change("rule del priority 5")
    #expect(try way(7) == 1)
    #expect(throws: StackError.self) { try bench.change("rule del priority 5") }
    #expect(throws: StackError.self) { try bench.change("rule add from all lookup 100 priority 32765") }
    for wrong in [
      "rule add from 10.0.0.1/8 lookup 5", "rule add lookup 0", "rule add fwmark x lookup 5",
      "rule add from all",
      "rule add tos 3 lookup 5", "rule add lookup local", "rule add iif nobody lookup 5", "rule add frm all",
    ] {
      #expect(throws: StackError.self, "\(wrong)") { try bench.change(wrong) }
    }
  }

  @Test("P1 SO_MARK: a socket's packets go the way of its mark, also when it gets one later")
  func socketMark() throws {
    let bench = try RouterBench()
    try bench.change("route add default via 10.1.0.1")
    try bench.change("route add default via 10.2.0.1 table 7")
    try bench.change("rule add fwmark 7 lookup 7")
    let socket = try bench.stack.socket(.udp)
    socket.isNonBlocking = true
    let target = SocketAddress(IPv4Address(198, 51, 100, 1), port: 9)
    _ = try socket.send([1], to: target)
    #expect(try bench.packets("sim0").count == 1 && bench.packets("sim1").isEmpty)
    try socket.setsockopt(level: 1, name: 36, 7)
    _ = try socket.send([1], to: target)
    let out = try bench.packets("sim1")
    #expect(out.count == 1 && Array(out[0][12..<16]) == [10, 2, 0, 2])
    #expect(try bench.packets("sim0").isEmpty)
  }

  @Test("P4 output: a mark that a rule sets sends the packet another way")
  func reroute() throws {
    let bench = try RouterBench()
    try bench.change("route add default via 10.1.0.1")
    try bench.change("route add default via 10.2.0.1 table 7")
    try bench.change("rule add fwmark 7 lookup 7")
    try bench.filter("output udp dport 9 \(mark)")
    try bench.filter("output meta mark 7 accept")
    let socket = try bench.stack.socket(.udp)
    socket.isNonBlocking = true
    for (port, name) in [(UInt16(9), "sim1"), (10, "sim0"), (9, "sim1")] {
      _ = try socket.send([1], to: SocketAddress(IPv4Address(198, 51, 100, 1), port: port))
      #expect(try bench.packets(name).count == 1 && bench.packets(name == "sim0" ? "sim1" : "sim0").isEmpty)
    }
    #expect(bench.stack.hooks.rules[1].packetCount == 2)
  }
}
