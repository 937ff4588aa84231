import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket
private let client = RouterBench.client
private let server = RouterBench.server

/// UDP-Lite (RFC 3828) through a router that gives connections other addresses. Linux 6.18 with `nf_conntrack_checksum` 0
/// translates as here.
@Suite struct LiteTranslationTests {
  private let payload = [UInt8]("hello world 123".utf8)

  /// - Parameter coverage: as it lies in the header.
  private func datagram(
    _ source: SocketAddress, _ destination: SocketAddress, coverage: Int, damagedAt place: Int? = nil
  ) -> [UInt8] {
    var bytes = Hand.word(Int(source.port)) + Hand.word(Int(destination.port)) + Hand.word(coverage) + [0, 0]
    bytes += payload
    let (from, to) = (source.address.v4 ?? .any, destination.address.v4 ?? .any)
    let pseudo = Hand.octets(from) + Hand.octets(to) + [0, 136] + Hand.word(bytes.count)
    let covered = Array(bytes[..<(coverage == 0 ? bytes.count : min(coverage, bytes.count))])
    bytes.replaceSubrange(6..<8, with: Hand.word(~Hand.sum(pseudo + covered) & 0xFFFF))
    if let place { bytes[place] ^= 0x5A }
    return Hand.ip(from, to, protocol: 136, bytes)
  }

  private func isIntact(_ packet: [UInt8]) -> Bool {
    let bytes = Array(packet[20...])
    let coverage = Int(bytes[4]) << 8 | Int(bytes[5])
    return Hand.sum(packet[..<20]) == 0xFFFF
      && Hand.sum(
        Hand.pseudo(packet, bytes.count) + bytes[..<(coverage == 0 ? bytes.count : coverage)]) == 0xFFFF
  }

  private func port(_ packet: [UInt8], _ place: Int) -> Int {
    Int(packet[place]) << 8 | Int(packet[place + 1])
  }

  @Test("P4 ports and addresses are changed and the checksum mended, whatever it covers; answers find back")
  func translated() throws {
    let bench = try RouterBench()
    try bench.filter("postrouting ip protocol udplite snat to 10.2.0.2:4000-4010")
    for (number, coverage) in [0, 8, 12].enumerated() {
      let inside = SocketAddress(client, port: UInt16(5000 + coverage))
      let outside = SocketAddress(server, port: 6000)
      let out = try #require(try bench.forward(datagram(inside, outside, coverage: coverage)).first)
      #expect(Array(out[12..<16]) == [10, 2, 0, 2] && (4000...4010).contains(port(out, 20)))
      #expect(port(out, 22) == 6000 && port(out, 24) == coverage && isIntact(out))
      #expect(Array(out[28...]) == payload)
      let mapped = SocketAddress(RouterBench.far, port: UInt16(port(out, 20)))
      let back = try #require(
        try bench.forward(datagram(outside, mapped, coverage: coverage), from: "sim1").first)
      #expect(Array(back[16..<20]) == [10, 1, 0, 1] && port(back, 22) == 5000 + coverage && isIntact(back))
      let line = try #require(bench.stack.hooks.connections.first { $0.original.sourcePort == inside.port })
      #expect(line.line.hasPrefix("udplite  136 "))
      #expect(!line.isAssured && line.timeout <= .seconds(30))
      // What follows an answer makes it a stream.
      #expect(try bench.forward(datagram(inside, outside, coverage: coverage)).count == 1)
      let stream = try #require(bench.stack.hooks.connections.first { $0.original.sourcePort == inside.port })
      #expect(stream.isAssured && stream.timeout > .seconds(100))
      #expect(bench.stack.hooks.connections.count == number + 1)
    }
  }

  @Test(
    "P4 damage where nothing is covered harms nothing; where it is covered, or without a sum: of no connection"
  )
  func damaged() throws {
    let bench = try RouterBench()
    try bench.filter("forward ct state invalid drop")
    let (inside, outside) = (SocketAddress(client, port: 5000), SocketAddress(server, port: 6000))
    #expect(try bench.forward(datagram(inside, outside, coverage: 8, damagedAt: 20)).count == 1)
    #expect(try bench.forward(datagram(inside, outside, coverage: 12, damagedAt: 10)).isEmpty)
    #expect(try bench.forward(datagram(inside, outside, coverage: 7)).isEmpty)
    #expect(try bench.forward(datagram(inside, outside, coverage: 24)).isEmpty)
    var bare = datagram(inside, outside, coverage: 8)
    bare.replaceSubrange(26..<28, with: [0, 0])
    #expect(try bench.forward(bare).isEmpty)
    try bench.stack.set("net.netfilter.nf_conntrack_checksum", to: "0")
    #expect(try bench.forward(datagram(inside, outside, coverage: 12, damagedAt: 10)).count == 1)
    #expect(try bench.forward(bare).isEmpty)
  }
}
