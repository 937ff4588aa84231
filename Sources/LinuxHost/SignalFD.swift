import CLinux
import Glibc

/// The signals that end or re-read a daemon.
public enum Signal: Int32, Sendable, CaseIterable {
  case hangUp = 1
  case interrupt = 2
  case quit = 3
  case terminate = 15

  /// Whether the process ignores it: started by nohup(1), or in the background by a script.
  public var isIgnored: Bool { clinux_ignores_signal(rawValue) != 0 }

  /// Gives the signal its default action, unless it is ignored.
  public func restoreDefault() {
    if !isIgnored { _ = clinux_default_signal(rawValue) }
  }

  /// Gives the signals of a crash their default action. The runtime's handlers would start a program that looks at the process, and
  /// where that cannot be go on after a signal that somebody has sent.
  public static func restoreCrashDefaults() {
    for number in [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV] { _ = clinux_default_signal(number) }
  }

  /// The name kill(1) lists: `SIGINT`.
  public var name: String {
    switch self {
    case .hangUp: "SIGHUP"
    case .interrupt: "SIGINT"
    case .quit: "SIGQUIT"
    case .terminate: "SIGTERM"
    }
  }
}

/// Signals as readable events in the event loop instead of handlers: signalfd(2).
///
/// Make it before any other thread starts: threads inherit the mask, and a signal is delivered to
/// any thread that does not block it.
public struct SignalFD: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  /// Blocks the signals in the calling thread and receives them here. One that the process was started with ignored
  /// (nohup) stays ignored.
  public init(_ wanted: [Signal] = Signal.allCases) throws(LinuxError) {
    let signals = wanted.filter { !$0.isIgnored }
    let number = try unsafe Self.withSet(of: signals) { set throws(LinuxError) in
      // Safe: both calls only read the set.
      let blocked = unsafe pthread_sigmask(SIG_BLOCK, set, nil)
      guard blocked == 0 else { throw LinuxError(blocked, "block", "signals") }
      let number = unsafe clinux_signalfd(set)
      guard number >= 0 else { throw .last("make", "a signal descriptor") }
      return number
    }
    descriptor = OwnedDescriptor(owning: number)
  }

  /// Takes over a descriptor that `takeDescriptor` gave, in another thread.
  public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  public consuming func takeDescriptor() -> OwnedDescriptor { descriptor }

  /// The next pending signal; `nil` when there is none.
  public func next() -> Signal? {
    var info = [UInt8](repeating: 0, count: 128)
    // Safe: signalfd_siginfo is 128 bytes, the array's size.
    let count = unsafe info.withUnsafeMutableBytes { unsafe read(descriptor.rawValue, $0.baseAddress, 128) }
    // ssi_signo is the structure's first field, below 65 in one byte of a little-endian word.
    return count == 128 ? Signal(rawValue: Int32(info[0])) : nil
  }

  /// Lets the signals through again, for a thread or child that is to die of them.
  public static func unblock(_ signals: [Signal] = Signal.allCases) throws(LinuxError) {
    try unsafe withSet(of: signals) { set throws(LinuxError) in
      // Safe: the call only reads the set.
      let result = unsafe pthread_sigmask(SIG_UNBLOCK, set, nil)
      guard result == 0 else { throw LinuxError(result, "unblock", "signals") }
    }
  }

  /// Makes a write to a closed pipe or socket fail with EPIPE instead of killing the process.
  public static func ignoreBrokenPipe() throws(LinuxError) {
    guard clinux_ignore_signal(SIGPIPE) == 0 else { throw .last("ignore", "SIGPIPE") }
  }

  private static func withSet<R>(
    of signals: [Signal], _ body: (UnsafePointer<sigset_t>) throws(LinuxError) -> R
  ) throws(LinuxError) -> R {
    var set = sigset_t()
    // Safe: the set is a local that outlives every use below.
    unsafe sigemptyset(&set)
    for signal in signals { unsafe sigaddset(&set, signal.rawValue) }
    return try unsafe withUnsafePointer(to: set, body)
  }
}
