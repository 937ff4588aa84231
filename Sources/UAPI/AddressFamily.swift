/// The address family of a socket. IPv4 is the one in use; the others are named so that callers get EAFNOSUPPORT.
@frozen
public enum AddressFamily: UInt16, Sendable {
  case unspecified = 0
  case inet = 2
  case inet6 = 10
}
