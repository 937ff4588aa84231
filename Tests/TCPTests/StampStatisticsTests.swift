import InetSocket
import SwiftStack
import TestSupport
import Testing

/// Attributes and their order as Linux 6.18 has them, with TCP_NLA_TTL for an ACK only.
@Suite("S7 SOF_TIMESTAMPING_OPT_STATS", .everyVariation)
struct StampStatisticsTests {
  private static let order: [UInt16] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17, 13, 14, 18, 19, 20, 21, 22, 23, 24, 25, 27,
  ]
  private static let (busy, segments, pacing, window, minimumRTT): (UInt16, UInt16, UInt16, UInt16, UInt16) =
    (1, 4, 6, 8, 10)
  private static let (queued, threshold, delivered, bytesSent): (UInt16, UInt16, UInt16, UInt16) =
    (13, 15, 16, 18)
  private static let (notSent, departure, timeToLive): (UInt16, UInt16, UInt16) = (24, 25, 26)

  private func opened(_ flags: Int32) throws -> ScriptedConnection {
    let open = try ScriptedConnection(
      peer: ScriptedPeer(), options: [2, 4, 5, 0xB4], rtt: .milliseconds(100))
    try open.socket.setsockopt(level: 1, name: 37, flags)
    return open
  }

  /// Name, byte count, value.
  private func attributes(_ bytes: [UInt8]) -> [(name: UInt16, byteCount: Int, value: UInt64)] {
    var all: [(UInt16, Int, UInt64)] = []
    var at = 0
    while at + 4 <= bytes.count {
      let count = Int(bytes[at]) - 4
      let value = (0..<count).reduce(UInt64(0)) { $0 | UInt64(bytes[at + 4 + $1]) << UInt64(8 * $1) }
      all.append((UInt16(bytes[at + 2]), count, value))
      at += (4 + count + 3) & ~3
    }
    return all
  }
  private func values(_ bytes: [UInt8]) -> [UInt16: UInt64] {
    Dictionary(uniqueKeysWithValues: attributes(bytes).map { ($0.name, $0.value) })
  }

  // OPT_STATS 4096, OPT_TSONLY 2048, TX_ACK 512, TX_SCHED 256, OPT_ID 128, SOFTWARE 16, TX_SOFTWARE 2.

  @Test("S7 OPT_STATS: each stamp says how the connection was when the packet came by")
  func stream() throws {
    let open = try opened(4096 | 2048 | 512 | 256 | 128 | 16 | 2)
    let sentAt = open.peer.host.now
    try open.socket.send([UInt8](repeating: 1, count: 100))
    _ = open.peer.all()
    open.peer.advance(.milliseconds(50))
    open.acknowledge(open.acknowledgment &+ 100)
    var told: [(event: UInt32, values: [UInt16: UInt64])] = []
    while let message = try? open.socket.recvmsg(flags: .errorQueue), let error = message.control.error {
      let bytes = try #require(message.control.stampStatistics)
      #expect(message.bytes == bytes && error.data == 99)
      let isAck = error.info == 2
      let order = isAck ? Self.order[..<25] + [Self.timeToLive] + Self.order[25...] : Self.order[...]
      #expect(attributes(bytes).map(\.name) == Array(order))
      #expect(bytes.count == (isAck ? 256 : 248))
      told.append((error.info, values(bytes)))
    }
    #expect(told.map(\.event) == [1, 0, 2])
    for (event, values) in told {
      let isAck = event == 2
      // With their type: without, Swift 6.3 compares as AnyHashable, and reads a byte behind an optional (AddressSanitizer).
      let expected: [(name: UInt16, value: UInt64?)] = [
        (Self.segments, 1), (Self.bytesSent, 100), (Self.window, 10), (Self.threshold, 0x7fff_ffff),
        (Self.departure, sentAt.nanoseconds),
        // Until it has left it counts as waiting.
        (Self.notSent, isAck ? 0 : 100), (Self.queued, isAck ? 0 : 100), (Self.delivered, isAck ? 2 : 1),
        (Self.timeToLive, isAck ? 64 : nil), (Self.pacing, 10 * 1460 * 2 * 10),
        (Self.busy, isAck ? 50_000 : 0),
      ]
      for (name, value) in expected { #expect(values[name] == value, "attribute \(name)") }
    }
    #expect(told.first?.values[Self.minimumRTT] == 100_000)
  }

  @Test("S7 SCM_TIMESTAMPING_OPT_STATS stands behind the time, and not without one; a datagram has none")
  func control() throws {
    let open = try opened(4096 | 2048 | 512 | 16)
    try open.socket.send([1])
    open.acknowledge(open.acknowledgment &+ 1)
    let bytes = try open.socket.recvmsg(flags: .errorQueue).controlMessages().bytes
    // struct cmsghdr: 16 bytes and 48 of times, then the statistics, then struct sock_extended_err.
    #expect(bytes[12] == 37 && bytes[64] == 16 + 0 && bytes[65] == 1 && bytes[72] == 1 && bytes[76] == 54)
    #expect(bytes[64 + 272 + 12] == 11)
    try open.socket.setsockopt(level: 1, name: 37, 4096 | 2048 | 512)
    try open.socket.send([1])
    open.acknowledge(open.acknowledgment &+ 1)
    let message = try open.socket.recvmsg(flags: .errorQueue)
    #expect(message.bytes.count == 256 && message.control.stampStatistics == nil)
    let datagram = try open.peer.host.stack.socket(.udp)
    datagram.isNonBlocking = true
    try datagram.setsockopt(level: 1, name: 37, 4096 | 2048 | 16 | 2)
    try datagram.send([1], to: ScriptedPeer.address)
    let stamp = try datagram.recvmsg(flags: .errorQueue)
    #expect(stamp.bytes.isEmpty && stamp.control.stampStatistics == nil)
    #expect(stamp.control.times?.software != nil)
  }
}
