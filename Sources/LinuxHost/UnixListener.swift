import CLinux
import Glibc

/// Whose a socket's path is, and who may connect to it. Linux: connect(2) takes write permission.
public struct UnixSocketAccess: Equatable, Sendable {
  public var user: UInt32
  public var group: UInt32
  public var mode: UInt32

  public init(user: UInt32 = geteuid(), group: UInt32 = getegid(), mode: UInt32 = 0o600) {
    self.user = user
    self.group = group
    self.mode = mode
  }

  /// Nobody may but the user that the process is.
  public static var own: UnixSocketAccess { UnixSocketAccess() }
}

/// A listening UNIX stream socket at a path, non-blocking. The path
/// is removed when this value's life ends. A lock file beside it (`PATH.lock`) keeps two listeners that start at once
/// from taking each other's path for a stale one.
public struct UnixListener: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor
  public let path: String
  /// Which file is ours: somebody may have put another there since.
  private let identity: FileIdentity
  /// Held until the path is gone.
  private var lock: LockFile
  /// Somebody else removes the path.
  private var isLeft = false

  deinit { if !isLeft { removeSocket() } }

  private func removeSocket() {
    if FileIdentity(ofFileAt: path) == identity { UnixSocketPath.remove(path) }
  }

  /// What holds the path: another process that has it open keeps others from the path.
  public var lockDescriptor: Int32 { lock.descriptor.rawValue }

  /// Leaves the removal of the path to another process, which calls `removePath` when this one has ended.
  public mutating func leavePath() {
    isLeft = true
    lock.leavePath()
  }

  /// Removes the path now, and lets others have it.
  public func removePath() {
    removeSocket()
    lock.removePath()
  }

  /// Listens. A socket nobody answers on any more is replaced; one that answers is an error
  /// (EADDRINUSE). The last folder of the path is made (0755) if it is missing.
  public init(at text: String, backlog: Int32 = 64, access: UnixSocketAccess = .own) throws(LinuxError) {
    let operation = "listen on the control socket"
    let path = try UnixSocketPath(text, for: operation)
    try Self.makeFolder(of: text)
    guard let lock = try LockFile.take(text + ".lock") else { throw Self.taken(operation, text) }
    let number = socket(AF_UNIX, clinux_socket_stream, 0)
    guard number >= 0 else { throw .last("make", "a UNIX socket") }
    let descriptor = OwnedDescriptor(owning: number)
    try descriptor.setNonBlocking()
    // Linux gives the path the socket's own mode, less the umask: it is never wider than this.
    guard fchmod(number, access.mode) == 0 else { throw .last("restrict access to", text) }

    // Safe: the address and its length are lent for each call.
    var result = unsafe path.withSocketAddress { unsafe bind(number, $0, $1) }
    if result != 0 && errno == EADDRINUSE {
      try Self.removeStale(path, operation)
      result = unsafe path.withSocketAddress { unsafe bind(number, $0, $1) }
    }
    guard result == 0 else { throw .last(operation, text) }
    guard let identity = FileIdentity(ofFileAt: text) else { throw .last(operation, text) }
    do {
      try Self.giveAway(text, access)
    } catch {
      UnixSocketPath.remove(text)
      throw error
    }
    guard listen(number, backlog) == 0 else {
      let error = LinuxError.last(operation, text)
      UnixSocketPath.remove(text)
      throw error
    }
    self.descriptor = descriptor
    self.path = text
    self.identity = identity
    self.lock = lock
  }

  /// The next waiting client, non-blocking; `nil` if there is none.
  public func accept() throws(LinuxError) -> UnixStream? {
    while true {
      let number = Glibc.accept(descriptor.rawValue, nil, nil)
      if number >= 0 {
        let client = OwnedDescriptor(owning: number)
        try client.setCloseOnExec()
        try client.setNonBlocking()
        return UnixStream(client)
      }
      switch errno {
      case EINTR, ECONNABORTED: continue
      case EAGAIN: return nil
      default: throw .last("accept a client on", path)
      }
    }
  }

  /// Nobody can connect yet: the socket does not listen.
  private static func giveAway(_ path: String, _ access: UnixSocketAccess) throws(LinuxError) {
    if access.user == geteuid() && access.group == getegid() { return }
    // Safe: Swift lends a NUL-terminated copy of the path for the length of the call. The umask may have taken the group's part.
    guard unsafe lchown(path, access.user, access.group) == 0, unsafe chmod(path, access.mode) == 0 else {
      throw .last("give the control socket to user \(access.user):", path)
    }
  }

  private static func removeStale(_ path: UnixSocketPath, _ operation: String) throws(LinuxError) {
    // connect(2) answers ECONNREFUSED for a plain file too; only a socket of ours may be removed.
    if let found = FileIdentity(ofFileAt: path.text), !found.isSocket {
      throw LinuxError(
        EEXIST, operation, path.text, reason: "a file that is not a socket is in the way",
        advice: "Move it away first.")
    }
    let probe = socket(AF_UNIX, clinux_socket_stream, 0)
    guard probe >= 0 else { throw .last("make", "a UNIX socket") }
    let owner = OwnedDescriptor(owning: probe)
    // A live daemon with a full backlog must not make us wait.
    try owner.setNonBlocking()
    // Safe: the address and its length are lent for the call.
    let result = unsafe path.withSocketAddress { unsafe connect(probe, $0, $1) }
    if result != 0 && (errno == ECONNREFUSED || errno == ENOENT) {
      if !UnixSocketPath.remove(path.text) && errno != ENOENT {
        throw .last("remove the old control socket", path.text)
      }
      return
    }
    if result != 0 && errno != EAGAIN {
      throw .last(operation, path.text)
    }
    throw taken(operation, path.text)
  }

  private static func taken(_ operation: String, _ path: String) -> LinuxError {
    LinuxError(
      EADDRINUSE, operation, path, reason: "a stack is already running there",
      advice: "Stop it first, or choose another interface name.")
  }

  private static func makeFolder(of path: String) throws(LinuxError) {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
    try makeFolder(String(path[..<slash]))
  }

  /// Makes a folder (0755) unless it is there.
  public static func makeFolder(_ folder: String) throws(LinuxError) {
    // Safe: Swift lends a NUL-terminated copy of the path for the length of the call.
    if unsafe mkdir(folder, 0o755) != 0 && errno != EEXIST { throw .last("make the folder", folder) }
  }
}

/// Device and inode: whether two names mean one file.
struct FileIdentity: Equatable, Sendable {
  let device: UInt64
  let inode: UInt64
  let isSocket: Bool

  /// `nil` if the descriptor is not open.
  init?(of descriptor: borrowing OwnedDescriptor) {
    var status = stat()
    // Safe: one stat structure is what fstat writes.
    guard unsafe fstat(descriptor.rawValue, &status) == 0 else { return nil }
    self.init(status)
  }

  /// `nil` if there is no such file. A symbolic link counts as itself.
  init?(ofFileAt path: String) {
    var status = stat()
    // Safe: one stat structure is what lstat writes.
    guard unsafe lstat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  private init(_ status: stat) {
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    isSocket = status.st_mode & S_IFMT == S_IFSOCK
  }
}
