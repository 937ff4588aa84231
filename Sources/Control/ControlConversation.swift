import Glibc
import LinuxHost
import Timers

/// One client of the control socket, served on a thread of its own: its requests, and their answers in order.
package final class ControlConversation {
  /// How long a client may take to ask.
  package struct Timing: Sendable {
    /// For the next whole request, from the connection or the last answer on.
    package var idle: Nanoseconds
    /// The same in a reserved place.
    package var idleReserved: Nanoseconds

    package init(idle: Nanoseconds = .seconds(10), idleReserved: Nanoseconds = .seconds(1)) {
      self.idle = idle
      self.idleReserved = idleReserved
    }
  }

  private let place: ControlAdmission.Place
  private let timing: Timing
  package var channel: MessageChannel
  /// The client has closed its writing half, or all of it: no more comes, and what it asked for is enough.
  private var hasHungUp = false

  package init(
    _ stream: consuming UnixStream, place: ControlAdmission.Place = .full, timing: Timing = Timing()
  ) {
    self.place = place
    self.timing = timing
    channel = MessageChannel(stream, messageLimit: ControlRequest.longestLine, outgoingLimit: 16 << 20)
  }

  /// Serves until the client hangs up, or says nothing for too long.
  ///
  /// - Parameter answer: sends the answers to a command; what it throws is the last of them.
  package func run(_ answer: (ControlCommand) throws -> Void) {
    while !hasHungUp, let frame = nextRequest() {
      do {
        try serve(frame, answer)
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

  private func serve(_ frame: LineFramer.Frame, _ answer: (ControlCommand) throws -> Void) throws {
    guard case .message(let line) = frame else {
      throw ControlError("malformed control message: it is longer than \(ControlRequest.longestLine) bytes")
    }
    let request = try ControlCodec.decodeRequest(line)
    if place == .reserved, ![.down, .describe].contains(request.command) {
      throw ControlError("too many control clients are there already; try again later")
    }
    try answer(request.command)
    if request.command.isTable { try send(.done) }
  }

  package func send(_ body: ControlAnswerBody) throws(LinuxError) {
    try channel.send(ControlCodec.encode(ControlAnswer(body)))
  }

  /// A table in pieces that every client takes.
  package func send<Row>(_ rows: [Row], _ piece: ([Row]) -> ControlAnswerBody) throws(LinuxError) {
    for start in stride(from: 0, to: rows.count, by: 128) {
      try send(piece(Array(rows[start..<min(start + 128, rows.count)])))
    }
  }

  /// An answer with a descriptor, written out before it returns.
  package func send(_ body: ControlAnswerBody, passing descriptor: consuming OwnedDescriptor) throws {
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

  /// An answer that need not be written out at once; `flush` does.
  package func queue(_ body: ControlAnswerBody) throws {
    guard channel.enqueue(ControlCodec.encode(ControlAnswer(body))) else {
      throw ControlError("the client does not read its answers")
    }
  }

  /// Sends what the client takes. Returns whether it has some way to go.
  package func flush() throws(LinuxError) -> Bool {
    switch channel.flush() {
    case .bytes: return false
    case .wouldBlock: return channel.outgoingByteCount > 64 << 10
    case .error(let code): throw LinuxError(code, "write to", "the control socket")
    }
  }

  /// Waits a while for the client to hang up or to say that it has enough. Requests that it sends meanwhile wait their
  /// turn, in the room that there is for one.
  package func isAskedToEnd(milliseconds: Int32) -> Bool {
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
    case .ss, .addr, .sysctl, .neigh, .route, .rule, .conntrack, .qdisc, .filter, .nic, .stats, .drops,
      .memory:
      true
    default: false
    }
  }
}
