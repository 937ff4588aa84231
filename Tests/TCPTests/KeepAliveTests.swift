import SwiftStack
import TestSupport
import Testing

@Suite("RFC 9293 3.8.4 keep-alive", .everyVariation)
struct KeepAliveTests {
  private func connection(
    idle: Int32 = 10, interval: Int32 = 2, count: Int32 = 3, configure: (Socket) throws -> Void = { _ in }
  ) throws -> ScriptedConnection {
    try ScriptedConnection(peer: ScriptedPeer()) {
      try $0.set(Option.keepAlive, 1)
      try $0.set(Option.keepIdle, idle)
      try $0.set(Option.keepInterval, interval)
      try $0.set(Option.keepCount, count)
      try configure($0)
    }
  }

  @Test("T4 keep-alive: probes that are answered never end a connection, however many")
  func answered() throws {
    let open = try connection()
    let probes = open.peer.timeline(for: .seconds(300)) { _ in open.acknowledge() }
    #expect(probes.map(\.second) == (1...30).map { Int64($0) * 10 })
    #expect(
      probes.allSatisfy { $0.segment.sequence == open.acknowledgment &- 1 && $0.segment.payload.isEmpty })
    #expect(open.socket.takeError() == nil)
    #expect(open.socket.tcpInfo?.probes == 0)
    #expect(open.peer.counter("TcpExtTCPKeepAlive") == 30)
    // And an answer after two that went unanswered starts the count anew.
    var unanswered = 0
    let more = open.peer.timeline(for: .seconds(100)) { _ in
      unanswered = (unanswered + 1) % 3
      if unanswered == 0 { open.acknowledge() }
    }
    #expect(more.count > 10)
    #expect(open.socket.takeError() == nil)
  }

  @Test("T4 keep-alive: none answered: TCP_KEEPCNT probes TCP_KEEPINTVL apart, a reset, ETIMEDOUT")
  func unanswered() throws {
    let open = try connection()
    let seen = open.peer.timeline(for: .seconds(30))
    #expect(seen.map(\.second) == [10, 12, 14, 16])
    #expect(seen.map(\.segment.isRst) == [false, false, false, true])
    #expect(open.socket.takeError() == .ETIMEDOUT)
    #expect(open.peer.counter("TcpExtTCPAbortOnTimeout") == 1)
  }

  @Test("R keep-alive: what the peer sends puts the probe off, and data that waits for an ACK too")
  func traffic() throws {
    let open = try connection()
    open.peer.advance(.seconds(6))
    open.send([1])
    _ = open.peer.all()
    let probe = open.peer.timeline(for: .seconds(11)).filter {
      $0.segment.sequence == open.acknowledgment &- 1
    }
    #expect(probe.map(\.second) == [10])
    open.acknowledge()
    try open.socket.send([2])
    let data = open.peer.timeline(for: .seconds(12))
    #expect(data.allSatisfy { $0.segment.payload == [2] })
  }

  @Test("R keep-alive: TCP_KEEPIDLE set on an open connection counts from what came last; off stops it")
  func idleChanged() throws {
    let open = try connection(idle: 100)
    open.peer.advance(.seconds(6))
    try open.socket.set(Option.keepIdle, 8)
    #expect(open.peer.timeline(for: .seconds(3)).map(\.second) == [2])
    open.acknowledge()
    try open.socket.set(Option.keepAlive, 0)
    #expect(open.peer.timeline(for: .seconds(100)).isEmpty)
  }

  @Test("RFC 5482 keep-alive: TCP_USER_TIMEOUT ends the connection instead of the count")
  func userTimeout() throws {
    let open = try connection { try $0.set(Option.userTimeout, 25_000) }
    let seen = open.peer.timeline(for: .seconds(40))
    #expect(seen.last?.segment.isRst == true)
    #expect(seen.last?.second == 26)
    #expect(open.socket.takeError() == .ETIMEDOUT)
  }

  @Test("R keep-alive: the defaults are two hours, 75 s and nine probes")
  func defaults() throws {
    let open = try ScriptedConnection(peer: ScriptedPeer()) { try $0.set(Option.keepAlive, 1) }
    let seen = open.peer.timeline(for: .seconds(7200 + 9 * 75 + 1))
    #expect(seen.map(\.second) == (0...9).map { 7200 + 75 * Int64($0) })
    #expect(seen.last?.segment.isRst == true)
  }
}
