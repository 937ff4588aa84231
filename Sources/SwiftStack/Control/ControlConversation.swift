import Glibc
import LinuxHost

/// One client of the control socket, served on its own thread: reads requests, answers them in order.
final class ControlConversation {
  let stack: Stack
  let daemon: any ControlDaemon
  private var channel: MessageChannel
  private var isGone = false

  init(_ stream: consuming UnixStream, stack: Stack, daemon: any ControlDaemon) {
    self.stack = stack
    self.daemon = daemon
    channel = MessageChannel(
      stream, messageLimit: ControlRequest.longestLine, outgoingLimit: 16 << 20)
  }

  /// Serves until the client hangs up.
  func run() {
    while let frame = try? channel.receive() {
      do {
        try serve(frame)
      } catch {
        try? send(.error("\(error)"))
      }
      if isGone { return }
    }
  }

  private func serve(_ frame: LineFramer.Frame) throws {
    guard case .message(let line) = frame else {
      throw ControlError("malformed control message: it is longer than \(ControlRequest.longestLine) bytes")
    }
    let request = try ControlCodec.decodeRequest(line)
    switch request.command {
    case .down:
      try send(.done)
      daemon.requestStop()
      // The conversation ends with the daemon: that is how the client knows.
      while !isClientGone(milliseconds: 1000) {}
    case .describe: try send(.describe(daemon.report))
    case .ss: try send(.ss(stack.socketReports))
    case .neigh: try send(.neigh(stack.neighbourReports))
    case .route: try send(.route(stack.routeReports))
    case .qdisc: try send(.qdisc(stack.qdiscReports))
    case .nic: try send(.nic(stack.nicReports))
    case .stats: try send(.stats(stack.counterReports))
    case .drops: try send(.stats(stack.dropReports))
    case .trace(let request): try trace(request)
    case .capture: try capture()
    case .ping(let request): try ping(request)
    case .perf(let request): try perf(request)
    case .nc(let request): try netcat(request)
    }
  }

  func send(_ body: ControlAnswerBody) throws(LinuxError) {
    try channel.send(ControlCodec.encode(ControlAnswer(body)))
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

  /// Waits a while for the client to hang up. Requests that it sends meanwhile wait their turn.
  func isClientGone(milliseconds: Int32) -> Bool {
    if isGone { return true }
    guard
      (try? channel.stream.descriptor.waitUntilReady(
        POLLIN, milliseconds: milliseconds, subject: "the control socket")) ?? true
    else { return false }
    switch channel.fill() {
    case .bytes(0), .error: isGone = true
    case .bytes, .wouldBlock: break
    }
    return isGone
  }
}

/// What conversations need of the daemon around them.
protocol ControlDaemon: Sendable {
  var report: StackReport { get }
  func requestStop()
}
