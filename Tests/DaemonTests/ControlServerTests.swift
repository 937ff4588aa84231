import Foundation
import Glibc
import LinuxHost
import NetNamespace
import Testing
import Timers

@testable import Control
@testable import Daemon
@testable import SwiftStack

/// The control socket from both ends, before a stack without a wire.
@Suite struct ControlServerTests {
  final class Daemon: ControlDaemon {
    let stops = Guarded(0)
    var report: StackReport {
      StackReport(
        interface: "sim0", address: "10.0.0.2/24", hostAddress: nil, macAddress: "02:00:00:00:00:02",
        mtu: 1500,
        queues: 1, processID: 1)
    }
    func requestStop() { stops.withLock { $0 += 1 } }
  }

  /// A server with its listener in a folder of its own.
  final class Harness {
    let simulated: SimulatedStack
    let daemon = Daemon()
    let server: ControlServer
    let path: String
    private var listener: UnixListener

    init(
      _ name: String, limits: ControlAdmission.Limits = .init(), timing: ControlConversation.Timing = .init(),
      callers: ControlCallers = .init(users: [geteuid()])
    ) throws {
      path = NSTemporaryDirectory() + "swiftstack-control-\(getpid())-\(name)/s.sock"
      simulated = try SimulatedStack()
      server = ControlServer(
        stack: simulated.stack, daemon: daemon, limits: limits, timing: timing, callers: callers)
      listener = try UnixListener(at: path)
    }
    deinit {
      try? FileManager.default.removeItem(atPath: (path as NSString).deletingLastPathComponent)
    }

    var endpoint: ControlEndpoint { ControlEndpoint(interface: "sim0", namespace: 1, path: path) }

    /// A client that the server has taken.
    func client(patience: Nanoseconds = .seconds(60)) throws -> ControlClient {
      let client = try ControlClient(endpoint, patience: patience)
      #expect(server.acceptClients(listener) == .allTaken)
      return client
    }
    func acceptClients() -> ControlServer.Outcome { server.acceptClients(listener) }
    func stream() throws -> UnixStream {
      let stream = try UnixStream.connect(to: path)
      #expect(server.acceptClients(listener) == .allTaken)
      return stream
    }
  }

  @Test("ss of any size comes in pieces that every client reads, each socket once")
  func largeTable() throws {
    let harness = try Harness("large")
    let stack = harness.simulated.stack
    let before = stack.socketReports.count
    let sockets = try (0..<1000).map { number in
      let socket = try stack.socket(.udp)
      try socket.bind(to: SocketAddress(.any, port: UInt16(10_000 + number)))
      return socket
    }
    var client = try harness.client()
    try client.send(.ss)
    var rows: [SocketReport] = []
    var pieces = 0
    pieces: while true {
      switch try client.receiveSoon() {
      case .ss(let piece):
        #expect(piece.count <= 128)
        rows += piece
        pieces += 1
      case .done: break pieces
      default:
        Issue.record("not a piece of the table")
        break pieces
      }
    }
    #expect(rows.count == before + 1000 && pieces > 7)
    #expect(Set(rows.map(\.local)).count >= 1000)
    // The conversation goes on.
    #expect(try client.table(.ss) { if case .ss(let rows) = $0 { rows } else { nil } }.count == before + 1000)
    #expect(sockets.count == 1000)
  }

  @Test("every table ends with done and the conversation lives on")
  func tables() throws {
    let harness = try Harness("tables")
    var client = try harness.client()
    for command in [ControlCommand.ss, .neigh, .route, .qdisc, .nic, .stats] {
      try client.send(command)
      var isOver = false
      while !isOver { if case .done = try client.receiveSoon() { isOver = true } }
    }
    guard case .describe(let report) = try client.ask(.describe) else {
      Issue.record("no description")
      return
    }
    #expect(report.interface == "sim0")
  }

  @Test("a request that cannot be read is answered, and the next one is served")
  func malformed() throws {
    let harness = try Harness("malformed")
    var channel = MessageChannel(try harness.stream(), messageLimit: 4 << 20)
    for line in ["hello", "{}", String(repeating: "x", count: ControlRequest.longestLine + 1), ""] {
      try channel.send(Array(line.utf8))
      guard case .message(let bytes) = try channel.receive() else {
        Issue.record("no answer to \(line.prefix(10))")
        return
      }
      guard case .error(let text) = try ControlCodec.decodeAnswer(bytes).body else {
        Issue.record("no error for \(line.prefix(10))")
        return
      }
      #expect(text.contains("malformed"))
    }
    try channel.send(ControlCodec.encode(ControlRequest(.describe)))
    guard case .message(let bytes) = try channel.receive() else {
      Issue.record("the conversation ended")
      return
    }
    #expect(try ControlCodec.decodeAnswer(bytes).body == .describe(harness.daemon.report))
  }

  @Test("numbers out of range are refused in words, never trapped on")
  func hugeNumbers() throws {
    let harness = try Harness("huge")
    var client = try harness.client()
    let host = "10.0.0.1"
    func ping(
      _ host: String = host, count: Int? = nil, interval: Double = 1, bytes: Int = 56, wait: Double = 1
    ) -> ControlCommand {
      .ping(PingRequest(host: host, count: count, interval: interval, byteCount: bytes, wait: wait))
    }
    func perf(_ time: Double, _ streams: Int, _ length: Int, port: UInt16 = 5201) -> ControlCommand {
      .perf(PerfRequest(host: host, port: port, time: time, streams: streams, length: length))
    }
    let refused: [(ControlCommand, String)] = [
      (ping("nonsense"), "nonsense"), (ping(count: 0), "count"), (ping(count: .min), "count"),
      (ping(interval: 0), "interval"), (ping(interval: 1e300), "interval"), (ping(interval: -1), "interval"),
      (ping(bytes: 65508), "65507"), (ping(bytes: -1), "65507"), (ping(bytes: .max), "65507"),
      (ping(wait: 0), "wait"), (ping(wait: 86401), "wait"),
      (perf(0, 1, 1), "range"), (perf(1e300, 1, 1), "range"), (perf(1, 0, 1), "range"),
      (perf(1, 1025, 1), "range"), (perf(1, .max, 1), "range"), (perf(1, 1, 0), "range"),
      (perf(1, 1, 1 << 20 + 1), "range"), (perf(1, 1, 1, port: 0), "port"),
      (.nc(NetcatRequest(host: host, port: 0, isUDP: false, timeout: nil)), "port"),
      (.nc(NetcatRequest(host: "nonsense", port: 1, isUDP: false, timeout: nil)), "nonsense"),
      (.capture(CaptureRequest(count: 0)), "count"), (.capture(CaptureRequest(count: -1)), "count"),
    ]
    for (command, word) in refused {
      let error = #expect(throws: ControlError.self, "\(command)") {
        var answer = try client.ask(command)
        while answer == .started { answer = try client.receiveSoon() }
      }
      #expect(error?.description.contains(word) == true, "\(command): \(error?.description ?? "")")
    }
    #expect(try client.ask(.describe) == .describe(harness.daemon.report))
  }

  @Test("down is answered before the daemon is told, and the conversation stays open until it goes")
  func down() throws {
    let harness = try Harness("down")
    var client = try harness.client()
    #expect(try client.ask(.down) == .done)
    client.finish()
    try client.waitForEnd()
    #expect(harness.daemon.stops.withLock { $0 } == 1)
  }

  @Test("full: idle clients keep nobody from down and describe; those beyond that are told")
  func full() throws {
    let harness = try Harness(
      "full", limits: .init(most: 3, mostPerUser: 2, reserved: 2),
      timing: .init(idle: .seconds(600), idleReserved: .seconds(600)))
    let idle = try (0..<2).map { _ in try harness.stream().takeDescriptor().release() }
    defer { for number in idle { close(number) } }
    var reserved = try harness.client()
    #expect(try reserved.ask(.describe) == .describe(harness.daemon.report))
    let refused = #expect(throws: ControlError.self) { try reserved.ask(.ss) }
    #expect(refused?.description.contains("too many control clients") == true)
    var last = try harness.client()
    var turnedAway = try harness.client()
    let error = #expect(throws: ControlError.self) { _ = try turnedAway.receiveSoon() }
    #expect(error?.description.contains("too many control clients") == true)
    #expect(throws: ControlError.self) { _ = try turnedAway.receiveSoon() }
    #expect(try last.ask(.down) == .done)
    #expect(harness.server.conversationCount == 4)
  }

  @Test("a client that says nothing, or half a request, is let go and its place is free again")
  func idle() throws {
    let harness = try Harness("idle", timing: .init(idle: .milliseconds(5), idleReserved: .milliseconds(5)))
    for half in [[], Array("{\"version\":".utf8)] as [[UInt8]] {
      let stream = try harness.stream()
      if !half.isEmpty { try stream.descriptor.writeAll(half.rawBytes, subject: "the control socket") }
      // End of file, without a word.
      #expect(try stream.descriptor.read(upTo: 100, subject: "the control socket").isEmpty)
    }
    while harness.server.conversationCount > 0 { sched_yield() }
  }

  @Test("a stack that does not answer: the client gives up in words")
  func silence() throws {
    let path = NSTemporaryDirectory() + "swiftstack-control-\(getpid())-silence/s.sock"
    defer { try? FileManager.default.removeItem(atPath: (path as NSString).deletingLastPathComponent) }
    let listener = try UnixListener(at: path)
    var client = try ControlClient(
      ControlEndpoint(interface: "tap7", namespace: 1, path: path), patience: .milliseconds(10))
    let start = MonotonicClock.now()
    let error = #expect(throws: ControlError.self) { _ = try client.ask(.describe) }
    #expect(error?.description.contains("tap7 has not answered") == true)
    #expect(MonotonicClock.now() - start < .seconds(10))
    _ = listener.path
  }

  @Test(
    "a client that talks while it is answered costs one request's room, and its requests are served afterwards"
  )
  func talkative() throws {
    let harness = try Harness("talkative")
    var client = try harness.client()
    try client.send(.trace(TraceRequest(follow: true)))
    #expect(try client.receiveSoon() == .started)
    // More than the room and both sockets' buffers: a daemon that reads on takes all of it.
    let junk = [UInt8](repeating: 0x78, count: 64 << 10)
    let number = client.rawDescriptor
    var taken = 0
    var refusals = 0
    while taken < 64 << 20, refusals < 20 {
      let count = unsafe Glibc.send(number, junk, junk.count, Int32(MSG_DONTWAIT))
      if count > 0 {
        taken += count
        refusals = 0
      } else {
        // The daemon gets every chance to read.
        refusals += 1
        _ = OwnedDescriptor.isReady(number, POLLOUT, milliseconds: 10)
      }
    }
    #expect(taken < 8 << 20)
  }

  @Test("closing the writing half means enough: the last answer comes, then the end")
  func enough() throws {
    let harness = try Harness("enough")
    var trace = try harness.client()
    try trace.send(.trace(TraceRequest(follow: true)))
    #expect(try trace.receiveSoon() == .started)
    trace.finish()
    #expect(try trace.receiveSoon() == .done)
    try trace.waitForEnd()
    #expect(harness.simulated.stack.shards[0].inspect { $0.traceUsers } == 0)
    var capture = try harness.client()
    try capture.send(.capture(CaptureRequest()))
    #expect(try capture.receiveSoon() == .started)
    let file = capture.takeDescriptor()
    guard let file else {
      Issue.record("no descriptor came")
      return
    }
    capture.finish()
    var bytes: [UInt8] = []
    while true {
      let piece = try file.read(upTo: 65536, subject: "the capture")
      if piece.isEmpty { break }
      bytes += piece
    }
    #expect(bytes.starts(with: [0x0A, 0x0D, 0x0D, 0x0A]))
    #expect(try capture.receiveSoon() == .captured(CaptureReport(frames: 0, dropped: 0)))
    var perf = try harness.client()
    try perf.send(.perf(PerfRequest(host: nil, port: 5201, time: 10, streams: 1, length: 1000)))
    #expect(try perf.receiveSoon() == .listening(port: 5201))
    perf.finish()
    guard case .perf(let sum) = try perf.receiveSoon() else {
      Issue.record("no sum")
      return
    }
    #expect(sum.bytes == 0 && sum.streams == 1)
  }
}

extension ControlServerTests {
  @Test("a client of another user's is refused in words, and has no place")
  func stranger() throws {
    var callers = ControlCallers(users: [3_999_999_999])
    #expect(callers.users == [0, 3_999_999_999])
    callers.users.remove(geteuid())
    let harness = try Harness("stranger", callers: callers)
    var client = try harness.client()
    let error = #expect(throws: ControlError.self) { _ = try client.ask(.describe) }
    #expect(
      error?.description.contains("permission denied") == true
        && error?.description.contains("user 3999999999, not of user \(geteuid())") == true)
    #expect(harness.server.conversationCount == 0)
    #expect(callers.refusal(of: nil).contains("cannot be told"))
  }

  @Test("of many clients at once some are taken and then signals have their turn") func many() throws {
    let harness = try Harness("many")
    let waiting = try (0..<65).map { _ in
      try UnixStream.connect(to: harness.path).takeDescriptor().release()
    }
    defer { for number in waiting { close(number) } }
    #expect(harness.acceptClients() == .allTaken && harness.server.conversationCount == 64)
    #expect(harness.acceptClients() == .allTaken && harness.server.conversationCount == 65)
  }

  @Test(
    "places by the descriptors there may be",
    arguments: [(64, 16, 8, 4), (1024, 256, 128, 16), (1 << 20, 512, 256, 16), (0, 4, 4, 2)])
  func limits(descriptors: Int, most: Int, perUser: Int, reserved: Int) {
    let limits = ControlAdmission.Limits(descriptors: descriptors)
    #expect(limits.most == most && limits.mostPerUser == perUser && limits.reserved == reserved)
  }

  @Test("places: so many, so many for one user, and some kept; each is free again when it is left")
  func admission() {
    var admission = ControlAdmission(.init(most: 3, mostPerUser: 2, reserved: 1))
    #expect(admission.admit(user: 0) == .full && admission.admit(user: 0) == .full)
    #expect(admission.admit(user: 0) == .reserved)
    #expect(admission.admit(user: 0) == nil)
    #expect(admission.admit(user: 7) == .full)
    #expect(admission.admit(user: 8) == nil)
    #expect(admission.count == 4)
    admission.leave(.reserved, user: 0)
    #expect(admission.admit(user: 9) == .reserved)
    admission.leave(.full, user: 0)
    #expect(admission.admit(user: 8) == .full)
    admission.leave(.full, user: 8)
    admission.leave(.full, user: 7)
    admission.leave(.full, user: 0)
    admission.leave(.reserved, user: 9)
    #expect(admission.count == 0)
    #expect(admission.admit(user: 0) == .full && admission.admit(user: 0) == .full)
    #expect(admission.admit(user: 0) == .reserved)
  }
}
