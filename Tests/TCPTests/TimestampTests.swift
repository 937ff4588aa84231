import SwiftStack
import TestSupport
import Testing

@Suite("RFC 7323 timestamps of a connection", .everyVariation)
struct TimestampTests {
  private func stamped() throws -> ScriptedConnection {
    try ScriptedConnection(
      peer: ScriptedPeer(), options: [2, 4, 5, 0xB4, 1, 1, 4, 2], timestamps: true)
  }

  @Test(
    "RFC 7323 5.5 after 24 idle days an older timestamp is taken, and echoed from then on; before, it is not"
  )
  func idleDays() throws {
    for (span, isTaken) in [(-60, false), (60, true)] as [(Int64, Bool)] {
      let open = try stamped()
      open.timestamp = Variation.current.peerTimestamp &+ 4000
      open.send([1])
      #expect(open.peer.all().last?.timestamps?.echo == Variation.current.peerTimestamp &+ 4000)
      open.peer.advance(.seconds(24 * 86400 + span))
      open.timestamp = Variation.current.peerTimestamp &+ 3000
      let before = open.sequence
      open.send([2])
      open.peer.advance(.milliseconds(50))
      let answer = try #require(open.peer.all().last)
      #expect(answer.acknowledgment == (isTaken ? open.sequence : before))
      #expect(
        answer.timestamps?.echo
          == (isTaken ? Variation.current.peerTimestamp &+ 3000 : Variation.current.peerTimestamp &+ 4000))
      if isTaken {
        // Protection is on again.
        open.timestamp = Variation.current.peerTimestamp &+ 2999
        open.send([3])
        #expect(open.peer.all().last?.acknowledgment == open.sequence &- 1)
      }
    }
  }

  @Test(
    "RFC 7323 4.3 what is echoed comes from the segment that the last ACK waits for, not from an early one")
  func recent() throws {
    let open = try stamped()
    open.timestamp = Variation.current.peerTimestamp &+ 4000
    open.peer.send(
      0x10, sequence: open.sequence &+ 10, acknowledgment: open.acknowledgment, options: open.standing,
      payload: [2])
    #expect(open.peer.all().last?.timestamps?.echo == Variation.current.peerTimestamp)
    open.timestamp = Variation.current.peerTimestamp &+ 3000
    open.send([UInt8](repeating: 1, count: 10))
    #expect(open.peer.all().last?.timestamps?.echo == Variation.current.peerTimestamp &+ 3000)
  }

  @Test("RFC 7323 5.3 PAWS: old data, SYN and FIN are answered and not taken; a reset is exact at any age")
  func paws() throws {
    let open = try stamped()
    open.timestamp = Variation.current.peerTimestamp &+ 4000
    open.send([1])
    _ = open.peer.all()
    open.timestamp = Variation.current.peerTimestamp &+ 3999
    open.peer.send(
      0x11, sequence: open.sequence, acknowledgment: open.acknowledgment, options: open.standing)
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    #expect(!open.socket.readiness.contains(.readHangup))
    open.peer.advance(.milliseconds(501))
    let challenges = open.peer.host.counter("TcpExtTCPSYNChallenge")
    open.peer.send(0x02, sequence: open.sequence, options: open.standing)
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    #expect(open.peer.host.counter("TcpExtTCPSYNChallenge") == challenges + 1)
    // A SYN is challenged before its time is looked at.
    #expect(open.peer.host.counter("TcpExtPAWSEstab") == 1)
    open.peer.send(0x04, sequence: open.sequence, options: open.standing)
    #expect(open.socket.takeError() == .ECONNRESET)
  }

  @Test(
    "RFC 7323 5.4 a tick is a millisecond; connections do not share an offset, which would tell the uptime")
  func offset() throws {
    let open = try stamped()
    try open.socket.send([1])
    let first = try #require(open.peer.all().last?.timestamps).value
    open.acknowledge(open.acknowledgment &+ 1)
    open.peer.advance(.milliseconds(1234))
    try open.socket.send([2])
    #expect(try #require(open.peer.all().last?.timestamps).value &- first == 1234)

    let peer = try ScriptedPeer()
    var values: Set<UInt32> = []
    for _ in 0..<16 {
      let socket = try peer.host.stack.socket(.tcp)
      socket.isNonBlocking = true
      try? socket.connect(to: ScriptedPeer.address)
      values.insert(try #require(peer.next()?.timestamps).value)
      socket.close()
    }
    #expect(values.count == 16)
  }
}

@Suite("RFC 6528 initial sequence numbers")
struct SequenceSecrecyTests {
  private func initial(_ seed: UInt64, port: UInt16, after span: Nanoseconds = .zero) throws -> UInt32 {
    let peer = try ScriptedPeer(hostPort: 80, seed: seed)
    peer.advance(span)
    let server = try peer.host.stack.socket(.tcp)
    try server.bind(to: SocketAddress(.any, port: 80))
    try server.listen()
    peer.port = port
    peer.send(0x02, sequence: 1)
    return try #require(peer.next()).sequence
  }

  @Test("RFC 6528 3 a clock of 64 ns, and an offset that only the key tells for each connection")
  func initialSequence() throws {
    let first = try initial(1, port: 7000)
    #expect(try initial(1, port: 7000, after: .seconds(1)) &- first == 15_625_000)
    var numbers: Set<UInt32> = [first]
    var steps: Set<UInt32> = []
    for port in 7001...7032 as ClosedRange<UInt16> {
      let number = try initial(1, port: port)
      steps.insert(number &- first)
      numbers.insert(number)
    }
    #expect(numbers.count == 33)
    // Another stack's key gives other distances between the same connections.
    let other = try initial(2, port: 7000)
    #expect(other != first)
    #expect(try initial(2, port: 7001) &- other != initial(1, port: 7001) &- first)
    // Both halves of the space are used.
    #expect(numbers.contains { $0 >= 1 << 31 } && numbers.contains { $0 < 1 << 31 })
  }
}
