import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.10.7.4 RFC 6191 TIME-WAIT", .everyVariation)
struct TimeWaitTests {
  /// A connection whose socket closed first, now in TIME-WAIT. `sequence` and `acknowledgment` are what both ends would
  /// send next.
  private func timeWait(
    timestamps: Bool = false, settings: NetSettings = NetSettings(), seed: UInt64 = 1
  ) throws -> ScriptedConnection {
    let open = try ScriptedConnection(
      peer: ScriptedPeer(settings: settings, seed: seed), timestamps: timestamps
    ) {
      try $0.setsockopt(level: 1, name: 2, 1)
      try $0.bind(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: 5000))
    }
    open.socket.close()
    let fin = try #require(open.peer.next())
    open.acknowledge(fin.sequence &+ 1)
    open.send([], flags: 0x11)
    #expect(open.peer.all().map(\.acknowledgment) == [open.sequence])
    #expect(open.peer.host.counter("TcpExtTW") == 1)
    return open
  }

  @Test("R everything but an exact bare ACK is answered; one below RCV.NXT too, twice a second at most")
  func answers() throws {
    let open = try timeWait()
    open.acknowledge()
    #expect(open.peer.next() == nil)
    open.peer.send(0x10, sequence: open.sequence &- 1, acknowledgment: open.acknowledgment)
    let answer = try #require(open.peer.next())
    #expect(answer.flags == 0x10)
    #expect(answer.sequence == open.acknowledgment)
    #expect(answer.acknowledgment == open.sequence)
    open.peer.send(0x10, sequence: open.sequence &- 1, acknowledgment: open.acknowledgment)
    #expect(open.peer.next() == nil)
    // Data is answered each time.
    for _ in 0..<3 {
      open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment, payload: [1])
      #expect(open.peer.next()?.acknowledgment == open.sequence)
    }
    open.peer.advance(.milliseconds(501))
    open.peer.send(0x10, sequence: open.sequence &+ 7, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.acknowledgment == open.sequence)
  }

  @Test(
    "R TIME-WAIT lasts 60 s from the last segment with ACK; a SYN does not prolong it",
    arguments: [true, false])
  func duration(_ isRestarted: Bool) throws {
    let open = try timeWait()
    open.peer.advance(.seconds(50))
    if isRestarted {
      open.acknowledge()
    } else {
      open.peer.send(0x02, sequence: open.sequence &- 100)
      #expect(open.peer.next()?.flags == 0x10)
    }
    open.peer.advance(.milliseconds(9900))
    #expect(open.peer.host.timeWaitCount == 1)
    open.peer.advance(.milliseconds(200))
    #expect(open.peer.host.timeWaitCount == (isRestarted ? 1 : 0))
    open.peer.advance(.seconds(50))
    #expect(open.peer.host.timeWaitCount == 0)
  }

  @Test("RFC 1337 only an exact reset ends TIME-WAIT")
  func reset() throws {
    let open = try timeWait()
    open.peer.send(0x04, sequence: open.sequence &+ 1)
    open.peer.send(0x04, sequence: open.sequence &- 1)
    #expect(open.peer.host.timeWaitCount == 1)
    open.peer.send(0x04, sequence: open.sequence)
    #expect(open.peer.host.timeWaitCount == 0)
    #expect(open.peer.next() == nil)
  }

  @Test(
    "RFC 7323 5 PAWS in TIME-WAIT: a FIN or SYN with an old timestamp is acknowledged, counted, opens nothing"
  )
  func paws() throws {
    let open = try timeWait(timestamps: true)
    let server = try open.peer.host.stack.socket(.tcp)
    server.isNonBlocking = true
    try server.setsockopt(level: 1, name: 2, 1)
    try server.bind(to: SocketAddress(.any, port: open.peer.hostPort))
    try server.listen()
    let rejected = open.peer.host.counter("TcpExtPAWSTimewait")
    open.timestamp -= 1
    open.peer.send(0x02, sequence: open.sequence &+ 100_000, options: open.standing)
    let answer = try #require(open.peer.next())
    #expect(answer.flags == 0x10)
    #expect(answer.acknowledgment == open.sequence)
    #expect(open.peer.host.counter("TcpExtPAWSTimewait") == rejected + 1)
    // A reset of that age does not end it either.
    open.peer.send(0x04, sequence: open.sequence, options: open.standing)
    #expect(open.peer.host.timeWaitCount == 1)
    withExtendedLifetime(server) {}
  }

  /// What a SYN meets in TIME-WAIT: its number and its timestamp against the old connection's, and whether it opens.
  struct Reopening: CustomTestStringConvertible {
    var sequence: Int32
    var timestamp: Int32?
    var opens: Bool
    var testDescription: String { "sequence \(sequence), timestamp \(timestamp.map { "\($0)" } ?? "none")" }
  }

  @Test(
    "RFC 6191 a SYN reopens TIME-WAIT with a newer number, or with an older one and a newer timestamp",
    arguments: [
      Reopening(sequence: 1, timestamp: nil, opens: true),
      Reopening(sequence: 0, timestamp: nil, opens: false),
      Reopening(sequence: -5, timestamp: nil, opens: false),
      Reopening(sequence: -5, timestamp: 1, opens: true),
      Reopening(sequence: -5, timestamp: 0, opens: false), Reopening(sequence: 5, timestamp: 0, opens: true),
      Reopening(sequence: 5, timestamp: -1, opens: false),
    ])
  func reopening(_ syn: Reopening) throws {
    let open = try timeWait(timestamps: syn.timestamp != nil)
    let server = try open.peer.host.stack.socket(.tcp)
    server.isNonBlocking = true
    try server.setsockopt(level: 1, name: 2, 1)
    try server.bind(to: SocketAddress(.any, port: open.peer.hostPort))
    try server.listen()
    open.timestamp = open.timestamp &+ UInt32(bitPattern: syn.timestamp ?? 0)
    open.peer.send(
      0x02, sequence: open.sequence &+ UInt32(bitPattern: syn.sequence), options: open.standing)
    let answer = try #require(open.peer.next())
    #expect(answer.flags == (syn.opens ? 0x12 : 0x10))
    // The new connection's numbers begin beyond all of the old one's.
    if syn.opens { #expect(answer.sequence == open.acknowledgment &+ 65537) }
    #expect(open.peer.host.counter("TcpExtTWRecycled") == (syn.opens ? 1 : 0))
    withExtendedLifetime(server) {}
  }

  @Test("R an acceptable SYN in TIME-WAIT for which nobody listens is acknowledged")
  func nobodyListens() throws {
    let open = try timeWait()
    open.peer.send(0x02, sequence: open.sequence &+ 1000)
    let answer = try #require(open.peer.next())
    #expect(answer.flags == 0x10)
    #expect(answer.acknowledgment == open.sequence)
    #expect(open.peer.host.timeWaitCount == 1)
  }

  @Test(
    "RFC 6191 connecting again from the same port: the new SYN begins beyond the old connection's numbers")
  func connectAgain() throws {
    let open = try timeWait(timestamps: true)
    open.peer.advance(.seconds(2))
    let again = try open.peer.host.stack.socket(.tcp)
    again.isNonBlocking = true
    try again.setsockopt(level: 1, name: 2, 1)
    try again.bind(to: SocketAddress(IPv4Address(10, 0, 0, 2), port: open.peer.hostPort))
    try? again.connect(to: ScriptedPeer.address)
    let syn = try #require(open.peer.next())
    #expect(syn.flags == 0x02)
    #expect(syn.sourcePort == open.peer.hostPort)
    #expect(syn.sequence == open.acknowledgment &+ 65537)
    #expect(open.peer.host.timeWaitCount == 0)
  }

  @Test("TIME-WAIT does not wipe what nobody has read yet")
  func unreadData() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.shutdown(write: true)
    let fin = try #require(open.peer.next())
    open.acknowledge(fin.sequence &+ 1)
    open.send([1, 2, 3])
    open.send([4, 5], flags: 0x11)
    #expect(open.peer.host.timeWaitCount == 1)
    open.peer.advance(.seconds(120))
    #expect(open.peer.host.timeWaitCount == 0)
    #expect(try open.socket.receive(upTo: 2) == [1, 2])
    #expect(try open.socket.receive(upTo: 10) == [3, 4, 5])
    #expect(try open.socket.receive(upTo: 10).isEmpty)
  }

  @Test("tcp_max_tw_buckets: beyond it a connection ends without TIME-WAIT")
  func limit() throws {
    var settings = NetSettings()
    settings.maximumTimeWait = 0
    let open = try ScriptedConnection(peer: ScriptedPeer(settings: settings))
    open.socket.close()
    let fin = try #require(open.peer.next())
    open.acknowledge(fin.sequence &+ 1)
    open.send([], flags: 0x11)
    #expect(open.peer.all().last?.acknowledgment == open.sequence)
    #expect(open.peer.host.timeWaitCount == 0)
    open.acknowledge()
    #expect(open.peer.next()?.isRst == true)
  }
}
