import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket

/// A program that does the same with every packet, and keeps what it saw.
private final class Program: TunnelClient {
  var seen: [[UInt8]] = []
  var devices: Set<String?> = []
  var answer: TunnelVerdict
  init(_ answer: TunnelVerdict) { self.answer = answer }

  func xmit(_ packet: borrowing HookPacket) -> TunnelVerdict {
    seen.append((0..<packet.bytes.byteCount).map { packet.bytes.load8($0) })
    devices.insert(packet.outputInterface)
    #expect(packet.byteCount == packet.bytes.byteCount)
    return answer
  }
}

/// Which protocols leave.
private final class Protocols: EgressClient {
  var seen: [IPProtocol] = []
  func egress(on packet: borrowing HookPacket) -> EgressVerdict {
    seen.append(packet.protocol)
    return .pass
  }
}

/// Routes that lead through a program, in virtual time; `RouterBench`'s server is the tunnel's other end.
@Suite struct TunnelTests {
  private static let behind = IPv4Address(10, 9, 0, 5)
  private let inside = SocketAddress(behind, port: 7)
  private let near = SocketAddress(RouterBench.client, port: 4000)

  /// A route to 10.9.0.0/16 by the server, through a program.
  private func lead(
    _ bench: RouterBench, _ answer: TunnelVerdict, headroom: Int = 0
  ) throws -> (Program, TunnelID) {
    let program = Program(answer)
    let id = try bench.stack.hooks.registerTunnel(headroom: headroom) { program }
    try bench.stack.addRoute(route(id))
    return (program, id)
  }
  private func route(_ id: TunnelID, metric: UInt32 = 0) -> RouteEntry {
    var route = RouteEntry(IPv4Prefix("10.9.0.0/16")!, gateway: RouterBench.server, metric: metric)
    route.tunnel = id
    return route
  }
  private func socket(_ bench: RouterBench, _ kind: SocketKind = .udp) throws -> Socket {
    let socket = try bench.stack.socket(kind)
    socket.isNonBlocking = true
    return socket
  }
  private func drops(_ bench: RouterBench, _ name: String) -> UInt64 {
    bench.stack.dropReports.first { $0.name == name }?.value ?? 0
  }

  @Test("P8 tunnel: IP in IP (RFC 2003) around what a socket sends and what is forwarded")
  func encapsulated() throws {
    let bench = try RouterBench()
    let outer = Encapsulation(destination: RouterBench.server)
    let (program, _) = try lead(bench, .encapsulate(outer))
    _ = try socket(bench).send([1, 2, 3, 4], to: inside)
    let sent = try #require(try bench.packets("sim1").first)
    #expect(sent.count == 52 && sent[0] == 0x45 && sent[2] == 0 && sent[3] == 52)
    // 64 hops, not to be kept whole, IP inside.
    #expect(sent[8] == 64 && sent[6] == 0 && sent[7] == 0 && sent[9] == 4)
    #expect(sent[12..<20].elementsEqual([10, 2, 0, 2, 10, 2, 0, 1]) && Hand.sum(sent[0..<20]) == 0xFFFF)
    let first = Array(sent[20...])
    #expect(first[12..<20].elementsEqual([10, 2, 0, 2, 10, 9, 0, 5]) && Hand.isIntact(first))
    #expect(first.suffix(4).elementsEqual([1, 2, 3, 4]) && program.seen == [first])
    // Another's, one hop further.
    let packet = Hand.udp(near, inside, ttl: 9, [5])
    let passed = try #require(try bench.forward(packet).first)
    #expect(passed[9] == 4 && passed[8] == 64 && passed[28] == 8 && passed[32..<40] == packet[12..<20])
    #expect(Hand.isIntact(Array(passed[20...])) && program.devices == ["sim1"])
    // As Linux counts: each is sent, and only what a socket asked for is asked for.
    #expect(bench.count("IpOutTransmits") == 4 && bench.count("IpOutRequests") == 1)
  }

  @Test(
    "P8 tunnel: a UDP header in front, the outer packet's own fields, and the address that it is sent from")
  func fields() throws {
    let bench = try RouterBench()
    var outer = Encapsulation(
      source: RouterBench.near, destination: RouterBench.server, protocol: .udp,
      header: [0x12, 0xB5, 0x12, 0xB6, 0, 37, 0, 0])
    outer.typeOfService = 0x48
    outer.timeToLive = 7
    outer.dontFragment = true
    _ = try lead(bench, .encapsulate(outer))
    _ = try socket(bench).send([6], to: inside)
    let sent = try #require(try bench.packets("sim1").first)
    #expect(sent.count == 57 && sent[1] == 0x48 && sent[6] == 0x40 && sent[8] == 7 && sent[9] == 17)
    #expect(sent[12..<20].elementsEqual([10, 1, 0, 2, 10, 2, 0, 1]))
    #expect(sent[20..<28].elementsEqual([0x12, 0xB5, 0x12, 0xB6, 0, 37, 0, 0]))
    #expect(Hand.isIntact(Array(sent[28...])))
  }

  @Test("P8 tunnel: the outer packet passes the last hook and the egress programs, and is of no connection")
  func hooks() throws {
    let bench = try RouterBench()
    _ = try lead(bench, .encapsulate(Encapsulation(destination: RouterBench.server)))
    try bench.filter("output ip protocol 4 accept")
    try bench.filter("postrouting ip protocol 4 accept")
    try bench.filter("postrouting ip protocol udp accept")
    try bench.stack.hooks.trackConnections(true)
    _ = try socket(bench).send([1], to: inside)
    #expect(bench.stack.hooks.rules.map(\.packetCount) == [0, 1, 1])
    #expect(bench.stack.hooks.connections.map(\.original.protocol) == [.udp])
    #expect(try bench.packets("sim1").count == 1)
    let egress = Protocols()
    _ = try bench.stack.hooks.registerEgress { egress }
    _ = try bench.forward(Hand.udp(near, inside, [4]))
    #expect(egress.seen.isEmpty)
    _ = try socket(bench).send([1], to: inside)
    #expect(egress.seen == [.udp, IPProtocol(rawValue: 4)])
    #expect(try bench.packets("sim1").count == 1)
    // Its sender hears of a loss in the tunnel as of one in a queue: not at all, but for IP_RECVERR.
    try bench.change("filter del postrouting handle 2")
    try bench.filter("postrouting ip protocol 4 drop")
    #expect(try socket(bench).send([1], to: inside) == 1)
    #expect(try bench.packets("sim1").isEmpty && bench.count("IpOutDiscards") == 1)
  }

  @Test("P8 tunnel: the outer packet is of no connection, though the inner one keeps its own over loopback")
  func overLoopback() throws {
    let bench = try RouterBench()
    let id = try bench.stack.hooks.registerTunnel {
      Program(.encapsulate(Encapsulation(destination: RouterBench.server)))
    }
    var route = RouteEntry(IPv4Prefix("10.9.0.0/16")!)
    route.tunnel = id
    try bench.stack.addRoute(route, on: "lo")
    try bench.filter("postrouting ip protocol udp ct state new accept")
    try bench.filter("postrouting ip protocol 4 ct state new drop")
    _ = try socket(bench).send([1], to: inside)
    #expect(try bench.packets("sim1").map { $0[9] } == [4])
    #expect(bench.stack.hooks.rules.map(\.packetCount) == [1, 0])
  }

  @Test("P8 tunnel: a program takes the packet, and a UDP socket of the stack carries it (RFC 8086's manner)")
  func taken() throws {
    let bench = try RouterBench()
    let (program, _) = try lead(bench, .taken)
    let sender = try socket(bench)
    #expect(try sender.send([1, 2, 3], to: inside) == 3)
    #expect(try bench.forward(Hand.udp(near, inside, [4])).isEmpty)
    #expect(try bench.packets("sim1").isEmpty && program.seen.count == 2)
    // It is counted as sent, and is no drop.
    #expect(bench.count("IpOutTransmits") == 2 && drops(bench, "LIGHTWEIGHT_TUNNEL") == 0)
    let carrier = try socket(bench)
    for packet in program.seen {
      _ = try carrier.send(packet, to: SocketAddress(RouterBench.server, port: 4754))
    }
    let carried = try bench.packets("sim1")
    #expect(carried.count == 2 && carried.allSatisfy { $0[9] == 17 && Hand.isIntact($0) })
    #expect(carried.map { Array($0[28...]) } == program.seen)
    #expect(program.seen.allSatisfy { Hand.isIntact($0) && $0[16..<20].elementsEqual([10, 9, 0, 5]) })
  }

  @Test("P8 tunnel: what is let go on leaves as without a program, once, and each piece is asked about")
  func passed() throws {
    let bench = try RouterBench()
    let (program, _) = try lead(bench, .pass)
    _ = try socket(bench).send([UInt8](repeating: 7, count: 3000), to: inside)
    let pieces = try bench.packets("sim1")
    #expect(pieces.count == 3 && pieces == program.seen)
    #expect(bench.count("IpOutTransmits") == 3 && bench.count("IpFragCreates") == 3)
    let other = Hand.udp(near, inside, [4])
    #expect(try bench.forward(other) == [program.seen[3]])
    // Other routes have nothing to do with it.
    _ = try socket(bench).send([1], to: SocketAddress(RouterBench.server, port: 9))
    #expect(try bench.packets("sim1").count == 1 && program.seen.count == 4)
  }

  @Test("P8 tunnel: what is dropped is counted, its local sender gets the error, a stream tries again")
  func dropped() throws {
    let bench = try RouterBench()
    let (program, _) = try lead(bench, .drop(.EACCES))
    let error = #expect(throws: SocketError.self) { try self.socket(bench).send([1], to: inside) }
    #expect(error?.errno == .EACCES)
    #expect(try bench.forward(Hand.udp(near, inside, [4])).isEmpty)
    #expect(drops(bench, "LIGHTWEIGHT_TUNNEL") == 2)
    #expect(bench.count("IpOutDiscards") == 1 && bench.count("IpOutTransmits") == 2)
    let stream = try socket(bench, .tcp)
    try? stream.connect(to: inside)
    program.answer = .pass
    bench.advance(.milliseconds(1100))
    #expect(try bench.packets("sim1").filter { $0[9] == 6 }.count == 1)
  }

  @Test(
    "P8 tunnel: headroom is the path's, so a stream's segments and their outer headers fit; each is shown whole",
    arguments: [false, true])
  func stream(lendsEngines: Bool) throws {
    let bench = try RouterBench(lendsEngines: lendsEngines)
    var outer = Encapsulation(destination: RouterBench.server, protocol: .udp, header: [])
    outer.header = [0x12, 0xB5, 0x12, 0xB5, 0, 0, 0, 0]
    outer.dontFragment = true
    let (program, _) = try lead(bench, .encapsulate(outer), headroom: 28)
    let stream = try socket(bench, .tcp)
    try? stream.connect(to: inside)
    let syn = Array(try #require(try bench.packets("sim1").first)[28...])
    // The largest segment that is announced: 1500 less 28 and 40.
    #expect(syn[9] == 6 && syn[40..<44].elementsEqual([2, 4, 5, 152]))
    let own = SocketAddress(RouterBench.far, port: UInt16(syn[20]) << 8 | UInt16(syn[21]))
    let sequence = syn[24..<28].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let answer = Hand.tcp(inside, own, 0x12, sequence: 9, acknowledgment: sequence &+ 1)
    try bench.receive(answer, on: "sim1")
    _ = try bench.packets("sim1")
    program.seen = []
    #expect(try stream.send([UInt8](repeating: 5, count: 5000)) == 5000)
    let sent = try bench.packets("sim1")
    // A peer that says nothing gets 536 bytes a segment.
    #expect(sent.count == 10 && sent.allSatisfy { $0.count <= 1500 && $0[9] == 17 && $0[28 + 9] == 6 })
    #expect(sent.map { Array($0[28...]) } == program.seen)
    #expect(program.seen.allSatisfy { Hand.isIntact($0) })
    #expect(program.seen.map { $0.count - 40 }.reduce(0, +) == 5000)
    #expect(bench.count("IpFragCreates") == 0)
  }

  @Test(
    "P8 tunnel: a forwarded packet that would not fit with what is in front of it is refused with the MTU")
  func tooLarge() throws {
    let bench = try RouterBench()
    _ = try lead(bench, .encapsulate(Encapsulation(destination: RouterBench.server)), headroom: 20)
    let large = Hand.udp(near, inside, fragment: 0x4000, [UInt8](repeating: 1, count: 1472))
    #expect(try bench.forward(large).isEmpty)
    let error = try #require(try bench.packets("sim0").first)
    #expect(error[20] == 3 && error[21] == 4 && error[26...27].elementsEqual([0x05, 0xC8]))
    let fits = Hand.udp(near, inside, fragment: 0x4000, [UInt8](repeating: 1, count: 1452))
    #expect(try bench.forward(fits).map(\.count) == [1500])
  }

  @Test("P8 tunnel: without headroom the outer packet is cut, or is lost where it may not be")
  func outerSize() throws {
    let bench = try RouterBench()
    let (program, _) = try lead(bench, .encapsulate(Encapsulation(destination: RouterBench.server)))
    let large = Hand.udp(near, inside, [UInt8](repeating: 1, count: 1472))
    let pieces = try bench.forward(large)
    #expect(pieces.map(\.count) == [1500, 40] && pieces.allSatisfy { $0[9] == 4 } && pieces[0][6] == 0x20)
    var whole = Encapsulation(destination: RouterBench.server)
    whole.dontFragment = true
    program.answer = .encapsulate(whole)
    #expect(try bench.forward(large).isEmpty && drops(bench, "PKT_TOO_BIG") == 1)
  }

  @Test("P8 tunnel: who sends through itself ends after nine packets")
  func loop() throws {
    let bench = try RouterBench()
    let (program, _) = try lead(bench, .encapsulate(Encapsulation(destination: Self.behind)))
    #expect(try socket(bench).send([1], to: inside) == 1)
    // As Linux 6.18 counts.
    #expect(bench.count("IpOutTransmits") == 10 && bench.count("IpOutDiscards") == 1)
    #expect(program.seen.map(\.count) == (0..<9).map { 29 + 20 * $0 })
    #expect(drops(bench, "LIGHTWEIGHT_TUNNEL") == 1)
    // And the next packet begins anew.
    program.answer = .pass
    _ = try socket(bench).send([1], to: inside)
    #expect(try bench.packets("sim1").count == 1)
  }

  @Test("P8 tunnel: no way for the outer packet, and a header that is too long, are errors of the sender's")
  func impossible() throws {
    let bench = try RouterBench()
    let (program, _) = try lead(
      bench, .encapsulate(Encapsulation(destination: IPv4Address(192, 0, 2, 1))))
    let nowhere = #expect(throws: SocketError.self) { try self.socket(bench).send([1], to: inside) }
    #expect(nowhere?.errno == .ENETUNREACH)
    let longest = [UInt8](repeating: 9, count: 236)
    program.answer = .encapsulate(Encapsulation(destination: RouterBench.server, header: longest))
    _ = try socket(bench).send([1], to: inside)
    let sent = try #require(try bench.packets("sim1").first)
    #expect(sent.count == 285 && sent[20..<256].elementsEqual(longest))
    program.answer = .encapsulate(Encapsulation(destination: RouterBench.server, header: longest + [9]))
    let long = #expect(throws: SocketError.self) { try self.socket(bench).send([1], to: inside) }
    #expect(long?.errno == .EINVAL && drops(bench, "LIGHTWEIGHT_TUNNEL") == 1)
  }

  @Test("P8 tunnel: of several next hops one may lead through a program; so may a route to groups")
  func hops() throws {
    let bench = try RouterBench()
    let program = Program(.pass)
    let id = try bench.stack.hooks.registerTunnel { program }
    let hops = [
      NamedNextHop(gateway: RouterBench.client, device: "sim0"),
      NamedNextHop(gateway: RouterBench.server, device: "sim1", tunnel: id),
    ]
    try bench.stack.addRoute(RouteEntry(IPv4Prefix("10.9.0.0/16")!), over: hops)
    let sender = try socket(bench)
    for host in 1...40 {
      _ = try sender.send([1], to: SocketAddress(IPv4Address(10, 9, 0, UInt8(host)), port: 9))
    }
    let through = try bench.packets("sim1")
    #expect(!through.isEmpty && program.seen == through)
    #expect(try !bench.packets("sim0").isEmpty)
    #expect(bench.stack.routeReports.first { $0.nextHops != nil }?.nextHops?.map(\.tunnel) == [nil, "1"])
    var groups = RouteEntry(IPv4Prefix("224.0.0.0/4")!)
    groups.tunnel = id
    try bench.stack.addRoute(groups, on: "sim1")
    program.answer = .taken
    let before = bench.count("IpExtOutMcastPkts")
    _ = try socket(bench).send([1], to: SocketAddress(IPv4Address(239, 1, 1, 1), port: 9))
    #expect(program.seen.last?[16..<20].elementsEqual([239, 1, 1, 1]) == true)
    #expect(try bench.packets("sim1").isEmpty && bench.count("IpExtOutMcastPkts") == before + 1)
  }

  @Test("P8 tunnel: a program stays while a route leads through it, and routes are told apart by it")
  func coming() throws {
    let bench = try RouterBench(queues: 2)
    var made = 0
    let id = try bench.stack.hooks.registerTunnel {
      made += 1
      return Program(.pass)
    }
    #expect(made == 2 && "\(id)" == "1")
    try bench.stack.addRoute(route(id))
    #expect(bench.stack.routeReports.first { $0.destination == "10.9.0.0/16" }?.tunnel == "1")
    #expect("\(route(id))" == "10.9.0.0/16 via 10.2.0.1 encap program 1")
    func refusal(_ body: () throws -> Void) -> Errno? {
      #expect(throws: StackError.self) { try body() }.flatMap { $0.code }
    }
    #expect(refusal { try bench.stack.hooks.unregisterTunnel(id) } == .EBUSY)
    let other = try bench.stack.hooks.registerTunnel { Program(.pass) }
    var selector = RouteSelector(IPv4Prefix("10.9.0.0/16")!)
    selector.tunnel = other
    #expect(refusal { try bench.stack.removeRoute(selector) } == .ESRCH)
    try bench.stack.addRoute(route(other), table: 100)
    #expect(refusal { try bench.stack.hooks.unregisterTunnel(other) } == .EBUSY)
    selector.tunnel = id
    try bench.stack.removeRoute(selector)
    try bench.stack.hooks.unregisterTunnel(id)
    #expect(refusal { try bench.stack.hooks.unregisterTunnel(id) } == .ENOENT)
    #expect(refusal { try bench.stack.addRoute(self.route(id)) } == .EINVAL)
    #expect(refusal { _ = try bench.stack.hooks.registerTunnel(headroom: 257) { Program(.pass) } } == .ERANGE)
    // The place is free again.
    #expect(try bench.stack.hooks.registerTunnel { Program(.pass) } == id)
  }

  @Test("P8 tunnel: a socket that has a route cached follows the next one, through a program or not")
  func cached() throws {
    let bench = try RouterBench()
    let (program, id) = try lead(bench, .taken)
    let sender = try socket(bench)
    try sender.connect(to: inside)
    _ = try sender.send([1])
    #expect(program.seen.count == 1)
    try bench.stack.replaceRoute(route(.none))
    _ = try sender.send([2])
    #expect(program.seen.count == 1)
    #expect(try bench.packets("sim1").count == 1)
    try bench.stack.replaceRoute(route(id))
    _ = try sender.send([3])
    #expect(program.seen.count == 2)
    #expect(try bench.packets("sim1").isEmpty)
  }
}
