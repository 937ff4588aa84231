import Glibc
import LinuxHost
import Timers

/// A client's connection to a running stack.
public struct ControlClient: ~Copyable {
  private var channel: MessageChannel
  /// The stack's interface.
  public let interface: String
  private let path: String

  /// How long a stack that lives may take for the first answer to anything, and from piece to piece of a table.
  public static let patience = Nanoseconds.seconds(10)
  private let patience: Nanoseconds

  /// Connects to the stack on `interface`, or, without one, to the only stack that runs; those of the network namespace
  /// `netns`, or of the caller's own, go before others.
  public init(interface: String?, netns: String? = nil) throws {
    let own = try NetworkNamespace.current().identifier
    let wanted = try netns.map { try NetworkNamespace(named: $0).identifier }
    if let interface { _ = try InterfaceName(interface) }
    var live: [ControlEndpoint] = []
    var refusal: LinuxError?
    for endpoint in ControlPath.endpoints() where interface == nil || endpoint.interface == interface {
      switch Self.state(of: endpoint.path) {
      case nil: live.append(endpoint)
      case let error? where [ENOENT, ECONNREFUSED].contains(error.code): break
      case let error?: refusal = error
      }
    }
    // A stack of somebody else's is in the way only when there is none of one's own.
    if live.isEmpty, let refusal { throw refusal }
    let chosen = try ControlPath.choose(interface: interface, namespace: wanted, own: own, among: live)
    try self.init(chosen)
  }

  /// What keeps a client from a socket; `nil`: nothing. A daemon that was killed has left a path where nobody listens; one
  /// that is stopped listens still.
  private static func state(of path: String) -> LinuxError? {
    do throws(LinuxError) {
      _ = try UnixStream.connect(to: path)
      return nil
    } catch {
      return error.code == EAGAIN ? nil : error
    }
  }

  /// Connects to one control socket.
  init(_ endpoint: ControlEndpoint, patience: Nanoseconds = Self.patience) throws {
    self.patience = patience
    channel = MessageChannel(try UnixStream.connect(to: endpoint.path), messageLimit: 4 << 20)
    interface = endpoint.interface
    path = endpoint.path
  }

  /// The descriptor to wait on for answers.
  public var rawDescriptor: Int32 { channel.stream.descriptor.rawValue }

  /// Sends a command. One that a daemon turns away throws what it said.
  public mutating func send(_ command: ControlCommand) throws {
    do {
      try channel.send(ControlCodec.encode(ControlRequest(command)))
    } catch {
      // A daemon that turns somebody away says why and hangs up, perhaps before the request is written.
      guard error.code == EPIPE,
        let frame = try? channel.receive(until: MonotonicClock.now())
      else { throw error }
      _ = try Self.body(of: frame)
      throw error
    }
  }

  /// The next answer, waiting for it. A `.error` answer is thrown as `ControlError`.
  public mutating func receive() throws -> ControlAnswerBody { try receive(until: .distantFuture) }

  /// The next answer of a stack that has nothing to wait for. One that says nothing is stopped, or stuck.
  public mutating func receiveSoon() throws -> ControlAnswerBody {
    do {
      return try receive(until: MonotonicClock.now() + patience)
    } catch let error as LinuxError where error.code == ETIMEDOUT {
      throw silence
    }
  }

  private mutating func receive(until deadline: Instant) throws -> ControlAnswerBody {
    guard let frame = try channel.receive(until: deadline) else { throw ended }
    return try Self.body(of: frame)
  }

  /// What to say of a stack that does not answer.
  public var silence: ControlError {
    ControlError(
      "the stack on \(interface) has not answered for \(patience.rawValue / 1_000_000_000) s; "
        + "is its process stopped?")
  }

  private var ended: ControlError {
    ControlError("the stack on \(interface) has ended the conversation; it may have been shut down")
  }

  /// The next answer among the bytes that have arrived; `nil` when there is none yet.
  public mutating func receiveIfReady(milliseconds: Int32) throws -> ControlAnswerBody? {
    if let frame = channel.next() { return try Self.body(of: frame) }
    guard
      try channel.stream.descriptor.waitUntilReady(
        1, milliseconds: milliseconds, subject: "the control socket")
    else { return nil }
    switch channel.fill() {
    case .bytes(0): throw ended
    case .bytes:
      guard let frame = channel.next() else { return nil }
      return try Self.body(of: frame)
    case .wouldBlock: return nil
    case .error(let code): throw LinuxError(code, "read from", "the control socket")
    }
  }

  /// Whether an answer lies ready without waiting; used after `receiveIfReady` returned one.
  public mutating func next() throws -> ControlAnswerBody? {
    guard let frame = channel.next() else { return nil }
    return try Self.body(of: frame)
  }

  private static func body(of frame: LineFramer.Frame) throws -> ControlAnswerBody {
    guard case .message(let line) = frame else {
      throw ControlError("the stack's answer is longer than this client reads")
    }
    let answer = try ControlCodec.decodeAnswer(line)
    if case .error(let text) = answer.body { throw ControlError(text) }
    return answer.body
  }

  /// Asks and waits for the one answer.
  public mutating func ask(_ command: ControlCommand) throws -> ControlAnswerBody {
    try send(command)
    return try receiveSoon()
  }

  /// Has the stack make a change, given in the words of `StackChange`.
  public mutating func make(_ change: [String]) throws {
    guard case .done = try ask(.change(change)) else {
      throw ControlError("the stack answered with something else; is it of another version?")
    }
  }

  /// Asks for a table and collects its pieces.
  ///
  /// - Parameters:
  ///   - command: what asks for the table.
  ///   - rows: the rows of a piece; `nil` when it is no piece of that table.
  public mutating func table<Row>(
    _ command: ControlCommand, _ rows: (ControlAnswerBody) -> [Row]?
  ) throws -> [Row] {
    try send(command)
    var all: [Row] = []
    while true {
      let answer = try receiveSoon()
      if case .done = answer { return all }
      guard let piece = rows(answer) else {
        throw ControlError("the stack answered with something else; is it of another version?")
      }
      all += piece
    }
  }

  /// Says that what was asked for is enough. The stack ends it and gives its last answer.
  public func finish() { channel.shutdownWriting() }

  /// The descriptor that came with the last answer.
  public mutating func takeDescriptor() -> OwnedDescriptor? { channel.takePassed() }

  /// Stops the stack and waits until it is gone. One that hangs up instead of an answer was about to end already.
  public mutating func stop() throws {
    do {
      guard case .done = try ask(.down) else { throw ControlError("the stack did not agree to end") }
    } catch let error as LinuxError where [ECONNRESET, EPIPE].contains(error.code) {
      return try waitUntilGone(or: error)
    } catch let error as ControlError where error == ended {
      return try waitUntilGone(or: error)
    }
    // The daemon closes the conversation when everything is gone.
    try waitForEnd()
  }

  private func waitUntilGone(or error: any Error) throws {
    let deadline = MonotonicClock.now() + patience
    while true {
      if let code = Self.state(of: path)?.code, [ENOENT, ECONNREFUSED].contains(code) { return }
      guard MonotonicClock.now() < deadline else { throw error }
      usleep(10_000)
    }
  }

  /// Waits until the stack has closed the conversation.
  mutating func waitForEnd() throws {
    let deadline = MonotonicClock.now() + .seconds(30)
    do throws(LinuxError) {
      while try channel.receive(until: deadline) != nil {}
    } catch {
      switch error.code {
      case ETIMEDOUT: throw ControlError("the stack on \(interface) agreed to end and still runs after 30 s")
      case ECONNRESET: return
      default: throw error
      }
    }
  }
}
