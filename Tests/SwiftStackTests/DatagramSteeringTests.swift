import Sockets
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Which shard a datagram, an echo reply, a fragment and an error about them end up in, and over how many others.
@Suite struct DatagramSteeringTests {
  private typealias Bench = DatagramBench

  @Test("D12 a datagram at any queue goes to the shard of its port with one handover", arguments: [1, 2, 8])
  func oneHandover(queues: Int) throws {
    for shard in [0, queues / 2, queues - 1] {
      let bench = try Bench(queues: queues)
      let socket = try bench.socket(in: shard, port: 700)
      for at in 0..<queues {
        let before = bench.handedOver
        bench.datagram([UInt8(at)], at: at)
        #expect(try socket.receive(upTo: 10) == [UInt8(at)])
        #expect(bench.handedOver - before == (at == shard ? 0 : 1))
      }
      #expect(bench.peer.count("UdpInDatagrams") == UInt64(queues))
      #expect(bench.peer.takePackets().isEmpty)
    }
  }

  @Test("R ICMP a datagram for nobody is answered where it came in, one for a port that was given back, too")
  func closedPort() throws {
    let bench = try Bench()
    let socket = try bench.socket(in: 2, port: 700)
    socket.close()
    let before = bench.handedOver
    for at in 0..<4 {
      bench.datagram([1], at: at)
      #expect(bench.peer.takePackets().map { Array($0[20..<22]) } == [[3, 3]])
    }
    #expect(bench.handedOver == before)
    #expect(bench.peer.count("UdpNoPorts") == 4)
  }

  @Test("S4 a SO_REUSEPORT group of all shards: a flow has one member, whatever queue it arrives at")
  func group() throws {
    let bench = try Bench(queues: 8)
    let sockets = try (0..<8).map { try bench.socket(in: $0, port: 700, .reusePort) }
    var counts = [Int](repeating: 0, count: 8)
    for port in UInt16(30000)..<30128 {
      let before = bench.handedOver
      for at in 0..<8 { bench.datagram([UInt8(at)], from: port, at: at) }
      let taken = sockets.map { Bench.take($0).count }
      #expect(taken.max() == 8 && taken.reduce(0, +) == 8, "port \(port): \(taken)")
      // All but the one that came to the member's own queue.
      #expect(bench.handedOver - before == 7)
      if let member = taken.firstIndex(of: 8) { counts[member] += 1 }
    }
    #expect(counts.allSatisfy { $0 > 4 }, "\(counts)")
  }

  @Test("S4 SO_REUSEADDR on several shards: the latest comer gets the datagrams, then the one before")
  func latest() throws {
    let bench = try Bench()
    let first = try bench.socket(in: 1, port: 700, .reuseAddress)
    for shard in [2, 0, 3, 1] {
      let second = try bench.socket(in: shard, port: 700, .reuseAddress)
      for at in 0..<4 { bench.datagram([UInt8(at)], from: UInt16(4000 + at), at: at) }
      #expect(Bench.take(second).count == 4 && Bench.take(first).isEmpty)
      second.close()
      for at in 0..<4 { bench.datagram([UInt8(at)], from: UInt16(4000 + at), at: at) }
      #expect(Bench.take(first).count == 4)
    }
  }

  @Test("S4 the most exact key of all shards wins: connected, bound to the address, bound to any")
  func exactness() throws {
    let bench = try Bench()
    let any = try bench.socket(in: 0, port: 700, .reuseAddress)
    let bound = try bench.socket(in: 1, port: 700, at: Bench.own, .reuseAddress)
    let connected = try bench.socket(in: 2, port: 700, at: Bench.own, .reuseAddress)
    try connected.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 5000))
    for at in 0..<4 {
      let before = bench.handedOver
      bench.datagram([1], from: 5000, at: at)
      #expect(try connected.receive(upTo: 10) == [1])
      #expect(bench.handedOver - before == (at == 2 ? 0 : 1))
      bench.datagram([2], from: 5001, at: at)
      #expect(try bound.receive(upTo: 10) == [2])
      #expect(bench.handedOver - before <= 2)
    }
    connected.close()
    bench.datagram([3], from: 5000, at: 3)
    #expect(try bound.receive(upTo: 10) == [3])
    bound.close()
    bench.datagram([4], from: 5000, at: 3)
    #expect(try any.receive(upTo: 10) == [4])
    try any.disconnect()
    #expect(bench.peer.takePackets().isEmpty)
  }

  @Test("D12 a key that a shard gave back is not asked of it; one that another of its sockets has is")
  func givenBack() throws {
    let bench = try Bench()
    let keeper = try bench.socket(in: 2, port: 700, .reuseAddress)
    let connected = try bench.socket(in: 2, port: 700, .reuseAddress)
    try connected.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 5000))
    let any = try bench.socket(in: 0, port: 700, .reuseAddress)
    connected.close()
    let before = bench.handedOver
    bench.datagram([1], from: 5000, at: 0)
    #expect(try any.receive(upTo: 10) == [1])
    #expect(bench.handedOver == before)
    let second = try bench.socket(in: 2, port: 700, .reuseAddress)
    let elsewhere = try bench.socket(in: 1, port: 700, at: .loopback, .reuseAddress)
    any.close()
    second.close()
    bench.datagram([2], from: 5000, at: 0)
    #expect(try keeper.receive(upTo: 10) == [2])
    elsewhere.close()
  }

  @Test("D12 the UDP services of every shard answer their part of the senders")
  func services() throws {
    let bench = try Bench { $0.services = true }
    for port in UInt16(30000)..<30064 {
      for at in 0..<4 {
        bench.datagram([UInt8(at)], from: port, to: 7, at: at)
        #expect(bench.peer.takePackets().map { Array($0[28...]) } == [[UInt8(at)]])
      }
    }
    #expect(bench.peer.host.stack.qdiscReports.allSatisfy { $0.sentPackets > 16 })
  }

  @Test("D12 keys that have one place in the directory: each datagram finds its socket all the same")
  func collisions() throws {
    let bench = try Bench(queues: 3)
    let rest = try bench.socket(in: 0, port: 700, .reuseAddress)
    let connected = try (UInt16(10000)..<11000).map { port in
      let socket = try bench.socket(in: 1, port: 700, .reuseAddress)
      try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: port))
      return socket
    }
    let before = bench.handedOver
    for port in UInt16(20000)..<21000 { bench.datagram([7], from: port, at: 2) }
    #expect(bench.handedOver - before > 1000, "some were asked of the wrong shard first")
    for port in UInt16(10000)..<11000 { bench.datagram([8], from: port, at: 2) }
    #expect(bench.handedOver - before < 2300)
    // The buffer holds fewer than came.
    let taken = Bench.take(rest)
    #expect(taken.count + Int(bench.peer.count("UdpRcvbufErrors")) == 1000)
    #expect(taken.allSatisfy { $0 == [7] })
    #expect(connected.allSatisfy { Bench.take($0) == [[8]] })
    #expect(bench.peer.count("UdpNoPorts") == 0)
  }

  @Test("P6 fragments meet in one shard, and the whole goes on to its socket", arguments: [2, 8])
  func fragments(queues: Int) throws {
    for shard in [0, queues - 1] {
      let bench = try Bench(queues: queues)
      let socket = try bench.socket(in: shard, port: 700)
      for identification in UInt16(1)...32 {
        let payload = (0..<3000).map { UInt8(truncatingIfNeeded: $0 &* Int(identification)) }
        let parts = FramePeer.fragments(
          17, FramePeer.udp(payload, to: 700), at: [1480, 2960], identification: identification)
        for (index, part) in parts.enumerated() {
          bench.peer.receive(part, queue: (Int(identification) + index) % queues)
        }
        #expect(try socket.receive(upTo: 5000) == payload)
      }
      #expect(bench.peer.count("IpReasmOKs") == 32)
      // Each piece at most once, the whole at most once.
      #expect(bench.handedOver - UInt64(queues * (queues - 1)) <= 32 * 4)
      // An echo request in fragments is answered where it is whole.
      let echo = FramePeer.icmp(8, 0, rest: [0, 1, 0, 2], [UInt8](repeating: 9, count: 2000))
      for (index, part) in FramePeer.fragments(1, echo, at: [1480], identification: 99).enumerated() {
        bench.peer.receive(part, queue: index % queues)
      }
      #expect(bench.peer.takePackets().first?[20] == 0)
    }
  }

  @Test("P6 the fragments of many datagrams are put together in every shard")
  func fragmentsEverywhere() throws {
    let bench = try Bench()
    for identification in UInt16(1)...64 {
      bench.peer.receive(
        FramePeer.ip(
          17, [UInt8](repeating: 0, count: 80), identification: identification, fragment: 0x2000),
        queue: 0)
    }
    // 64 datagrams, none whole: each shard that has some says so for itself when their time is over.
    #expect(bench.handedOver - 12 > 32 && bench.handedOver - 12 < 60)
    bench.peer.advance(.seconds(31))
    #expect(bench.peer.count("IpReasmTimeout") == 64)
  }

  @Test("R ICMP an error about a datagram reaches the socket that sent it, in any shard and of any group")
  func errors() throws {
    for shard in 0..<4 {
      let bench = try Bench()
      // Others have the port, too.
      let others = try (0..<4).map { try bench.socket(in: $0, port: 700, .reusePort) }
      for (index, other) in others.enumerated() {
        try other.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: UInt16(6000 + index)))
      }
      for at in 0..<4 {
        try others[shard].send([1, 2, 3])
        let sent = try #require(bench.peer.takePackets().first { $0[9] == 17 })
        bench.peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 3, Array(sent[0..<28]))), queue: at)
        #expect(others.map { $0.takeError() } == (0..<4).map { $0 == shard ? .ECONNREFUSED : nil })
      }
    }
  }

  @Test("R ICMP echo replies and errors find their ping socket in any shard", arguments: [1, 4])
  func ping(queues: Int) throws {
    for shard in 0..<queues {
      let bench = try Bench(queues: queues)
      let socket = try bench.socket(.ping, in: shard)
      let other = try bench.socket(.ping, in: (shard + 1) % queues)
      for at in 0..<queues {
        let echo: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 1, 0xAB]
        try other.send(echo, to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 0))
        _ = bench.peer.takePackets()
        try socket.send(echo, to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 0))
        let request = try #require(bench.peer.takePackets().last { $0[9] == 1 })
        let before = bench.handedOver
        bench.peer.receive(
          FramePeer.ip(1, FramePeer.icmp(0, 0, rest: Array(request[24..<28]), [0xAB])), queue: at)
        #expect(try socket.receive(upTo: 100).last == 0xAB)
        #expect(bench.handedOver - before == (at == shard ? 0 : 1))
        try socket.setsockopt(level: SocketOptionLevel.ip, name: IPOptionName.receiveErrors, 1)
        bench.peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 1, Array(request[0..<28]))), queue: at)
        #expect(socket.takeError() == .EHOSTUNREACH)
        #expect(Bench.take(other).isEmpty && other.takeError() == nil)
      }
    }
  }

  @Test("P7 identifications of all shards come from one counter")
  func identifications() throws {
    let bench = try Bench()
    let sockets = try (0..<4).map { try bench.socket(in: $0) }
    for socket in sockets + sockets {
      try socket.send(
        [UInt8](repeating: 1, count: 3000), to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    }
    let numbers = Set(
      bench.peer.takePackets().filter { $0[9] == 17 }.map { UInt16($0[4]) << 8 | UInt16($0[5]) })
    // In virtual time none passes, so that nothing is left out.
    let first = try #require(numbers.first { !numbers.contains($0 &- 1) })
    #expect(numbers == Set((0..<8).map { first &+ $0 }))
  }

  @Test("P5 datagrams and pings to the own addresses go from any shard to any")
  func ownAddress() throws {
    let bench = try Bench()
    for (from, to) in [(0, 3), (3, 0), (1, 2), (2, 2)] {
      let server = try bench.socket(in: to, port: 700)
      for address in [Bench.own, .loopback] {
        let client = try bench.socket(in: from, port: 701)
        defer { client.close() }
        for size in [5, 3000, 60000] {
          let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
          try client.send(bytes, to: SocketAddress(address, port: 700))
          bench.peer.collect()
          let received = try server.recvmsg(upTo: 70000)
          #expect(received.bytes == bytes && received.source == SocketAddress(address, port: 701))
        }
        try client.connect(to: SocketAddress(address, port: 702))
        try client.send([1])
        bench.peer.collect()
        #expect(client.takeError() == .ECONNREFUSED)
        let ping = try bench.socket(.ping, in: from)
        try ping.send([8, 0, 0, 0, 0, 0, 0, 1, 0xCD], to: SocketAddress(address, port: 0))
        bench.peer.collect()
        #expect(try ping.receive(upTo: 100).last == 0xCD)
      }
      server.close()
    }
    #expect(bench.peer.packets.isEmpty, "nothing of it goes to the wire")
  }
}
