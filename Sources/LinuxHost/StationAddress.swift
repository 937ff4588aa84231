import Glibc
import Wire

/// Station addresses that stay the same from one start to the next, so that neighbours find a stack again at once.
/// As systemd's `MACAddressPolicy=persistent`.
public enum StationAddress {
  /// The address of an interface's stack: from this machine, the network namespace and the interface's name.
  ///
  /// - Parameter namespace: as `ip netns` names it; `nil`: the calling thread's.
  public static func stable(interface: InterfaceName, namespace: String?) -> MACAddress {
    let place = namespace.map { "netns:\($0)" } ?? link("/proc/thread-self/ns/net")
    return address(of: [firstLine("/etc/machine-id"), place, interface.text])
  }

  /// Locally administered, unicast, the rest a hash (FNV-1a, then mixed).
  static func address(of parts: [String]) -> MACAddress {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for part in parts {
      for byte in Array(part.utf8) + [0] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }
    hash = (hash ^ hash >> 33) &* 0xFF51_AFD7_ED55_8CCD
    hash ^= hash >> 29
    return MACAddress(0x0200_0000_0000 | hash & 0x00FF_FFFF_FFFF)
  }

  /// What a symbolic link says; empty when it cannot be read.
  private static func link(_ path: String) -> String {
    var buffer = [CChar](repeating: 0, count: 64)
    let count = unsafe readlink(path, &buffer, buffer.count)
    return String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Empty when the file cannot be read.
  private static func firstLine(_ path: String) -> String {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { Glibc.close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 64)
    let count = unsafe read(descriptor, &buffer, buffer.count)
    return String(decoding: buffer.prefix(max(0, count)).prefix { $0 != 10 }, as: UTF8.self)
  }
}
