import IPv4
import InetSocket
import NetNamespace
import Tables
import TestSupport
import Testing
import Timers
import Wire

@testable import IPv4
@testable import SwiftStack
@testable import TCP

/// A million numbers of 16 or 32 bits: whether each byte has every value equally often, and whether one tells the next.
private struct NumberStatistics {
  private var counts: [[Int]]
  private var (sum, squares, products) = (0.0, 0.0, 0.0)
  private var previous: Double?
  private var count = 0
  private let bits: Int

  init(bits: Int) {
    self.bits = bits
    counts = Array(repeating: Array(repeating: 0, count: 256), count: bits / 8)
  }

  mutating func add(_ number: UInt32) {
    for byte in counts.indices { counts[byte][Int(number >> UInt32(8 * byte) & 0xFF)] += 1 }
    let value = Double(number) / Double(UInt64(1) << UInt64(bits)) - 0.5
    sum += value
    squares += value * value
    if let previous { products += previous * value }
    previous = value
    count += 1
  }

  /// Chi square with 255 degrees of freedom has a mean of 255 and a deviation of 22.6; the correlation of one number with the
  /// next one of a thousandth, for a million.
  var isRandom: Bool { worst < 255 + 6 * 22.6 && abs(correlation) < 6 / Double(count).squareRoot() }
  var worst: Double {
    let expected = Double(count) / 256
    return counts.map { $0.reduce(0.0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected } }
      .max() ?? .infinity
  }
  var correlation: Double {
    let mean = sum / Double(count)
    return (products / Double(count) - mean * mean) / (squares / Double(count) - mean * mean)
  }
}

/// Numbers that a peer sees and that nobody is to foretell who has seen others: over a million of each, uniform, without
/// correlation, and others with another key.
///
/// Elsewhere: that identifications do not repeat to one destination (IPv4Tests' `OutputTests`), that ports come from their
/// range until none is left (InetSocketTests' `PortTableTests`).
@Suite("RFC 6528 RFC 6056 RFC 7739 what nobody is to foretell")
struct PredictabilityTests {
  private static let sampleCount = 1_000_000

  /// Clients as an attacker takes them: neighbouring ports, neighbouring addresses.
  private static func tuple(_ number: Int) -> FourTuple {
    FourTuple(
      local: SocketAddress(IPv4Address(10, 0, 0, 2), port: 80),
      remote: SocketAddress(
        IPv4Address(
          198, 51, UInt8(truncatingIfNeeded: number >> 22), UInt8(truncatingIfNeeded: number >> 14)),
        port: UInt16(1024 + number & 0x3FFF)))
  }

  /// A million numbers of a stack of this seed.
  private static func shard<Result: Sendable>(
    seed: UInt64, _ body: (inout Shard) -> Result
  ) throws -> Result {
    let host = try SimulatedStack(seed: seed)
    host.advance(to: .origin + .seconds(100))
    return host.stack.shards[0].inspect { body(&$0) }
  }

  @Test("RFC 6528 initial sequence numbers", arguments: [1, 2] as [UInt64])
  func sequenceNumbers(purpose: UInt64) throws {
    func numbers(seed: UInt64) throws -> (NumberStatistics, [UInt32]) {
      try Self.shard(seed: seed) { shard in
        var statistics = NumberStatistics(bits: 32)
        var first: [UInt32] = []
        for number in 0..<Self.sampleCount {
          let tuple = Self.tuple(number)
          let value =
            purpose == 1
            ? shard.sockets.tcp.initialSequence(tuple, net: shard.host.net).rawValue
            : shard.sockets.tcp.timestampOffset(tuple)
          statistics.add(value)
          if number < 4096 { first.append(value) }
        }
        return (statistics, first)
      }
    }
    let (one, first) = try numbers(seed: 1)
    #expect(one.isRandom, "\(one.worst) \(one.correlation)")
    // Keyed: another key gives others, which differ in half of their bits.
    let other = try Self.shard(seed: 2) { shard in
      (0..<4096).map { number in
        purpose == 1
          ? shard.sockets.tcp.initialSequence(Self.tuple(number), net: shard.host.net).rawValue
          : shard.sockets.tcp.timestampOffset(Self.tuple(number))
      }
    }
    let differing = zip(first, other).map { ($0 ^ $1).nonzeroBitCount }.reduce(0, +)
    #expect(abs(Double(differing) / 4096 - 16) < 6 * 2.83 / 64)
    // What one of them is tells nothing of the other: neither is a part of the same hash.
    let crossed = try Self.shard(seed: 1) { shard in
      (0..<4096).map { number in
        purpose == 1
          ? shard.sockets.tcp.timestampOffset(Self.tuple(number))
          : shard.sockets.tcp.initialSequence(Self.tuple(number), net: shard.host.net).rawValue
      }
    }
    let shared = zip(first, crossed).map { ($0 ^ $1).nonzeroBitCount }.reduce(0, +)
    #expect(abs(Double(shared) / 4096 - 16) < 6 * 2.83 / 64)
  }

  @Test("RFC 6528 the number of one tuple moves on by 1 every 64 ns, and with it that of every other")
  func clock() throws {
    let host = try SimulatedStack(seed: 1)
    func numbers() -> [UInt32] {
      host.stack.shards[0].inspect { shard in
        (0..<64).map { shard.sockets.tcp.initialSequence(Self.tuple($0), net: shard.host.net).rawValue }
      }
    }
    let before = numbers()
    host.advance(to: .origin + .seconds(1))
    #expect(zip(before, numbers()).allSatisfy { $1 &- $0 == 15_625_000 })
  }

  @Test("RFC 4987 a million forged ACKs: none is a cookie")
  func cookies() {
    let cookie = SynCookie(Self.tuple(1), keyed: SipHash(key: (1, 2)))
    var random = RandomSource(seed: 3)
    var taken = 0
    for _ in 0..<Self.sampleCount {
      let number = SequenceNumber(UInt32(truncatingIfNeeded: random.next()))
      if cookie.segmentSize(of: number, initial: SequenceNumber(7), minute: 5) != nil { taken += 1 }
    }
    #expect(taken == 0)
    let good = cookie.number(initial: SequenceNumber(7), segmentSize: 1460, minute: 5)
    #expect(cookie.segmentSize(of: good, initial: SequenceNumber(7), minute: 5) == 1460)
  }

  // MARK: Ports

  private static func server(_ number: Int) -> SocketAddress {
    SocketAddress(
      IPv4Address(
        203, UInt8(truncatingIfNeeded: number >> 16), UInt8(truncatingIfNeeded: number >> 8),
        UInt8(truncatingIfNeeded: number)), port: 443)
  }

  /// A port table's first choice for each of a list of servers, as many connections that come and go.
  private static func ports(
    seed: UInt64, to servers: [Int], range: ClosedRange<UInt16> = 0...65535
  ) throws -> [UInt16] {
    try shard(seed: seed) { shard in
      var table = PortTable()
      let own = IPAddress(IPv4Address(10, 0, 0, 2))
      return servers.map { number in
        var owner = PortBinding()
        var search = table.search(address: own, remote: server(number), range: range, net: &shard.host.net)
        let port = table.next(&search)?.port ?? 0
        table.claim(&owner, port: port, search: search, reuseAddress: false, reusePort: false)
        table.release(&owner, address: own, port: port)
        return port
      }
    }
  }

  @Test("RFC 6056 ephemeral ports to a million servers")
  func ports() throws {
    let ports = try Self.ports(seed: 1, to: Array(0..<Self.sampleCount))
    // Even ones before odd ones: 15 bits.
    var statistics = NumberStatistics(bits: 16)
    for (number, port) in ports.enumerated() { statistics.add(UInt32(port) + UInt32(number & 1)) }
    #expect(ports.allSatisfy { $0 & 1 == 0 })
    #expect(statistics.isRandom, "\(statistics.worst) \(statistics.correlation)")
    let other = try Self.ports(seed: 2, to: Array(0..<4096))
    #expect(zip(ports, other).count { $0 == $1 } < 8)
  }

  @Test("RFC 6056 4 CVE-2022-32296: a server does not see by its own ports how many connections others got")
  func others() throws {
    // A thousand servers, each asked before and after a hundred others were.
    var order: [Int] = []
    for attacker in 0..<1000 {
      order.append(attacker)
      order += (0..<100).map { 100_000 + attacker * 100 + $0 }
      order.append(attacker)
    }
    let ports = try Self.ports(seed: 1, to: order)
    let steps = (0..<1000).map { Int(ports[$0 * 102 + 101] &- ports[$0 * 102]) }
    // Its own connection takes it one on, or now and then two; the others' do so for one in 655.
    #expect(steps.count { $0 != 2 && $0 != 4 } <= 10)
    let noise = steps.count { $0 == 4 }
    #expect((30...100).contains(noise))
  }

  @Test("RFC 6056 the place of a server in the range is another one every ten seconds")
  func shuffle() throws {
    let seen = try Self.shard(seed: 1) { shard in
      var table = PortTable()
      let start = shard.host.net.now
      return (0..<4).map { period in
        Set(
          (0..<10).map { second in
            shard.host.net.advance(to: start + .seconds(Int64(10 * period + second)))
            var search = table.search(
              address: IPAddress(IPv4Address(10, 0, 0, 2)), remote: Self.server(1), net: &shard.host.net)
            return table.next(&search)?.port ?? 0
          })
      }
    }
    #expect(seen.allSatisfy { $0.count == 1 })
    #expect(Set(seen).count == 4)
  }

  // MARK: IP

  @Test("RFC 7739 identifications to a million destinations; what one of them was tells not the next one's")
  func identifications() throws {
    func numbers(seed: UInt64) throws -> (NumberStatistics, [UInt16]) {
      try Self.shard(seed: seed) { shard in
        let table = IdentificationTable(net: &shard.host.net)
        var statistics = NumberStatistics(bits: 16)
        var first: [UInt16] = []
        for number in 0..<Self.sampleCount {
          guard case let remote = Self.server(number), let destination = remote.address.v4 else { continue }
          // Each place of the table moves on by up to two thousand from one use to the next.
          shard.host.net.advance(to: shard.host.net.now + .milliseconds(1))
          let value = table.reserve(
            1, source: IPv4Address(10, 0, 0, 2), destination: destination, protocol: .udp,
            net: &shard.host.net)
          statistics.add(UInt32(value))
          if number < 4096 { first.append(value) }
        }
        return (statistics, first)
      }
    }
    let (statistics, first) = try numbers(seed: 1)
    #expect(statistics.isRandom, "\(statistics.worst) \(statistics.correlation)")
    let (_, other) = try numbers(seed: 2)
    #expect(zip(first, other).count { $0 == $1 } < 8)
  }

  @Test("RFC 7739 idle scan: how far identifications to one host have moved does not count the packets to it")
  func idleScan() throws {
    let steps = try Self.shard(seed: 1) { shard in
      let table = IdentificationTable(net: &shard.host.net)
      var before: UInt16?
      return (0..<1000).compactMap { _ -> UInt16? in
        shard.host.net.advance(to: shard.host.net.now + .milliseconds(100))
        let value = table.reserve(
          1, source: IPv4Address(10, 0, 0, 2), destination: IPv4Address(10, 0, 0, 1), protocol: .tcp,
          net: &shard.host.net)
        defer { before = value }
        return before.map { value &- $0 }
      }
    }
    // A random one of the hundred that the time since allows.
    #expect(Set(steps).count > 90 && steps.allSatisfy { (1...100).contains($0) })
  }
}
