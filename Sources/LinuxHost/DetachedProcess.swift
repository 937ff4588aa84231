import CLinux
import Glibc

/// Starts this program again in the background, in a session of its own, and waits until it says
/// that it is up. A fresh exec instead of fork: Swift's runtime has threads that fork would lose.
public enum DetachedProcess {
  /// How the start went.
  public enum Outcome: Equatable, Sendable {
    /// It is up: its process and what it wants printed.
    case ready(processID: Int32, message: String)
    /// It is not, and why.
    case failed(message: String)
  }

  /// Runs `executable` with `arguments` (the first is the program's name). Standard input is
  /// /dev/null; output and errors go to `logPath`, appended, or nowhere.
  public static func launch(
    executable: String = "/proc/self/exe", arguments: [String], logPath: String? = nil
  ) throws(LinuxError) -> Outcome {
    // Numbers from 10 on: none of them is overwritten while 0 to 3 are being set up in the child.
    let null = try OwnedDescriptor.open("/dev/null", flags: O_RDWR).duplicate(atLeast: 10)
    let log = try OwnedDescriptor.open(
      logPath ?? "/dev/null", flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o640
    ).duplicate(atLeast: 10)
    let pipe = try OwnedDescriptor.pipe()
    let told = try pipe.second.duplicate(atLeast: 10)
    let processID = try spawn(executable, arguments, null.rawValue, log.rawValue, told.rawValue)
    return try outcome(of: processID, pipe, closing: told, logPath)
  }

  private static func outcome(
    of processID: Int32, _ pipe: consuming DescriptorPair, closing told: consuming OwnedDescriptor,
    _ logPath: String?
  ) throws(LinuxError) -> Outcome {
    // Our copies of the write end go first, or the end of the pipe would never come.
    let heard = pipe.keepFirst()
    drop(told)
    var bytes: [UInt8] = []
    while true {
      let piece = try heard.read(upTo: 4096, subject: "the background process")
      if piece.isEmpty { break }
      bytes += piece
    }
    let message = String(decoding: bytes.dropFirst(), as: UTF8.self)
    switch bytes.first {
    case ReadinessPipe.readyMark: return .ready(processID: processID, message: message)
    case ReadinessPipe.failedMark: return .failed(message: message)
    default:
      let hint = logPath.map { "; see \($0)" } ?? ""
      return .failed(message: "the background process \(wait(for: processID)) before it was up\(hint)")
    }
  }

  private static func drop(_ descriptor: consuming OwnedDescriptor) {}

  private static func wait(for processID: Int32) -> String {
    var status: Int32 = 0
    // Safe: one Int32 is what waitpid writes.
    while unsafe waitpid(processID, &status, 0) < 0 {
      if errno != EINTR { return "ended" }
    }
    let signal = status & 0x7F
    return signal == 0 ? "ended with status \(status >> 8 & 0xFF)" : "was killed by signal \(signal)"
  }

  private static func spawn(
    _ executable: String, _ arguments: [String], _ null: Int32, _ log: Int32, _ told: Int32
  ) throws(LinuxError) -> Int32 {
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    // Safe: both are initialized here, used below, and destroyed on the way out.
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
      unsafe posix_spawn_file_actions_destroy(&actions)
      unsafe posix_spawnattr_destroy(&attributes)
    }
    for (from, to) in [(null, 0), (log, 1), (log, 2), (told, ReadinessPipe.number)] {
      unsafe posix_spawn_file_actions_adddup2(&actions, from, Int32(to))
    }
    // Nothing else the parent has open leaks into a process that may run for months.
    unsafe clinux_spawn_close_from(&actions, ReadinessPipe.number + 1)
    unsafe posix_spawnattr_setflags(&attributes, clinux_spawn_set_session)

    let marker = "\(ReadinessPipe.environmentKey)=\(ReadinessPipe.number)"
    let argumentVector = CStringVector(arguments)
    let environment = CStringVector(CStringVector.environment() + [marker])
    var processID: Int32 = 0
    // Safe: both vectors are NULL-terminated and live until the call returns.
    let code = unsafe posix_spawn(
      &processID, executable, &actions, &attributes, argumentVector.pointer, environment.pointer)
    guard code == 0 else { throw LinuxError(code, "start in the background", executable) }
    return processID
  }
}

extension DescriptorPair {
  /// Closes the second.
  consuming func keepFirst() -> OwnedDescriptor { first }
}
