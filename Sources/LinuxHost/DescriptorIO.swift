import Glibc

/// The outcome of one non-blocking read or write.
@frozen
public enum DescriptorIO: Equatable, Sendable {
  /// So many bytes moved; a read of 0 is end of file.
  case bytes(Int)
  /// `EAGAIN`: nothing to read, or no room to write.
  case wouldBlock
  /// Any other errno.
  case error(Int32)

  /// Runs a system call until a signal no longer interrupts it.
  static func restarting(_ call: () -> Int) -> DescriptorIO {
    while true {
      let result = call()
      if result >= 0 { return .bytes(result) }
      let code = errno
      if code == EINTR { continue }
      return code == EAGAIN ? .wouldBlock : .error(code)
    }
  }
}
