import Glibc

/// A file that one process at a time holds locked: a name that is taken. The lock goes with its holder, however that
/// ends, and with the processes that it has started by fork(2); the file is removed with this value.
public struct LockFile: ~Copyable, Sendable {
  let descriptor: OwnedDescriptor
  public let path: String
  /// Somebody else does it.
  private var isLeft = false

  private init(descriptor: consuming OwnedDescriptor, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { if !isLeft { removePath() } }

  /// Leaves the removal to another process that has the lock, too.
  mutating func leavePath() { isLeft = true }

  func removePath() {
    // Still locked: whoever has opened the file meanwhile finds, once it has the lock, that the name means another.
    UnixSocketPath.remove(path)
  }

  /// Takes the name. `nil`: somebody else has it.
  public static func take(_ path: String) throws(LinuxError) -> LockFile? {
    while true {
      let descriptor = try OwnedDescriptor.open(path, flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
      guard flock(descriptor.rawValue, LOCK_EX | LOCK_NB) == 0 else {
        if errno == EINTR { continue }
        if errno == EWOULDBLOCK { return nil }
        throw .last("lock", path)
      }
      if means(path, descriptor) { return LockFile(descriptor: descriptor, path: path) }
    }
  }

  /// Whether the name still means the open file: its last holder may have removed it between the open and the lock.
  static func means(_ path: String, _ descriptor: borrowing OwnedDescriptor) -> Bool {
    FileIdentity(of: descriptor) == FileIdentity(ofFileAt: path)
  }
}
