import Sockets
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Which shard a SYN and a segment end up in, and over how many others.
@Suite struct SteeringTests {
  private func handedOver(_ peer: FramePeer) -> UInt64 {
    peer.host.stack.nicReports.flatMap(\.statistics).filter { $0.name == "rx_handed_over" }
      .reduce(0) { $0 + $1.value }
  }

  /// Sends a SYN and returns the sequence number that its SYN-ACK wants to be acknowledged; `nil`: there was no SYN-ACK.
  private func open(_ peer: FramePeer, from port: UInt16, to service: UInt16, at queue: Int) -> UInt32? {
    peer.receive(
      FramePeer.ip(6, FramePeer.tcp(2, from: port, to: service, sequence: 1000, options: [2, 4, 5, 0xB4])),
      queue: queue)
    guard let answer = peer.takePackets().first(where: { $0[9] == 6 && $0[33] == 0x12 }) else { return nil }
    return answer[24..<28].reduce(0) { $0 << 8 | UInt32($1) } &+ 1
  }

  private func listener(_ peer: FramePeer, queue: Int, port: UInt16 = 6000) throws -> Socket {
    let listener = try peer.host.stack.socket(.tcp, queue: queue)
    listener.isNonBlocking = true
    try listener.setsockopt(level: SocketOptionLevel.socket, name: SocketOptionName.reusePort, 1)
    try listener.bind(to: SocketAddress(.any, port: port))
    try listener.listen()
    return listener
  }

  /// A peer that all shards have an ARP entry for, so that only segments are handed over.
  private func peer(queues: Int, _ configure: (inout StackConfiguration) -> Void = { _ in }) throws
    -> FramePeer
  {
    let peer = try FramePeer(queues: queues, configure)
    for queue in 0..<queues {
      peer.host.receive(
        FramePeer.arp(1, FramePeer.mac(1), [10, 0, 0, 1], [0, 0, 0, 0, 0, 0], [10, 0, 0, 2]), queue: queue)
    }
    peer.collect()
    return peer
  }

  @Test("D12 a SYN stays in the shard that it came to when somebody listens there, and so does its flow")
  func stays() throws {
    let peer = try peer(queues: 8) { $0.services = true }
    let before = handedOver(peer)
    for port in UInt16(40000)..<40032 {
      let queue = Int(port) % 8
      let next = try #require(open(peer, from: port, to: 7, at: queue))
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(16, from: port, to: 7, sequence: 1001, acknowledgment: next)),
        queue: queue)
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(24, from: port, to: 7, sequence: 1001, acknowledgment: next, [5, 6])),
        queue: queue)
      #expect(peer.takePackets().contains { $0.count == 42 && Array($0[40...]) == [5, 6] })
    }
    #expect(handedOver(peer) == before)
  }

  @Test("D12 a SYN that comes again by another queue meets the first one's handshake")
  func again() throws {
    let peer = try peer(queues: 4) { $0.services = true }
    let before = handedOver(peer)
    let first = try #require(open(peer, from: 40000, to: 7, at: 1))
    for queue in [2, 3, 0, 1] {
      // Answers to a SYN that comes again are limited in rate.
      peer.advance(.milliseconds(600))
      _ = peer.takePackets()
      #expect(open(peer, from: 40000, to: 7, at: queue) == first)
    }
    #expect(handedOver(peer) - before == 3)
    // When it is over, the flow is nobody's.
    peer.receive(FramePeer.ip(6, FramePeer.tcp(4, from: 40000, to: 7, sequence: 1001)), queue: 1)
    _ = try #require(open(peer, from: 40000, to: 7, at: 2))
    #expect(handedOver(peer) - before == 3)
  }

  @Test("D12 a segment at another queue goes to its connection at once, whoever else has the port")
  func direct() throws {
    let peer = try peer(queues: 8) { $0.services = true }
    let next = try #require(open(peer, from: 40000, to: 7, at: 5))
    let before = handedOver(peer)
    for (count, queue) in [1, 7, 4].enumerated() {
      peer.receive(
        FramePeer.ip(
          6,
          FramePeer.tcp(
            24, from: 40000, to: 7, sequence: 1001 + UInt32(count), acknowledgment: next + UInt32(count), [9])
        ),
        queue: queue)
      #expect(handedOver(peer) - before == UInt64(count + 1))
    }
    #expect(peer.count("TcpOutRsts") == 0)
  }

  @Test("D12 an ICMP error goes to the shard that has the connection, and is counted once")
  func errors() throws {
    let peer = try peer(queues: 4) { $0.services = true }
    let next = try #require(open(peer, from: 40000, to: 7, at: 1))
    for bytes in [[], [9]] as [[UInt8]] {
      peer.receive(
        FramePeer.ip(
          6, FramePeer.tcp(24, from: 40000, to: 7, sequence: 1001, acknowledgment: next, bytes)),
        queue: 1)
    }
    let echo = try #require(peer.takePackets().first { $0.last == 9 })
    func report(_ change: (inout [UInt8]) -> Void = { _ in }) {
      var quoted = Array(echo[0..<28])
      change(&quoted)
      for queue in 0..<4 { peer.receive(FramePeer.ip(1, FramePeer.icmp(3, 1, quoted)), queue: queue) }
    }
    let before = handedOver(peer)
    report()
    #expect(handedOver(peer) - before == 3)
    #expect(peer.count("IcmpInErrors") == 0 && peer.count("TcpExtOutOfWindowIcmps") == 0)
    // Of the connection, and of nothing that is outstanding.
    report { $0[25] ^= 0x40 }
    #expect(peer.count("IcmpInErrors") == 0 && peer.count("TcpExtOutOfWindowIcmps") == 4)
    // Of a port that all have, and of one that nobody has.
    report { $0[23] ^= 1 }
    #expect(peer.count("IcmpInErrors") == 4)
    report { $0[21] = 200 }
    #expect(peer.count("IcmpInErrors") == 8 && peer.count("TcpExtOutOfWindowIcmps") == 4)
  }

  @Test(
    "D12 flows that have one place in the table: each segment, and each SYN, finds its shard all the same")
  func collisions() throws {
    let peer = try peer(queues: 3)
    let all = try listener(peer, queue: 1)
    var flows: [(port: UInt16, next: UInt32)] = []
    for port in UInt16(10000)..<10600 {
      flows.append((port, try #require(open(peer, from: port, to: 6000, at: 1))))
    }
    // The port stays in use in shard 1, which listens no more.
    for (port, next) in flows {
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(16, from: port, to: 6000, sequence: 1001, acknowledgment: next)),
        queue: 1)
    }
    var servers: [Socket] = []
    while let server = try? all.accept() { servers.append(server) }
    #expect(servers.count == 600)
    all.close()
    let other = try listener(peer, queue: 0)
    for port in UInt16(20000)..<20600 {
      #expect(open(peer, from: port, to: 6000, at: 2) != nil, "port \(port)")
    }
    for (number, (port, next)) in flows.enumerated() {
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(24, from: port, to: 6000, sequence: 1001, acknowledgment: next, [7])),
        queue: 2)
      servers[number].isNonBlocking = true
    }
    var read = 0
    for server in servers { if (try? server.receive(upTo: 10)) == [7] { read += 1 } }
    #expect(read == 600)
    #expect(peer.count("TcpOutRsts") == 0)
    other.close()
  }

  /// 1,200 flows against 1,200: some twenty of each have a place in common with one of the others.
  private static let many: UInt16 = 1200

  @Test(
    "D12 a connection of which nothing is heard keeps its place when others that had the same have gone: a SYN between its ends is challenged, wherever it comes in"
  )
  func oldConnection() throws {
    let peer = try peer(queues: 2) { $0.services = true }
    for port in UInt16(10000)..<10000 + Self.many {
      let next = try #require(open(peer, from: port, to: 7, at: 1))
      peer.receive(
        FramePeer.ip(6, FramePeer.tcp(16, from: port, to: 7, sequence: 1001, acknowledgment: next)), queue: 1)
    }
    for port in UInt16(20000)..<20000 + Self.many {
      _ = try #require(open(peer, from: port, to: 7, at: 0))
      peer.receive(FramePeer.ip(6, FramePeer.tcp(4, from: port, to: 7, sequence: 1001)), queue: 0)
    }
    _ = peer.takePackets()
    for port in UInt16(10000)..<10000 + Self.many {
      #expect(open(peer, from: port, to: 7, at: 0) == nil, "port \(port) has two connections")
    }
    #expect(peer.count("TcpExtTCPSYNChallenge") == UInt64(Self.many))
  }

  @Test("D12 a SYN of a new flow that has its place in common with another shard's comes back to who listens")
  func comesBack() throws {
    let peer = try peer(queues: 2)
    let first = try listener(peer, queue: 1, port: 6001)
    for port in UInt16(10000)..<10000 + Self.many {
      _ = try #require(open(peer, from: port, to: 6001, at: 1))
    }
    let second = try listener(peer, queue: 0)
    for port in UInt16(20000)..<20000 + Self.many {
      #expect(open(peer, from: port, to: 6000, at: 0) != nil, "port \(port) is refused")
    }
    #expect(peer.count("TcpOutRsts") == 0 && handedOver(peer) > 0)
    first.close()
    second.close()
  }
}
