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
      advice: "Run it as root (sudo), or give the program the capability with setcap cap_net_admin+ep.")
  }

  static func contains(_ set: UInt64, _ capability: UInt64) -> Bool { set >> capability & 1 == 1 }
}
