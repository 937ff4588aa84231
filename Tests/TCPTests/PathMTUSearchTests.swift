import NetNamespace
import TestSupport
import Testing
import Timers

@testable import SwiftStack
@testable import TCP

/// The device takes packets of 1,500 bytes.
@Suite("T10 MTU probing (RFC 4821)", .everyVariation)
struct PathMTUSearchTests {
  private func open(
    _ mode: Int, timestamps: Bool = false, change: (inout NetSettings) -> Void = { _ in }
  ) throws -> ScriptedConnection {
    var settings = NetSettings()
    settings.tcpMTUProbing = mode
    change(&settings)
    return try .withSACK(timestamps: timestamps, settings: settings)
  }

  /// Sends so many bytes in a window of 20 segments.
  ///
  /// - Returns: their segments' sizes.
  private func send(_ count: Int, on open: ScriptedConnection) throws -> [Int] {
    open.inspect { $0.sender.window.segments = 20 }
    try open.socket.send([UInt8](repeating: 1, count: count))
    return open.peer.all().map(\.payload.count)
  }

  @Test(
    "T10 tcp_mtu_probing 2: segments begin at tcp_base_mss; 0: they are the path's", arguments: [0, 1, 2])
  func modes(mode: Int) throws {
    let open = try open(mode)
    #expect(open.info.sendMSS == (mode == 2 ? 1024 : 1460))
    #expect(try send(2048, on: open) == (mode == 2 ? [1024, 1024] : [1460, 588]))
  }

  @Test(
    "T10 MTU probing: one segment half way to the largest, the window is less one, and the rest as before")
  func probe() throws {
    let open = try open(2)
    let sizes = try send(12_000, on: open)
    // Between 1,064 and 1,500.
    #expect(sizes.first == 1282 - 40)
    #expect(sizes.dropFirst().dropLast().allSatisfy { $0 == 1024 })
    #expect(sizes.reduce(0, +) == 12_000)
    #expect(open.info.congestionWindow == 19)
    #expect(open.counter(.TcpExtTCPMTUPSuccess) == 0)
  }

  @Test("T10 MTU probing: with time stamps the packet has the size, not its payload")
  func timestamps() throws {
    let open = try open(2, timestamps: true)
    #expect(open.info.sendMSS == 1024)
    #expect(try send(12_000, on: open).first == (1500 + 1076) / 2 - 52)
  }

  @Test(
    "T10 MTU probing: the probe arrives: segments are as long from then on, the window holds as many bytes")
  func success() throws {
    let open = try open(2)
    let first = open.acknowledgment
    _ = try send(12_000, on: open)
    open.acknowledge(first &+ 1242)
    #expect(open.counter(.TcpExtTCPMTUPSuccess) == 1)
    #expect(open.info.sendMSS == 1242)
    // And one more for the segment that arrived.
    #expect(open.info.congestionWindow == 19 * 1064 / 1282 + 1)
    #expect(open.inspect { $0.sender.pathMTU.low } == 1282)
  }

  @Test("T10 MTU probing: it ends where the range is smaller than tcp_probe_threshold, and begins anew later")
  func search() throws {
    let open = try open(2)
    var probes: [Int] = []
    for _ in 0..<12 {
      let sizes = try send(14_000, on: open)
      if let first = sizes.first, first > open.info.sendMSS { probes.append(first + 40) }
      open.acknowledge(open.acknowledgment &+ 14_000)
    }
    #expect(probes == [1282, 1391, 1445, 1472, 1486, 1493])
    #expect(open.info.sendMSS == 1453)
    #expect(open.counter(.TcpExtTCPMTUPSuccess) == 6)
    // 600 seconds are tcp_probe_interval's; low is what is known to pass.
    open.inspect { $0.sender.pathMTU.high = 1496 }
    for (pause, high) in [(598, 1496), (3, 1500)] {
      open.peer.advance(.seconds(Int64(pause)))
      // The pause has taken the window back.
      for _ in 0..<2 {
        _ = try send(5000, on: open)
        open.acknowledge(open.acknowledgment &+ 5000)
      }
      #expect(open.inspect { $0.sender.pathMTU.high } == high)
    }
  }

  @Test("T10 MTU probing: the probe is lost: it is no congestion, its bytes go again in short segments")
  func failure() throws {
    let open = try open(2)
    let first = open.acknowledgment
    _ = try send(12_000, on: open)
    let end = first &+ 1242
    for count in 1...3 { open.acknowledge(first, sack: [(end, end &+ UInt32(count) * 1024)]) }
    #expect(open.counter(.TcpExtTCPMTUPFail) == 1)
    #expect(open.counter(.TcpExtTCPSackRecovery) == 0)
    #expect(open.info.congestionWindow == 20)
    #expect(open.info.slowStartThreshold == nil)
    #expect(open.peer.all().map(\.payload.count).prefix(2) == [1024, 218])
    #expect(open.inspect { $0.sender.pathMTU.high } == 1281)
    open.acknowledge(first &+ 12_000)
    #expect(open.info.congestionState == .open)
    #expect(open.info.sendMSS == 1024)
  }

  @Test("T10 MTU probing: a timeout tells nothing of the probe")
  func timeout() throws {
    let open = try open(2)
    let first = open.acknowledgment
    _ = try send(12_000, on: open)
    open.timeOut()
    open.acknowledge(first &+ 1242)
    #expect(open.counter(.TcpExtTCPMTUPSuccess) == 0)
    #expect(open.counter(.TcpExtTCPMTUPFail) == 0)
    #expect(open.info.sendMSS == 1024)
  }

  @Test(
    "T10 MTU probing: none of too little data, in a window below 11, with SACK blocks to send or in trouble")
  func conditions() throws {
    for condition in 0..<4 {
      let open = try open(2)
      open.inspect { connection in
        connection.sender.window.segments = condition == 1 ? 10 : 20
        if condition == 3 { connection.sender.recovery.state = .disorder }
      }
      if condition == 2 {
        open.sequence &+= 100
        open.send([1, 2, 3])
        _ = open.peer.all()
      }
      try open.socket.send([UInt8](repeating: 1, count: condition == 0 ? 1242 + 4 * 1024 - 1 : 12_000))
      let longest = open.peer.all().map(\.payload.count).max()
      #expect((longest ?? 0) <= 1024, "\(condition)")
      #expect(open.inspect { $0.sender.pathMTU.probe } == 0)
    }
  }

  @Test("T10 MTU probing: a record's end is not passed")
  func endOfRecord() throws {
    let open = try open(2)
    open.inspect { $0.sender.window.segments = 20 }
    try open.socket.set(Option.cork, 1)
    try open.socket.send([UInt8](repeating: 1, count: 100), flags: [.endOfRecord, .more])
    try open.socket.send([UInt8](repeating: 1, count: 12_000))
    let sizes = open.peer.all().map(\.payload.count)
    #expect(sizes.first == 100)
    #expect(sizes.max() == 1242 || sizes.max() == 1024)
  }

  @Test("T10 MTU probing: what is in flight is waited for, and nothing goes before the probe")
  func waiting() throws {
    let open = try open(2)
    let first = open.acknowledgment
    try open.socket.setNoDelay(true)
    open.inspect { $0.sender.window.segments = 11 }
    // Too little for a probe, twice.
    for _ in 0..<2 { try open.socket.send([UInt8](repeating: 1, count: 5 * 1024)) }
    #expect(open.peer.all().count == 10)
    try open.socket.send([UInt8](repeating: 1, count: 12_000))
    #expect(open.peer.all().isEmpty)
    open.acknowledge(first &+ 5 * 1024)
    #expect(open.peer.all().first?.payload.count == 1242)
  }

  // MARK: Black holes

  /// Sizes of what goes again, with its time in milliseconds.
  private func timeouts(_ open: ScriptedConnection, for span: Nanoseconds) throws -> [[Int]] {
    try open.flight(2)
    return open.peer.timeline(for: span).map { [Int($0.milliseconds), $0.segment.payload.count] }
  }

  @Test(
    "T10 tcp_mtu_probing 1: nothing gets through for as long as tcp_retries1 says: tcp_base_mss, then half of it"
  )
  func blackhole() throws {
    let open = try open(1)
    let seen = try timeouts(open, for: .seconds(60))
    #expect(seen.map { $0[1] } == [1460, 1460, 1460, 1460, 1024, 512, 256, 128])
    #expect(open.info.sendMSS == 128)
  }

  @Test("T10 MTU probing: no probe is longer than our own side takes, whatever the peer would take")
  func ownDevice() throws {
    let open = try open(2) { $0.tcpBaseMSS = 512 }
    let way = try #require(IPv4Prefix("10.0.0.1/32"))
    try open.peer.host.stack.apply(.addRoute(RouteEntry(way, mtu: 1000)))
    var (longest, arrived) = (0, open.acknowledgment)
    for round in 0..<40 {
      // The search begins anew (tcp_probe_interval).
      if round == 20 { open.peer.advance(.seconds(601)) }
      let sizes = try send(9_000, on: open)
      longest = max(longest, sizes.max() ?? 0)
      arrived &+= UInt32(sizes.reduce(0, +))
      open.acknowledge(arrived)
    }
    #expect(open.counter(.TcpExtTCPMTUPSuccess) > 0)
    #expect((900...960).contains(longest))
  }

  @Test("T10 tcp_mtu_probing 0: segments stay as they are")
  func noBlackhole() throws {
    let open = try open(0)
    let seen = try timeouts(open, for: .seconds(60))
    #expect(seen.allSatisfy { $0[1] == 1460 })
  }

  @Test("T10 tcp_mtu_probe_floor: no lower")
  func floor() throws {
    let open = try open(1) { $0.tcpMTUProbeFloor = 400 }
    let seen = try timeouts(open, for: .seconds(60))
    #expect(seen.map { $0[1] }.suffix(3) == [512, 400, 400])
  }

  @Test("T10 tcp_retries1: how long is waited")
  func retries1() throws {
    let open = try open(1) { $0.tcpRetries1 = 1 }
    let seen = try timeouts(open, for: .seconds(4))
    #expect(seen.map { $0[1] } == [1460, 1460, 1024, 512])
  }
}
