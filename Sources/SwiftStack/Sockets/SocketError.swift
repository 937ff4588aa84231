/// A socket call that failed: which, why, and to whom it was.
public struct SocketError: Error, Hashable, Sendable, CustomStringConvertible {
  /// `connect`, `sendmsg` ...
  public var operation: String
  /// The error, as `errno` has it.
  public var errno: Errno
  /// The other end or the address asked for, where there is one.
  public var address: SocketAddress?
  /// Bytes of an `async` send that were taken before it failed.
  public var byteCount = 0

  /// An error of a call.
  public init(
    _ operation: String, _ errno: Errno, _ address: SocketAddress? = nil, byteCount: Int = 0
  ) {
    self.operation = operation
    self.errno = errno
    self.address = address
    self.byteCount = byteCount
  }

  /// `connect to 10.0.0.1:80: Connection refused`
  public var description: String {
    let subject =
      switch (operation, address) {
      case (_, nil): ""
      case ("bind", let address?): " \(address)"
      case (_, let address?): " to \(address)"
      }
    let part = byteCount > 0 ? " after \(byteCount) bytes" : ""
    return "\(operation)\(subject): \(errno)\(part)"
  }
}
