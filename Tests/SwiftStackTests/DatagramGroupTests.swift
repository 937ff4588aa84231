import Sockets
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Datagrams for many, and ports, in a stack of several shards: the stack is one host, whichever shard a socket lives in.
@Suite struct DatagramGroupTests {
  private typealias Bench = DatagramBench
  private static let group: [UInt8] = [239, 1, 1, 1]
  /// `struct ip_mreq` of the group, any interface.
  private static let request: [UInt8] = group + [0, 0, 0, 0]

  private func set(_ socket: Socket, _ name: Int32) throws {
    // Safe: a byte has no padding.
    try socket.setsockopt(level: SocketOptionLevel.ip, name: name, value: unsafe Self.request.span.bytes)
  }

  @Test("U5 a multicast datagram reaches the sockets on its port in every shard, once", arguments: [1, 4])
  func multicast(queues: Int) throws {
    for member in 0..<queues {
      let bench = try Bench(queues: queues)
      let sockets = try (0..<queues).map { try bench.socket(in: $0, port: 700, .reuseAddress) }
      let stranger = try bench.socket(in: queues - 1, port: 800)
      bench.datagram([9], destination: Self.group, at: 0)
      #expect(sockets.allSatisfy { Bench.take($0).isEmpty }, "nobody is in the group")
      try set(sockets[member], GroupOptionName.join)
      for at in 0..<queues {
        bench.datagram([UInt8(at)], destination: Self.group, at: at)
        #expect(sockets.map { Bench.take($0) } == Array(repeating: [[UInt8(at)]], count: queues))
      }
      // The port is one shard's alone, and the datagram comes to another.
      bench.datagram([5], to: 800, destination: Self.group, at: 0)
      #expect(Bench.take(stranger) == [[5]])
      #expect(bench.peer.count("UdpIgnoredMulti") == 0)
      bench.datagram([5], to: 801, destination: Self.group, at: 0)
      #expect(bench.peer.count("UdpIgnoredMulti") == 1)
      sockets[member].close()
      bench.datagram([6], to: 800, destination: Self.group, at: 0)
      #expect(Bench.take(stranger).isEmpty)
    }
  }

  @Test("U5 a group is left when its last member leaves, in whatever shard")
  func lastMember() throws {
    let bench = try Bench()
    let sockets = try (0..<4).map { try bench.socket(in: $0, port: 700, .reuseAddress) }
    try set(sockets[1], GroupOptionName.join)
    try set(sockets[2], GroupOptionName.join)
    try set(sockets[1], GroupOptionName.leave)
    bench.datagram([1], destination: Self.group, at: 1)
    #expect(sockets.allSatisfy { Bench.take($0) == [[1]] })
    try set(sockets[2], GroupOptionName.leave)
    bench.datagram([1], destination: Self.group, at: 1)
    #expect(sockets.allSatisfy { Bench.take($0).isEmpty })
  }

  @Test("U5 a broadcast reaches every shard's sockets, and a damaged one is counted once")
  func broadcast() throws {
    let bench = try Bench()
    let sockets = try (0..<4).map { try bench.socket(in: $0, port: 700, .reuseAddress) }
    for destination in [[255, 255, 255, 255], [10, 0, 0, 255]] as [[UInt8]] {
      bench.datagram([3], destination: destination, at: 2)
      #expect(sockets.allSatisfy { Bench.take($0) == [[3]] })
    }
    bench.peer.receive(
      FramePeer.ip(
        17, FramePeer.udp([3], to: 700, destination: [255, 255, 255, 255], checksum: 0x1234),
        destination: [255, 255, 255, 255]),
      to: [255, 255, 255, 255, 255, 255], queue: 1)
    #expect(bench.peer.count("UdpInCsumErrors") == 1 && bench.peer.count("UdpInErrors") == 1)
    #expect(sockets.allSatisfy { Bench.take($0).isEmpty })
  }

  @Test("U5 a multicast that a shard sends comes back to the members in every shard")
  func looped() throws {
    let bench = try Bench()
    let sockets = try (0..<4).map { try bench.socket(in: $0, port: 700, .reuseAddress) }
    try set(sockets[3], GroupOptionName.join)
    try sockets[1].send([4], to: SocketAddress(IPv4Address(239, 1, 1, 1), port: 700))
    #expect(bench.peer.takePackets().count == 1)
    #expect(sockets.allSatisfy { Bench.take($0) == [[4]] })
  }

  @Test(
    "S4 a UDP port, and a ping identifier, of another shard is in use", arguments: [SocketKind.udp, .ping])
  func addressInUse(type: SocketKind) throws {
    let bench = try Bench(queues: 3)
    let first = try bench.socket(type, in: 1, port: 4000, at: .loopback)
    // A ping socket shares from the start.
    if type == .ping { try first.setsockopt(level: 1, name: 2, 0) }
    let any = SocketAddress(.any, port: 4000)
    let loopback = SocketAddress(.loopback, port: 4000)
    for (queue, address) in [(0, any), (2, loopback), (0, loopback)] {
      for sharing in [Bench.Sharing.none, .reuseAddress, .reusePort] {
        #expect(throws: SocketError("bind", .EADDRINUSE, address)) {
          try bench.socket(type, in: queue, sharing).bind(to: address)
        }
      }
    }
    // Another address, another protocol.
    let second = try bench.socket(type, in: 0, port: 4000, at: Bench.own)
    let third = try bench.socket(type == .udp ? .ping : .udp, in: 2, port: 4000)
    first.close()
    let fourth = try bench.socket(type, in: 2, port: 4000, at: .loopback)
    for socket in [second, third, fourth] { socket.close() }
    let group = try (0..<3).map { try bench.socket(type, in: $0, port: 4000, .reusePort) }
    if type == .udp {
      #expect(throws: SocketError("bind", .EADDRINUSE, any)) {
        try bench.socket(type, in: 0, .reuseAddress).bind(to: any)
      }
    }
    for socket in group { socket.close() }
  }

  @Test("S4 a port that is picked is one that no other shard has")
  func picked() throws {
    let bench = try Bench(queues: 2) { $0.settings.localPorts = 40000...40007 }
    // The second shard picks from 40004 on.
    var kept = try [UInt16(40004), 40005, 40007].map { try bench.socket(in: 0, port: $0) }
    let socket = try bench.socket(in: 1)
    try socket.bind(to: SocketAddress(.any, port: 0))
    #expect(try socket.localAddress.port == 40006)
    kept.append(socket)
    let late = try bench.socket(in: 1)
    #expect(throws: SocketError.self) { try late.bind(to: SocketAddress(.any, port: 0)) }
    #expect(throws: SocketError.self) {
      try late.send([1], to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    }
    kept[0].close()
    try late.send([1], to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    #expect(try late.localAddress.port == 40004)
  }

  @Test("S4 sockets of every shard are shown")
  func shown() throws {
    let bench = try Bench()
    let sockets = try (0..<4).flatMap { queue in
      [
        try bench.socket(in: queue, port: UInt16(700 + queue)),
        try bench.socket(.ping, in: queue, port: UInt16(800 + queue)),
      ]
    }
    let reports = bench.peer.host.stack.socketReports.map { "\($0.netid) \($0.local)" }
    #expect(
      Set(reports) == Set((0..<4).flatMap { ["udp 0.0.0.0:\(700 + $0)", "icmp 0.0.0.0:\(800 + $0)"] }))
    for socket in sockets { socket.close() }
    #expect(bench.peer.host.stack.socketReports.isEmpty)
  }
}
