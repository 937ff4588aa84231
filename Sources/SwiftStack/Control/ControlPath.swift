import FoundationEssentials
import LinuxHost

/// Where the control sockets are: `/run/swiftstack/IFNAME.sock`.
public enum ControlPath {
  public static let folder = "/run/swiftstack"

  public static func socket(of interface: InterfaceName) -> String { "\(folder)/\(interface).sock" }

  /// The interfaces whose control sockets exist, sorted; a daemon that was killed may have left one behind.
  public static func interfaces() -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(".sock") }.map { String($0.dropLast(5)) }.sorted()
  }
}
