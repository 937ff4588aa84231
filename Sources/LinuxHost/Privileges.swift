import CLinux
import Glibc

/// What the calling thread may do.
public enum Privileges {
  /// CAP_NET_ADMIN, `linux/capability.h`.
  static let networkAdmin: UInt64 = 12

  /// Whether CAP_NET_ADMIN is in the effective set: needed to create a TAP and configure it.
  public static func hasNetworkAdmin() throws(LinuxError) -> Bool {
    try has(networkAdmin)
  }

  static func has(_ capability: UInt64) throws(LinuxError) -> Bool {
    var set: UInt64 = 0
    // Safe: one UInt64 is what the shim writes.
    guard unsafe clinux_effective_capabilities(&set) == 0 else {
      throw .last("read the capabilities of", "this process")
    }
    return contains(set, capability)
  }

  /// Throws EPERM with what to do about it when `hasNetworkAdmin()` is false.
  public static func requireNetworkAdmin(to operation: String, _ subject: String) throws(LinuxError) {
    if try !hasNetworkAdmin() { throw missingNetworkAdmin(operation, subject) }
  }

  static func missingNetworkAdmin(_ operation: String, _ subject: String) -> LinuxError {
    LinuxError(
      EPERM, operation, subject, reason: "this process lacks CAP_NET_ADMIN",
      advice:
        "Run it as root (sudo), or give the program the capability: setcap cap_net_admin+ep \(program). "
        + "Its control socket is then in your own $XDG_RUNTIME_DIR.")
  }

  /// The program that runs, as setcap(8) wants it named.
  private static var program: String {
    var room = [CChar](repeating: 0, count: 4096)
    // Safe: pointer and count are the array's.
    let count = unsafe room.withUnsafeMutableBufferPointer {
      unsafe readlink("/proc/self/exe", $0.baseAddress!, $0.count)
    }
    guard count > 0 else { return "PROGRAM" }
    return String(decoding: room[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Gives up every capability, but CAP_NET_ADMIN for who puts something of an interface back, and all ways to get one
  /// (`no_new_privs`). For the calling thread and those it starts later: to be called before the first.
  public static func drop(keepingNetworkAdmin: Bool = false) throws(LinuxError) {
    let kept: UInt64 = keepingNetworkAdmin ? 1 << networkAdmin : 0
    try forgo(kept)
    guard clinux_keep_capabilities(kept) == 0 else {
      throw .last("give up the capabilities of", "this process")
    }
  }

  /// Gives up all ways to get a capability again, and keeps what is there: who becomes another user still needs two of them, and
  /// cannot do this any more afterwards.
  public static func forgo() throws(LinuxError) { try forgo(0) }

  private static func forgo(_ kept: UInt64) throws(LinuxError) {
    guard clinux_forgo_capabilities(kept) == 0 else {
      throw .last("give up the capabilities of", "this process")
    }
  }

  static func contains(_ set: UInt64, _ capability: UInt64) -> Bool { set >> capability & 1 == 1 }
}
