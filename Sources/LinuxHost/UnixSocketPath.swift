import Glibc

/// The path of a UNIX socket, known to fit `sun_path`.
struct UnixSocketPath {
  /// `sun_path` less the terminating NUL.
  static let longest = 107

  let text: String
  private var address = sockaddr_un()

  init(_ text: String, for operation: String) throws(LinuxError) {
    let bytes = Array(text.utf8)
    guard !bytes.isEmpty, bytes.count <= Self.longest, !bytes.contains(0) else {
      throw LinuxError(
        bytes.count > Self.longest ? ENAMETOOLONG : EINVAL, operation, text,
        reason: "a socket's path has 1 to \(Self.longest) bytes, this one has \(bytes.count)")
    }
    self.text = text
    address.sun_family = sa_family_t(AF_UNIX)
    // Safe: at most 107 of the 108 bytes are written, and the rest are zero.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
  }

  /// Calls `bind` or `connect` with the address.
  func withSocketAddress(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    let length = socklen_t(MemoryLayout<sockaddr_un>.size)
    // Safe: a sockaddr_un begins as every sockaddr does, and its length goes with it.
    return unsafe withUnsafePointer(to: address) { pointer in
      unsafe body(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), length)
    }
  }

  /// unlink(2); false with errno set when it fails.
  @discardableResult
  static func remove(_ path: String) -> Bool {
    // Safe: Swift lends a NUL-terminated copy of the path for the length of the call.
    unsafe unlink(path) == 0
  }
}
