import Foundation
import Glibc
import Synchronization

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
  let identifier: Int32
  private let directory: URL
  private let ended = DispatchSemaphore(value: 0)
  private let started = ContinuousClock.now
  /// Write end of the program's standard input; -1: none, or closed.
  private let inputDescriptor: Mutex<Int32>
  /// What `waitpid` gave; `nil` while it runs.
  private let waitStatus = Mutex<Int32?>(nil)
  private static let spawning = Mutex<Void>(())

  /// Starts `arguments[0]`, found in PATH, with the rest as its arguments.
  ///
  /// With `posix_spawn`, not with Foundation's `Process`: that keeps descriptors of ended programs open, and reads past a
  /// directory buffer when there are many.
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
    var inputPath = "/dev/null"
    var ends: [Int32] = [-1, -1]
    switch input {
    case .nothing: break
    case .file(let url): inputPath = url.path
    case .bytes(let data):
      let url = self.directory.appendingPathComponent("stdin")
      try data.write(to: url)
      inputPath = url.path
    case .open:
      // Under the lock: no other child may inherit the write end, or the end of input would never come.
      let code = Self.spawning.withLock { _ in
        let code = unsafe pipe(&ends)
        if code == 0 { for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) } }
        return code
      }
      guard code == 0 else { throw Failure(name: name, code: errno) }
    }
    inputDescriptor = Mutex(ends[1])

    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    if ends[0] >= 0 {
      unsafe posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
    } else {
      unsafe posix_spawn_file_actions_addopen(&actions, 0, inputPath, O_RDONLY, 0)
    }
    for (number, file) in [(Int32(1), "stdout"), (2, "stderr")] {
      let path = self.directory.appendingPathComponent(file).path
      unsafe posix_spawn_file_actions_addopen(&actions, number, path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    }
    let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    var argumentPointers = unsafe (["env", "--default-signal=PIPE,INT,QUIT,TERM,HUP"] + arguments).map {
      unsafe strdup($0)
    }
    var variablePointers = unsafe variables.map { unsafe strdup("\($0.key)=\($0.value)") }
    unsafe argumentPointers.append(nil)
    unsafe variablePointers.append(nil)
    defer {
      for index in 0..<(unsafe argumentPointers.count) { unsafe free(argumentPointers[index]) }
      for index in 0..<(unsafe variablePointers.count) { unsafe free(variablePointers[index]) }
    }
    var child: pid_t = 0
    let code = Self.spawning.withLock { _ in
      unsafe posix_spawn(&child, "/usr/bin/env", &actions, nil, argumentPointers, variablePointers)
    }
    if ends[0] >= 0 { close(ends[0]) }
    identifier = child
    guard code == 0 else {
      if ends[1] >= 0 { close(ends[1]) }
      throw Failure(name: name, code: code)
    }
    let waiter = Thread { [self] in
      var status: Int32 = 0
      while unsafe waitpid(identifier, &status, 0) < 0 && errno == EINTR {}
      waitStatus.withLock { $0 = status }
      ended.signal()
    }
    waiter.start()
  }

  deinit { try? closeInput() }

  struct Failure: Error, CustomStringConvertible {
    var name: String
    var code: Int32
    var description: String { unsafe "\(name): \(String(cString: strerror(code)))" }
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

  var isRunning: Bool { waitStatus.withLock { $0 == nil } }

  /// What it has written so far.
  var outputSoFar: String { Self.text(directory.appendingPathComponent("stdout")) }
  var errorsSoFar: String { Self.text(directory.appendingPathComponent("stderr")) }

  func write(_ text: String) throws {
    let bytes = Array(text.utf8)
    let descriptor = inputDescriptor.withLock { $0 }
    var sent = 0
    while descriptor >= 0 && sent < bytes.count {
      let count = unsafe bytes[sent...].withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
      }
      guard count > 0 else { throw Failure(name: name, code: errno) }
      sent += count
    }
  }
  func closeInput() throws {
    let descriptor = inputDescriptor.withLock { value in
      defer { value = -1 }
      return value
    }
    if descriptor >= 0 { close(descriptor) }
  }
  func send(signal: Int32) { if isRunning { kill(identifier, signal) } }

  /// Waits for the end; kills it when the deadline passes.
  ///
  /// - Parameter seconds: what it may take on an idle machine; see `patience`.
  @discardableResult
  func wait(seconds: Double) -> Result {
    var timedOut = false
    if ended.wait(timeout: .now() + seconds * patience) == .timedOut {
      timedOut = true
      kill(identifier, SIGKILL)
      ended.wait()
    }
    ended.signal()
    let elapsed = (ContinuousClock.now - started) / .seconds(1)
    let status = waitStatus.withLock { $0 } ?? 0
    return Result(
      status: status & 0x7F != 0 ? 128 + (status & 0x7F) : (status >> 8) & 0xFF,
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
    if isRunning { kill(identifier, SIGKILL) }
    wait(seconds: 5)
    try? closeInput()
    try? FileManager.default.removeItem(at: directory)
  }

  private static func text(_ url: URL) -> String {
    String(decoding: (try? Data(contentsOf: url)) ?? Data(), as: UTF8.self)
  }
}

/// How many times as long as on an idle machine a wait may last. A wait's limit tells a hang from a slow machine, nothing
/// else: no test passes or fails by how soon something comes.
let patience = 6.0

/// Asks until there is an answer or the time is over: what is awaited happens in another process.
///
/// - Parameter answer: `nil`: not yet; `false`: it will not happen any more.
func poll(seconds: Double, every interval: Double = 0.01, _ answer: () -> Bool?) -> Bool {
  let deadline = ContinuousClock.now + .seconds(seconds * patience)
  while true {
    if let result = answer() { return result }
    if ContinuousClock.now > deadline { return false }
    Thread.sleep(forTimeInterval: interval)
  }
}
