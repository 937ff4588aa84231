import Sockets
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Several shards behind one address, each frame at whatever queue the wire likes.
@Suite struct SeveralQueuesTests {
  /// A connection from 10.0.0.1 to a listener of shard `queue`, its frames all at queue `at`.
  private final class Opened {
    let peer: FramePeer
    let listener: Socket
    let server: Socket
    var sequence: UInt32 = 1001
    var acknowledgment: UInt32
    let port: UInt16

    init(_ peer: FramePeer, queue: Int, at: Int?, port: UInt16 = 6000, from: UInt16 = 40000) throws {
      self.peer = peer
      self.port = from
      listener = try peer.host.stack.socket(.tcp, queue: queue)
      listener.isNonBlocking = true
      try listener.bind(to: SocketAddress(.any, port: port))
      try listener.listen()
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(2, from: from, to: port, sequence: 1000, options: [2, 4, 5, 0xB4])),
        queue: at)
      let answer = try #require(peer.takePackets().first { $0[9] == 6 })
      #expect(answer[33] == 0x12, "the answer to a SYN is a SYN-ACK")
      acknowledgment = answer[24..<28].reduce(0) { $0 << 8 | UInt32($1) } &+ 1
      peer.receive(
        FramePeer.ip(
          6, FramePeer.tcp(16, from: from, to: port, sequence: 1001, acknowledgment: acknowledgment)),
        queue: at)
      server = try listener.accept()
      server.isNonBlocking = true
    }

    func segment(_ payload: [UInt8]) -> [UInt8] {
      defer { sequence &+= UInt32(payload.count) }
      return FramePeer.tcp(
        24, from: port, to: 6000, sequence: sequence, acknowledgment: acknowledgment, payload)
    }
  }

  @Test(
    "D12 a segment that arrives at any queue finds its connection in any shard", arguments: [1, 2, 4, 64])
  func anyQueue(queues: Int) throws {
    for shard in [0, queues / 2, queues - 1] {
      for at in [0, queues / 2, queues - 1] {
        let opened = try Opened(FramePeer(queues: queues), queue: shard, at: at)
        opened.peer.receive(FramePeer.ip(6, opened.segment([1, 2, 3])), queue: at)
        #expect(try opened.server.receive(upTo: 10) == [1, 2, 3])
        #expect(opened.peer.count("TcpOutRsts") == 0)
      }
    }
  }

  @Test("D12 two shards with a port: a flow that the first does not know is asked of the second")
  func sharedPort() throws {
    let peer = try FramePeer(queues: 4)
    for (turn, remote) in (UInt16(9000)..<9016).enumerated() {
      // Both have sockets on the port; the flow is now the one's, now the other's.
      let socket = try peer.host.stack.socket(.tcp, queue: turn % 2)
      defer { socket.close() }
      let other = try peer.host.stack.socket(.tcp, queue: 1 - turn % 2)
      defer { other.close() }
      for one in [socket, other] {
        one.isNonBlocking = true
        try one.setsockopt(level: SocketOptionLevel.socket, name: SocketOptionName.reusePort, 1)
        try one.bind(to: SocketAddress(.any, port: 5555))
      }
      let error = #expect(throws: SocketError.self) {
        try socket.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: remote))
      }
      #expect(error?.errno == .EINPROGRESS)
      // The one before says FIN.
      let syn = try #require(peer.takePackets().first { $0[9] == 6 && $0[33] == 2 })
      let next = syn[24..<28].reduce(0) { $0 << 8 | UInt32($1) } &+ 1
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(0x12, from: remote, to: 5555, sequence: 1000, acknowledgment: next)),
        queue: 3)
      #expect(peer.takePackets().map { $0[33] } == [0x10], "port \(remote)")
    }
  }

  @Test("P6 a TCP segment in fragments finds its connection in any shard", arguments: [1, 4])
  func fragmentedSegment(queues: Int) throws {
    for shard in 0..<queues {
      let opened = try Opened(FramePeer(queues: queues), queue: shard, at: nil)
      let payload = (0..<500).map { UInt8(truncatingIfNeeded: $0) }
      for fragment in FramePeer.fragments(6, opened.segment(payload), at: [96, 320]) {
        opened.peer.receive(fragment, queue: shard)
      }
      #expect(try opened.server.receive(upTo: 1000) == payload, "shard \(shard)")
      #expect(opened.peer.count("TcpOutRsts") == 0)
    }
  }

  @Test("P6 a SYN in fragments reaches the listener in any shard", arguments: [1, 4])
  func fragmentedSyn(queues: Int) throws {
    for shard in 0..<queues {
      let peer = try FramePeer(queues: queues)
      let listener = try peer.host.stack.socket(.tcp, queue: shard)
      try listener.bind(to: SocketAddress(.any, port: 6000))
      try listener.listen()
      let syn = FramePeer.tcp(2, from: 4000, to: 6000, sequence: 9, options: [2, 4, 5, 0xB4])
      for fragment in FramePeer.fragments(6, syn, at: [16]) { peer.receive(fragment) }
      #expect(peer.takePackets().map { $0[33] } == [0x12])
    }
  }

  @Test("D12 a SYN to a closed port is answered once, and nobody is asked about it", arguments: [1, 4])
  func closedPort(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    for at in 0..<queues {
      peer.receive(FramePeer.ip(6, FramePeer.tcp(2, from: 4000, to: 81, sequence: 9)), queue: at)
      #expect(peer.takePackets().map { $0[33] } == [0x14])
    }
    // What ARP told was for all.
    #expect(handedOver(peer) == UInt64(queues * (queues - 1)))
  }

  @Test("D12 a SYN goes to the shard that has its port, with one handover", arguments: [0, 1, 2, 3])
  func oneHandover(at: Int) throws {
    let peer = try FramePeer(queues: 4)
    let listener = try peer.host.stack.socket(.tcp, queue: 2)
    try listener.bind(to: SocketAddress(.any, port: 6000))
    try listener.listen()
    peer.host.receive(
      FramePeer.arp(1, FramePeer.mac(1), [10, 0, 0, 1], [0, 0, 0, 0, 0, 0], [10, 0, 0, 2]), queue: 2)
    let before = handedOver(peer)
    peer.receive(FramePeer.ip(6, FramePeer.tcp(2, from: 4000, to: 6000, sequence: 9)), queue: at)
    #expect(peer.takePackets().map { $0[33] } == [0x12])
    #expect(handedOver(peer) - before == (at == 2 ? 0 : 1))
    // A port that is given back is nobody's.
    listener.close()
    peer.receive(FramePeer.ip(6, FramePeer.tcp(2, from: 4001, to: 6000, sequence: 9)), queue: at)
    #expect(peer.takePackets().last?[33] == 0x14)
  }

  private func handedOver(_ peer: FramePeer) -> UInt64 {
    peer.host.stack.nicReports.flatMap(\.statistics).filter { $0.name == "rx_handed_over" }
      .reduce(0) { $0 + $1.value }
  }

  @Test("D12 a service of every shard: a flow's segments meet at whatever queue they arrive")
  func servicesOfEveryShard() throws {
    let peer = try FramePeer(queues: 4) { $0.services = true }
    var shards: Set<Int> = []
    for port in UInt16(40000)..<40032 {
      let queue = Int(port) % 4
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(2, from: port, to: 7, sequence: 1000, options: [2, 4, 5, 0xB4])),
        queue: queue)
      let answer = try #require(peer.takePackets().first { $0[9] == 6 })
      let next = answer[24..<28].reduce(0) { $0 << 8 | UInt32($1) } &+ 1
      // The rest arrives at other queues than the SYN did.
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(16, from: port, to: 7, sequence: 1001, acknowledgment: next)),
        queue: (queue + 1) % 4)
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(24, from: port, to: 7, sequence: 1001, acknowledgment: next, [5, 6])),
        queue: (queue + 2) % 4)
      let echo = peer.takePackets().filter { $0.count == 42 }
      #expect(echo.first.map { Array($0[40...]) } == [5, 6], "port \(port)")
      shards.insert(queue)
    }
    #expect(peer.count("TcpOutRsts") == 0)
    #expect(peer.count("TcpPassiveOpens") == 32)
  }

  @Test("P5 TCP to the own address connects at once, from any shard to any", arguments: [1, 2, 4])
  func ownAddress(queues: Int) throws {
    for (from, to) in [(0, queues - 1), (queues - 1, 0), (queues / 2, queues / 2)] {
      let peer = try FramePeer(queues: queues)
      let listener = try peer.host.stack.socket(.tcp, queue: to)
      listener.isNonBlocking = true
      try listener.bind(to: SocketAddress(.any, port: 6000))
      try listener.listen()
      let client = try peer.host.stack.socket(.tcp, queue: from)
      client.isNonBlocking = true
      for address in [IPv4Address(10, 0, 0, 2), .loopback] {
        try? client.connect(to: SocketAddress(address, port: 6000))
        peer.collect()
        guard let server = try? listener.accept() else {
          Issue.record("shard \(from) of \(queues) does not reach shard \(to) at \(address)")
          continue
        }
        server.isNonBlocking = true
        #expect(client.readiness.contains(.writable))
        let bytes = (0..<20000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        #expect(try client.send(bytes) == bytes.count)
        peer.collect()
        #expect(try server.receive(upTo: 30000) == bytes)
        #expect(peer.packets.isEmpty, "nothing of it goes to the wire")
        break
      }
    }
  }

  @Test("P5 a closed port of the own address refuses at once", arguments: [1, 4])
  func ownClosedPort(queues: Int) throws {
    for shard in 0..<queues {
      let peer = try FramePeer(queues: queues)
      let client = try peer.host.stack.socket(.tcp, queue: shard)
      client.isNonBlocking = true
      try? client.connect(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 6000))
      peer.collect()
      #expect(client.takeError() == .ECONNREFUSED)
    }
  }

  @Test("U5 datagrams, whole and in fragments, at any queue", arguments: [1, 4])
  func datagrams(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.bind(to: SocketAddress(.any, port: 700))
    let payload = (0..<3000).map { UInt8(truncatingIfNeeded: $0 &* 3) }
    for at in 0..<queues {
      peer.receive(FramePeer.ip(17, FramePeer.udp([1, 2], to: 700)), queue: at)
      #expect(try socket.receive(upTo: 10) == [1, 2])
      let parts = FramePeer.fragments(
        17, FramePeer.udp(payload, to: 700), at: [1480, 2960], identification: UInt16(at))
      for (index, part) in parts.enumerated() { peer.receive(part, queue: (at + index) % queues) }
      #expect(try socket.receive(upTo: 5000) == payload)
    }
    #expect(peer.count("IpReasmOKs") == UInt64(queues))
    #expect(peer.count("UdpInDatagrams") == UInt64(2 * queues))
  }

  @Test("R ICMP echo and port unreachable are answered once, at any queue", arguments: [1, 4])
  func answeredOnce(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    for at in 0..<queues {
      peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0, rest: [0, 1, 0, 2], [9, 9])), queue: at)
      #expect(peer.takePackets().map { $0[20] } == [0])
      peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 999)), queue: at)
      #expect(peer.takePackets().map { Array($0[20..<22]) } == [[3, 3]])
    }
  }

  @Test("R ICMP an error about a connection reaches it in any shard", arguments: [1, 4])
  func errorAboutConnection(queues: Int) throws {
    for shard in 0..<queues {
      for at in 0..<queues {
        let peer = try FramePeer(queues: queues)
        let client = try peer.host.stack.socket(.tcp, queue: shard)
        client.isNonBlocking = true
        try? client.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 6000))
        // The one before says FIN.
        let syn = try #require(peer.takePackets().first { $0[9] == 6 && $0[33] == 2 })
        peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 1, Array(syn[0..<28]))), queue: at)
        #expect(client.takeError() == .EHOSTUNREACH, "shard \(shard), queue \(at)")
      }
    }
  }

  @Test("N5 a new MAC announced at one queue is believed in every shard", arguments: [1, 2], [1, 4])
  func announcedEverywhere(operation: UInt8, queues: Int) throws {
    for at in 0..<queues {
      let peer = try FramePeer(queues: queues)
      let clients = try (0..<queues).map { shard in
        let client = try peer.host.stack.socket(.tcp, queue: shard)
        client.isNonBlocking = true
        try? client.connect(to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 6000))
        return client
      }
      peer.collect()
      #expect(peer.packets.allSatisfy { $0.station == 1 } && peer.packets.count == queues)
      _ = peer.takePackets()
      // RFC 5227 section 3: the request form and, as some send it, the reply form.
      let station = FramePeer.mac(77)
      peer.stations = [1: 77]
      peer.host.receive(
        FramePeer.arp(operation, station, [10, 0, 0, 1], station, [10, 0, 0, 1]), queue: at)
      peer.advance(.milliseconds(3100))
      let repeated = peer.packets.filter { $0.bytes[9] == 6 }
      #expect(repeated.count >= queues)
      #expect(repeated.allSatisfy { $0.station == 77 }, "\(repeated.map(\.station)) at queue \(at)")
      for client in clients { client.close() }
    }
  }

  @Test("N5 a host that asks one shard is answered once", arguments: [1, 4])
  func askedOnce(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    for at in 0..<queues {
      peer.host.receive(
        FramePeer.arp(1, FramePeer.mac(9), [10, 0, 0, 9], [UInt8](repeating: 0, count: 6), [10, 0, 0, 2]),
        queue: at)
      let answers = peer.takeARP()
      #expect(answers.count == 1 && answers.first?[7] == 2)
    }
  }

  @Test("D12 transfers between stacks of several queues", arguments: [1, 2, 4], [false, true])
  func transfers(queues: Int, lendsEngines: Bool) throws {
    let wire = try SimulatedWire(lendsEngines: lendsEngines, queues: queues)
    for (index, shards) in [(0, 0), (queues - 1, 0), (0, queues - 1)].enumerated() {
      let listener = try wire.right.stack.socket(.tcp, queue: shards.0)
      listener.isNonBlocking = true
      let address = SocketAddress(SimulatedWire.rightAddress, port: UInt16(5000 + index))
      try listener.bind(to: address)
      try listener.listen()
      let client = try wire.left.stack.socket(.tcp, queue: shards.1)
      client.isNonBlocking = true
      try? client.connect(to: address)
      var server: Socket?
      #expect(
        wire.run(for: .seconds(10)) {
          server = try? listener.accept()
          return server != nil
        })
      let pump = StreamPump(from: client, to: try #require(server), byteCount: 500_000)
      #expect(try wire.run(for: .seconds(60)) { try pump.step() })
      #expect(pump.isIntact && pump.received == 500_000)
    }
  }
}
