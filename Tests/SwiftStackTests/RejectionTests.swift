import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket
private let client = RouterBench.client

/// Whom a refusal is told. What is expected is what Linux 6.18 did with the same rules and packets.
@Suite struct RejectionTests {
  private let near = SocketAddress(client, port: 4000)
  private func own(_ port: UInt16) -> SocketAddress { SocketAddress(RouterBench.near, port: port) }

  private func answers(_ bench: RouterBench, _ packet: [UInt8]) throws -> [[UInt8]] {
    bench.advance(.seconds(10))
    try bench.receive(packet, on: "sim0")
    return try bench.packets("sim0")
  }

  private func damaged(_ packet: [UInt8]) -> [UInt8] {
    var packet = packet
    packet[packet.count - 1] ^= 0x55
    return packet
  }

  @Test("P4 a reset answers a segment that is whole and was for one, and no other")
  func resets() throws {
    let bench = try RouterBench()
    try bench.filter("input tcp dport 80 reject with tcp reset")
    #expect(try answers(bench, Hand.tcp(near, own(80), 2, sequence: 7, [1])).map { $0[33] } == [0x14])
    #expect(try answers(bench, damaged(Hand.tcp(near, own(80), 2, sequence: 7, [1]))).isEmpty)
    for many in [IPv4Address(10, 1, 0, 255), IPv4Address(255, 255, 255, 255), IPv4Address(224, 0, 0, 1)] {
      #expect(try answers(bench, Hand.tcp(near, SocketAddress(many, port: 80), 2)).isEmpty, "\(many)")
    }
    #expect(bench.stack.hooks.rules.map(\.packetCount) == [5])
  }

  @Test("P4 an error is about a packet whose checksum is right, as far as its protocol has one")
  func errors() throws {
    let bench = try RouterBench()
    try bench.filter("input ip saddr 10.1.0.1 reject with icmp type port-unreachable")
    let datagram = Hand.udp(near, own(90), [1, 2])
    #expect(try answers(bench, datagram).map { [$0[20], $0[21]] } == [[3, 3]])
    #expect(try answers(bench, damaged(datagram)).isEmpty)
    #expect(try answers(bench, damaged(Hand.udp(near, own(90), hasChecksum: false, [1, 2]))).count == 1)
    // What is not known is summed as if it had a checksum.
    func other(_ number: UInt8, _ payload: [UInt8]) throws -> Int {
      try answers(bench, Hand.ip(client, RouterBench.near, protocol: number, payload)).count
    }
    #expect(try other(200, [0x12, 0x34, 0xED, 0xCB, 0, 0, 0, 0]) == 1)
    #expect(try other(200, [0x12, 0x34, 0xED, 0xCC, 0, 0, 0, 0]) == 0)
    for number in [UInt8(33), 47, 50, 51, 132, 136] {
      #expect(try other(number, [0x12, 0x34, 0xED, 0xCC, 0, 8, 1, 1]) == 1, "\(number)")
    }
  }
}
