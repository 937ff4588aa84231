import NetNamespace
import Testing
import Timers
import Wire

@testable import Control
@testable import Daemon
@testable import SwiftStack

/// The bookkeeping of a ping, at given moments.
@Suite struct PingRunTests {
  static let own = IPv4Address(10, 0, 0, 2)
  static let start = Instant.origin + .seconds(100)

  static func socket(_ stack: Stack, to host: IPv4Address) throws -> Socket {
    let socket = try stack.socket(.ping)
    try socket.enablePingReports()
    try socket.connect(to: SocketAddress(host, port: 0))
    return socket
  }
  static func run(_ host: IPv4Address, count: Int?) -> PingRun {
    PingRun(
      PingRequest(host: "\(host)", count: count, interval: 1, byteCount: 8, wait: 10), host: host, now: start)
  }

  @Test("paced from the last request on: intervals that were missed are not made up for")
  func paced() throws {
    let simulated = try SimulatedStack()
    let socket = try Self.socket(simulated.stack, to: Self.own)
    var run = Self.run(Self.own, count: nil)
    #expect(run.isDue(now: Self.start))
    _ = run.send(on: socket, now: Self.start)
    #expect(!run.isDue(now: Self.start + .milliseconds(999)) && run.isDue(now: Self.start + .seconds(1)))
    // A little late: the next is on time again.
    _ = run.send(on: socket, now: Self.start + .milliseconds(1100))
    #expect(!run.isDue(now: Self.start + .milliseconds(1999)) && run.isDue(now: Self.start + .seconds(2)))
    // Held up for 8 s.
    let late = Self.start + .seconds(10)
    _ = run.send(on: socket, now: late)
    #expect(!run.isDue(now: late) && !run.isDue(now: late + .milliseconds(499)))
    #expect(run.isDue(now: late + .seconds(1)))
  }

  @Test("a reply settles its request; the run is over when all are, or the wait is")
  func replies() throws {
    let simulated = try SimulatedStack()
    let socket = try Self.socket(simulated.stack, to: Self.own)
    var run = Self.run(Self.own, count: 2)
    _ = run.send(on: socket, now: Self.start)
    #expect(!run.isOver(now: Self.start + .seconds(60)))
    let reports = run.send(on: socket, now: Self.start + .seconds(1))
    #expect(reports.map(\.event) == [.sent] && reports.first?.sequence == 2)
    #expect(!run.isOver(now: Self.start + .seconds(10)) && run.isOver(now: Self.start + .seconds(11)))
    for sequence in 1...2 {
      let reply = try run.receive(on: socket, until: simulated.now)
      #expect(reply.map(\.event) == [.reply] && reply.first?.sequence == sequence)
      #expect(reply.first?.byteCount == 16 && reply.first?.from == "10.0.0.2")
    }
    #expect(run.isOver(now: Self.start + .seconds(1)))
  }

  @Test("what this stack itself refuses to send comes from nobody, as ping(8) says it")
  func refused() throws {
    let simulated = try SimulatedStack()
    try simulated.stack.apply(
      StackChange(words: ["filter", "add", "output", "ip", "daddr", "10.0.0.77", "drop"], device: nil))
    let host = IPv4Address(10, 0, 0, 77)
    let socket = try Self.socket(simulated.stack, to: host)
    var run = Self.run(host, count: 1)
    let reports = run.send(on: socket, now: Self.start)
    #expect(reports.map(\.event) == [.sent, .failed])
    #expect(reports.last?.from == "" && reports.last?.text == "sendmsg: Operation not permitted")
    #expect(run.isOver(now: Self.start))
  }

  @Test("a host without a neighbour: each request fails once, with the words of ping(8)")
  func unreachable() throws {
    let simulated = try SimulatedStack()
    let host = IPv4Address(10, 0, 0, 77)
    let socket = try Self.socket(simulated.stack, to: host)
    var run = Self.run(host, count: 2)
    _ = run.send(on: socket, now: Self.start)
    _ = run.send(on: socket, now: Self.start + .seconds(1))
    #expect(try run.receive(on: socket, until: simulated.now).isEmpty)
    simulated.advance(to: simulated.now + .seconds(5))
    var failed: [PingReport] = []
    for _ in 0..<4 { failed += try run.receive(on: socket, until: simulated.now) }
    #expect(failed.map(\.event) == [.failed, .failed] && failed.map(\.sequence) == [1, 2])
    #expect(failed.allSatisfy { $0.text == "Destination Host Unreachable" })
    #expect(run.isOver(now: Self.start + .seconds(1)))
  }
}
