import Foundation
import Testing

/// Everything that needs root, namespaces and real Linux sockets on the far side. One test at a time: times are
/// measured, and there are two cores.
@Suite("Real peers in network namespaces", .serialized, .enabled(if: NetnsWorld.canRun))
enum Netns {
  /// Runs a test in a world of its own. At its end the stack must still live, and must go as it should: status 0 on
  /// SIGTERM, TAP, control socket and namespace gone.
  static func withWorld(
    _ options: NetnsWorld.Options = NetnsWorld.Options(), sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (NetnsWorld) throws -> Void
  ) throws {
    let world = try NetnsWorld(options)
    defer { world.removeAll() }
    do {
      try body(world)
    } catch {
      Issue.record(
        "\(error)\nthe stack said: \(world.daemon?.errorsSoFar.suffix(2000) ?? "")",
        sourceLocation: sourceLocation)
    }
    guard world.isStackAlive else {
      Issue.record(
        "The stack's process ended during the test: \(world.daemon?.wait(seconds: 1).summary ?? "")",
        sourceLocation: sourceLocation)
      return
    }
    let end = world.stopStack()
    #expect(end?.status == 0, "SIGTERM: \(end?.summary ?? "")", sourceLocation: sourceLocation)
    #expect(
      !FileManager.default.fileExists(atPath: world.controlSocket), "The control socket stayed behind.",
      sourceLocation: sourceLocation)
    let link = try world.tryInside(["ip", "link", "show", world.interface])
    #expect(link.status != 0, "The TAP stayed behind.", sourceLocation: sourceLocation)
  }
}

extension ChildProcess.Result {
  /// The value of `key=value` in what a peer reported.
  func word(_ key: String) -> String? {
    for word in text.split(whereSeparator: \.isWhitespace).reversed() where word.hasPrefix("\(key)=") {
      return String(word.dropFirst(key.count + 1))
    }
    return nil
  }

  func integer(_ key: String) -> Int? { word(key).flatMap { Int($0) } }
  func number(_ key: String) -> Double? { word(key).flatMap { Double($0) } }
}

extension NetnsWorld {
  /// Waits until the stack has a socket listening on (or, for UDP, bound to) a port.
  func waitUntilStackListens(on port: Int) throws {
    let listens = poll(seconds: 10, every: 0.03) {
      guard let sockets = try? self.swiftstack("ss", seconds: 5) else { return nil }
      return Self.names(port, in: sockets.text) ? true : nil
    }
    if !listens { throw Failure("The stack does not listen on port \(port).") }
  }

  /// Whether a table names this port, and not only one that begins with the same digits.
  static func names(_ port: Int, in line: some StringProtocol) -> Bool {
    line.split(whereSeparator: \.isWhitespace).contains { $0.hasSuffix(":\(port)") }
  }

  /// What both ends of a transfer counted.
  struct Transfer {
    var sentDigest: String
    var receivedDigest: String
    var receivedBytes: Int
    var seconds: Double
    var client: ChildProcess.Result
  }

  /// How much a transfer carries.
  enum Amount: CustomStringConvertible {
    case bytes(Int)
    /// As much as goes until this file is there.
    case until(URL)

    /// As the peer script takes it.
    var description: String {
      switch self {
      case .bytes(let count): "\(count)"
      case .until(let file): "until:\(file.path)"
      }
    }
  }

  /// Starts sending the pattern from the stack (`swiftstack nc`) to a kernel socket.
  func startSending(_ amount: Amount, port: Int = 5001) throws -> (sink: ChildProcess, client: ChildProcess) {
    let sink = try startPeer(["sink", "\(port)"])
    let client = try startShell(
      "python3 $PEER pattern \(amount) | $SWIFTSTACK nc --interface $IF \(host) \(port)"
    )
    return (sink, client)
  }

  /// The stack sends the pattern to a kernel socket, and half-closes.
  func send(byteCount: Int, seconds: Double) throws -> Transfer {
    let (sink, client) = try startSending(.bytes(byteCount))
    return try finishSending(sink: sink, client: client, seconds: seconds)
  }

  func finishSending(sink: ChildProcess, client: ChildProcess, seconds: Double) throws -> Transfer {
    defer {
      sink.stop()
      client.stop()
    }
    let sent = client.wait(seconds: seconds)
    let received = sink.wait(seconds: sent.timedOut ? 0.1 : 10)
    return Transfer(
      sentDigest: Self.digest(in: sent.errors), receivedDigest: received.word("sha256") ?? "nothing",
      receivedBytes: received.integer("bytes") ?? 0, seconds: sent.seconds, client: sent)
  }

  /// Starts sending the pattern from a kernel socket to the stack (`swiftstack nc -l`).
  func startReceiving(_ amount: Amount, port: Int = 5002) throws -> (
    listener: ChildProcess, source: ChildProcess
  ) {
    let listener = try startShell(
      "$SWIFTSTACK nc --interface $IF -l \(port) </dev/null | python3 $PEER digest")
    try waitUntilStackListens(on: port)
    let source = try startInside([
      "python3", "-u", Self.peerScript, "send-pattern", stack, "\(port)", "\(amount)",
    ])
    return (listener, source)
  }

  /// A kernel socket sends the pattern to the stack, and half-closes.
  func receive(byteCount: Int, seconds: Double) throws -> Transfer {
    let (listener, source) = try startReceiving(.bytes(byteCount))
    return try finishReceiving(listener: listener, source: source, seconds: seconds)
  }

  func finishReceiving(listener: ChildProcess, source: ChildProcess, seconds: Double) throws -> Transfer {
    defer {
      listener.stop()
      source.stop()
    }
    let sent = source.wait(seconds: seconds)
    let received = listener.wait(seconds: sent.timedOut ? 0.1 : 10)
    return Transfer(
      sentDigest: sent.word("sha256") ?? "none sent: \(sent.summary)",
      receivedDigest: received.word("sha256") ?? "nothing: \(received.summary)",
      receivedBytes: received.integer("bytes") ?? 0, seconds: sent.seconds, client: received)
  }

  private static func digest(in text: String) -> String {
    guard let range = text.range(of: "sha256=") else { return "none sent: \(text)" }
    return String(text[range.upperBound...].prefix(64))
  }

  /// A JSON report of a client command.
  func json(_ command: String, _ arguments: [String] = []) throws -> Any {
    let result = try swiftstack(command, arguments + ["--json"])
    if result.status != 0 { throw Failure("\(command) --json: \(result.summary)") }
    return try JSONSerialization.jsonObject(with: result.output)
  }
}
