import SwiftStack
import TestSupport
import Testing
import Timers
import Wire

private typealias Hand = HandmadePacket

/// Segments that no full socket sends go by the mark of the socket that they are for: what has mark 7 leaves by `sim1`.
@Suite struct ReplyMarkTests {
  private let bench: RouterBench
  private let listener: Socket
  private let from = SocketAddress(IPv4Address(198, 51, 100, 1), port: 4000)
  private let near = SocketAddress(RouterBench.near, port: 80)

  init() throws {
    bench = try RouterBench()
    try bench.change("route add default via 10.1.0.1")
    try bench.change("route add default via 10.2.0.1 table 100")
    try bench.change("rule add fwmark 7 lookup 100")
    listener = try bench.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.setsockopt(level: 1, name: 36, 7)
    try listener.bind(to: near)
    try listener.listen(backlog: 4)
  }

  /// A segment in by `sim0`, and those that leave by `sim1`; none may leave by the other.
  private func answers(
    to flags: UInt8, _ sequence: UInt32, _ acknowledgment: UInt32 = 0, _ payload: [UInt8] = []
  ) throws -> [[UInt8]] {
    let segment = Hand.tcp(
      from, near, flags, sequence: sequence, acknowledgment: acknowledgment, payload)
    try bench.receive(segment, on: "sim0")
    #expect(try bench.packets("sim0").isEmpty)
    return try bench.packets("sim1")
  }

  private func number(_ packet: [UInt8]) -> UInt32 {
    packet[24..<28].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
  }

  @Test("P1 rules: a request's SYN-ACK, its ACKs and its reset have the listener's mark")
  func requests() throws {
    let synAck = try #require(try answers(to: 0x02, 1000).first)
    #expect(synAck[33] == 0x12)
    let next = number(synAck) &+ 1
    // Outside of the window: an ACK.
    #expect(try answers(to: 0x10, 500, next).map { $0[33] } == [0x10])
    // Of what was never sent: a reset.
    #expect(try answers(to: 0x10, 1001, next &+ 9).map { $0[33] } == [0x04])
  }

  @Test(
    "P1 rules: what TIME-WAIT answers has the mark and the type of service of its connection, and is no user's"
  )
  func timeWait() throws {
    try bench.change("rule add priority 1 uidrange 5-5 unreachable")
    let synAck = try #require(try answers(to: 0x02, 1000).first)
    let next = number(synAck) &+ 1
    #expect(try answers(to: 0x10, 1001, next).isEmpty)
    let socket = try listener.accept()
    try socket.setsockopt(level: 0, name: 1, 0x48)
    try socket.setUser(5)
    try bench.change("rule del priority 1 uidrange 5-5 unreachable")
    socket.close()
    let fin = try bench.packets("sim1")
    #expect(fin.map { $0[33] } == [0x11])
    #expect(try answers(to: 0x11, 1001, next &+ 1).map { $0[33] } == [0x10])
    try bench.change("rule add priority 1 uidrange 5-5 unreachable")
    // The FIN again, later than the limit on such answers.
    bench.advance(.seconds(1))
    let again = try answers(to: 0x11, 1001, next &+ 1)
    #expect(again.map { $0[33] } == [0x10])
    #expect(again.map { $0[1] } == [0x48])
  }
}
