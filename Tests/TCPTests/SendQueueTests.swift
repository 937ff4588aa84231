import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

@Suite("T10 T3 what waits to be sent", .everyVariation)
struct SendQueueTests {
  private func data(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0) } }

  // MARK: A short head

  /// Whether the packets that wait end records, which keeps a send from adding to the last of them.
  private func setRecords(_ open: ScriptedConnection, _ isOn: Bool) {
    open.inspect { connection in
      var place = connection.sender.writeQueue.first
      while let current = place {
        connection.sender.writeQueue[tcp: current].endOfRecord = isOn
        place = connection.sender.writeQueue.position(after: current)
      }
    }
  }

  /// Two packets wait, of the first of which 14 segments are left: it goes when 30 are acknowledged.
  ///
  /// - Returns: which segments end a packet.
  private func shortHead(isRecord: Bool) throws -> [Int] {
    let open = try ScriptedConnection.withSACK()
    open.inspect {
      $0.sender.window.segments = 30
      $0.sender.window.threshold = 30
    }
    try open.socket.set(Option.sendBuffer, 1 << 20)
    try open.socket.send(data(44 * 1460))
    setRecords(open, true)
    try open.socket.send(data(30 * 1460))
    setRecords(open, isRecord)
    #expect(open.peer.all().count == 30)
    open.acknowledge(open.acknowledgment &+ 30 * 1460)
    let segments = open.peer.all()
    #expect(segments.map(\.payload.count).reduce(0, +) == segments.count * 1460)
    // The last segment of each packet pushes.
    return segments.indices.filter { segments[$0].isPush }.map { $0 + 1 }
  }

  @Test("T10 tcp_grow_skb: a head shorter than the quota grows from the segments behind it")
  func grows() throws {
    #expect(try shortHead(isRecord: false).first == 15)
  }

  @Test("T10 tcp_grow_skb: not past the end of a record")
  func record() throws {
    #expect(try shortHead(isRecord: true).first == 14)
  }

  @Test("T10 tcp_grow_skb: a packet that goes along whole takes its flags and its FIN with it")
  func growsToTheEnd() throws {
    let open = try ScriptedConnection.withSACK()
    open.inspect { $0.sender.window.segments = 1 }
    try open.socket.send(data(3 * 1460))
    setRecords(open, true)
    try open.socket.send(data(1000))
    try open.socket.shutdown(write: true)
    setRecords(open, false)
    #expect(open.peer.all().count == 1)
    open.inspect { $0.sender.window.segments = 10 }
    open.acknowledge(open.acknowledgment &+ 1460)
    let rest = open.peer.all()
    #expect(rest.map(\.payload.count) == [1460, 1460, 1000])
    // One packet: only its last segment pushes, and it ends the stream.
    #expect(rest.map(\.isPush) == [false, false, true] && rest.map(\.isFin) == [false, false, true])
    open.acknowledge(open.acknowledgment &+ 3921)
    #expect(open.info.state == .finWait2 && open.info.unacknowledged == 0)
  }

  @Test("T10 tcp_grow_skb: the stream is the same, and a FIN goes with the last of it")
  func bytes() throws {
    let open = try ScriptedConnection.withSACK()
    open.inspect { $0.sender.window.segments = 4 }
    try open.socket.set(Option.sendBuffer, 1 << 20)
    let all = data(90_001)
    for part in [0..<70_000, 70_000..<80_000, 80_000..<90_001] {
      try open.socket.send(Array(all[part]))
      setRecords(open, true)
    }
    setRecords(open, false)
    try open.socket.shutdown(write: true)
    var stream: [UInt8] = []
    var isFinished = false
    for _ in 0..<200 where !isFinished {
      for segment in open.peer.all() {
        #expect(segment.sequence == open.acknowledgment)
        stream += segment.payload
        open.acknowledgment &+= UInt32(segment.payload.count) &+ (segment.isFin ? 1 : 0)
        isFinished = isFinished || segment.isFin
      }
      open.acknowledge()
    }
    #expect(isFinished && stream == all)
    #expect(open.info.writeQueuedMemory == 0)
  }

  @Test("T10 an empty tail is never sent")
  func emptyTail() throws {
    let open = try ScriptedConnection.withSACK()
    let id = open.socket.id
    open.peer.host.stack.shards[0].inspect { state in
      let isMade = state.sockets.tcp.sockets[id.index].makeSegment(net: &state.host.net)
      #expect(isMade)
      state.sockets.tcp.sockets[id.index].pushPending(mss: 1460, nagle: .push, host: &state.host)
    }
    #expect(open.peer.all().isEmpty)
    #expect(open.info.unacknowledged == 0)
    open.inspect { $0.removeEmptyTail() }
  }

  // MARK: An unused window

  /// A window of 40 segments of which a few are used: an ACK, and then none for more than a timeout of 300 ms, because the
  /// tail's probe puts the timer off.
  private func unused(_ settings: NetSettings = NetSettings(), noSpace: Bool = false) throws
    -> ScriptedConnection
  {
    let open = try ScriptedConnection.withSACK(settings: settings, probesTails: true, rtt: .milliseconds(100))
    let base = try open.flight(2)
    open.inspect {
      $0.sender.window.segments = 40
      $0.sender.window.threshold = 20
    }
    open.acknowledge(base: base, upTo: 1)
    open.peer.advance(.milliseconds(310))
    #expect(open.counter(.TcpExtTCPLossProbes) == 1)
    if noSpace { open.inspect { $0.sender.noSpace = true } }
    try open.socket.send(data(1460))
    return open
  }

  @Test("T10 RFC 2861: a window that was not used for a timeout goes half way to what was")
  func shrinks() throws {
    let open = try unused()
    // Three quarters of it stay the threshold.
    #expect(open.info.congestionWindow == 25)
    #expect(open.info.slowStartThreshold == 30)
  }

  @Test("T10 RFC 2861: not before a timeout has passed since the last ACK")
  func notSoon() throws {
    let open = try ScriptedConnection.withSACK(probesTails: true, rtt: .milliseconds(100))
    let base = try open.flight(2)
    open.inspect { $0.sender.window.segments = 40 }
    open.acknowledge(base: base, upTo: 1)
    open.peer.advance(.milliseconds(250))
    try open.socket.send(data(1460))
    #expect(open.info.congestionWindow >= 40)
  }

  @Test("T10 RFC 2861: an ACK of new data begins the timeout anew, as what was sent longer ago does not")
  func acknowledged() throws {
    let open = try ScriptedConnection.withSACK(probesTails: true, rtt: .milliseconds(100))
    let base = try open.flight(2)
    open.inspect {
      $0.sender.window.segments = 40
      $0.sender.window.threshold = 20
    }
    open.peer.advance(.milliseconds(150))
    open.acknowledge(base: base, upTo: 1)
    open.peer.advance(.milliseconds(220))
    try open.socket.send(data(1460))
    #expect(open.counter(.TcpExtTCPLossProbes) == 0)
    #expect(open.info.congestionWindow == 40)
  }

  @Test("T10 RFC 2861: tcp_slow_start_after_idle 0: it stays")
  func setting() throws {
    var settings = NetSettings()
    settings.tcpSlowStartAfterIdle = false
    #expect(try unused(settings).info.congestionWindow == 40)
  }

  @Test("T10 RFC 2861: a writer that was refused would have used more")
  func refusedWriter() throws {
    #expect(try unused(noSpace: true).info.congestionWindow == 40)
  }

  @Test(
    "RFC 5681 4.1 tcp_slow_start_after_idle 0: a pause leaves the window alone", arguments: [true, false])
  func afterIdle(restarts: Bool) throws {
    let open = try ScriptedConnection.withSACK(rtt: .milliseconds(100))
    try open.peer.host.stack.set("net.ipv4.tcp_slow_start_after_idle", to: restarts ? "1" : "0")
    let base = try open.flight(2)
    open.acknowledge(base: base, upTo: 2)
    open.inspect { $0.sender.window.segments = 40 }
    open.peer.advance(.seconds(5))
    try open.socket.send(data(1460))
    #expect(open.info.congestionWindow == (restarts ? 10 : 40))
  }

  // MARK: Pieces

  @Test("B1 max_skb_frags bounds how many pieces a segment is filled with", arguments: [1, 4, 17])
  func fragments(most: Int) throws {
    let open = try ScriptedConnection.withSACK()
    try open.peer.host.stack.set("net.core.max_skb_frags", to: "\(most)")
    // With a full window nothing is looked at that waits: else the head would grow.
    open.inspect { $0.sender.window.segments = 1 }
    try open.socket.send(data(1460))
    _ = open.peer.all()
    try open.socket.set(Option.cork, 1)
    // Another connection's byte lies behind each piece, so that no two of them touch.
    let other = try ScriptedConnection(peer: open.peer)
    try other.socket.set(Option.cork, 1)
    for _ in 0..<20 {
      try open.socket.send([1, 2])
      try other.socket.send([9])
    }
    let counts = open.inspect { connection in
      var counts: [Int] = []
      var place = connection.sender.writeQueue.first
      while let current = place {
        counts.append(connection.sender.writeQueue.withPacket(at: current) { $0.fragmentCount })
        place = connection.sender.writeQueue.position(after: current)
      }
      return counts
    }
    #expect(counts.first == most && counts.reduce(0, +) == 20, "\(counts)")
    #expect(counts.allSatisfy { $0 <= most })
  }
}
