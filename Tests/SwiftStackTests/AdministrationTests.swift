import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers

/// Changes to a running stack: addresses, routes, neighbours, and what senders and the wire see of them.
@Suite struct AdministrationTests {
  private static let far = IPv4Address(10, 9, 0, 1)
  private func prefix(_ text: String) throws -> IPv4Prefix { try #require(IPv4Prefix(text)) }

  private func change(_ stack: Stack, _ text: String) throws(StackError) {
    try stack.apply(StackChange(words: text.split(separator: " ").map(String.init), device: "sim0"))
  }

  /// The error of a change; `nil`: it was made.
  private func refusal(_ stack: Stack, _ text: String) -> Errno? {
    do {
      try change(stack, text)
      return nil
    } catch {
      return error.code
    }
  }

  private func send(_ peer: FramePeer, _ address: IPv4Address, queue: Int = 0) -> Errno? {
    do {
      let socket = try peer.host.stack.socket(.udp)
      defer { socket.close() }
      socket.isNonBlocking = true
      try socket.send([1], to: SocketAddress(address, port: 9))
      return nil
    } catch {
      return error.errno
    }
  }

  private func connect(_ peer: FramePeer, _ address: IPv4Address, queue: Int) throws -> Errno {
    let socket = try peer.host.stack.socket(.tcp, queue: queue)
    defer { socket.close() }
    socket.isNonBlocking = true
    do {
      try socket.connect(to: SocketAddress(address, port: 80))
      return .EISCONN
    } catch {
      return error.errno
    }
  }

  // MARK: Addresses

  @Test("addr add: the new address answers ARP and echo, is announced, and is shown") func addAddress() throws
  {
    let peer = try FramePeer { $0.announcesAddress = true }
    peer.advance(.seconds(10))
    _ = peer.takeARP()
    try change(peer.host.stack, "addr add 10.0.0.77/24")
    let announcement = try #require(peer.takeARP().first)
    #expect(
      Array(announcement[14..<18]) == [10, 0, 0, 77] && Array(announcement[24..<28]) == [10, 0, 0, 77])
    peer.advance(.seconds(3))
    #expect(peer.takeARP().count == 1)
    peer.host.receive(
      FramePeer.arp(1, FramePeer.mac(1), [10, 0, 0, 1], [0, 0, 0, 0, 0, 0], [10, 0, 0, 77]))
    #expect(peer.takeARP().first?[7] == 2)
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0), destination: [10, 0, 0, 77]))
    let reply = try #require(peer.takePackets().first)
    #expect(Array(reply[12..<16]) == [10, 0, 0, 77])
    #expect(peer.host.stack.interfaceReport.addresses == ["10.0.0.2/24", "10.0.0.77/24"])
  }

  @Test("addr del: nobody answers there any more, and the last address takes the routes with it")
  func removeAddress() throws {
    let peer = try FramePeer { $0.gateway = IPv4Address(10, 0, 0, 1) }
    let stack = peer.host.stack
    try change(stack, "addr add 10.0.0.77/24")
    try change(stack, "route add unreachable 10.9.0.0/16")
    try change(stack, "addr del 10.0.0.77/24")
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0), destination: [10, 0, 0, 77]))
    #expect(peer.takePackets().isEmpty)
    #expect(send(peer, IPv4Address(10, 0, 0, 1)) == nil && stack.routeReports.count == 3)
    try change(stack, "addr del 10.0.0.2/24")
    #expect(stack.interfaceReport.addresses.isEmpty)
    #expect(stack.routeReports.map(\.kind) == ["unreachable"])
    #expect(send(peer, IPv4Address(10, 0, 0, 1)) == .ENETUNREACH)
    try change(stack, "addr add 10.0.0.2/24")
    #expect(send(peer, IPv4Address(10, 0, 0, 1)) == nil)
  }

  @Test("addr: what cannot be is refused as Linux does, and changes nothing") func addressErrors() throws {
    let stack = try SimulatedStack().stack
    for (text, errno) in [
      ("addr add 10.0.0.2/24", Errno.EEXIST), ("addr add 127.0.0.5/8", .EINVAL),
      ("addr add 224.0.0.1/4", .EINVAL), ("addr add 10.0.1.255/24", .EINVAL),
      ("addr add 10.0.1.0/24", .EINVAL),
      ("addr add 0.0.0.0/0", .EINVAL), ("addr del 10.0.0.3/24", .EADDRNOTAVAIL),
      ("addr del 10.0.0.2/25", .EADDRNOTAVAIL), ("addr del 10.0.0.2", .EADDRNOTAVAIL),
    ] { #expect(refusal(stack, text) == errno, "\(text)") }
    #expect(stack.interfaceReport.addresses == ["10.0.0.2/24"])
  }

  @Test("P9 IpOutNoRoutes: connecting, ENETUNREACH only; a connection whose way is gone, whatever refuses it")
  func noRoutes() throws {
    let wire = try SimulatedWire()
    func count() -> UInt64 {
      wire.left.stack.counterReports.first { $0.name == "IpOutNoRoutes" }?.value ?? .max
    }
    let socket = try wire.left.stack.socket(.tcp)
    socket.isNonBlocking = true
    _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 7))
    try wire.run(for: .seconds(1))
    let prefix = try #require(IPv4Prefix(SimulatedWire.rightAddress, length: 32))
    var seen: UInt64 = 0
    for kind in [RouteEntry.Kind.blackhole, .unreachable, .prohibit] {
      try wire.left.stack.addRoute(RouteEntry(prefix, kind: kind))
      let other = try wire.left.stack.socket(.tcp)
      other.isNonBlocking = true
      #expect(throws: SocketError.self) {
        try other.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 7))
      }
      #expect(count() == seen)
      #expect(try socket.send([1]) == 1)
      try wire.run(for: .milliseconds(700))
      #expect(count() > seen)
      seen = count()
      try wire.left.stack.removeRoute(RouteSelector(prefix))
      try wire.run(for: .seconds(4))
      seen = count()
    }
    let nowhere = try wire.left.stack.socket(.tcp)
    nowhere.isNonBlocking = true
    #expect(throws: SocketError.self) {
      try nowhere.connect(to: SocketAddress(IPv4Address(192, 0, 2, 1), port: 7))
    }
    #expect(count() == seen + 1)
  }

  @Test(
    "addr del and add under a connection: it tries less and less often, and goes on when the address is back",
    arguments: [false, true])
  func addressAway(isInFlight: Bool) throws {
    let wire = try SimulatedWire()
    let socket = try wire.left.stack.socket(.tcp)
    socket.isNonBlocking = true
    _ = try? socket.connect(to: SocketAddress(SimulatedWire.rightAddress, port: 7))
    try wire.run(for: .seconds(1))
    let own = try prefix("10.0.0.1/24")
    if isInFlight {
      wire.leftToRight.loss = 1
      #expect(try socket.send([1, 2, 3]) == 3)
      try wire.run(for: .milliseconds(50))
      wire.leftToRight.loss = 0
    }
    try wire.left.stack.removeAddress(own)
    if !isInFlight { #expect(try socket.send([1, 2, 3]) == 3) }
    func count(_ name: String) -> UInt64 {
      wire.left.stack.counterReports.first { $0.name == name }?.value ?? .max
    }
    let (segments, failures) = (count("TcpRetransSegs"), count("TcpExtTCPRetransFail"))
    try wire.run(for: .seconds(30))
    #expect(count("TcpRetransSegs") == segments && count("TcpExtTCPRetransFail") == failures)
    try wire.left.stack.addAddress(own)
    // Tries at 0.2 s, 0.4 s, ... of which the one after 25.6 s finds the address there.
    #expect(throws: SocketError.self) { try socket.receive(upTo: 3) }
    try wire.run(for: .seconds(15))
    #expect((try? socket.receive(upTo: 3)) == nil)
    try wire.run(for: .seconds(15))
    #expect(try socket.receive(upTo: 3) == [1, 2, 3])
  }

  @Test("addr add: as many as 1,024, and then ENOBUFS") func manyAddresses() throws {
    let stack = try SimulatedStack().stack
    for number in 1..<1024 {
      try stack.addAddress(try prefix("10.1.\(number / 200).\(number % 200 + 1)/32"))
    }
    #expect(refusal(stack, "addr add 10.2.0.1/32") == .ENOBUFS)
    #expect(stack.interfaceReport.addresses.count == 1024)
    try change(stack, "addr del 10.1.5.24/32")
    #expect(refusal(stack, "addr add 10.2.0.1/32") == nil)
  }

  // MARK: Routes

  @Test(
    "route add blackhole, unreachable, prohibit: EINVAL, EHOSTUNREACH, EACCES to senders of every queue, and no frame",
    arguments: [("blackhole", Errno.EINVAL), ("unreachable", .EHOSTUNREACH), ("prohibit", .EACCES)])
  func refusingRoutes(kind: String, errno: Errno) throws {
    let peer = try FramePeer(queues: 3) { $0.gateway = IPv4Address(10, 0, 0, 1) }
    #expect(send(peer, Self.far) == nil)
    peer.collect()
    #expect(peer.takePackets().count == 1)
    try change(peer.host.stack, "route add \(kind) 10.9.0.0/16")
    #expect(send(peer, Self.far) == errno)
    for queue in 0..<3 { #expect(try connect(peer, Self.far, queue: queue) == errno) }
    #expect(peer.takePackets().isEmpty)
    #expect(peer.host.stack.routeReports.contains { $0.kind == kind && $0.destination == "10.9.0.0/16" })
    try change(peer.host.stack, "route del \(kind) 10.9.0.0/16")
    for queue in 0..<3 { #expect(try connect(peer, Self.far, queue: queue) == .EINPROGRESS) }
  }

  @Test("route add, replace, del: the gateway with the least metric takes the packets") func gateways() throws
  {
    let peer = try FramePeer()
    peer.stations = [1: 1, 9: 9, 5: 5]
    let stack = peer.host.stack
    func station() throws -> UInt8 {
      #expect(send(peer, Self.far) == nil)
      peer.collect()
      defer { _ = peer.takePackets() }
      return try #require(peer.packets.last).station
    }
    #expect(send(peer, Self.far) == .ENETUNREACH)
    try change(stack, "route add default via 10.0.0.1 metric 100")
    #expect(try station() == 1)
    try change(stack, "route add default via 10.0.0.9 metric 50")
    #expect(try station() == 9)
    try change(stack, "route replace default via 10.0.0.5 metric 50")
    #expect(try station() == 5)
    #expect(refusal(stack, "route del default via 10.0.0.9") == .ESRCH)
    #expect(refusal(stack, "route del default metric 7") == .ESRCH)
    #expect(refusal(stack, "route del prohibit default") == .ESRCH)
    try change(stack, "route del default")
    #expect(try station() == 1)
    try change(stack, "route add 10.9.0.1 dev sim0 src 10.0.0.2 mtu 900")
    let shown = try #require(stack.routeReports.first { $0.destination == "10.9.0.1" })
    #expect(shown.mtu == 900 && shown.scope == "link" && shown.source == "10.0.0.2" && shown.gateway == nil)
  }

  @Test("route: what cannot be is refused as Linux does, and changes nothing") func routeErrors() throws {
    let stack = try SimulatedStack().stack
    try change(stack, "route add 10.9.0.0/16 via 10.0.0.1")
    let before = stack.routeReports
    for (text, errno) in [
      ("route add 10.9.0.0/16 via 10.0.0.9", Errno.EEXIST), ("route add 10.8.0.0/16 via 10.0.0.2", .EINVAL),
      ("route add 10.8.0.0/16 via 192.0.2.1", .ENETUNREACH),
      ("route add 10.8.0.0/16 via 10.9.0.1", .ENETUNREACH),
      ("route replace 10.9.0.0/16 via 192.0.2.1", .ENETUNREACH),
      ("route add 10.8.0.0/16 dev sim0 src 10.0.0.3", .EINVAL), ("route del 10.9.0.0/17", .ESRCH),
    ] { #expect(refusal(stack, text) == errno, "\(text)") }
    #expect(stack.routeReports == before)
  }

  // MARK: Neighbours

  @Test("neigh replace, del, flush: where packets go, and who is asked again") func neighbours() throws {
    let peer = try FramePeer()
    let stack = peer.host.stack
    let one = IPv4Address(10, 0, 0, 1)
    #expect(send(peer, one) == nil)
    peer.collect()
    #expect(peer.takeARP().count == 1 && peer.packets.last?.station == 1)
    try change(stack, "neigh del 10.0.0.1")
    #expect(send(peer, one) == nil)
    #expect(peer.takeARP().count == 1)
    try change(stack, "neigh flush")
    #expect(stack.neighbourReports.isEmpty)
    #expect(send(peer, one) == nil)
    #expect(peer.takeARP().count == 1)
    try change(stack, "neigh replace 10.0.0.1 lladdr 02:00:00:00:00:63")
    try change(stack, "neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09 nud stale dev sim0")
    #expect(send(peer, one) == nil)
    peer.collect()
    #expect(peer.packets.last?.station == 0x63 && peer.takeARP().isEmpty)
    try change(stack, "neigh flush all")
    #expect(stack.neighbourReports.map(\.address) == ["10.0.0.1"])
    #expect(stack.neighbourReports.map(\.state) == ["PERMANENT"])
    try change(stack, "neigh del 10.0.0.1")
    #expect(refusal(stack, "neigh del 10.0.0.1") == .ENOENT)
  }

  @Test("neigh replace: packets that wait go out") func waiting() throws {
    let peer = try FramePeer(queues: 2)
    #expect(send(peer, IPv4Address(10, 0, 0, 200)) == nil)
    peer.collect()
    #expect(peer.takePackets().isEmpty)
    try change(peer.host.stack, "neigh replace 10.0.0.200 lladdr 02:00:00:00:00:c8 nud reachable")
    peer.collect()
    #expect(peer.takePackets().count == 1)
  }

  @Test("neigh replace: a state that is found out cannot be set, and what was known stays")
  func foundOutStates() throws {
    let stack = try SimulatedStack().stack
    let address = IPv4Address(10, 0, 0, 1)
    let station = MACAddress(0x0200_0000_0001)
    func replace(_ state: NeighbourState) -> Errno? {
      do throws(StackError) {
        try stack.replaceNeighbour(address, hardwareAddress: station, state: state)
        return nil
      } catch { return error.code }
    }
    for state in [NeighbourState.permanent, .noARP, .reachable, .stale] {
      #expect(replace(state) == nil)
      let known = stack.neighbourReports
      for found in [NeighbourState.none, .incomplete, .delay, .probe, .failed] {
        #expect(replace(found) == .EINVAL, "\(found)")
      }
      #expect(stack.neighbourReports == known && known.count == 1)
    }
  }

  @Test("neigh: what cannot be is refused as Linux does") func neighbourErrors() throws {
    let stack = try SimulatedStack().stack
    for (text, errno) in [
      ("neigh replace 224.0.0.1 lladdr 02:00:00:00:00:01", Errno.EINVAL),
      ("neigh replace 10.0.0.1 lladdr 01:00:5e:00:00:01", .EINVAL),
      ("neigh replace 10.0.0.1 lladdr 00:00:00:00:00:00", .EINVAL), ("neigh del 10.0.0.1", .ENOENT),
    ] { #expect(refusal(stack, text) == errno, "\(text)") }
    #expect(throws: StackError.self) {
      try stack.replaceNeighbour(
        IPv4Address(10, 0, 0, 1), hardwareAddress: MACAddress(0x0200_0000_0001), state: .incomplete)
    }
    #expect(stack.neighbourReports.isEmpty)
  }

  // MARK: All of them

  @Test("arp announce: two announcements, 2 s apart, from one queue only") func announce() throws {
    let peer = try FramePeer(queues: 3)
    try change(peer.host.stack, "arp announce")
    #expect(peer.takeARP().count == 1)
    peer.advance(.seconds(10))
    let second = peer.takeARP()
    #expect(second.count == 1 && second.first.map { Array($0[14..<18]) } == [10, 0, 0, 2])
  }

  @Test("a closed stack refuses every change with ENETDOWN") func closed() throws {
    let stack = try SimulatedStack().stack
    stack.close()
    for text in [
      "addr add 10.0.0.7/24", "route add blackhole 10.9.0.0/16", "neigh flush", "arp announce",
    ] { #expect(refusal(stack, text) == .ENETDOWN, "\(text)") }
  }
}
