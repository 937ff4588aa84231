import Foundation

/// What has to go when the test process itself is told to end: processes first, then namespaces and files.
enum Interruption {
  nonisolated(unsafe) private static var processes: Set<Int32> = []
  nonisolated(unsafe) private static var namespaces: [String: URL] = [:]
  private static let lock = NSLock()

  /// The write end of a pipe; a signal handler may do no more than write to it.
  nonisolated(unsafe) private static var alarm: Int32 = -1

  private static let installed: Void = {
    let pipe = Pipe()
    unsafe alarm = pipe.fileHandleForWriting.fileDescriptor
    Thread.detachNewThread {
      _ = try? pipe.fileHandleForReading.read(upToCount: 1)
      withExtendedLifetime(pipe) { endEverything() }
      exit(1)
    }
    // Writing to a program that has ended is an error of that test, not the end of all. `ChildProcess` gives its
    // programs the default back.
    signal(SIGPIPE, SIG_IGN)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // A default action comes back at exec, so children are not touched by this.
      signal(number) { _ in
        var byte: UInt8 = 1
        _ = unsafe write(alarm, &byte, 1)
      }
    }
  }()

  static func remember(process: Int32) {
    installed
    lock.withLock { unsafe _ = processes.insert(process) }
  }

  static func forget(process: Int32) {
    lock.withLock { unsafe _ = processes.remove(process) }
  }

  static func remember(namespace: String, directory: URL) {
    installed
    lock.withLock { unsafe namespaces[namespace] = directory }
  }

  /// Removes a namespace and the files of its world.
  static func remove(namespace: String, directory: URL) {
    let known = lock.withLock { unsafe namespaces.removeValue(forKey: namespace) != nil }
    if known { removeNow(namespace: namespace, directory: directory) }
  }

  private static func removeNow(namespace: String, directory: URL) {
    if FileManager.default.fileExists(atPath: "/run/netns/\(namespace)") {
      let remove = Process()
      remove.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      remove.arguments = ["ip", "netns", "del", namespace]
      try? remove.run()
      remove.waitUntilExit()
    }
    try? FileManager.default.removeItem(at: directory)
  }

  private static func endEverything() {
    let (running, spaces) = lock.withLock { unsafe (processes, namespaces) }
    for process in running { kill(process, SIGKILL) }
    for (name, directory) in spaces { removeNow(namespace: name, directory: directory) }
  }
}
