import IceModel
import InetSocket
import SwiftStack
import TestSupport
import Testing

@testable import TCP

@Suite("T9 T10 when a segment goes and how large it is", .everyVariation)
struct SendRuleTests {
  private func data(_ count: Int) -> [UInt8] { [UInt8](repeating: 5, count: count) }
  private func text(_ string: String) -> [UInt8] { Array(string.utf8) }

  @Test("S7 an ACK stamp comes when its byte is acknowledged, not when the packet is that carries it")
  func stampInMiddle() throws {
    let open = try ScriptedConnection.withSACK()
    let flags: TimestampingFlags = [.transmitAcknowledged, .software, .identifiers, .timeOnly]
    try open.socket.setsockopt(level: 6, name: 3, 1)
    try open.socket.setsockopt(level: 1, name: 37, Int32(bitPattern: flags.rawValue))
    let base = open.acknowledgment
    try open.socket.send(data(1000))
    let none: TimestampingFlags = [.software, .identifiers]
    try open.socket.setsockopt(level: 1, name: 37, Int32(bitPattern: none.rawValue))
    try open.socket.send(data(4 * 1460 - 1000))
    #expect(open.sent(from: base) == [0, 1, 2, 3])
    open.acknowledge(base: base, upTo: 1)
    let error = try open.socket.recvmsg(flags: .errorQueue).control.error
    #expect(error?.info == 2 && error?.data == 999)
  }

  @Test("T10 a segment longer than what a device cuts goes as one, not as none")
  func longSegment() throws {
    let open = try ScriptedConnection.withSACK()
    #expect(open.inspect { $0.tsoSegments(mss: 65_483) } == 1)
  }

  @Test("T9 Minshall: a small segment waits for a small one that is out, not for full ones")
  func minshall() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(1460))
    try open.socket.send(text("b"))
    #expect(open.peer.all().map(\.payload.count) == [1460, 1])
    try open.socket.send(text("c"))
    #expect(open.peer.all().isEmpty)
    // The full one acknowledged and the small one not: it still waits.
    open.acknowledge(open.acknowledgment &+ 1460)
    #expect(open.peer.all().isEmpty)
    open.acknowledge(open.acknowledgment &+ 1)
    #expect(open.peer.all().map(\.payload) == [text("c")])
  }

  @Test("T9 PSH at the end of each call and on every packet of several segments; MSG_MORE takes it off again")
  func push() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(14_600))
    // Half of the window at most in one packet, so two packets.
    let flight = open.peer.all()
    #expect(flight.map(\.isPush) == [false, false, false, false, true, false, false, false, false, true])
    open.acknowledge(open.acknowledgment &+ 14_600)
    try open.socket.send(text("a"))
    #expect(open.peer.next()?.isPush == true)
    try open.socket.send(text("b"))
    try open.socket.send(text("c"), flags: .more)
    open.acknowledge(open.acknowledgment &+ 1)
    let joined = try #require(open.peer.next())
    #expect(joined.payload == text("bc") && !joined.isPush)
  }

  @Test("T9 forced push: past half of the largest window seen, MSG_MORE or not")
  func forcedPush() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    var pushed: [Int] = []
    for number in 1...50 {
      try open.socket.send(data(1460), flags: .more)
      for segment in open.peer.all() where segment.isPush { pushed.append(number) }
      open.acknowledge(open.acknowledgment &+ 1460)
    }
    // 32,767 bytes: in the 23rd segment, and again 23 later.
    #expect(pushed == [23, 46])
  }

  @Test("R TCP_NODELAY pushes what TCP_CORK or MSG_MORE holds, each time it is set")
  func noDelayPushes() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.cork, 1) }
    for number in 1...3 {
      try open.socket.send(data(100))
      #expect(open.peer.all().isEmpty)
      try open.socket.set(Option.noDelay, 1)
      #expect(open.peer.all().map(\.payload.count) == [100], "time \(number)")
    }
    try open.socket.set(Option.cork, 0)
    try open.socket.send(data(10), flags: .more)
    #expect(open.peer.all().isEmpty)
    try open.socket.set(Option.noDelay, 1)
    #expect(open.peer.all().map(\.payload.count) == [10])
  }

  @Test("T8 TCP_CORK holds a partial segment, full ones go; taken off, Nagle's rule is left")
  func cork() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.cork, 1) }
    try open.socket.send(data(100))
    #expect(open.peer.all().isEmpty)
    try open.socket.send(data(1460))
    #expect(open.peer.all().map(\.payload.count) == [1460])
    try open.socket.set(Option.cork, 0)
    #expect(open.peer.all().map(\.payload.count) == [100])
    // A small one is out now: the next waits though nothing is corked.
    try open.socket.set(Option.cork, 1)
    try open.socket.send(data(7))
    try open.socket.set(Option.cork, 0)
    #expect(open.peer.all().isEmpty)
    open.acknowledge(open.acknowledgment &+ 1560)
    #expect(open.peer.all().map(\.payload.count) == [7])
  }

  @Test("T8 TCP_CORK: 200 ms at most, as long as nothing is in flight")
  func corkCeiling() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.cork, 1) }
    try open.socket.send(data(100))
    let seen = open.peer.timeline(for: .seconds(2))
    #expect(seen.first?.segment.payload.count == 100)
    #expect(seen.first.map { (195...1000).contains($0.milliseconds) } == true)
  }

  @Test("T9 tcp_autocorking off: nothing waits")
  func autocorkingOff() throws {
    var settings = NetSettings()
    settings.tcpAutocorking = false
    let open = try ScriptedConnection(peer: ScriptedPeer(settings: settings)) { try $0.setNoDelay(true) }
    var faults = FaultInjection()
    faults.isTransmitStalled = true
    open.peer.host.setFaults(faults)
    for letter in ["a", "b", "c"] { try open.socket.send(text(letter)) }
    #expect(open.socket.tcpInfo?.notSentByteCount == 0)
    #expect(open.peer.counter("TcpExtTCPAutoCorking") == 0)
    open.peer.host.setFaults(FaultInjection())
    open.peer.advance(.milliseconds(20))
    #expect(open.peer.all().map(\.payload) == [text("a"), text("b"), text("c")])
  }

  @Test("T10 small-queue limit (TSQ): no more than the limit below, two packets at least; the rest follows")
  func smallQueue() throws {
    var settings = NetSettings()
    settings.tcpAutocorking = false
    settings.tcpLimitOutput = 1
    let open = try ScriptedConnection(peer: ScriptedPeer(settings: settings)) { try $0.setNoDelay(true) }
    var faults = FaultInjection()
    faults.isTransmitStalled = true
    open.peer.host.setFaults(faults)
    for _ in 0..<8 { try open.socket.send(data(1), flags: .endOfRecord) }
    #expect(open.socket.tcpInfo?.unacknowledged == 2)
    #expect(open.socket.tcpInfo?.notSentByteCount == 6)
    open.peer.host.setFaults(FaultInjection())
    open.peer.advance(.milliseconds(20))
    #expect(open.peer.all().map(\.payload.count) == [Int](repeating: 1, count: 8))
  }

  @Test("T10 autosizing: on a long path a packet is a millisecond's worth, two segments at least")
  func autosizing() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), rtt: .milliseconds(100))
    try open.socket.send(data(14_600))
    #expect(open.peer.all().map(\.isPush) == (0..<10).map { $0 % 2 == 1 })
  }

  @Test("R deferral: not when the next ACK is further off than a millisecond or half of the RTT")
  func noDeferralFarAck() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), rtt: .milliseconds(50))
    try open.socket.send(data(9 * 1460))
    #expect(open.peer.all().count == 9)
    open.peer.advance(.microseconds(500))
    try open.socket.send(data(5 * 1460))
    #expect(open.peer.all().map(\.payload.count) == [1460])
  }

  @Test(
    "T10 deferral: an ACK that is near is waited for, so that a larger packet can go; for a millisecond at most"
  )
  func deferral() throws {
    for late in [false, true] {
      let open = try ScriptedConnection(peer: ScriptedPeer())
      try open.socket.send(data(9 * 1460))
      #expect(open.peer.all().count == 9)
      open.peer.advance(late ? .milliseconds(2) : .microseconds(20))
      try open.socket.send(data(5 * 1460))
      #expect(open.peer.all().map(\.payload.count) == (late ? [1460] : []))
      open.acknowledge(open.acknowledgment &+ 4 * 1460)
      #expect(open.peer.all().count == (late ? 4 : 5))
    }
  }

  @Test("RFC 1122 4.2.3.4 silly windows: crumbs of window are not filled while more is in flight")
  func sillyWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 14_600)
    try open.socket.send(data(30_000))
    #expect(open.peer.all().count == 10)
    for _ in 0..<5 {
      // One segment taken, a hundred bytes of window given.
      open.window = open.window &- 1360
      open.acknowledge(open.acknowledgment &+ 1460)
      #expect(open.peer.all().isEmpty)
    }
  }

  @Test("RFC 2861 a window unused for an RTO is halved for each, down to the initial ten")
  func restartAfterIdle() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    for _ in 0..<200 where (open.socket.tcpInfo?.congestionWindow ?? 0) < 45 {
      try open.socket.send(data(14_600))
      _ = open.takeData()
      open.acknowledge()
    }
    let window = try #require(open.socket.tcpInfo).congestionWindow
    let timeout = try #require(open.socket.tcpInfo).retransmissionTimeout
    open.peer.advance(timeout + .milliseconds(10))
    try open.socket.send(data(1))
    #expect(open.socket.tcpInfo?.congestionWindow == max(window / 2, 10))
    open.acknowledge(open.acknowledgment &+ 1)
    _ = open.peer.all()
    open.peer.advance(.seconds(30))
    try open.socket.send(data(1))
    #expect(open.socket.tcpInfo?.congestionWindow == 10)
  }
}
