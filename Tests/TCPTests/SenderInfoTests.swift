import NetNamespace
import TestSupport
import Testing
import Timers

@testable import Sockets
@testable import SwiftStack
@testable import TCP

/// What a kernel (6.18) shows of sockets that did the same.
@Suite("T13 TCP_INFO", .everyVariation)
struct SenderInfoTests {
  private func bytes(_ socket: Socket) throws -> [UInt8] {
    try socket.getsockopt(level: 6, name: 11, maximum: 400)
  }
  private func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
  }
  private func long(_ bytes: [UInt8], _ at: Int) -> UInt64 {
    UInt64(word(bytes, at)) | UInt64(word(bytes, at + 4)) << 32
  }

  /// Offsets in `struct tcp_info`.
  private enum Field {
    static let rto = 8, sendMSS = 16, unacked = 24, sacked = 28, lastDataSent = 44, lastDataReceived = 52
    static let lastAckReceived = 56, rttVariation = 72, threshold = 76, window = 80, reordering = 88
    static let pacingRate = 104, maximumPacingRate = 112, bytesReceived = 128, minimumRTT = 148
    static let totalTimeouts = 240, totalTimeoutTime = 244
  }

  @Test("T13 TCP_INFO of a closed socket and of a listener")
  func idle() throws {
    let peer = try ScriptedPeer(hostPort: 7001)
    let closed = try bytes(try peer.host.stack.socket(.tcp))
    #expect(closed.count == 280 && closed[0] == 7)
    #expect(word(closed, Field.rto) == 1_000_000 && word(closed, Field.sendMSS) == 536)
    #expect(word(closed, Field.rttVariation) == 250_000 && word(closed, Field.minimumRTT) == .max)
    #expect(word(closed, Field.window) == 10 && word(closed, Field.threshold) == 0x7fff_ffff)
    #expect(long(closed, Field.pacingRate) == .max && long(closed, Field.maximumPacingRate) == .max)
    let listener = try peer.host.stack.socket(.tcp)
    try listener.bind(to: SocketAddress(.any, port: 7001))
    try listener.listen(backlog: 5)
    let listening = try bytes(listener)
    var wanted = [UInt8](repeating: 0, count: 280)
    (wanted[0], wanted[Field.sacked], wanted[Field.window], wanted[Field.reordering]) = (10, 5, 10, 3)
    for at in Field.pacingRate..<Field.pacingRate + 16 { wanted[at] = 255 }
    #expect(listening == wanted)
  }

  @Test("T13 TCP_INFO: when data and ACKs came last, and what came, the FIN counted")
  func times() throws {
    let open = try ScriptedConnection.withSACK()
    open.peer.advance(.milliseconds(100))
    open.send([1, 2, 3])
    open.peer.advance(.milliseconds(50))
    try open.socket.send([1])
    _ = open.peer.all()
    open.peer.advance(.milliseconds(30))
    open.acknowledge(open.acknowledgment &+ 1)
    open.peer.advance(.milliseconds(20))
    let info = try bytes(open.socket)
    #expect(word(info, Field.lastDataReceived) == 100)
    #expect(word(info, Field.lastDataSent) == 50)
    #expect(word(info, Field.lastAckReceived) == 20)
    #expect(long(info, Field.bytesReceived) == 3)
    open.send([4], flags: 0x11)
    #expect(long(try bytes(open.socket), Field.bytesReceived) == 5)
  }

  @Test("T13 tcpi_max_pacing_rate: what SO_MAX_PACING_RATE said")
  func pacing() throws {
    let open = try ScriptedConnection.withSACK(rtt: .milliseconds(10))
    try open.socket.setsockopt(level: 1, name: 47, 1_000_000)
    let info = try bytes(open.socket)
    #expect(long(info, Field.maximumPacingRate) == 1_000_000)
    #expect(long(info, Field.pacingRate) == 1_000_000)
  }

  @Test("T13 tcpi_total_rto, _recoveries, _time: how often and how long the timer had to help")
  func timeouts() throws {
    let open = try ScriptedConnection.withSACK(rtt: .milliseconds(100))
    let base = try open.flight(2)
    // At 300 and 900 ms.
    open.peer.advance(.milliseconds(1000))
    var info = try bytes(open.socket)
    #expect(info[Field.totalTimeouts] == 2 && info[Field.totalTimeouts + 2] == 1)
    #expect(word(info, Field.totalTimeoutTime) == 700)
    open.peer.advance(.milliseconds(100))
    open.acknowledge(base: base, upTo: 2)
    open.peer.advance(.milliseconds(500))
    info = try bytes(open.socket)
    #expect(word(info, Field.totalTimeoutTime) == 800)
    try open.socket.send([UInt8](repeating: 1, count: 1460))
    open.peer.advance(.seconds(3))
    info = try bytes(open.socket)
    #expect(info[Field.totalTimeouts] >= 3 && info[Field.totalTimeouts + 2] == 2)
  }

  @Test("T13 tcpi_total_rto of what was accepted: SYN-ACKs that went again")
  func handshake() throws {
    let peer = try ScriptedPeer(hostPort: 7001)
    let listener = try peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 7001))
    try listener.listen()
    peer.send(0x02, sequence: 1000, options: [2, 4, 5, 0xB4])
    let answer = try #require(peer.next())
    peer.advance(.milliseconds(1500))
    peer.send(0x10, sequence: 1001, acknowledgment: answer.sequence &+ 1)
    let info = try bytes(try listener.accept())
    #expect(info[Field.totalTimeouts] == 1 && info[Field.totalTimeouts + 2] == 1)
    #expect(word(info, Field.totalTimeoutTime) == 1500)
  }
}
