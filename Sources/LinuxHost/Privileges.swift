import CLinux
import Glibc

/// What the calling thread may do.
public enum Privileges {
  /// CAP_NET_ADMIN, `linux/capability.h`.
  static let networkAdmin: UInt64 = 12

  /// Whether CAP_NET_ADMIN is in the effective set: needed to create a TAP and configure it.
  public static func hasNetworkAdmin() throws(LinuxError) -> Bool {
    var set: UInt64 = 0
    // Safe: one UInt64 is what the shim writes.
    guard unsafe clinux_effective_capabilities(&set) == 0 else {
      throw .last("read the capabilities of", "this process")
    }
    return contains(set, networkAdmin)
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

  /// Gives up what a running stack does not need: every capability, but CAP_NET_ADMIN where something of the interface is
  /// to be put back at the end. For the calling thread and those it starts later: to be called before the first.
  public static func drop(keepingNetworkAdmin: Bool) throws(LinuxError) {
    guard clinux_keep_capabilities(keepingNetworkAdmin ? 1 << networkAdmin : 0) == 0 else {
      throw .last("give up the capabilities of", "this process")
    }
  }

  static func contains(_ set: UInt64, _ capability: UInt64) -> Bool { set >> capability & 1 == 1 }
}
