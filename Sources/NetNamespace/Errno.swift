/// An error as the socket calls report it; numbers are Linux's on x86-64 and arm64.
@frozen
public struct Errno: Error, Hashable, Sendable, RawRepresentable, CustomStringConvertible {
  public var rawValue: Int32
  @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let EPERM = Errno(rawValue: 1)
  public static let EINTR = Errno(rawValue: 4)
  public static let EBADF = Errno(rawValue: 9)
  public static let EAGAIN = Errno(rawValue: 11)
  public static let ENOMEM = Errno(rawValue: 12)
  public static let EACCES = Errno(rawValue: 13)
  public static let EFAULT = Errno(rawValue: 14)
  public static let EINVAL = Errno(rawValue: 22)
  public static let EPIPE = Errno(rawValue: 32)
  public static let ENOTSOCK = Errno(rawValue: 88)
  public static let EDESTADDRREQ = Errno(rawValue: 89)
  public static let EMSGSIZE = Errno(rawValue: 90)
  public static let ENOPROTOOPT = Errno(rawValue: 92)
  public static let EPROTONOSUPPORT = Errno(rawValue: 93)
  public static let ESOCKTNOSUPPORT = Errno(rawValue: 94)
  public static let EOPNOTSUPP = Errno(rawValue: 95)
  public static let EAFNOSUPPORT = Errno(rawValue: 97)
  public static let EADDRINUSE = Errno(rawValue: 98)
  public static let EADDRNOTAVAIL = Errno(rawValue: 99)
  public static let ENETDOWN = Errno(rawValue: 100)
  public static let ENETUNREACH = Errno(rawValue: 101)
  public static let ECONNABORTED = Errno(rawValue: 103)
  public static let ECONNRESET = Errno(rawValue: 104)
  public static let ENOBUFS = Errno(rawValue: 105)
  public static let EISCONN = Errno(rawValue: 106)
  public static let ENOTCONN = Errno(rawValue: 107)
  public static let ETIMEDOUT = Errno(rawValue: 110)
  public static let ECONNREFUSED = Errno(rawValue: 111)
  public static let EHOSTDOWN = Errno(rawValue: 112)
  public static let EHOSTUNREACH = Errno(rawValue: 113)
  public static let EALREADY = Errno(rawValue: 114)
  public static let EINPROGRESS = Errno(rawValue: 115)
  public static let EPROTO = Errno(rawValue: 71)

  private static let texts: [Int32: String] = [
    1: "Operation not permitted", 4: "Interrupted system call", 9: "Bad file descriptor",
    11: "Resource temporarily unavailable", 12: "Cannot allocate memory", 13: "Permission denied",
    14: "Bad address", 22: "Invalid argument", 32: "Broken pipe", 71: "Protocol error",
    88: "Socket operation on non-socket", 89: "Destination address required", 90: "Message too long",
    92: "Protocol not available", 93: "Protocol not supported", 94: "Socket type not supported",
    95: "Operation not supported", 97: "Address family not supported by protocol",
    98: "Address already in use", 99: "Cannot assign requested address", 100: "Network is down",
    101: "Network is unreachable", 103: "Software caused connection abort", 104: "Connection reset by peer",
    105: "No buffer space available", 106: "Transport endpoint is already connected",
    107: "Transport endpoint is not connected", 110: "Connection timed out", 111: "Connection refused",
    112: "Host is down", 113: "No route to host", 114: "Operation already in progress",
    115: "Operation now in progress",
  ]
  /// The text that `strerror(3)` gives.
  public var description: String { Self.texts[rawValue] ?? "Unknown error \(rawValue)" }
}
