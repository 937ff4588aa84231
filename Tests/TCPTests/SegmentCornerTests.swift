import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.10.7.4 corners of what a connection takes and answers", .everyVariation)
struct SegmentCornerTests {
  private let sackOptions: [UInt8] = [2, 4, 5, 0xB4, 1, 1, 4, 2]
  private func data(_ count: Int, _ value: UInt8 = 1) -> [UInt8] { [UInt8](repeating: value, count: count) }

  /// Segments before a FIN's number and behind it, held and in order, as offsets: `fin` is the one with the FIN.
  struct BeyondFin: CustomTestStringConvertible {
    var early: [(Range<UInt32>, Bool)]
    var last: (Range<UInt32>, Bool)
    var testDescription: String { "\(early) \(last)" }
  }

  @Test(
    "RFC 9293 3.10.7.4 nothing lies behind a FIN: what a peer sent for numbers there is no part of the stream",
    arguments: [
      // The FIN is held, and longer data beside it.
      BeyondFin(early: [(100..<200, true), (150..<400, false)], last: (0..<100, false)),
      BeyondFin(early: [(150..<400, false), (100..<200, true)], last: (0..<100, false)),
      BeyondFin(early: [(100..<200, true), (201..<400, false)], last: (0..<100, false)),
      BeyondFin(early: [(100..<200, true), (200..<400, false)], last: (0..<100, false)),
      // The FIN fills the gap.
      BeyondFin(early: [(250..<400, false)], last: (0..<200, true)),
      BeyondFin(early: [(201..<400, false)], last: (0..<200, true)),
      BeyondFin(early: [(300..<400, true)], last: (0..<200, true)),
      BeyondFin(early: [(150..<400, false)], last: (0..<200, true)),
    ])
  func beyondFin(_ order: BeyondFin) throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions)
    func send(_ part: (Range<UInt32>, Bool)) {
      open.peer.send(
        part.1 ? 0x19 : 0x18, sequence: open.sequence &+ part.0.lowerBound,
        acknowledgment: open.acknowledgment, payload: data(part.0.count))
    }
    for part in order.early { send(part) }
    send(order.last)
    open.peer.advance(.milliseconds(50))
    let answer = try #require(open.peer.all().last)
    #expect(answer.acknowledgment == open.sequence &+ 201)
    #expect(answer.sackBlocks.isEmpty)
    var count = 0
    while let bytes = try? open.socket.receive(upTo: 70), !bytes.isEmpty { count += bytes.count }
    #expect(count == 200)
    #expect(try #require(open.socket.tcpInfo).state.name == "CLOSE-WAIT")
  }

  @Test("RFC 9293 3.10.7.4 an early FIN after close is reset: what it follows will not be read either")
  func earlyFinAfterClose() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.socket.close()
    let fin = try #require(open.peer.next())
    open.acknowledge(fin.sequence &+ 1)
    open.peer.send(0x11, sequence: open.sequence &+ 100, acknowledgment: open.acknowledgment)
    #expect(open.peer.all().map(\.flags) == [0x04])
    #expect(open.peer.host.counter("TcpExtTCPAbortOnData") == 1)
  }

  @Test(
    "RFC 9293 3.10.7.4 a segment with data or a FIN that fails PAWS is answered each time, a SYN at the limit"
  )
  func answersToOldSegments() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), timestamps: true)
    open.timestamp &+= 10
    open.send([1])
    _ = open.peer.all()
    open.timestamp &-= 5
    func answers(_ flags: UInt8, _ payload: [UInt8] = []) -> Int {
      for _ in 0..<4 {
        open.peer.send(
          flags, sequence: open.sequence, acknowledgment: open.acknowledgment, options: open.standing,
          payload: payload)
      }
      return open.peer.all().count
    }
    #expect(answers(0x11) == 4)
    #expect(answers(0x18, [1]) == 4)
    #expect(answers(0x12) == 1)
    #expect(answers(0x10) == 0)
  }

  @Test(
    "RFC 9293 3.10.7.4 TIME-WAIT acknowledges each FIN that comes again, and a SYN twice a second at most")
  func finInTimeWait() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.socket.close()
    let fin = try #require(open.peer.next())
    open.acknowledge(fin.sequence &+ 1)
    open.send([], flags: 0x11)
    _ = open.peer.all()
    for _ in 0..<3 {
      open.peer.send(0x11, sequence: open.sequence &- 1, acknowledgment: open.acknowledgment)
      #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    }
    for _ in 0..<3 { open.peer.send(0x02, sequence: open.sequence &- 100) }
    #expect(open.peer.all().count == 1)
  }

  @Test("RFC 9293 3.10.7.4 a half-open request answers each segment with data out of its window")
  func dataOutOfRequest() throws {
    let listening = try ListeningPeer()
    let answer = try listening.open()
    for _ in 0..<3 {
      listening.peer.send(
        0x18, sequence: listening.sequence &+ 0x7000_0000, acknowledgment: answer.sequence &+ 1, payload: [1])
    }
    #expect(listening.peer.all().map(\.acknowledgment) == [UInt32](repeating: listening.sequence, count: 3))
  }

  @Test("RFC 7323 1.3 with tcp_window_scaling off a SYN-ACK has no scale, whatever the SYN had")
  func scalingOff() throws {
    var settings = NetSettings()
    settings.tcpWindowScaling = false
    let listening = try ListeningPeer(settings: settings)
    let answer = try listening.open(options: [2, 4, 5, 0xB4, 3, 3, 7, 1])
    #expect(answer.option(3) == nil)
    listening.peer.send(
      0x10, sequence: listening.sequence, acknowledgment: answer.sequence &+ 1, window: 500)
    let info = try #require(try listening.server.accept().tcpInfo)
    #expect(info.sendWindow == 500)
    #expect(info.sendWindowScale == 0 && info.receiveWindowScale == 0)
  }

  @Test(
    "RFC 9293 3.5 a simultaneous open ends with the SYN-ACK of the peer's own SYN only; its SYN again is answered"
  )
  func foreignSynAck() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    let own = Variation.current.peerSequence
    peer.send(0x02, sequence: own)
    #expect(peer.all().map(\.flags) == [0x12])
    for other in [own &+ 0x5000_0000, own &- 1, own &+ 1] {
      peer.send(0x12, sequence: other, acknowledgment: syn.sequence &+ 1)
      #expect(!socket.readiness.contains(.writable))
    }
    _ = peer.all()
    peer.advance(.milliseconds(501))
    peer.send(0x02, sequence: own)
    #expect(peer.all().map(\.acknowledgment) == [own &+ 1])
    // One that acknowledges what was never sent is a SYN like any other (RFC 5961 4.2).
    peer.advance(.milliseconds(501))
    _ = peer.all()
    peer.send(0x12, sequence: own, acknowledgment: syn.sequence &+ 2)
    #expect(peer.all().map(\.flags) == [0x10])
    peer.send(0x12, sequence: own, acknowledgment: syn.sequence &+ 1)
    #expect(socket.readiness.contains(.writable))
  }

  @Test(
    "RFC 2525 2.17 closing with unread data resets in CLOSING and LAST-ACK too", arguments: [true, false])
  func unreadAfterShutdown(_ isLastAck: Bool) throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    if !isLastAck { try open.socket.shutdown(write: true) }
    open.send(data(10), flags: 0x19)
    if isLastAck { try open.socket.shutdown(write: true) }
    _ = open.peer.all()
    #expect(try #require(open.socket.tcpInfo).state.name == (isLastAck ? "LAST-ACK" : "CLOSING"))
    open.socket.close()
    #expect(open.peer.all().map(\.isRst) == [true])
    #expect(open.peer.host.counter("TcpExtTCPAbortOnClose") == 1)
  }

  @Test("RFC 9293 3.10.5 SO_LINGER 0 resets no connection that both ends have closed")
  func lingerInLastAck() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    open.send([], flags: 0x11)
    try open.socket.shutdown(write: true)
    let fin = try #require(open.peer.all().last)
    #expect(fin.isFin)
    try open.socket.setLinger(.zero)
    open.socket.close()
    #expect(open.peer.all().isEmpty)
    open.acknowledge(fin.sequence &+ 1)
    #expect(open.peer.all().isEmpty)
  }

  @Test("TCP_LINGER2 below zero: the ACK of an orphan's FIN is answered with a reset, counted")
  func noFinWait2() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.linger2, -1) }
    open.socket.close()
    let fin = try #require(open.peer.next())
    open.acknowledge(fin.sequence &+ 1)
    #expect(open.peer.all().map(\.flags) == [0x04])
    #expect(open.peer.host.counter("TcpExtTCPAbortOnData") == 1)
  }

  @Test("RFC 9293 3.8.6 ACK and reset lie inside a window that the peer has taken back over what was sent")
  func shrunkWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(14600))
    _ = open.peer.all()
    open.window = 1000
    open.send(data(100))
    open.peer.advance(.milliseconds(50))
    let answer = try #require(open.peer.all().last { $0.payload.isEmpty })
    #expect(answer.acknowledgment == open.sequence)
    #expect(answer.sequence == open.acknowledgment &+ 1000)
    open.socket.close()
    let reset = try #require(open.peer.all().last)
    #expect(reset.isRst && reset.sequence == open.acknowledgment &+ 1000)
  }

  @Test(
    "RFC 9293 3.10.7.4 behind the peer's FIN: silence; what comes again is acknowledged; across it: a reset")
  func behindFin() throws {
    for isLastAck in [false, true] {
      let open = try ScriptedConnection(peer: ScriptedPeer(), options: sackOptions)
      open.send(data(10), flags: 0x19)
      if isLastAck { try open.socket.shutdown(write: true) }
      _ = open.peer.all()
      open.peer.send(0x18, sequence: open.sequence, acknowledgment: open.acknowledgment, payload: data(5))
      #expect(open.peer.all().isEmpty)
      for _ in 0..<3 {
        let first = open.sequence &- 11
        open.peer.send(0x19, sequence: first, acknowledgment: open.acknowledgment, payload: data(10))
        let answer = try #require(open.peer.next())
        #expect(answer.acknowledgment == open.sequence)
        #expect(answer.sackBlocks.map { [$0.0, $0.1] } == [[first, open.sequence]])
      }
      open.peer.send(
        0x18, sequence: open.sequence &- 11, acknowledgment: open.acknowledgment, payload: data(30))
      #expect(open.peer.all().map(\.isRst) == [true])
      #expect(open.socket.takeError() == (isLastAck ? .ECONNRESET : .EPIPE))
    }
  }

  @Test("RFC 9293 3.10.7.4 a SYN with FIN opens nothing in TIME-WAIT either, and does not end it")
  func synFinInTimeWait() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) {
      try $0.setReuseAddress(true)
      try $0.bind(to: SocketAddress(.any, port: 5000))
    }
    open.socket.close()
    open.acknowledge(open.acknowledgment &+ 1)
    open.send([], flags: 0x11)
    let server = try open.peer.host.stack.socket(.tcp)
    server.isNonBlocking = true
    try server.setReuseAddress(true)
    try server.bind(to: SocketAddress(.any, port: 5000))
    try server.listen()
    _ = open.peer.all()
    open.peer.send(0x03, sequence: open.sequence &+ 1000)
    #expect(open.peer.all().allSatisfy { $0.flags == 0x10 })
    #expect(open.peer.host.timeWaitCount == 1)
    open.peer.send(0x02, sequence: open.sequence &+ 1000)
    #expect(open.peer.all().map(\.flags) == [0x12])
    withExtendedLifetime(server) {}
  }

  @Test(
    "RFC 9293 3.10.7.4 a segment with neither ACK nor SYN nor RST is dropped without an answer, wherever it lies",
    arguments: [-100_000, -1, 0, 300, 200_000])
  func nothingSet(distance: Int) throws {
    for (flags, payload) in [(UInt8(0), [UInt8]()), (0, [1, 2, 3]), (0x01, []), (0x08, [1])] {
      let open = try ScriptedConnection(peer: ScriptedPeer())
      open.peer.send(
        flags, sequence: open.sequence &+ UInt32(truncatingIfNeeded: distance), payload: payload)
      open.peer.advance(.milliseconds(300))
      #expect(open.peer.all().isEmpty)
      #expect(open.socket.readiness == .writable)
    }
  }
}
