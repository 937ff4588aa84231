import Control
import Glibc
import SwiftStack

/// A host as the user names it, to an IPv4 address: numbers as they are, names through the system's resolver.
enum HostName {
  static func resolve(_ text: String) throws -> IPv4Address {
    if let address = IPv4Address(text) { return address }
    var hints = unsafe addrinfo()
    unsafe hints.ai_family = AF_INET
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    // Safe: getaddrinfo fills `list`, which is freed below and read only in between.
    let result = unsafe getaddrinfo(text, nil, &hints, &list)
    guard result == 0, let first = unsafe list, let socketAddress = unsafe first.pointee.ai_addr else {
      let reason = unsafe String(cString: gai_strerror(result))
      throw ControlError("cannot find the host \"\(text)\": \(reason). Give its IPv4 address.")
    }
    defer { unsafe freeaddrinfo(first) }
    // Safe: AF_INET was asked for, so the address is a sockaddr_in.
    let raw = unsafe UnsafeRawPointer(socketAddress).loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr
    return IPv4Address(UInt32(bigEndian: raw))
  }
}
