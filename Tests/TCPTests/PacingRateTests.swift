import SwiftStack
import TestSupport
import Testing

/// What a kernel (6.18) shows of sockets that did the same.
@Suite("T13 the pacing rate and what it is reckoned with", .everyVariation)
struct PacingRateTests {
  /// A path of 100 ms: ten segments of 1448 bytes, twice in each round trip.
  private func opened(timestamps: Bool = true) throws -> ScriptedConnection {
    try ScriptedConnection(
      peer: ScriptedPeer(), options: [2, 4, 5, 0xB4], timestamps: timestamps, rtt: .milliseconds(100))
  }

  private func limit(_ rate: Int32, on socket: Socket) throws {
    try socket.setsockopt(level: 1, name: 47, rate)
  }

  /// One segment that is acknowledged 100 ms later.
  private func roundTrip(_ open: ScriptedConnection) throws {
    try open.socket.send([1])
    _ = open.takeData()
    open.peer.advance(.milliseconds(100))
    open.acknowledge()
  }

  @Test("T13 the cached MSS leaves out the option of time stamps, and both rates are of such segments")
  func segmentSize() throws {
    let open = try opened()
    #expect(open.info.sendMSS == 1448)
    #expect(open.info.pacingBytesPerSecond == 10 * 1448 * 2 * 10)
    try open.socket.send([UInt8](repeating: 1, count: 2 * 1448))
    #expect(open.peer.all().map(\.payload.count).reduce(0, +) == 2 * 1448)
    open.peer.advance(.milliseconds(100))
    open.acknowledge(open.acknowledgment &+ 2 * 1448)
    #expect(open.info.deliveryBytesPerSecond == 2 * 1448 * 10)
    #expect(open.info.pacingBytesPerSecond == 10 * 1448 * 2 * 10)
    #expect(try opened(timestamps: false).info.pacingBytesPerSecond == 10 * 1460 * 2 * 10)
  }

  @Test("T13 no limit before the first ACK, and none by the window behind half the slow start threshold")
  func first() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    #expect(try #require(socket.tcpInfo).pacingBytesPerSecond == .max)
    peer.advance(.milliseconds(100))
    peer.send(0x12, sequence: 5, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
    #expect(try #require(socket.tcpInfo).pacingBytesPerSecond == 10 * 1460 * 2 * 10)
  }

  @Test("T13 what was accepted has the rate of its handshake, not above the listener's limit")
  func accepted() throws {
    let listening = try ListeningPeer()
    func accept(limitedTo rate: Int32?) throws -> Socket {
      if let rate { try limit(rate, on: listening.server) }
      // What the one before says when it ends.
      _ = listening.peer.all()
      listening.peer.port += 1
      let answer = try listening.peer.open(options: [2, 4, 5, 0xB4])
      listening.peer.advance(.milliseconds(100))
      listening.peer.complete(answer)
      return try listening.server.accept()
    }
    #expect(try #require(accept(limitedTo: nil).tcpInfo).pacingBytesPerSecond == 10 * 1460 * 2 * 10)
    #expect(try #require(accept(limitedTo: 7000).tcpInfo).pacingBytesPerSecond == 7000)
  }

  @Test("T13 SO_MAX_PACING_RATE: a lower one holds at once, a higher one from the next ACK on")
  func limits() throws {
    let open = try opened()
    try limit(100_000, on: open.socket)
    #expect(open.info.pacingBytesPerSecond == 100_000)
    try limit(200_000, on: open.socket)
    #expect(open.info.pacingBytesPerSecond == 100_000)
    #expect(open.info.maximumPacingBytesPerSecond == 200_000)
    try roundTrip(open)
    #expect(open.info.pacingBytesPerSecond == 200_000)
    try limit(-1, on: open.socket)
    #expect(open.info.pacingBytesPerSecond == 200_000)
    #expect(open.info.maximumPacingBytesPerSecond == .max)
    try roundTrip(open)
    #expect(open.info.pacingBytesPerSecond == 10 * 1448 * 2 * 10)
  }

  @Test("T13 SO_MAX_PACING_RATE of a socket without a connection, and after one has ended")
  func unconnected() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    func rate() throws -> UInt64 { try #require(socket.tcpInfo).pacingBytesPerSecond }
    #expect(try rate() == .max)
    try limit(5000, on: socket)
    try limit(9000, on: socket)
    #expect(try rate() == 5000)
    socket.isNonBlocking = true
    try? socket.connect(to: ScriptedPeer.address)
    #expect(try rate() == 5000)
    let syn = try #require(peer.next())
    peer.hostPort = syn.sourcePort
    peer.send(0x12, sequence: 5, acknowledgment: syn.sequence &+ 1, options: [2, 4, 5, 0xB4])
    #expect(try rate() == 9000)
    try limit(7000, on: socket)
    try socket.disconnect()
    #expect(try rate() == 7000)
  }

  @Test("T13 what was paced once stays paced, without a limit at the congestion control's rate")
  func staysPaced() throws {
    for isLimited in [true, false] {
      let open = try opened()
      if isLimited { try limit(100_000, on: open.socket) }
      try limit(-1, on: open.socket)
      for _ in 0..<10 { try roundTrip(open) }
      // 14,480 bytes at 289,600 a second, in packets of two segments: 10 ms for each.
      try open.socket.send([UInt8](repeating: 1, count: 4 * 1448))
      #expect(open.takeData().count == (isLimited ? 2 : 4) * 1448)
      open.peer.advance(.milliseconds(11))
      #expect(open.takeData().count == (isLimited ? 2 : 0) * 1448)
    }
  }
}
