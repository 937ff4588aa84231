import Foundation

/// Names that no other run uses: the run's prefix and a counter. Interface names have at most 15 bytes.
enum Names {
  /// Set by `tools/test`, which removes whatever carries it; otherwise this process's number.
  static let prefix =
    ProcessInfo.processInfo.environment["SWIFTSTACK_TEST_PREFIX"]
    ?? "sst\(ProcessInfo.processInfo.processIdentifier)"

  nonisolated(unsafe) private static var counter = 0
  private static let lock = NSLock()

  /// The next namespace and the interface in it.
  static func next() -> (namespace: String, interface: String) {
    let number = lock.withLock {
      unsafe counter += 1
      return unsafe counter
    }
    return ("\(prefix)n\(number)", "\(prefix)t\(number)")
  }
}
