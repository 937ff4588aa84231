/// An error as the socket calls report it; numbers are Linux's on x86-64 and arm64.
@frozen
public struct Errno: Error, Hashable, Sendable, RawRepresentable, CustomStringConvertible {
  public var rawValue: Int32
  @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let EPERM = Errno(rawValue: 1)
  public static let ENOENT = Errno(rawValue: 2)
  public static let ESRCH = Errno(rawValue: 3)
  public static let EINTR = Errno(rawValue: 4)
  public static let EIO = Errno(rawValue: 5)
  public static let EBADF = Errno(rawValue: 9)
  public static let EAGAIN = Errno(rawValue: 11)
  public static let ENOMEM = Errno(rawValue: 12)
  public static let EACCES = Errno(rawValue: 13)
  public static let EFAULT = Errno(rawValue: 14)
  public static let EBUSY = Errno(rawValue: 16)
  public static let EEXIST = Errno(rawValue: 17)
  public static let ENODEV = Errno(rawValue: 19)
  public static let EINVAL = Errno(rawValue: 22)
  public static let ENOTTY = Errno(rawValue: 25)
  public static let ENOSPC = Errno(rawValue: 28)
  public static let EPIPE = Errno(rawValue: 32)
  public static let ERANGE = Errno(rawValue: 34)
  public static let EDEADLK = Errno(rawValue: 35)
  public static let ENOMSG = Errno(rawValue: 42)
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
  /// The task that waited was cancelled.
  public static let ECANCELED = Errno(rawValue: 125)
  public static let EKEYREJECTED = Errno(rawValue: 129)

  private static let texts: [Int32: String] = [
    1: "Operation not permitted", 2: "No such file or directory", 3: "No such process",
    4: "Interrupted system call", 5: "Input/output error", 6: "No such device or address",
    7: "Argument list too long", 8: "Exec format error", 9: "Bad file descriptor",
    10: "No child processes", 11: "Resource temporarily unavailable", 12: "Cannot allocate memory",
    13: "Permission denied", 14: "Bad address", 15: "Block device required", 16: "Device or resource busy",
    17: "File exists", 18: "Invalid cross-device link", 19: "No such device", 20: "Not a directory",
    21: "Is a directory", 22: "Invalid argument", 23: "Too many open files in system",
    24: "Too many open files", 25: "Inappropriate ioctl for device", 26: "Text file busy",
    27: "File too large", 28: "No space left on device", 29: "Illegal seek", 30: "Read-only file system",
    31: "Too many links", 32: "Broken pipe", 33: "Numerical argument out of domain",
    34: "Numerical result out of range", 35: "Resource deadlock avoided", 36: "File name too long",
    37: "No locks available", 38: "Function not implemented", 39: "Directory not empty",
    40: "Too many levels of symbolic links", 42: "No message of desired type", 43: "Identifier removed",
    44: "Channel number out of range", 45: "Level 2 not synchronized", 46: "Level 3 halted",
    47: "Level 3 reset", 48: "Link number out of range", 49: "Protocol driver not attached",
    50: "No CSI structure available", 51: "Level 2 halted", 52: "Invalid exchange",
    53: "Invalid request descriptor", 54: "Exchange full", 55: "No anode", 56: "Invalid request code",
    57: "Invalid slot", 59: "Bad font file format", 60: "Device not a stream", 61: "No data available",
    62: "Timer expired", 63: "Out of streams resources", 64: "Machine is not on the network",
    65: "Package not installed", 66: "Object is remote", 67: "Link has been severed",
    68: "Advertise error", 69: "Srmount error", 70: "Communication error on send", 71: "Protocol error",
    72: "Multihop attempted", 73: "RFS specific error", 74: "Bad message",
    75: "Value too large for defined data type", 76: "Name not unique on network",
    77: "File descriptor in bad state", 78: "Remote address changed",
    79: "Can not access a needed shared library", 80: "Accessing a corrupted shared library",
    81: ".lib section in a.out corrupted", 82: "Attempting to link in too many shared libraries",
    83: "Cannot exec a shared library directly", 84: "Invalid or incomplete multibyte or wide character",
    85: "Interrupted system call should be restarted", 86: "Streams pipe error", 87: "Too many users",
    88: "Socket operation on non-socket", 89: "Destination address required", 90: "Message too long",
    91: "Protocol wrong type for socket", 92: "Protocol not available", 93: "Protocol not supported",
    94: "Socket type not supported", 95: "Operation not supported", 96: "Protocol family not supported",
    97: "Address family not supported by protocol", 98: "Address already in use",
    99: "Cannot assign requested address", 100: "Network is down", 101: "Network is unreachable",
    102: "Network dropped connection on reset", 103: "Software caused connection abort",
    104: "Connection reset by peer", 105: "No buffer space available",
    106: "Transport endpoint is already connected", 107: "Transport endpoint is not connected",
    108: "Cannot send after transport endpoint shutdown", 109: "Too many references: cannot splice",
    110: "Connection timed out", 111: "Connection refused", 112: "Host is down", 113: "No route to host",
    114: "Operation already in progress", 115: "Operation now in progress", 116: "Stale file handle",
    117: "Structure needs cleaning", 118: "Not a XENIX named type file",
    119: "No XENIX semaphores available", 120: "Is a named type file", 121: "Remote I/O error",
    122: "Disk quota exceeded", 123: "No medium found", 124: "Wrong medium type",
    125: "Operation canceled", 126: "Required key not available", 127: "Key has expired",
    128: "Key has been revoked", 129: "Key was rejected by service", 130: "Owner died",
    131: "State not recoverable", 132: "Operation not possible due to RF-kill",
    133: "Memory page has hardware error",
  ]
  /// The text that `strerror(3)` gives.
  public var description: String { Self.texts[rawValue] ?? "Unknown error \(rawValue)" }
}
