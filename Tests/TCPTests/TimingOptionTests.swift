import SwiftStack
import TestSupport
import Testing

/// What a kernel (6.18) takes and tells, and what it does then.
@Suite("R TCP options about how long it waits", .everyVariation)
struct TimingOptionTests {
  private static let (linear, duplicateAck, greatest, least, delay): (Int32, Int32, Int32, Int32, Int32) =
    (16, 17, 44, 45, 46)

  private func opened(
    rtt: Nanoseconds = .milliseconds(100), _ configure: (Socket) throws -> Void = { _ in }
  ) throws -> ScriptedConnection {
    try ScriptedConnection(peer: ScriptedPeer(), rtt: rtt, configure: configure)
  }
  private func value(_ socket: Socket, _ name: Int32) throws -> Int {
    let bytes = try socket.getsockopt(level: 6, name: name, maximum: 4)
    return bytes.indices.reduce(0) { $0 | Int(bytes[$1]) << (8 * $1) }
  }
  /// Milliseconds at which something leaves.
  private func departures(_ open: ScriptedConnection, within milliseconds: Int) -> [Int] {
    (1...milliseconds).filter { _ in
      open.peer.advance(.milliseconds(1))
      return !open.peer.all().isEmpty
    }
  }

  @Test("R TCP_RTO_MAX_MS, TCP_RTO_MIN_US, TCP_DELACK_MAX_US: what they are, and what they may be")
  func values() throws {
    let socket = try ScriptedPeer().host.stack.socket(.tcp)
    #expect(try value(socket, Self.greatest) == 120_000)
    #expect(try value(socket, Self.least) == 200_000 && value(socket, Self.delay) == 200_000)
    for (name, good, bad) in [
      (Self.greatest, [1000, 1001, 120_000], [-1, 0, 999, 120_001]),
      (Self.least, [2000, 120_000, 200_000], [-1, 0, 1000, 200_001]),
      (Self.delay, [2000, 120_000, 200_000], [-1, 0, 1000, 200_001]),
    ] as [(Int32, [Int32], [Int32])] {
      for wanted in good {
        try socket.setsockopt(level: 6, name: name, wanted)
        #expect(try value(socket, name) == Int(wanted))
      }
      for wanted in bad {
        #expect(throws: SocketError.self) { try socket.setsockopt(level: 6, name: name, wanted) }
      }
      #expect(try value(socket, name) == Int(good[2]))
    }
    // In whole ticks.
    try socket.setsockopt(level: 6, name: Self.least, 9001)
    #expect(try value(socket, Self.least) == 10_000)
  }

  @Test("R TCP_THIN_LINEAR_TIMEOUTS and TCP_THIN_DUPACK take 0 and 1; the second is forgotten")
  func thinValues() throws {
    let socket = try ScriptedPeer().host.stack.socket(.tcp)
    for name in [Self.linear, Self.duplicateAck] {
      for wrong: Int32 in [-1, 2] {
        #expect(throws: SocketError.self) { try socket.setsockopt(level: 6, name: name, wrong) }
      }
      try socket.setsockopt(level: 6, name: name, 1)
    }
    #expect(try value(socket, Self.linear) == 1 && value(socket, Self.duplicateAck) == 0)
  }

  @Test("R TCP_RTO_MAX_MS: the timer backs off so far and no further; SYNs and SYN-ACKs too")
  func greatestTimeout() throws {
    let open = try opened()
    try open.socket.setsockopt(level: 6, name: Self.greatest, 1000)
    try open.socket.send([1])
    _ = open.peer.all()
    #expect(departures(open, within: 4000) == [300, 900, 1900, 2900, 3900])
    let peer = try ScriptedPeer()
    let socket = try peer.host.stack.socket(.tcp)
    socket.isNonBlocking = true
    try socket.setsockopt(level: 6, name: Self.greatest, 1000)
    try? socket.connect(to: ScriptedPeer.address)
    peer.advance(.milliseconds(5500))
    #expect(peer.all().count == 6)
    let listening = try ListeningPeer { try $0.setsockopt(level: 6, name: Self.greatest, 1000) }
    _ = try listening.open()
    listening.peer.advance(.milliseconds(4500))
    #expect(listening.peer.all().count == 4)
  }

  @Test("R TCP_RTO_MAX_MS: a window is probed no less often")
  func windowProbes() throws {
    let open = try opened()
    try open.socket.setsockopt(level: 6, name: Self.greatest, 1000)
    open.window = 0
    open.acknowledge()
    try open.socket.send([1])
    #expect(departures(open, within: 4000).count == 5)
  }

  @Test("R TCP_RTO_MIN_US: the timer of a short path waits less; what is accepted has its listener\'s")
  func leastTimeout() throws {
    #expect(try opened(rtt: .milliseconds(10)).info.retransmissionTimeout == .milliseconds(210))
    let open = try opened(rtt: .milliseconds(10)) {
      try $0.setsockopt(level: 6, name: Self.least, 20_000)
    }
    #expect(open.info.retransmissionTimeout == .milliseconds(30))
    let listening = try ListeningPeer { try $0.setsockopt(level: 6, name: Self.least, 20_000) }
    let answer = try listening.open()
    listening.peer.advance(.milliseconds(10))
    listening.peer.complete(answer)
    let child = try listening.server.accept()
    #expect(try #require(child.tcpInfo).retransmissionTimeout == .milliseconds(30))
  }

  @Test("R TCP_DELACK_MAX_US: an ACK waits no longer, and less than the least timeout")
  func acknowledgments() throws {
    func wait(_ configure: (Socket) throws -> Void) throws -> [Int] {
      let open = try opened()
      // As in a conversation.
      try open.socket.setsockopt(level: 6, name: 12, 0)
      try configure(open.socket)
      open.send([1])
      return departures(open, within: 300)
    }
    #expect(try wait { _ in } == [40])
    #expect(try wait { try $0.setsockopt(level: 6, name: Self.delay, 12_000) } == [12])
    #expect(try wait { try $0.setsockopt(level: 6, name: Self.least, 12_000) } == [11])
  }

  @Test(
    "R TCP_THIN_LINEAR_TIMEOUTS: while little is outstanding six timeouts follow each other without back-off")
  func linearTimeouts() throws {
    let open = try opened()
    try open.socket.setsockopt(level: 6, name: Self.linear, 1)
    try open.socket.send([1])
    _ = open.peer.all()
    #expect(departures(open, within: 4000) == [300, 600, 900, 1200, 1500, 1800, 2100, 2700, 3900])
    let thick = try opened()
    try thick.socket.setsockopt(level: 6, name: Self.linear, 1)
    try thick.socket.send([UInt8](repeating: 1, count: 4 * 1460))
    _ = thick.peer.all()
    #expect(departures(thick, within: 2000) == [300, 900])
  }
}
