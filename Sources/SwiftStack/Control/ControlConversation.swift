import Glibc
import LinuxHost

/// One client of the control socket, served on its own thread: reads requests, answers them in order.
final class ControlConversation {
  /// How long a client may take to ask.
  struct Timing: Sendable {
    /// For the next whole request, from the connection or the last answer on.
    var idle = Nanoseconds.seconds(10)
    /// The same in a reserved place.
    var idleReserved = Nanoseconds.seconds(1)
  }

  let stack: Stack
  let daemon: any ControlDaemon
  private let place: ControlAdmission.Place
  private let timing: Timing
  var channel: MessageChannel
  /// The client has closed its writing half, or all of it: no more comes, and what it asked for is enough.
  private var hasHungUp = false

  init(
    _ stream: consuming UnixStream, stack: Stack, daemon: any ControlDaemon,
    place: ControlAdmission.Place = .full, timing: Timing = Timing()
  ) {
    self.stack = stack
    self.daemon = daemon
    self.place = place
    self.timing = timing
    channel = MessageChannel(stream, messageLimit: ControlRequest.longestLine, outgoingLimit: 16 << 20)
  }

  /// Serves until the client hangs up, or says nothing for too long.
  func run() {
    while !hasHungUp, let frame = nextRequest() {
      do {
        try serve(frame)
      } catch let error as LinuxError where [EPIPE, ECONNRESET].contains(error.code) {
        return
      } catch {
        try? send(.error("\(error)"))
      }
    }
  }

  private func nextRequest() -> LineFramer.Frame? {
    let idle = place == .full ? timing.idle : timing.idleReserved
    // A time-out and a broken stream end the conversation alike.
    return (try? channel.receive(until: MonotonicClock.now() + idle)) ?? nil
  }

  private func serve(_ frame: LineFramer.Frame) throws {
    guard case .message(let line) = frame else {
      throw ControlError("malformed control message: it is longer than \(ControlRequest.longestLine) bytes")
    }
    let request = try ControlCodec.decodeRequest(line)
    switch (place, request.command) {
    case (_, .down):
      try send(.done)
      daemon.requestStop()
      // The conversation ends with the daemon: that is how the client knows.
      while !isAskedToEnd(milliseconds: 1000) {}
    case (_, .describe): try send(.describe(daemon.report))
    case (.reserved, _): throw ControlError("too many control clients are there already; try again later")
    case (_, .ss): try stack.forEachSocketReports { try send(.ss($0)) }
    case (_, .addr): try send([stack.interfaceReport]) { .addr($0) }
    case (_, .sysctl(nil)): try send(stack.settingReports) { .sysctl($0) }
    case (_, .sysctl(let name?)):
      try send([SettingReport(name: name, value: try stack.setting(name))]) { .sysctl($0) }
    case (_, .change(let words)):
      try stack.apply(StackChange(words: words, device: stack.configuration.name))
      try send(.done)
    case (_, .neigh): try send(stack.neighbourReports) { .neigh($0) }
    case (_, .route): try send(stack.routeReports) { .route($0) }
    case (_, .qdisc): try send(stack.qdiscReports) { .qdisc($0) }
    case (_, .nic): try send(stack.nicReports) { .nic($0) }
    case (_, .stats): try send(stack.counterReports) { .stats($0) }
    case (_, .drops): try send(stack.dropReports) { .stats($0) }
    case (_, .trace(let request)): try trace(request)
    case (_, .capture(let request)): try capture(request)
    case (_, .ping(let request)): try ping(request)
    case (_, .perf(let request)): try perf(request)
    case (_, .nc(let request)): try netcat(request)
    }
    if request.command.isTable { try send(.done) }
  }

  func send(_ body: ControlAnswerBody) throws(LinuxError) {
    try channel.send(ControlCodec.encode(ControlAnswer(body)))
  }

  /// A table in pieces that every client takes.
  private func send<Row>(_ rows: [Row], _ piece: ([Row]) -> ControlAnswerBody) throws(LinuxError) {
    for start in stride(from: 0, to: rows.count, by: 128) {
      try send(piece(Array(rows[start..<min(start + 128, rows.count)])))
    }
  }

  func send(_ body: ControlAnswerBody, passing descriptor: consuming OwnedDescriptor) throws {
    guard channel.enqueue(ControlCodec.encode(ControlAnswer(body)), passing: descriptor) else {
      throw ControlError("the client does not read its answers")
    }
    while true {
      switch channel.flush() {
      case .bytes: return
      case .wouldBlock:
        try channel.stream.descriptor.waitUntilReady(POLLOUT, subject: "the control socket")
      case .error(let code): throw LinuxError(code, "write to", "the control socket")
      }
    }
  }

  /// Waits a while for the client to hang up or to say that it has enough. Requests that it sends meanwhile wait their
  /// turn, in the room that there is for one.
  func isAskedToEnd(milliseconds: Int32) -> Bool {
    if hasHungUp { return true }
    let descriptor = channel.stream.descriptor.rawValue
    guard
      OwnedDescriptor.isReady(descriptor, channel.hasRoom ? POLLIN : 0, milliseconds: milliseconds)
    else { return false }
    switch channel.fill() {
    case .bytes(0), .error: hasHungUp = true
    case .bytes: break
    case .wouldBlock: hasHungUp = !channel.hasRoom
    }
    return hasHungUp
  }
}

extension ControlCommand {
  /// Answered with pieces of a table and `done`.
  var isTable: Bool {
    switch self {
    case .ss, .addr, .sysctl, .neigh, .route, .qdisc, .nic, .stats, .drops: true
    default: false
    }
  }
}
