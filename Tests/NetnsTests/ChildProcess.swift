import Foundation

/// One program started by a test: its output goes to files, it has a deadline, and it never outlives the test.
final class ChildProcess: @unchecked Sendable {
  /// How a program ended.
  struct Result: Sendable {
    /// Exit status; 128 + the signal's number when a signal ended it.
    var status: Int32
    var output: Data
    var errors: String
    /// Time from start to end, seconds.
    var seconds: Double
    /// The deadline passed and the program was killed.
    var timedOut: Bool

    /// What it wrote to standard output, as text.
    var text: String { String(decoding: output, as: UTF8.self) }
    /// For messages of failing tests.
    var summary: String {
      "status \(status), timedOut \(timedOut)\nstdout: \(text.prefix(4000))\nstderr: \(errors.prefix(4000))"
    }
  }

  let name: String
  private let process = Process()
  private let directory: URL
  private let ended = DispatchSemaphore(value: 0)
  private let started = ContinuousClock.now
  private let inputPipe: Pipe?

  /// Starts `arguments[0]`, found in PATH, with the rest as its arguments.
  ///
  /// - Parameters:
  ///   - input: what it reads from standard input.
  ///   - directory: where the files with its output are made.
  init(_ arguments: [String], input: Input = .nothing, directory: URL, environment: [String: String] = [:])
    throws
  {
    name = arguments.joined(separator: " ")
    self.directory = directory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["--default-signal=PIPE"] + arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardOutput = try Self.file(self.directory.appendingPathComponent("stdout"))
    process.standardError = try Self.file(self.directory.appendingPathComponent("stderr"))
    switch input {
    case .nothing:
      inputPipe = nil
      process.standardInput = FileHandle.nullDevice
    case .file(let url):
      inputPipe = nil
      process.standardInput = try FileHandle(forReadingFrom: url)
    case .bytes(let data):
      inputPipe = nil
      let url = self.directory.appendingPathComponent("stdin")
      try data.write(to: url)
      process.standardInput = try FileHandle(forReadingFrom: url)
    case .open:
      let pipe = Pipe()
      inputPipe = pipe
      process.standardInput = pipe
    }
    let ended = self.ended
    process.terminationHandler = { _ in ended.signal() }
    try process.run()
  }

  /// What a program reads.
  enum Input: Sendable {
    case nothing
    case bytes(Data)
    case file(URL)
    /// A pipe that stays open until `closeInput()`.
    case open

    static func text(_ text: String) -> Input { .bytes(Data(text.utf8)) }
  }

  var identifier: Int32 { process.processIdentifier }
  var isRunning: Bool { process.isRunning }

  /// What it has written so far.
  var outputSoFar: String { Self.text(directory.appendingPathComponent("stdout")) }
  var errorsSoFar: String { Self.text(directory.appendingPathComponent("stderr")) }

  func write(_ text: String) throws { try inputPipe?.fileHandleForWriting.write(contentsOf: Data(text.utf8)) }
  func closeInput() throws { try inputPipe?.fileHandleForWriting.close() }
  func send(signal: Int32) { if process.isRunning { kill(process.processIdentifier, signal) } }

  /// Waits for the end; kills it when the deadline passes.
  @discardableResult
  func wait(seconds: Double) -> Result {
    var timedOut = false
    if ended.wait(timeout: .now() + seconds) == .timedOut {
      timedOut = true
      kill(process.processIdentifier, SIGKILL)
      ended.wait()
    }
    ended.signal()
    let elapsed = (ContinuousClock.now - started) / .seconds(1)
    let signaled = process.terminationReason == .uncaughtSignal
    return Result(
      status: signaled ? 128 + process.terminationStatus : process.terminationStatus,
      output: (try? Data(contentsOf: directory.appendingPathComponent("stdout"))) ?? Data(),
      errors: errorsSoFar,
      seconds: elapsed, timedOut: timedOut)
  }

  /// Waits until what it wrote to standard output or error contains `text`.
  ///
  /// - Returns: false when it ended, or the deadline passed, without it.
  func waitUntilItWrites(_ text: String, seconds: Double = 10) -> Bool {
    poll(seconds: seconds) {
      if outputSoFar.contains(text) || errorsSoFar.contains(text) { return true }
      return isRunning ? nil : false
    }
  }

  /// Ends it now, if it still runs.
  func stop() {
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    wait(seconds: 5)
    try? FileManager.default.removeItem(at: directory)
  }

  private static func file(_ url: URL) throws -> FileHandle {
    _ = FileManager.default.createFile(atPath: url.path, contents: nil)
    return try FileHandle(forWritingTo: url)
  }

  private static func text(_ url: URL) -> String {
    String(decoding: (try? Data(contentsOf: url)) ?? Data(), as: UTF8.self)
  }
}

/// Asks until there is an answer or the time is over: what is awaited happens in another process.
func poll(seconds: Double, every interval: Double = 0.01, _ answer: () -> Bool?) -> Bool {
  let deadline = ContinuousClock.now + .seconds(seconds)
  while true {
    if let result = answer() { return result }
    if ContinuousClock.now > deadline { return false }
    Thread.sleep(forTimeInterval: interval)
  }
}
