import NetNamespace
import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

/// Counts the TCP flags that leave.
private final class FlagCounter: HookClient {
  var flags: [UInt8] = []
  func verdict(on packet: borrowing HookPacket) -> HookVerdict {
    if packet.protocol == .tcp, packet.bytes.byteCount > 33 { flags.append(packet.bytes.load8(33)) }
    return .accept
  }
}

/// The hooks and the filter through the whole stack.
@Suite struct FilterTests {
  private func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }
  private let far = SocketAddress(IPv4Address(10, 0, 0, 1), port: 9)

  private func change(_ stack: Stack, _ text: String) throws {
    try stack.apply(StackChange(words: words(text), device: nil))
  }

  @Test("P4 every TCP reply passes output: RST, SYN-ACK, and the ACK of TIME-WAIT", arguments: [1, 4])
  func replies(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    let stack = peer.host.stack
    let counter = try stack.hooks.register(at: .output) { FlagCounter() }
    func flags() -> [UInt8] {
      peer.collect()
      var all: [UInt8] = []
      stack.hooks.withClients(counter) { client in
        guard let client = client as? FlagCounter else { return }
        all += client.flags
        client.flags = []
      }
      return all
    }
    peer.receive(FramePeer.ip(6, FramePeer.tcp(2, from: 5000, to: 4321, sequence: 1)))
    #expect(flags() == [0x14])
    let listener = try stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 4000))
    try listener.listen()
    peer.receive(FramePeer.ip(6, FramePeer.tcp(2, from: 5001, to: 4000, sequence: 1)))
    #expect(flags() == [0x12])
    let synAck = try #require(peer.takePackets().last)
    let sequence = synAck[24..<28].reduce(0) { $0 << 8 | UInt32($1) } &+ 1
    peer.receive(
      FramePeer.ip(6, FramePeer.tcp(0x10, from: 5001, to: 4000, sequence: 2, acknowledgment: sequence)))
    let socket = try listener.accept()
    socket.close()
    #expect(flags() == [0x11])
    peer.receive(
      FramePeer.ip(6, FramePeer.tcp(0x11, from: 5001, to: 4000, sequence: 2, acknowledgment: sequence &+ 1)))
    #expect(flags() == [0x10])
    // TIME-WAIT answers the same FIN again.
    peer.advance(.seconds(1))
    peer.receive(
      FramePeer.ip(6, FramePeer.tcp(0x11, from: 5001, to: 4000, sequence: 2, acknowledgment: sequence &+ 1)))
    #expect(flags() == [0x10])
    try stack.hooks.unregister(counter)
    #expect {
      try stack.hooks.unregister(counter)
    } throws: {
      ($0 as? StackError)?.code == .ENOENT
    }
    #expect(stack.hooks.counts(at: .output).accepted == 5)
  }

  @Test(
    "P4 a rule drops what it matches in every shard, counts it, and is gone when deleted", arguments: [1, 4])
  func rules(queues: Int) throws {
    let peer = try FramePeer(queues: queues)
    let stack = peer.host.stack
    try change(stack, "filter add input ip saddr 10.0.0.1 ip protocol icmp drop")
    try change(stack, "filter add input ip protocol icmp accept")
    for queue in 0..<queues {
      peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0, [1, 2, 3])), queue: queue)
    }
    #expect(peer.takePackets().isEmpty)
    #expect(stack.hooks.rules.map(\.handle) == [1, 2])
    #expect(stack.hooks.rules.map(\.packetCount) == [UInt64(queues), 0])
    let report = try #require(stack.hooks.reports.first)
    #expect(report.chain == "input" && report.dropped == UInt64(queues) && report.accepted == 0)
    #expect(report.rules.map(\.handle) == [1, 2])
    #expect(stack.dropReports.first { $0.name == "NETFILTER_DROP" }?.value == UInt64(queues))
    try change(stack, "filter del input handle 1")
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0, [1, 2, 3])))
    #expect(peer.takePackets().count == 1)
    #expect {
      try change(stack, "filter del input handle 1")
    } throws: {
      ($0 as? StackError)?.code == .ENOENT
    }
  }

  @Test(
    "P4 a rule decides about packets of its protocol and its device, and lets others be",
    arguments: [
      ("input ip protocol icmp drop", [17]), ("input ip protocol udp drop", [1]),
      ("input iifname tap7 drop", []),
      ("input iifname other drop", [1, 17]), ("output oifname tap7 drop", []),
      ("output oifname other drop", [1, 17]),
    ])
  func others(rule: String, answered: [UInt8]) throws {
    let peer = try FramePeer()
    let device = peer.host.stack.interfaceReport.device
    try change(peer.host.stack, "filter add " + rule.replacing("tap7", with: device))
    // An echo is answered, and a datagram for a port that nobody has: each by ICMP.
    peer.receive(FramePeer.ip(1, FramePeer.icmp(8, 0)))
    let echo = peer.takePackets().count
    peer.receive(FramePeer.ip(17, FramePeer.udp([1], to: 4321)))
    let unreachable = peer.takePackets().count
    #expect(echo == (answered.contains(1) ? 1 : 0))
    #expect(unreachable == (answered.contains(17) ? 1 : 0))
  }

  @Test("P4 a UDP sender gets EPERM for what is dropped, and EHOSTUNREACH afterwards for what is rejected")
  func senders() throws {
    let peer = try FramePeer()
    let stack = peer.host.stack
    let socket = try stack.socket(.udp)
    socket.isNonBlocking = true
    try socket.connect(to: far)
    try socket.send([1])
    try change(stack, "filter add output udp dport 9 drop")
    #expect(throws: SocketError("send", .EPERM)) { try socket.send([2]) }
    try change(stack, "filter del output handle 1")
    try change(stack, "filter add output udp dport 9 reject")
    #expect {
      try socket.send([3])
    } throws: {
      ($0 as? SocketError)?.errno == .EPERM
    }
    #expect {
      try socket.send([4])
    } throws: {
      ($0 as? SocketError)?.errno == .EHOSTUNREACH
    }
    try change(stack, "filter del output handle 2")
    peer.advance(.milliseconds(10))
    _ = peer.takePackets()
    try socket.send([5])
    #expect(peer.takePackets().count == 1)
  }

  @Test("P4 a TCP stream survives rules that drop its segments for a while, out and in")
  func stream() throws {
    let wire = try SimulatedWire()
    let (client, server) = try wire.connect()
    let pump = StreamPump(from: client, to: server, byteCount: 300_000)
    try change(wire.left.stack, "filter add output oifname sim1 tcp dport 1-65535 drop")
    try change(wire.right.stack, "filter add prerouting iifname sim2 ip protocol tcp drop")
    #expect(try !wire.run(for: .seconds(2)) { try pump.step() })
    #expect(pump.received == 0)
    try change(wire.left.stack, "filter del output handle 1")
    #expect(try !wire.run(for: .seconds(2)) { try pump.step() })
    #expect(pump.received == 0)
    try change(wire.right.stack, "filter del prerouting handle 1")
    #expect(try wire.run(for: .seconds(60)) { try pump.step() })
    #expect(pump.isIntact && pump.received == 300_000)
  }

  @Test("S2 a send rule refuses before the protocol is asked, counts, and is gone when deleted")
  func sends() throws {
    let peer = try FramePeer()
    let stack = peer.host.stack
    let socket = try stack.socket(.udp)
    socket.isNonBlocking = true
    try change(stack, "filter add send udp dport 9 length 2-9 reject with EACCES")
    try socket.send([1], to: far)
    #expect {
      try socket.send([1, 2], to: far)
    } throws: {
      ($0 as? SocketError)?.errno == .EACCES
    }
    #expect(stack.hooks.sendRules.map(\.sendCount) == [1])
    #expect(stack.hooks.reports.map(\.chain) == ["send"])
    try change(stack, "filter del send handle 1")
    try socket.send([1, 2], to: far)
    #expect(stack.hooks.reports.isEmpty)
  }

  @Test(
    "filter: words that cannot be are refused with a sentence",
    arguments: [
      ("filter", "add, del"), ("filter add", "prerouting, input, forward, output, postrouting or send"),
      ("filter add forwards drop", "unknown hook \"forwards\": expected prerouting, input, forward, output"),
      ("filter add sideways drop", "unknown hook \"sideways\""),
      ("filter add input jump", "filter add input: unknown word"),
      ("filter del input", "handle"), ("filter del input handle 0", "1 to 4294967295"),
      ("filter del input handle 1 2", "one word too many"),
      ("filter add send drop", "filter add send: unknown word"),
    ])
  func bad(text: String, sentence: String) {
    #expect {
      try StackChange(words: words(text), device: nil)
    } throws: {
      "\($0)".contains(sentence)
    }
  }
}
