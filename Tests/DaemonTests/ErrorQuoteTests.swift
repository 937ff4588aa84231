import NetNamespace
import TestSupport
import Testing
import Timers
import UDP
import Wire

@testable import Control
@testable import Daemon
@testable import SwiftStack

/// What an ICMP error quotes says which packet it is about.
@Suite struct ErrorQuoteTests {
  static let gateway = IPv4Address(10, 0, 0, 1)

  /// Port unreachable about a packet, with only so much of it.
  static func unreachable(_ packet: [UInt8], quoting count: Int = .max, code: UInt8 = 3) -> [UInt8] {
    FramePeer.ip(1, FramePeer.icmp(3, code, Array(packet.prefix(count))))
  }

  /// Three requests, none answered yet.
  private func pinging(_ peer: FramePeer) throws -> (run: PingRun, socket: Socket, packets: [[UInt8]]) {
    let socket = try PingRunTests.socket(peer.host.stack, to: Self.gateway)
    var run = PingRunTests.run(Self.gateway, count: nil)
    for second: Int64 in 0..<3 { _ = run.send(on: socket, now: PingRunTests.start + .seconds(second)) }
    return (run, socket, peer.takePackets())
  }

  @Test("ping: an error is about the request that it quotes, not about the oldest") func quoted() throws {
    let peer = try FramePeer()
    var (run, socket, packets) = try pinging(peer)
    #expect(packets.count == 3)
    peer.receive(Self.unreachable(packets[1], quoting: 28, code: 1))
    let failed = try run.receive(on: socket, until: peer.host.now)
    #expect(failed.map(\.event) == [.failed] && failed.map(\.sequence) == [2])
    #expect(failed.first?.text == "Destination Host Unreachable" && failed.first?.from == "10.0.0.1")
    // Two in one look, the later first.
    peer.receive(Self.unreachable(packets[2], code: 1))
    peer.receive(Self.unreachable(packets[0], code: 1))
    #expect(try run.receive(on: socket, until: peer.host.now).map(\.sequence) == [3, 1])
  }

  @Test("ping: a send that meets an earlier request's error goes out all the same") func sendMeetsError()
    throws
  {
    let peer = try FramePeer()
    var (run, socket, packets) = try pinging(peer)
    peer.receive(Self.unreachable(packets[1], code: 1))
    let reports = run.send(on: socket, now: PingRunTests.start + .seconds(3))
    #expect(reports.map(\.event) == [.sent, .failed] && reports.map(\.sequence) == [4, 2])
    let request = try #require(peer.takePackets().first)
    #expect(request[20] == 8 && request[26...27] == [0, 4])
  }

  @Test("ping: an error that quotes nothing of ours is nobody's") func strangers() throws {
    let peer = try FramePeer()
    var (run, socket, packets) = try pinging(peer)
    var other = packets[0]
    // A sequence number that was not sent.
    other[26] = 0x77
    peer.receive(Self.unreachable(other, code: 1))
    let reports = run.send(on: socket, now: PingRunTests.start + .seconds(3))
    #expect(reports.map(\.event) == [.sent, .failed] && reports.last?.sequence == 4)
  }

  @Test("nic: every line has a name of its own") func names() throws {
    let peer = try FramePeer()
    let names = try #require(peer.host.stack.nicReports.first).statistics.map(\.name)
    #expect(names.count > 30 && Set(names).count == names.count)
  }
}
