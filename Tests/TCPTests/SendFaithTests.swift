import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

/// What Linux 6.18 was seen to do with the same segments.
@Suite("Sending as the kernel does", .everyVariation)
struct SendFaithTests {
  private typealias Connection = ScriptedConnection

  private func data(_ count: Int) -> [UInt8] { [UInt8](repeating: 5, count: count) }

  /// Segments of 1,000 bytes, with SACK unless told otherwise.
  private func connect(
    window: UInt16 = 65535, sack: Bool = true, rtt: Nanoseconds = .milliseconds(10),
    configure: (Socket) throws -> Void = { _ in }
  ) throws -> Connection {
    try Connection(
      peer: ScriptedPeer(), window: window, options: [2, 4, 3, 0xE8] + (sack ? [4, 2, 1, 1] : []), rtt: rtt,
      configure: configure)
  }

  // MARK: TCP_NOTSENT_LOWAT

  @Test(
    "R TCP_NOTSENT_LOWAT: a large write takes what Linux takes",
    arguments: [(32767, 26_000), (65535, 42_000)])
  func notSentWrite(window: Int, taken: Int) throws {
    let open = try connect(window: UInt16(window))
    try open.socket.set(Option.notSentLowWater, 4000)
    #expect(try open.socket.send(data(59_000)) == taken)
    #expect(open.peer.all().map(\.payload.count) == Array(repeating: 1000, count: 10))
    #expect(throws: SocketError.self) { try open.socket.send(data(1000)) }
  }

  @Test("T3 TCP_NOTSENT_LOWAT: writable below half of it, and a write goes on up to it")
  func notSentPoll() throws {
    let open = try connect { try $0.set(Option.noDelay, 1) }
    try open.socket.set(Option.notSentLowWater, 4000)
    try open.socket.send(data(10_000))
    for (count, isWritable) in [(1999, true), (1, false), (1999, false)] {
      #expect(try open.socket.send(data(count)) == count)
      #expect(open.socket.readiness.contains(.writable) == isWritable)
    }
    #expect(open.info.notSentByteCount == 3999)
  }

  @Test("T3 TCP_NOTSENT_LOWAT: the ACK that lets the rest go wakes the writer, not the one after it")
  func notSentWake() throws {
    let open = try connect { try $0.set(Option.noDelay, 1) }
    try open.socket.set(Option.notSentLowWater, 4000)
    try open.socket.send(data(13_999))
    open.inspect { $0.sender.noSpace = true }
    _ = open.takeData()
    open.acknowledge()
    #expect(open.info.notSentByteCount == 0)
    #expect(open.inspect { !$0.sender.noSpace })
  }

  // MARK: A window that is not used

  @Test(
    "RFC 5681 4.1 after a pause longer than an RTO the first burst is the restart window, not the old one")
  func firstBurst() throws {
    let open = try connect()
    open.inspect {
      $0.sender.window.segments = 100
      $0.sender.window.threshold = 200
    }
    try open.socket.send(data(1000))
    _ = open.takeData()
    open.acknowledge()
    open.peer.advance(.seconds(10))
    try open.socket.send(data(60_000))
    #expect(open.peer.all().count == 10)
    #expect(open.info.congestionWindow == 10)
    #expect(open.info.slowStartThreshold == 200)
  }

  @Test("RFC 2861 each RTO of a pause halves the window once, however often the sender tries before it may")
  func oncePerPause() throws {
    let open = try connect()
    open.inspect { $0.sender.window.segments = 160 }
    try open.socket.send(data(1000))
    _ = open.takeData()
    open.window = 0
    open.acknowledge()
    open.peer.advance(.milliseconds(330))
    for _ in 0..<5 { try open.socket.send(data(10), flags: .endOfRecord) }
    #expect(open.info.congestionWindow == 80)
  }

  @Test("RFC 7661 a window of which the application uses a part neither grows nor shrinks while ACKs come")
  func applicationLimited() throws {
    let open = try connect()
    open.inspect {
      $0.sender.window.segments = 100
      $0.sender.window.threshold = 50
    }
    for _ in 0..<50 {
      try open.socket.send(data(1000))
      open.peer.advance(.milliseconds(10))
      _ = open.takeData()
      open.acknowledge()
      open.peer.advance(.milliseconds(90))
    }
    #expect(open.info.congestionWindow == 100)
    #expect(open.info.slowStartThreshold == 50)
  }

  @Test("RFC 9438 5.8 time with nothing in flight does not count for CUBIC, shorter than an RTO or not")
  func cubicPause() throws {
    let open = try Connection(
      peer: ScriptedPeer(), window: 16384, options: [2, 4, 5, 0xB4, 1, 1, 4, 2, 1, 3, 3, 6],
      rtt: .milliseconds(100)
    ) { try $0.set(Option.sendBuffer, 1 << 20) }
    open.acknowledge()
    open.inspect {
      $0.sender.window.threshold = $0.sender.congestion.lost(window: 100)
      $0.sender.window.segments = 70
    }
    for _ in 0..<10 {
      let count = open.info.congestionWindow
      let base = try open.flight(count)
      open.peer.advance(.milliseconds(100))
      open.acknowledge(base: base, upTo: count)
      open.peer.advance(.milliseconds(180))
    }
    // The time since the last segment went counts as a pause, as Linux has it: what is left is Reno's half a segment for
    // each round trip. By the clock on the wall 2.8 s would have passed, and CUBIC would be at 99.
    #expect((73...80).contains(open.info.congestionWindow))
  }

  // MARK: What the peer says

  @Test("RFC 2018 a block that begins at SND.UNA, which would have been acknowledged, is not believed")
  func sackAtUna() throws {
    let open = try Connection.withSACK()
    let base = try open.flight(8)
    open.acknowledge(base: base, upTo: 0, sack: [0..<4])
    #expect(open.info.sacked == 0)
    #expect(open.counter(.TcpExtTCPSACKDiscard) == 1)
    open.acknowledge(base: base, upTo: 2, sack: [3..<4])
    #expect(open.info.sacked == 1)
    // Behind what is acknowledged by now: late, and no lie.
    open.acknowledge(base: base, upTo: 1, sack: [1..<2])
    #expect(open.counter(.TcpExtTCPSACKDiscard) == 1)
  }

  @Test("RFC 5681 2 a closed window told again is no duplicate ACK")
  func closedWindow() throws {
    let open = try connect(sack: false)
    try open.socket.send(data(6000))
    _ = open.peer.all()
    open.window = 0
    for _ in 0..<6 { open.acknowledge() }
    #expect(open.info.sacked == 0)
    #expect(open.info.congestionState == .open)
    #expect(open.peer.all().isEmpty)
  }

  @Test("T10 a window of two and a half segments is filled to its last byte, if no small segment is out")
  func edge() throws {
    let open = try connect(window: 20_000)
    try open.socket.send(data(2000))
    _ = open.takeData()
    open.window = 2500
    open.acknowledge()
    try open.socket.send(data(10_000))
    #expect(open.peer.all().map(\.payload.count) == [1000, 1000, 500])
    // The 500 are out: Nagle keeps the next small one back.
    open.acknowledge(open.acknowledgment &+ 2000)
    #expect(open.peer.all().map(\.payload.count) == [1000, 1000])
  }

  @Test("T10 a window that ends inside a segment is not filled to its last byte while a small segment is out")
  func edgeBehindSmall() throws {
    let open = try connect(window: 20_000)
    try open.socket.send(data(2000))
    _ = open.takeData()
    open.window = 2500
    open.acknowledge()
    try open.socket.send(data(10_000))
    #expect(open.peer.all().map(\.payload.count) == [1000, 1000, 500])
    // Room for 2,200 behind the 500.
    open.window = 2700
    open.acknowledge(open.acknowledgment &+ 2000)
    #expect(open.peer.all().map(\.payload.count) == [1000, 1000])
  }

  // MARK: Sent again

  @Test("RFC 9293 3.8.1 small segments that were lost together go again as one, up to an MSS and to MSG_EOR")
  func collapse() throws {
    let open = try connect(sack: false) { try $0.set(Option.noDelay, 1) }
    for letter in ["a", "b", "c"] { try open.socket.send([UInt8](repeating: letter.utf8.first!, count: 100)) }
    try open.socket.send(data(100), flags: .endOfRecord)
    try open.socket.send(data(100))
    let first = try #require(open.peer.all().first)
    open.peer.advance(.milliseconds(250))
    let again = open.peer.all()
    #expect(again.map(\.payload.count) == [400])
    #expect(again.first?.sequence == first.sequence)
    #expect(
      again.first?.payload.prefix(300)
        == [UInt8](
          [UInt8](repeating: 0x61, count: 100) + [UInt8](repeating: 0x62, count: 100)
            + [UInt8](repeating: 0x63, count: 100))[...])
    #expect(open.info.unacknowledged == 2)
    #expect(open.info.lost == 2)
    #expect(open.info.retransmitted == 1)
    open.acknowledge(first.sequence &+ 400)
    #expect(open.peer.all().map(\.payload.count) == [100])
    open.acknowledge(first.sequence &+ 500)
    #expect(open.info.writeQueuedMemory == 0)
    #expect(open.info.unacknowledged == 0)
  }

  @Test("RFC 9293 3.8.1 a FIN that was lost with the last bytes goes again with them")
  func collapseFin() throws {
    let open = try connect(sack: false)
    try open.socket.send(data(100))
    try open.socket.shutdown(write: true)
    let first = try #require(open.peer.all().first)
    open.peer.advance(.milliseconds(250))
    let again = open.peer.all()
    #expect(again.count == 1)
    #expect(again.first?.payload.count == 100)
    #expect(again.first?.isFin == true)
    open.acknowledge(first.sequence &+ 101)
    #expect(open.info.state == .finWait2)
  }

  @Test("RFC 9293 3.8.1 not merged: what the peer has by SACK, and what the window does not take")
  func notCollapsed() throws {
    let open = try connect { try $0.set(Option.noDelay, 1) }
    for _ in 0..<3 { try open.socket.send(data(100)) }
    let base = open.acknowledgment
    _ = open.peer.all()
    open.acknowledge(sack: [(base &+ 200, base &+ 300)])
    open.peer.advance(.milliseconds(250))
    // By RACK and by the timer.
    #expect(open.peer.all().map(\.payload.count) == [200, 200])
    let other = try connect { try $0.set(Option.noDelay, 1) }
    for _ in 0..<3 { try other.socket.send(data(100)) }
    other.window = 250
    other.acknowledge()
    _ = other.peer.all()
    other.peer.advance(.milliseconds(250))
    #expect(other.peer.all().map(\.payload.count) == [200])
  }

  // MARK: What it tells

  @Test("T13 an accepted connection: the SYN-ACK is delivered, the SYN a segment that came")
  func accepted() throws {
    let peer = try ScriptedPeer(hostPort: 80)
    let listener = try peer.host.stack.socket(.tcp)
    listener.isNonBlocking = true
    try listener.bind(to: SocketAddress(.any, port: 80))
    try listener.listen()
    let start = Variation.current.peerSequence
    peer.send(0x02, sequence: start, options: [2, 4, 5, 0xB4])
    let reply = try #require(peer.next())
    peer.send(0x10, sequence: start &+ 1, acknowledgment: reply.sequence &+ 1)
    let info = try #require(try listener.accept().tcpInfo)
    #expect(info.delivered == 1)
    #expect(info.segmentsIn == 2)
    #expect(info.bytesAcknowledged == 0)
    let open = try connect()
    #expect(open.info.delivered == 1)
    #expect(open.info.segmentsIn == 1)
    #expect(open.info.bytesAcknowledged == 1)
  }

  @Test("R TCP_MAXSEG: counts in the handshake, and changes nothing on an open connection")
  func maximumSegment() throws {
    let open = try connect()
    try open.socket.set((6, 2), 500)
    open.inspect { $0.sender.syncMSS(mtu: 1500) }
    try open.socket.send(data(2000))
    #expect(open.peer.all().map(\.payload.count) == [1000, 1000])
    let limited = try connect { try $0.set((6, 2), 500) }
    try limited.socket.send(data(2000))
    #expect(limited.peer.all().map(\.payload.count) == [500, 500, 500, 500])
  }
}
