import CLinux
import Glibc

/// The one owner of a file descriptor: closing happens when the owner's life ends, exactly once.
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The number. Valid as long as this value lives; whoever keeps it longer keeps a dangling name.
  public let rawValue: Int32

  /// Takes over a descriptor nobody else will close.
  public init(owning rawValue: Int32) {
    precondition(rawValue >= 0, "a descriptor number is never negative")
    self.rawValue = rawValue
  }

  deinit {
    // Linux frees the number even when close reports EINTR or EIO, so there is nothing to retry.
    _ = close(rawValue)
  }

  /// A duplicate of a number that somebody else owns and keeps: a standard stream.
  public consuming func duplicateAndRelease() throws(LinuxError) -> OwnedDescriptor {
    let result = Result { () throws(LinuxError) in try duplicate().release() }
    _ = release()
    return OwnedDescriptor(owning: try result.get())
  }

  /// Gives up ownership: the caller closes the number from now on.
  public consuming func release() -> Int32 {
    let number = rawValue
    discard self
    return number
  }

  /// Opens a file, always close-on-exec. `flags` are open(2)'s, `mode` counts with `O_CREAT`.
  public static func open(
    _ path: String, flags: Int32, mode: UInt32 = 0, advice: String? = nil
  ) throws(LinuxError) -> OwnedDescriptor {
    // Safe: Swift lends a NUL-terminated copy of the path for the length of the call.
    let number = unsafe clinux_open(path, flags | O_CLOEXEC, mode)
    guard number >= 0 else { throw .last("open", path, advice: advice) }
    return OwnedDescriptor(owning: number)
  }

  /// pipe(2), then marked close-on-exec.
  public static func pipe() throws(LinuxError) -> DescriptorPair {
    var numbers: [Int32] = [-1, -1]
    // Safe: the array has the two places pipe(2) writes.
    let result = unsafe numbers.withUnsafeMutableBufferPointer { unsafe Glibc.pipe($0.baseAddress!) }
    guard result == 0 else { throw .last("make", "a pipe") }
    let pair = DescriptorPair(
      first: OwnedDescriptor(owning: numbers[0]), second: OwnedDescriptor(owning: numbers[1]))
    try pair.first.setCloseOnExec()
    try pair.second.setCloseOnExec()
    return pair
  }

  /// A second descriptor for the same open file (`F_DUPFD_CLOEXEC`).
  public func duplicate(atLeast lowest: Int32 = 0) throws(LinuxError) -> OwnedDescriptor {
    let number = clinux_fcntl(rawValue, F_DUPFD_CLOEXEC, lowest)
    guard number >= 0 else { throw .last("duplicate", "descriptor \(rawValue)") }
    return OwnedDescriptor(owning: number)
  }

  /// Sets or clears `O_NONBLOCK`.
  public func setNonBlocking(_ on: Bool = true) throws(LinuxError) {
    let flags = clinux_fcntl(rawValue, F_GETFL, 0)
    guard flags >= 0 else { throw .last("read the flags of", "descriptor \(rawValue)") }
    let wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
    guard clinux_fcntl(rawValue, F_SETFL, wanted) >= 0 else {
      throw .last("set O_NONBLOCK on", "descriptor \(rawValue)")
    }
  }

  func setCloseOnExec() throws(LinuxError) {
    guard clinux_fcntl(rawValue, F_SETFD, FD_CLOEXEC) >= 0 else {
      throw .last("set FD_CLOEXEC on", "descriptor \(rawValue)")
    }
  }

  /// One read(2), restarted after a signal.
  public func read(into bytes: inout MutableRawSpan) -> DescriptorIO {
    let number = rawValue
    // Safe: pointer and count describe the caller's own span.
    return unsafe bytes.withUnsafeMutableBytes { room in
      DescriptorIO.restarting { unsafe Glibc.read(number, room.baseAddress, room.count) }
    }
  }

  /// One write(2), restarted after a signal. May take fewer bytes than given.
  public func write(_ bytes: RawSpan) -> DescriptorIO {
    let number = rawValue
    // Safe: pointer and count describe the caller's own span.
    return unsafe bytes.withUnsafeBytes { room in
      DescriptorIO.restarting { unsafe Glibc.write(number, room.baseAddress, room.count) }
    }
  }

  /// Writes everything, waiting in poll(2) whenever the descriptor is full.
  public func writeAll(_ bytes: RawSpan, subject: String) throws(LinuxError) {
    var offset = 0
    while offset < bytes.byteCount {
      switch write(bytes.extracting(offset..<bytes.byteCount)) {
      case .bytes(let count): offset += count
      case .wouldBlock: try waitUntilReady(POLLOUT, subject: subject)
      case .error(let code): throw LinuxError(code, "write to", subject)
      }
    }
  }

  /// Reads up to `limit` bytes, waiting if there are none yet; empty at end of file.
  public func read(upTo limit: Int, subject: String) throws(LinuxError) -> [UInt8] {
    while true {
      var result = DescriptorIO.wouldBlock
      let number = rawValue
      // Safe: `count` becomes what read(2) says it wrote, never more than the room it was given.
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { room, count in
        result = DescriptorIO.restarting { unsafe Glibc.read(number, room.baseAddress, limit) }
        if case .bytes(let moved) = result { count = moved }
      }
      switch result {
      case .bytes: return bytes
      case .wouldBlock: try waitUntilReady(POLLIN, subject: subject)
      case .error(let code): throw LinuxError(code, "read from", subject)
      }
    }
  }

  /// poll(2) for one descriptor. Returns false when `milliseconds` (negative: for ever) passed first.
  @discardableResult
  public func waitUntilReady(
    _ events: Int32, milliseconds: Int32 = -1, subject: String
  ) throws(LinuxError) -> Bool {
    var entry = pollfd(fd: rawValue, events: Int16(truncatingIfNeeded: events), revents: 0)
    while true {
      // Safe: one entry, and the count says one.
      let result = unsafe poll(&entry, 1, milliseconds)
      if result >= 0 { return result > 0 }
      guard errno == EINTR else { throw .last("wait for", subject) }
    }
  }

  /// As `waitUntilReady`, of an open descriptor: with it poll(2) fails only for want of memory, and then there is
  /// nothing to wait for. Without events it waits for a hang-up or an error.
  public static func isReady(_ number: Int32, _ events: Int32, milliseconds: Int32) -> Bool {
    var entry = pollfd(fd: number, events: Int16(truncatingIfNeeded: events), revents: 0)
    // Safe: one entry, and the count says one.
    return unsafe poll(&entry, 1, milliseconds) > 0
  }
}

/// Two descriptors born together: a pipe's read and write end, or a socket pair.
@frozen
public struct DescriptorPair: ~Copyable, Sendable {
  public var first: OwnedDescriptor
  public var second: OwnedDescriptor
}
