import CLinux
import Glibc

/// The child's end of a detached start: says once to the waiting parent that all is up, or why not.
/// A child that dies without a word is noticed by the pipe closing.
public struct ReadinessPipe: ~Copyable, Sendable {
  /// Set in the child's environment to the pipe's descriptor number.
  static let environmentKey = "SWIFTSTACK_READINESS_DESCRIPTOR"
  static let number: Int32 = 3
  static let readyMark = UInt8(ascii: "R")
  static let failedMark = UInt8(ascii: "F")

  private let descriptor: OwnedDescriptor

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// The pipe of this process if `DetachedProcess.launch` started it; `nil` in a foreground process.
  /// Call it once, before any other thread starts: it takes the marker out of the environment.
  public static func inherited() throws(LinuxError) -> ReadinessPipe? {
    // Safe: getenv's string is only compared before anything changes the environment.
    guard let value = unsafe getenv(environmentKey) else { return nil }
    let isOurs = unsafe strcmp(value, "\(number)") == 0
    unsafe unsetenv(environmentKey)
    var status = stat()
    // Safe: one stat structure is what fstat writes.
    guard isOurs, unsafe fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFIFO else { return nil }
    let descriptor = OwnedDescriptor(owning: number)
    try descriptor.setCloseOnExec()
    return ReadinessPipe(descriptor)
  }

  /// All is up: the parent prints `message`, if any, and exits 0.
  public consuming func ready(_ message: String = "") {
    tell(Self.readyMark, message)
  }

  /// It did not come up: the parent prints `message` as the error and exits 1.
  public consuming func fail(_ message: String) {
    tell(Self.failedMark, message)
  }

  private consuming func tell(_ mark: UInt8, _ message: String) {
    let bytes = [mark] + Array(message.utf8)
    // A parent that was killed meanwhile leaves nobody to tell; the daemon goes on regardless.
    try? descriptor.writeAll(bytes.rawBytes, subject: "the parent")
  }
}
