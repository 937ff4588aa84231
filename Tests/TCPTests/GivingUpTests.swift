import NetNamespace
import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.8.3 when to give up", .everyVariation)
struct GivingUpTests {
  private func data(_ count: Int) -> [UInt8] { [UInt8](repeating: 5, count: count) }

  /// How long until the socket has an error, to a tenth of a second.
  private func secondsUntilError(_ open: ScriptedConnection, limit: Int) -> (Double, Errno)? {
    for tenth in 1...limit * 10 {
      open.peer.advance(.milliseconds(100))
      if let error = open.socket.takeError() { return (Double(tenth) / 10, error) }
    }
    return nil
  }

  @Test(
    "R RFC 6298 5.5 the retransmission timer doubles from the RTO to 120 s; R2: ETIMEDOUT after 924.6 s of it"
  )
  func retransmissions() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(100))
    _ = open.peer.all()
    let seen = open.peer.timeline(for: .seconds(2000))
    let gaps = zip(seen, seen.dropFirst()).map { ($1.after - $0.after).milliseconds }
    for (gap, next) in zip(gaps, gaps.dropFirst()) { #expect(next == min(2 * gap, 120_000)) }
    #expect(gaps.last == 120_000)
    #expect(open.socket.takeError() == .ETIMEDOUT)
    let first = try #require(seen.first), last = try #require(seen.last)
    let life = (last.after - first.after).milliseconds
    // 200 ms doubled nine times and six times 120 s, to the next expiry.
    #expect(life < 924_600 && life + 120_000 >= 924_600)
    #expect(open.peer.counter("TcpExtTCPTimeouts") == 17)
    #expect(open.peer.counter("TcpRetransSegs") == UInt64(seen.count))
  }

  @Test(
    "T14 TCP_USER_TIMEOUT counts from this trouble, not from one that is over (RFC 5482)",
    arguments: [0, 1, 5], [false, true])
  func userTimeoutAfterLoss(_ exchanges: Int, _ hasSACK: Bool) throws {
    let open = try ScriptedConnection(
      peer: ScriptedPeer(), options: [2, 4, 5, 0xB4] + (hasSACK ? [1, 1, 4, 2] : [])
    ) { try $0.set(Option.userTimeout, 30_000) }
    // One loss, mended.
    try open.socket.send(data(100))
    _ = open.peer.all()
    open.peer.advance(.seconds(4))
    #expect(!open.peer.all().isEmpty)
    open.acknowledge(open.acknowledgment &+ 100)
    for _ in 0..<exchanges {
      try open.socket.send(data(100))
      open.acknowledge(open.acknowledgment &+ 100)
      _ = open.peer.all()
    }
    open.peer.advance(.seconds(3600))
    // The peer is away.
    try open.socket.send(data(100))
    let (seconds, error) = try #require(secondsUntilError(open, limit: 60))
    #expect(error == .ETIMEDOUT)
    // It counts from the first retransmission, for which a timeout without a new sample is still backed off (Karn).
    #expect(seconds >= 30 && seconds < (exchanges == 0 ? 38 : 32))
  }

  @Test("T14 TCP_USER_TIMEOUT: the timer is cut so that it ends in time, not at the doubled RTO")
  func userTimeoutClamped() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.userTimeout, 3_000) }
    try open.socket.send(data(100))
    open.acknowledge(open.acknowledgment &+ 100)
    try open.socket.send(data(100))
    _ = open.peer.all()
    let first = try #require(open.peer.timeline(for: .seconds(1)).first)
    let (seconds, error) = try #require(secondsUntilError(open, limit: 20))
    #expect(error == .ETIMEDOUT)
    let wanted = Double(first.milliseconds) / 1000 + 3
    #expect(seconds + 1 >= wanted && seconds + 1 < wanted + 0.2)
  }

  @Test("T14 TCP_USER_TIMEOUT ends a connect() too: 3 s, where Linux ends it", arguments: [3_000, 500])
  func userTimeoutConnecting(_ milliseconds: Int32) throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.set(Option.userTimeout, milliseconds)
    try? socket.connect(to: ScriptedPeer.address)
    // The first SYN is always sent again: the time is looked at when the timer fires.
    let end = Int64(max(milliseconds, 1000))
    peer.advance(.milliseconds(end - 50))
    #expect(socket.takeError() == nil)
    peer.advance(.milliseconds(100))
    #expect(socket.takeError() == .ETIMEDOUT)
  }

  @Test("T14 TCP_USER_TIMEOUT at a closed window: counted from the first probe, its timer cut to it")
  func userTimeoutProbing() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 0) {
      try $0.set(Option.userTimeout, 10_000)
    }
    let start = open.peer.host.now
    try open.socket.send(data(100))
    var probes: [Int64] = []
    for _ in 0..<150 {
      probes += open.peer.timeline(for: .milliseconds(100)) { _ in open.acknowledge() }.map(\.milliseconds)
      if open.socket.readiness.contains(.error) { break }
    }
    #expect(open.socket.takeError() == .ETIMEDOUT)
    #expect(probes.count >= 4)
    let life = (open.peer.host.now - start).milliseconds
    #expect(life >= 10_200 && life < 10_600)
  }

  @Test("T10 persist: answered probes go on for ever, doubling to 120 s; unanswered ones end after 15")
  func persist() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 0)
    try open.socket.send(data(100))
    let answered = open.peer.timeline(for: .seconds(7200)) { _ in open.acknowledge() }
    let gaps = zip(answered, answered.dropFirst()).map { ($1.after - $0.after).milliseconds }
    #expect(gaps.prefix(3) == [2000, 4000, 8000] || gaps.prefix(3) == [400, 800, 1600])
    for (gap, next) in zip(gaps, gaps.dropFirst()) { #expect(next == min(2 * gap, 120_000)) }
    #expect(gaps.last == 120_000)
    #expect(answered.allSatisfy { $0.segment.payload.isEmpty })
    #expect(open.socket.takeError() == nil)
    #expect(open.peer.counter("TcpExtTCPWinProbe") == UInt64(answered.count))
    let silent = open.peer.timeline(for: .seconds(3600))
    #expect(silent.count == 15)
    #expect(open.socket.takeError() == .ETIMEDOUT)
  }

  @Test("T20 an orphan whose peer answers and keeps its window shut ends when the back-off reaches its limit")
  func orphanAtClosedWindow() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer(), window: 0)
    let peer = open.peer
    let before = peer.host.buffersInUse
    try open.socket.send(data(3000))
    open.socket.close()
    let probes = peer.timeline(for: .seconds(1000)) { _ in open.acknowledge() }
    #expect(probes.count >= 7 && probes.count < 12)
    #expect((probes.last?.second ?? 0) < 300)
    #expect(peer.host.buffersInUse <= before)
    // Nothing of it is left.
    peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment)
    #expect(peer.next()?.isRst == true)
  }

  @Test("T20 tcp_orphan_retries of 5: an answered orphan at a closed window ends when the probes reach 120 s")
  func orphanRetries() throws {
    var settings = NetSettings()
    settings.tcpOrphanRetries = 5
    let open = try ScriptedConnection(peer: ScriptedPeer(settings: settings), window: 0)
    try open.socket.send(data(3000))
    open.socket.close()
    // Answers count the probes anew; only the back-off ends it.
    let probes = open.peer.timeline(for: .seconds(2000)) { _ in open.acknowledge() }
    #expect(probes.count >= 7 && probes.count < 12)
    open.peer.send(0x10, sequence: open.sequence, acknowledgment: open.acknowledgment)
    #expect(open.peer.next()?.isRst == true)
  }

  @Test(
    "T20 an orphan of a dead peer tries eight times, a socket with an owner 15 (tcp_orphan_retries, tcp_retries2)"
  )
  func orphanUnanswered() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(100))
    open.acknowledge(open.acknowledgment &+ 100)
    open.socket.close()
    _ = open.peer.all()
    let fins = open.peer.timeline(for: .seconds(1000))
    #expect(fins.allSatisfy { $0.segment.isFin })
    // 102.2 s after the first: 200 ms doubled eight times.
    let last = try #require(fins.last)
    #expect(last.second < 110)
    #expect(fins.count >= 9 && fins.count <= 10)
  }

  @Test(
    "RFC 9293 3.8.6.1 a window that closes on data in flight: asked for as long as the peer answers, 240 s without"
  )
  func closedOnFlight() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer())
    try open.socket.send(data(3000))
    _ = open.peer.all()
    open.window = 0
    open.acknowledge(open.acknowledgment &+ 1460)
    let answered = open.peer.timeline(for: .seconds(3600)) { _ in open.acknowledge() }
    #expect(answered.count > 20)
    #expect(open.socket.takeError() == nil)
    open.peer.advance(.seconds(200))
    #expect(open.socket.takeError() == nil)
    open.peer.advance(.seconds(200))
    #expect(open.socket.takeError() == .ETIMEDOUT)
  }

  @Test("R TCP_SYNCNT counts on top of the linear tries")
  func synCount() throws {
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.set(Option.synCount, 2)
    try? socket.connect(to: ScriptedPeer.address)
    #expect(peer.next()?.isSyn == true)
    // Six more at most, and the time of two doublings from 1 s: 7 s.
    #expect(peer.timeline(for: .seconds(60)).map(\.second) == [1, 2, 3, 4, 5])
    #expect(socket.takeError() == .ETIMEDOUT)
  }

  @Test("R an old connection's challenge ACK to our SYN: reset, and the SYN again at once")
  func challengedSyn() throws {
    let peer = try ScriptedPeer()
    let (socket, syn) = try peer.connecting()
    defer { withExtendedLifetime(socket) {} }
    peer.advance(.milliseconds(1))
    peer.send(0x10, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &- 5000)
    let reset = try #require(peer.next())
    #expect(reset.isRst && reset.sequence == syn.sequence &- 5000)
    let again = try #require(peer.timeline(for: .milliseconds(20)).first)
    #expect(again.segment.isSyn && again.segment.sequence == syn.sequence)
    // Only the first time: a peer that goes on must not make us flood it.
    peer.send(0x10, sequence: Variation.current.peerSequence, acknowledgment: syn.sequence &- 5000)
    #expect(peer.next()?.isRst == true)
    #expect(peer.timeline(for: .milliseconds(500)).isEmpty)
  }
}
