import LinuxHost

/// A client's connection to a running stack.
public struct ControlClient: ~Copyable {
  private var channel: MessageChannel
  public let interface: String

  /// Connects to the stack on `interface`, or, without one, to the only stack that runs.
  public init(interface: String?) throws {
    let name = try interface ?? Self.onlyInterface()
    let path = ControlPath.socket(of: try InterfaceName(name))
    do {
      channel = MessageChannel(try UnixStream.connect(to: path), messageLimit: 4 << 20)
    } catch {
      guard error.code == 2 || error.code == 111 else { throw error }
      throw ControlError("no stack is running on \(name). Start one with \"sudo swiftstack up \(name)\".")
    }
    self.interface = name
  }

  private static func onlyInterface() throws -> String {
    var live: [String] = []
    for name in ControlPath.interfaces() {
      guard let interface = try? InterfaceName(name) else { continue }
      do {
        _ = try UnixStream.connect(to: ControlPath.socket(of: interface))
        live.append(name)
      } catch  where error.code == 2 || error.code == 111 {
        continue
      } catch {
        throw error
      }
    }
    guard let first = live.first else {
      throw ControlError("no stack is running. Start one with \"sudo swiftstack up tap0\".")
    }
    guard live.count == 1 else {
      throw ControlError(
        "several stacks run: \(live.joined(separator: ", ")). Pick one with --interface, "
          + "for example --interface \(first).")
    }
    return first
  }

  /// The descriptor to wait on for answers.
  public var rawDescriptor: Int32 { channel.stream.descriptor.rawValue }

  public mutating func send(_ command: ControlCommand) throws {
    try channel.send(ControlCodec.encode(ControlRequest(command)))
  }

  /// The next answer, waiting for it. A `.error` answer is thrown as `ControlError`.
  public mutating func receive() throws -> ControlAnswerBody {
    guard let frame = try channel.receive() else {
      throw ControlError("the stack on \(interface) has ended the conversation; it may have been shut down")
    }
    return try Self.body(of: frame)
  }

  /// The next answer among the bytes that have arrived; `nil` when there is none yet.
  public mutating func receiveIfReady(milliseconds: Int32) throws -> ControlAnswerBody? {
    if let frame = channel.next() { return try Self.body(of: frame) }
    guard
      try channel.stream.descriptor.waitUntilReady(
        1, milliseconds: milliseconds, subject: "the control socket")
    else { return nil }
    switch channel.fill() {
    case .bytes(0):
      throw ControlError("the stack on \(interface) has ended the conversation; it may have been shut down")
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
    return try receive()
  }

  /// The descriptor that came with the last answer.
  public mutating func takeDescriptor() -> OwnedDescriptor? { channel.takePassed() }

  /// Waits until the stack has closed the conversation.
  public mutating func waitForEnd() throws {
    while try channel.receive() != nil {}
  }
}
