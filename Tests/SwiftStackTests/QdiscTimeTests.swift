import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack

/// Queueing with time through the whole stack: the shard's one timer queue lets go what waits.
@Suite struct QdiscTimeTests {
  private func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }

  private func sender(_ peer: FramePeer) throws -> Socket {
    let socket = try peer.host.stack.socket(.udp)
    socket.isNonBlocking = true
    // The neighbour is known from here on.
    try socket.send([0], to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    peer.advance(.milliseconds(10))
    return socket
  }

  @Test("Q3 tbf: what waits goes at its time by the shard's own timer; del lets everything pass again")
  func rate() throws {
    let peer = try FramePeer()
    let socket = try sender(peer)
    let stack = peer.host.stack
    try stack.setQdisc(try QdiscConfiguration(parsing: words("tbf rate 8mbit burst 1042 limit 100kb")))
    let before = peer.packets.count
    for _ in 0..<5 {
      try socket.send(
        [UInt8](repeating: 1, count: 1000), to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    }
    peer.collect()
    #expect(peer.packets.count == before + 1)
    // 1042 bytes take 1.042 ms.
    peer.advance(Nanoseconds(1_041_999))
    #expect(peer.packets.count == before + 1)
    peer.advance(Nanoseconds(1))
    #expect(peer.packets.count == before + 2)
    let report = try #require(stack.qdiscReports.first)
    #expect(report.kind == "tbf" && report.handle == "8001:" && report.backlogPackets == 3)
    #expect(report.options == "rate 8Mbit burst 1042b lat 101ms")
    peer.advance(.milliseconds(4))
    #expect(peer.packets.count == before + 5)
    try stack.resetQdisc()
    for _ in 0..<5 { try socket.send([1], to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9)) }
    peer.collect()
    #expect(peer.packets.count == before + 10)
    #expect {
      try stack.resetQdisc()
    } throws: {
      ($0 as? StackError)?.code == .ENOENT
    }
  }

  @Test("Q3 what waits in a qdisc is charged to its socket, and is no longer when the qdisc is replaced")
  func charge() throws {
    let peer = try FramePeer()
    let socket = try sender(peer)
    let stack = peer.host.stack
    try stack.setQdisc(try QdiscConfiguration(parsing: words("tbf rate 8kbit burst 1042 limit 1mb")))
    func queued() -> UInt64 {
      stack.socketReports.filter { $0.netid == "udp" }.map { UInt64($0.sendQueue) }.max() ?? 0
    }
    for _ in 0..<5 {
      try socket.send(
        [UInt8](repeating: 1, count: 1000), to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
    }
    peer.collect()
    #expect(queued() >= 4 * 1000)
    try stack.resetQdisc()
    #expect(queued() == 0)
    #expect(stack.dropReports.first { $0.name == "QUEUE_PURGE" }?.value == 4)
    #expect(peer.host.timerCount < 10)
  }

  @Test("Q3 tbf under TCP: what passes is the rate, within 2 %, while the queue drops what is too much")
  func rateUnderTCP() throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    let stack = wire.left.stack
    try stack.setQdisc(try QdiscConfiguration(parsing: words("tbf rate 10mbit burst 15kb latency 50ms")))
    server.isNonBlocking = true
    let block = [UInt8](repeating: 7, count: 65536)
    func keepBusy() -> Bool {
      while (try? client.send(block)) != nil {}
      while (try? server.receive(upTo: 65536)) != nil {}
      return false
    }
    wire.run(for: .milliseconds(500), until: keepBusy)
    let before = try #require(stack.qdiscReports.first).sentBytes
    wire.run(for: .seconds(1), until: keepBusy)
    let report = try #require(stack.qdiscReports.first)
    #expect(abs(Double(report.sentBytes - before) / 1_250_000 - 1) < 0.02)
    #expect(report.dropped > 0 && report.overlimits > 0)
  }

  @Test("Q3 netem both ways under TCP: lost, doubled, damaged and out of order, and every byte arrives")
  func emulatedUnderTCP() throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    let bad = "netem delay 5ms 2ms loss 3% duplicate 3% corrupt 2% reorder 5% gap 3"
    let stacks = [wire.left.stack, wire.right.stack]
    for stack in stacks {
      try stack.setQdisc(try QdiscConfiguration(parsing: words(bad)))
      try stack.setQdisc(try QdiscConfiguration(parsing: words(bad)), at: .ingress)
    }
    client.isNonBlocking = true
    server.isNonBlocking = true
    var sent = 0
    var received = 0
    var isIntact = true
    // As many rounds as it takes until every one of the four networks has lost something.
    repeat {
      let end = sent + 20_000
      let isOver = wire.run(for: .seconds(600)) {
        while sent < end, let count = try? client.send((sent..<end).map(StreamPump.pattern)) { sent += count }
        while let bytes = try? server.receive(upTo: 65536), !bytes.isEmpty {
          for byte in bytes {
            if byte != StreamPump.pattern(received) { isIntact = false }
            received += 1
          }
        }
        return received == end
      }
      try #require(isOver && isIntact)
    } while stacks.contains { $0.qdiscReports.contains { $0.dropped == 0 } }
    #expect(stacks.allSatisfy { $0.qdiscReports.count == 2 })
  }

  @Test(
    "Q3 ingress netem: an echo is answered its delay later, once, whatever shard has it", arguments: [1, 4])
  func ingress(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    _ = try sender(peer)
    // Every shard knows the peer, so that no answer of ARP's is held back as well.
    for queue in 0..<queues {
      peer.host.receive(
        FramePeer.arp(1, FramePeer.mac(1), [10, 0, 0, 1], [0, 0, 0, 0, 0, 0], [10, 0, 0, 2]), queue: queue)
    }
    _ = peer.takePackets()
    try peer.host.stack.setQdisc(
      try QdiscConfiguration(parsing: words("netem delay 20ms")), at: .ingress)
    for queue in 0..<queues { peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0, [1, 2, 3])), queue: queue) }
    peer.advance(Nanoseconds(19_999_999))
    #expect(peer.takePackets().isEmpty)
    peer.advance(Nanoseconds(1))
    #expect(peer.takePackets().count == queues)
    #expect(peer.host.stack.qdiscReports.filter { $0.place == "ingress" }.count == queues)
    try peer.host.stack.resetQdisc(at: .ingress)
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0, [1, 2, 3])))
    #expect(peer.takePackets().count == 1)
    #expect(peer.host.stack.qdiscReports.allSatisfy { $0.place == "root" })
  }
}
