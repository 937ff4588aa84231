import IceModel
import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

@Suite("T1 T8 T9 T12 T13 rows of the sender", .everyVariation)
struct SendRowsTests {
  private typealias Connection = ScriptedConnection

  private func data(_ count: Int) -> [UInt8] { [UInt8](repeating: 5, count: count) }

  /// Holds every frame in the NIC, or lets them go.
  private func stall(_ host: SimulatedStack, _ isStalled: Bool) {
    var faults = FaultInjection()
    faults.isTransmitStalled = isStalled
    host.setFaults(faults)
  }

  // MARK: T1

  @Test("T1 one call of the TCP floor makes 16 new segments, then it is the turn of what came in")
  func turn() throws {
    let open = try Connection.withSACK()
    try open.socket.set(Option.sendBuffer, 4 << 20)
    let id = open.socket.id
    let all = data(2 << 20)
    let taken = open.peer.host.stack.shards[0].inspect { state in
      (try? state.send(id, all[...], flags: .dontWait)) ?? 0
    }
    // 64,240 bytes each, and what went out of the first made room for as much again.
    #expect(taken > 15 * 64_240 && taken <= 17 * 64_240)
    // The caller's own call goes on.
    let other = try Connection.withSACK()
    try other.socket.set(Option.sendBuffer, 4 << 20)
    #expect(try other.socket.send(all) > 16 * 64_240)
  }

  // MARK: T9

  @Test(
    "T9 tcp_autocorking: a small segment waits for what is still in the ring, and goes with what came meanwhile"
  )
  func autocorking() throws {
    let open = try Connection(peer: ScriptedPeer()) { try $0.setNoDelay(true) }
    stall(open.peer.host, true)
    for count in [100, 1, 2] { try open.socket.send(data(count)) }
    #expect(open.info.notSentByteCount == 3)
    #expect(open.counter(.TcpExtTCPAutoCorking) == 1)
    stall(open.peer.host, false)
    open.peer.advance(.milliseconds(20))
    #expect(open.peer.all().map(\.payload.count) == [100, 3])
  }

  @Test("T9 tcp_autocorking: nothing to wait for: full segments, an empty flight, the end of a record")
  func noAutocorking() throws {
    let open = try Connection(peer: ScriptedPeer()) { try $0.setNoDelay(true) }
    stall(open.peer.host, true)
    try open.socket.send(data(100))
    try open.socket.send([2], flags: .endOfRecord)
    #expect(open.info.notSentByteCount == 0)
    #expect(open.counter(.TcpExtTCPAutoCorking) == 0)
  }

  @Test("T9 tcp_autocorking: all is acknowledged though the ring has not given it back: nothing to wait for")
  func noAutocorkingOnEmptyFlight() throws {
    let open = try Connection(peer: ScriptedPeer()) { try $0.setNoDelay(true) }
    stall(open.peer.host, true)
    try open.socket.send(data(100))
    open.acknowledge(open.acknowledgment &+ 100)
    #expect(open.info.unacknowledged == 0)
    #expect(open.inspect { $0.core.account.writeAllocated > 0 })
    try open.socket.send([2])
    #expect(open.info.notSentByteCount == 0)
    #expect(open.counter(.TcpExtTCPAutoCorking) == 0)
  }

  // MARK: T12

  /// Fills the ring and the queue before it with datagrams.
  private func fillQueue(_ host: SimulatedStack) throws -> [Socket] {
    var sockets: [Socket] = []
    var payload = [UInt8](repeating: 0, count: 10)
    for _ in 0..<200 {
      let socket = try host.stack.socket(.udp)
      socket.isNonBlocking = true
      // Only then is a refusal told.
      try socket.setsockopt(level: 0, name: 11, 1)
      sockets.append(socket)
      for _ in 0..<1000 {
        payload[0] &+= 1
        do {
          try socket.send(payload, to: SocketAddress(IPv4Address(10, 0, 0, 1), port: 9))
        } catch {
          if error.errno == .ENOBUFS { return sockets }
          break
        }
      }
    }
    throw SocketError("fill", .ENOBUFS)
  }

  @Test("T12 a queue below that is full: new data stays at the head, CWR, and it goes when there is room")
  func fullQueue() throws {
    let open = try Connection.withSACK()
    stall(open.peer.host, true)
    let senders = try fillQueue(open.peer.host)
    let first = open.acknowledgment
    try open.socket.send(data(3000))
    #expect(open.info.congestionState == .congestionWindowReduced)
    #expect(open.info.slowStartThreshold == 7)
    #expect(open.info.unacknowledged == 0)
    #expect(open.info.notSentByteCount == 3000)
    stall(open.peer.host, false)
    let seen = open.peer.timeline(for: .seconds(2)) { open.acknowledge(through: $0) }
    #expect(seen.map(\.segment.payload.count).reduce(0, +) == 3000)
    #expect(open.acknowledgment == first &+ 3000)
    #expect(open.info.congestionState == .open)
    #expect(open.info.totalRetransmissions == 0)
    withExtendedLifetime(senders) {}
  }

  @Test(
    "T12 a retransmission that the queue refuses: no back-off, again within half a second, TCPRetransFail")
  func refusedRetransmission() throws {
    let open = try Connection.withSACK()
    let base = try open.flight(2)
    stall(open.peer.host, true)
    let senders = try fillQueue(open.peer.host)
    open.peer.advance(.milliseconds(1050))
    #expect(open.counter(.TcpExtTCPRetransFail) >= 1)
    #expect(open.info.totalRetransmissions >= 1)
    #expect(open.info.retransmitted == 0)
    #expect(open.info.backoff == 0)
    stall(open.peer.host, false)
    let seen = open.peer.timeline(for: .milliseconds(600))
    #expect(seen.contains { $0.segment.sequence == base })
    withExtendedLifetime(senders) {}
  }

  // MARK: T8

  @Test("T8 far urgent pointer: 0xFFFF on what is new, none on what lies 65,535 bytes or more below SND.NXT")
  func farUrgentPointer() throws {
    let open = try Connection.withSACK(rtt: .milliseconds(100))
    try open.socket.set(Option.sendBuffer, 1 << 20)
    let first = try open.flight(60)
    try open.socket.send(data(100_000))
    _ = open.peer.all()
    try open.socket.send([33], flags: .outOfBand)
    open.peer.advance(.milliseconds(350))
    // 87,600 bytes are in flight: the head's pointer would name a byte that was sent and is not urgent.
    let again = try #require(open.peer.all().first { $0.sequence == first })
    #expect(again.flags & 0x20 == 0)
    // The farthest byte that a pointer on new data can name has not been sent yet.
    open.acknowledge(base: first, upTo: 30)
    let next = try #require(open.peer.all().first { $0.sequence == first &+ 60 * 1460 })
    #expect(next.flags & 0x20 != 0)
    #expect(next.urgentPointer == 0xFFFF)
  }

  // MARK: T13

  @Test(
    "T13 delivery rate: segments over the time they took; an application-limited sample counts if it is higher"
  )
  func rate() throws {
    let open = try Connection(
      peer: ScriptedPeer(), window: 16384, options: [2, 4, 5, 0xB4, 1, 1, 4, 2, 1, 3, 3, 6],
      rtt: .milliseconds(100))
    func round(_ send: Int) throws {
      if send > 0 { try open.socket.send(data(send * 1460)) }
      open.peer.advance(.milliseconds(100))
      _ = open.takeData()
      open.acknowledge()
    }
    try round(10)
    #expect(open.info.deliveryBytesPerSecond == 146_000)
    #expect(open.info.isApplicationLimited)
    try round(1)
    #expect(open.info.deliveryBytesPerSecond == 146_000)
    open.inspect {
      $0.sender.window.segments = 5
      $0.sender.window.threshold = 5
    }
    // The backlog is more than the window: the path is the limit now, and its rate counts though it is lower.
    try round(40)
    try round(0)
    #expect(open.info.deliveryBytesPerSecond == 87_600)
    #expect(!open.info.isApplicationLimited)
    for _ in 0..<20 { try round(0) }
    try round(1)
    #expect(open.info.isApplicationLimited == false)
    #expect(open.info.deliveryBytesPerSecond < 146_000)
  }

  @Test(
    "T13 delivery rate: what was sent in a burst and answered sooner than the least round trip is no sample")
  func rateTooFast() throws {
    let open = try Connection(
      peer: ScriptedPeer(), window: 16384, options: [2, 4, 5, 0xB4, 1, 1, 4, 2, 1, 3, 3, 6],
      rtt: .milliseconds(100))
    let base = try open.flight(10)
    open.peer.advance(.milliseconds(100))
    open.acknowledge(base: base, upTo: 5)
    let rate = open.info.deliveryBytesPerSecond
    #expect(rate == 73_000)
    let more = try open.flight(1)
    open.peer.advance(.milliseconds(1))
    open.acknowledge(base: base, upTo: 10)
    #expect(open.info.deliveryBytesPerSecond >= 73_000 && open.info.deliveryBytesPerSecond <= 146_000)
    open.acknowledge(more &+ 1460)
    #expect(open.info.deliveryBytesPerSecond <= 146_000)
  }
}
