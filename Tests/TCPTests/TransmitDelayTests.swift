import NetDevice
import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

@Suite("T10 TCP_TX_DELAY", .everyVariation)
struct TransmitDelayTests {
  private static let option: (Int32, Int32) = (6, 37)

  private func open(_ words: [String]) throws -> ScriptedConnection {
    let open = try ScriptedConnection.withSACK()
    try open.peer.host.stack.setQdisc(try QdiscConfiguration(parsing: words))
    return open
  }

  @Test("T10 TCP_TX_DELAY adds to the departure time, which fq heeds: of data, ACK and FIN")
  func delays() throws {
    let open = try open(["fq"])
    try open.socket.set(Self.option, 30_000)
    try open.socket.send([1, 2, 3])
    #expect(open.peer.timeline(for: .milliseconds(40)).map(\.milliseconds) == [30])
    open.acknowledgment &+= 3
    open.sequence &+= 5
    open.send([9])
    #expect(open.peer.timeline(for: .milliseconds(40)).map(\.milliseconds) == [30])
    try open.socket.set(Self.option, 0)
    try open.socket.send([4])
    #expect(open.peer.timeline(for: .milliseconds(40)).map(\.milliseconds) == [0])
  }

  @Test("T10 TCP_TX_DELAY: the round trips to come are as much longer, and so is the time-out")
  func timeout() throws {
    let open = try open(["fq"])
    let before = (open.info.smoothedRTT, open.info.retransmissionTimeout)
    try open.socket.set(Self.option, 500_000)
    #expect(open.info.smoothedRTT == before.0 + .milliseconds(500))
    #expect(open.info.retransmissionTimeout == before.1 + .milliseconds(500))
    try open.socket.set(Self.option, 0)
    #expect(open.info.smoothedRTT == before.0)
    #expect(open.info.retransmissionTimeout == before.1)
  }

  @Test("T10 TCP_TX_DELAY: what the smoothed round trip could not hold is EINVAL")
  func range() throws {
    let open = try open(["fq"])
    #expect(throws: SocketError.self) { try open.socket.set(Self.option, 1 << 28) }
    try open.socket.set(Self.option, 1 << 28 - 1)
  }

  @Test("T10 TCP_TX_DELAY does nothing where the device's queue heeds no departure time")
  func withoutFairQueue() throws {
    let open = try open(["pfifo_fast"])
    try open.socket.set(Self.option, 30_000)
    try open.socket.send([1, 2, 3])
    #expect(open.peer.timeline(for: .milliseconds(40)).map(\.milliseconds) == [0])
  }

  @Test("T10 TCP_TX_DELAY: what waits for its time does not use up the small-queue limit")
  func smallQueue() throws {
    let open = try open(["fq"])
    try open.socket.set(Self.option, 50_000)
    try open.socket.set(Option.sendBuffer, 1 << 20)
    try open.peer.host.stack.set("net.ipv4.tcp_limit_output_bytes", to: "10000")
    try open.peer.host.stack.set("net.ipv4.tcp_autocorking", to: "0")
    open.inspect { $0.sender.window.segments = 200 }
    // Four packets and more.
    try open.socket.send([UInt8](repeating: 1, count: 180 * 1460))
    #expect(open.info.unacknowledged == 180)
  }
}
