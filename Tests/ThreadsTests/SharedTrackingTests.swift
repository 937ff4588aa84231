import NetNamespace
import NetTestSupport
import SkBuff
import Synchronization
import TestSupport
import Testing
import Timers
import Wire

@testable import Netfilter
@testable import SwiftStack

private typealias Hand = HandmadePacket
private let client = RouterBench.client
private let server = RouterBench.server

private func end(_ packet: [UInt8], source: Bool) -> SocketAddress {
  let place = source ? 12 : 16
  let address = IPv4Address(packet[place], packet[place + 1], packet[place + 2], packet[place + 3])
  let port = UInt16(packet[source ? 20 : 22]) << 8 | UInt16(packet[source ? 21 : 23])
  return SocketAddress(address, port: port)
}

extension SkBuffPool {
  fileprivate func packet(_ bytes: [UInt8]) -> SkBuff? {
    guard var skb = allocate(headroom: 64, linear: bytes.count) else { return nil }
    unsafe skb.put(bytes.span.bytes)
    skb.setNetworkHeader()
    skb.etherType = .ipv4
    return skb
  }
}

extension Hooks {
  /// What comes of a packet between the first hook and the last.
  fileprivate mutating func pass(
    _ bytes: [UInt8], by interface: InterfaceIndex, net: inout Net, between: () -> Void
  ) -> [UInt8]? {
    guard var skb = net.pool.packet(bytes),
      verdict(.prerouting, on: &skb, interface: interface, net: &net).passes
    else { return nil }
    between()
    guard verdict(.postrouting, on: &skb, interface: interface, net: &net).passes else { return nil }
    return skb.copyBytes()
  }
}

/// The connections of a stack of several queues: its packets come in by any of them, those of one connection's two directions
/// by two. In virtual time, but for the last ones.
@Suite struct SharedTrackingTests {
  private let near = SocketAddress(client, port: 4000)
  private let web = SocketAddress(server, port: 80)
  private let outside = SocketAddress(RouterBench.far, port: 4000)

  private func line(_ bench: RouterBench) -> String {
    bench.stack.hooks.connections.map(\.line).joined(separator: "\n")
  }

  @Test(
    "P4 several queues: a masqueraded TCP connection, each of its packets by the next queue, is one connection",
    arguments: [2, 4], [0, 1])
  func masquerade(queues: Int, first: Int) throws {
    let bench = try RouterBench(queues: queues)
    try bench.filter("postrouting oifname sim1 masquerade")
    var queue = first
    func pass(_ packet: [UInt8], from name: String = "sim0") throws -> [UInt8]? {
      queue = (queue + 1) % queues
      let passed = try bench.forward(packet, from: name, queue: queue)
      #expect(passed.count <= 1 && passed.allSatisfy { Hand.isIntact($0) })
      #expect(bench.stack.hooks.connections.count <= 1)
      return passed.first
    }
    #expect(try pass(Hand.tcp(near, web, 2, sequence: 100)).map { end($0, source: true) } == outside)
    #expect(line(bench).hasPrefix("tcp      6 120 SYN_SENT "))
    let answer = Hand.tcp(web, outside, 0x12, sequence: 500, acknowledgment: 101)
    #expect(try pass(answer, from: "sim1").map { end($0, source: false) } == near)
    #expect(line(bench).hasPrefix("tcp      6 60 SYN_RECV "))
    let ack = Hand.tcp(near, web, 0x10, sequence: 101, acknowledgment: 501)
    #expect(try pass(ack).map { end($0, source: true) } == outside)
    #expect(line(bench).hasPrefix("tcp      6 432000 ESTABLISHED ") && line(bench).contains("[ASSURED]"))
    // Out of the window, wherever it comes in.
    let invalid = bench.stack.hooks.connectionStatistics.invalid
    let wild = Hand.tcp(web, outside, 0x10, sequence: 90_000_000, acknowledgment: 101)
    #expect(try pass(wild, from: "sim1") == nil)
    // And so is the reset with which it is answered.
    #expect(bench.stack.hooks.connectionStatistics.invalid == invalid + 2)
    _ = try bench.packets("sim1")
    let fin = Hand.tcp(web, outside, 0x11, sequence: 501, acknowledgment: 101)
    #expect(try pass(fin, from: "sim1").map { end($0, source: false) } == near)
    _ = try pass(Hand.tcp(near, web, 0x10, sequence: 101, acknowledgment: 502))
    _ = try pass(Hand.tcp(near, web, 0x11, sequence: 101, acknowledgment: 502))
    _ = try pass(Hand.tcp(web, outside, 0x10, sequence: 502, acknowledgment: 102), from: "sim1")
    #expect(line(bench).hasPrefix("tcp      6 120 TIME_WAIT "))
    bench.advance(.seconds(119))
    #expect(line(bench).hasPrefix("tcp      6 1 TIME_WAIT "))
    bench.advance(.seconds(2))
    #expect(line(bench).isEmpty && bench.host.timerCount < 20 * queues)
  }

  @Test(
    "P4 several queues: two senders with one port get two, whichever queues they come by", arguments: [2, 4])
  func ports(queues: Int) throws {
    let bench = try RouterBench(queues: queues)
    try bench.filter("postrouting oifname sim1 masquerade")
    var given: Set<SocketAddress> = []
    for host in UInt8(10)..<30 {
      let sender = SocketAddress(IPv4Address(10, 1, 0, host), port: 4000)
      let station = MACAddress(0x0200_0000_0000 + UInt64(host))
      try bench.stack.replaceNeighbour(IPv4Address(10, 1, 0, host), hardwareAddress: station)
      let question = Hand.udp(sender, SocketAddress(server, port: 53), [host])
      let left = try #require(try bench.forward(question, queue: Int(host) % queues).first)
      given.insert(end(left, source: true))
      let answer = Hand.udp(SocketAddress(server, port: 53), end(left, source: true), [host])
      let back = try bench.forward(answer, from: "sim1", queue: Int(host / 3) % queues)
      #expect(back.map { end($0, source: false) } == [sender])
    }
    #expect(given.count == 20 && bench.stack.hooks.connections.count == 20)
  }

  @Test(
    "P4 several queues: a connection that is redirected to a listener of ours finds it, by any queue",
    arguments: [2, 4], [0, 1])
  func redirect(queues: Int, first: Int) throws {
    let bench = try RouterBench(queues: queues)
    try bench.filter("prerouting iifname sim0 tcp dport 80 redirect to :8888")
    let listener = try bench.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 8888))
    try listener.listen()
    try bench.receive(Hand.tcp(near, web, 2, sequence: 100), on: "sim0", queue: first)
    let answer = try #require(try bench.packets("sim0").first)
    #expect(end(answer, source: true) == web && end(answer, source: false) == near)
    #expect(answer[33] == 0x12 && Hand.isIntact(answer))
    let sequence = answer[24..<28].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let other = (first + 1) % queues
    let data = Hand.tcp(near, web, 0x18, sequence: 101, acknowledgment: sequence &+ 1, [7, 8])
    try bench.receive(data, on: "sim0", queue: other)
    let accepted = try listener.accept()
    accepted.isNonBlocking = true
    #expect(try accepted.receive(upTo: 10) == [7, 8])
    _ = try accepted.send([9])
    let sent = try #require(try bench.packets("sim0").last)
    #expect(end(sent, source: true) == web && sent.last == 9 && Hand.isIntact(sent))
    #expect(bench.stack.hooks.connections.count == 1 && line(bench).contains("ESTABLISHED"))
  }

  @Test(
    "P4 several queues: what a socket's translated destination answers finds it, by any queue",
    arguments: [2, 4])
  func output(queues: Int) throws {
    let bench = try RouterBench(queues: queues)
    try bench.filter("output ip daddr 10.1.0.1 udp dport 53 dnat to 10.2.0.1:5353")
    for queue in 0..<queues {
      let socket = try bench.stack.socket(.udp)
      socket.isNonBlocking = true
      _ = try socket.send([1, 2, 3], to: SocketAddress(client, port: 53))
      let out = try #require(try bench.packets("sim1").first)
      #expect(end(out, source: false) == SocketAddress(server, port: 5353) && Hand.isIntact(out))
      let reply = Hand.udp(SocketAddress(server, port: 5353), end(out, source: true), [UInt8(queue)])
      _ = try bench.forward(reply, from: "sim1", queue: queue)
      let got = try socket.recvmsg(upTo: 10)
      #expect(got.bytes == [UInt8(queue)] && got.source == SocketAddress(client, port: 53))
    }
    #expect(bench.stack.hooks.connections.count == queues)
  }

  @Test(
    "P4 several queues: state and mark that a rule sees are the stack's; an error is related, and translated")
  func states() throws {
    let bench = try RouterBench(queues: 2)
    try bench.filter("prerouting iifname sim0 ct mark set 7")
    try bench.filter("forward iifname sim0 accept")
    try bench.filter("forward ct state established,related ct mark 7 accept")
    try bench.filter("forward drop")
    try bench.filter("postrouting oifname sim1 masquerade")
    let question = Hand.udp(near, SocketAddress(server, port: 53), [1])
    let asked = try #require(try bench.forward(question, queue: 0).first)
    let answer = Hand.udp(SocketAddress(server, port: 53), outside, [2])
    #expect(try bench.forward(answer, from: "sim1", queue: 1).count == 1)
    let stranger = Hand.udp(SocketAddress(server, port: 54), outside, [2])
    #expect(try bench.forward(stranger, from: "sim1", queue: 1).isEmpty)
    let error = Hand.icmp(server, RouterBench.far, 3, 3, rest: [0, 0, 0, 0], Array(asked.prefix(28)))
    let told = try #require(try bench.forward(error, from: "sim1", queue: 1).first)
    #expect(told[16..<20].elementsEqual([10, 1, 0, 1]) && Hand.isIntact(told))
    #expect(told[40..<44].elementsEqual([10, 1, 0, 1]))
    #expect(line(bench).contains(" mark=7"))
  }

  @Test(
    "P4 several queues: nf_conntrack_max is the stack's; forgetting, and the end of tracking, too",
    arguments: [2, 4])
  func limits(queues: Int) throws {
    let bench = try RouterBench(queues: queues)
    try bench.stack.hooks.trackConnections(true)
    try bench.stack.set("net.netfilter.nf_conntrack_max", to: "10")
    var passed = 0
    for port in UInt16(1000)..<1040 {
      let packet = Hand.udp(SocketAddress(client, port: port), SocketAddress(server, port: 53), [1])
      passed += try bench.forward(packet, queue: Int(port) % queues).count
    }
    let statistics = bench.stack.hooks.connectionStatistics
    #expect(bench.stack.hooks.connections.count <= 10 && passed + Int(statistics.dropped) == 40)
    #expect(statistics.earlyDropped == UInt64(passed - bench.stack.hooks.connections.count))
    try bench.change("conntrack flush")
    #expect(bench.stack.hooks.connections.isEmpty)
    _ = try bench.forward(Hand.udp(near, SocketAddress(server, port: 53), [1]), queue: 1)
    #expect(bench.stack.hooks.connections.count == 1)
    try bench.stack.hooks.trackConnections(false)
    #expect(bench.stack.hooks.connections.isEmpty)
    _ = try bench.forward(Hand.udp(near, SocketAddress(server, port: 53), [1]), queue: 1)
    #expect(bench.stack.hooks.connections.isEmpty)
  }

  @Test("P4 several queues: a connection ends at its time, whichever queue kept it last", arguments: [2, 4])
  func time(queues: Int) throws {
    let bench = try RouterBench(queues: queues)
    try bench.stack.hooks.trackConnections(true)
    let question = Hand.udp(near, SocketAddress(server, port: 53), [1])
    for second in 0..<4 {
      #expect(try bench.forward(question, queue: second % queues).count == 1)
      #expect(bench.stack.hooks.connections.count == 1)
      bench.advance(.seconds(20))
    }
    bench.advance(.seconds(9))
    #expect(bench.stack.hooks.connections.count == 1)
    let timers = bench.host.timerCount
    bench.advance(.seconds(2))
    #expect(bench.stack.hooks.connections.isEmpty && bench.host.timerCount < timers)
  }

  @Test(
    "P4 several queues: the pieces of a datagram by two queues are one packet of one connection",
    arguments: [2, 4])
  func fragments(queues: Int) throws {
    let bench = try RouterBench(queues: queues)
    try bench.filter("postrouting oifname sim1 masquerade")
    let whole = Hand.udp(near, SocketAddress(server, port: 53), [UInt8](repeating: 3, count: 1600))
    let data = Array(whole[20...])
    let pieces = [
      Hand.ip(client, server, protocol: 17, id: 9, fragment: 0x2000, Array(data[..<800])),
      Hand.ip(client, server, protocol: 17, id: 9, fragment: 100, Array(data[800...])),
    ]
    var left: [[UInt8]] = []
    for (index, piece) in pieces.enumerated() { left += try bench.forward(piece, queue: index) }
    #expect(left.count == 2 && left.allSatisfy { $0[12..<16].elementsEqual([10, 2, 0, 2]) })
    #expect(bench.stack.hooks.connections.count == 1)
    let joined = left.flatMap { $0[20...] }
    #expect(joined.count == data.count && joined[8...].elementsEqual(data[8...]))
  }

  @Test("P4 several queues: what a hook throws away leaves no more than eight connections of each behind")
  func unconfirmed() throws {
    let bench = try RouterBench(queues: 2)
    try bench.stack.hooks.trackConnections(true)
    try bench.filter("forward drop")
    for port in UInt16(1000)..<1100 {
      let packet = Hand.udp(SocketAddress(client, port: port), SocketAddress(server, port: 53), [1])
      #expect(try bench.forward(packet, queue: Int(port) % 2).isEmpty)
    }
    #expect(bench.stack.hooks.connections.isEmpty)
    try bench.change("filter del forward handle 1")
    for queue in 0..<2 {
      #expect(try bench.forward(Hand.udp(near, web, [1]), queue: queue).count == 1)
    }
    #expect(bench.stack.hooks.connections.count == 1)
  }

  /// One shard's hooks with all they need.
  private final class Place {
    let memory = TestMemory()
    var net: Net
    var hooks = Hooks()
    let interface = InterfaceIndex(rawValue: 2)

    init(_ number: Int, of connections: StackConnections) {
      net = memory.net(seed: UInt64(number + 1))
      hooks.name(interface, "sim0")
      hooks.share(connections, shard: number)
      hooks.trackConnections(true, net: &net)
    }
    deinit { hooks.close(net: &net) }

    /// What comes of a packet between two hooks.
    func pass(_ bytes: [UInt8], between: () -> Void = {}) -> [UInt8]? {
      hooks.pass(bytes, by: interface, net: &net, between: between)
    }
    /// A packet that one between the hooks throws away.
    func lose(_ bytes: [UInt8]) {
      guard var skb = net.pool.packet(bytes) else { return }
      #expect(hooks.verdict(.prerouting, on: &skb, interface: interface, net: &net).passes)
    }
  }

  @Test("P4 several queues: for packets that are thrown away no more than eight connections of each are held")
  func heldForNone() {
    let connections = StackConnections()
    let places = [Place(0, of: connections), Place(1, of: connections)]
    for port in UInt16(1000)..<1100 {
      let packet = Hand.udp(SocketAddress(client, port: port), SocketAddress(server, port: 53), [1])
      places[Int(port) % 2].lose(packet)
    }
    connections.withConnections { #expect($0.table.count == 16 && $0.count == 0) }
  }

  @Test(
    "P4 several queues: a packet whose connection another one forgets meanwhile does not leave as it came")
  func forgotten() {
    let connections = StackConnections()
    let (here, other) = (Place(0, of: connections), Place(1, of: connections))
    let packet = Hand.udp(near, SocketAddress(server, port: 53), [1])
    #expect(here.pass(packet) == packet)
    #expect(here.pass(packet) { other.hooks.forgetConnections(net: &other.net) } == nil)
    #expect(here.pass(packet) == packet)
  }

  @Test(
    "P4 several queues: first packets at another one do not take the place of one that is between the hooks here"
  )
  func between() {
    let connections = StackConnections()
    let (here, other) = (Place(0, of: connections), Place(1, of: connections))
    let packet = Hand.udp(near, SocketAddress(server, port: 53), [1])
    func others() {
      for port in UInt16(100)..<120 {
        let packet = Hand.udp(SocketAddress(client, port: port), SocketAddress(server, port: 53), [1])
        #expect(other.pass(packet) != nil)
      }
    }
    #expect(here.pass(packet, between: others) == packet)
    connections.withConnections { #expect($0.count == 21) }
  }

  @Test("P4 several queues: each queue of a stack has its own places for connections between the hooks")
  func placesOfQueues() throws {
    let bench = try RouterBench(queues: 2)
    try bench.stack.hooks.trackConnections(true)
    let (here, other) = (bench.stack.shards[0], bench.stack.shards[1])
    func pass(_ port: UInt16, at shard: LockedShard, between: () -> Void = {}) -> Bool {
      let packet = Hand.udp(SocketAddress(client, port: port), SocketAddress(server, port: 53), [1])
      return shard.inspect {
        let interface = $0.ethernet
        return $0.host.internet.hooks.pass(packet, by: interface, net: &$0.host.net, between: between) != nil
      }
    }
    func others() {
      for port in UInt16(100)..<120 { #expect(pass(port, at: other)) }
    }
    #expect(pass(4000, at: here, between: others))
    #expect(bench.stack.hooks.connections.count == 21)
  }

  /// Flows that all threads pass packets of.
  private static func run(_ number: Int, of connections: StackConnections, _ lost: borrowing Atomic<Int>) {
    let place = Place(number, of: connections)
    for round in 0..<2000 {
      let here = SocketAddress(client, port: UInt16(1000 + round % 100))
      let there = SocketAddress(server, port: 53)
      // One may be lost where two shards see the first at once, or one forgets it.
      if place.pass(Hand.udp(here, there, [UInt8(number)])) == nil { lost.add(1, ordering: .relaxed) }
      _ = place.pass(Hand.udp(there, here, [UInt8(number)]))
      if round % 50 == 49 { _ = place.hooks.connectionSnapshot(now: place.net.now) }
      if round % 400 == 399 { place.hooks.forgetConnections(net: &place.net) }
    }
  }

  @Test("P4 several queues: four threads track the same flows at once")
  func threads() throws {
    let connections = StackConnections()
    let lost = SharedCount()
    func start(_ number: Int) throws -> StackThread {
      try StackThread.startJoinable { Self.run(number, of: connections, lost.count) }
    }
    let first = try start(0)
    let second = try start(1)
    let third = try start(2)
    Self.run(3, of: connections, lost.count)
    first.join()
    second.join()
    third.join()
    #expect(lost.count.load(ordering: .relaxed) < 2000)
    connections.withConnections { #expect($0.count <= 100) }
  }
}

private final class SharedCount: Sendable { let count = Atomic<Int>(0) }
