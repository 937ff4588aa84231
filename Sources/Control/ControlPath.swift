import FoundationEssentials
import Glibc
import LinuxHost

/// A control socket: the stack on `interface`, whose Linux side is in the network namespace of that number.
public struct ControlEndpoint: Equatable, Sendable {
  /// The stack's interface.
  public var interface: String
  /// The network namespace's inode number, as in `readlink /proc/self/ns/net`.
  public var namespace: UInt64
  /// Where the socket is.
  public var path: String

  public init(interface: String, namespace: UInt64, path: String) {
    self.interface = interface
    self.namespace = namespace
    self.path = path
  }
}

/// Where the control sockets are: `/run/swiftstack/IFNAME:NAMESPACE.sock`, one for each interface of each network
/// namespace. A user other than root has a folder of their own instead, in `$XDG_RUNTIME_DIR`.
public enum ControlPath {
  static let systemFolder = "/run/swiftstack"

  /// Where this user's stacks put their sockets.
  public static var ownFolder: String { geteuid() == 0 ? systemFolder : userFolder }

  private static var userFolder: String {
    let folder = ProcessInfo.processInfo.environment["XDG_RUNTIME_DIR"] ?? "/run/user/\(geteuid())"
    return "\(folder)/swiftstack"
  }

  /// No interface's name has a colon in it.
  public static func socket(of interface: InterfaceName, namespace: UInt64, in folder: String = ownFolder)
    -> String
  {
    "\(folder)/\(interface):\(namespace).sock"
  }

  /// The control sockets that exist, sorted; a daemon that was killed may have left one behind.
  public static func endpoints() -> [ControlEndpoint] {
    let folders = geteuid() == 0 ? [systemFolder] : [userFolder, systemFolder]
    return folders.flatMap { folder in
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      return names.sorted().compactMap { endpoint(file: $0, in: folder) }
    }
  }

  static func endpoint(file: String, in folder: String) -> ControlEndpoint? {
    guard file.hasSuffix(".sock"), let colon = file.lastIndex(of: ":"),
      let namespace = UInt64(file[file.index(after: colon)...].dropLast(5))
    else { return nil }
    return ControlEndpoint(
      interface: String(file[..<colon]), namespace: namespace, path: "\(folder)/\(file)")
  }

  /// Which of the stacks that run a client means.
  ///
  /// - Parameters:
  ///   - interface: the name it gave, if any.
  ///   - namespace: the namespace it asked for; `nil`: its own goes before others.
  ///   - own: its own namespace.
  static func choose(
    interface: String?, namespace: UInt64?, own: UInt64, among live: [ControlEndpoint]
  ) throws(ControlError) -> ControlEndpoint {
    let named = live.filter { (interface == nil || $0.interface == interface) }
    let found: [ControlEndpoint]
    if let namespace {
      found = named.filter { $0.namespace == namespace }
    } else {
      let near = named.filter { $0.namespace == own }
      found = near.isEmpty ? named : near
    }
    guard let first = found.first else {
      let place = namespace == nil ? "" : " in that network namespace"
      guard let interface else {
        throw ControlError("no stack is running\(place). Start one with \"sudo swiftstack up tap0\".")
      }
      throw ControlError(
        "no stack is running on \(interface)\(place). Start one with \"sudo swiftstack up \(interface)\".")
    }
    guard found.count > 1 else { return first }
    if Set(found.map(\.interface)).count == found.count {
      throw ControlError(
        "several stacks run: \(found.map(\.interface).joined(separator: ", ")). Pick one with --interface, "
          + "for example --interface \(first.interface).")
    }
    let list = found.map { "\($0.interface) in net:[\($0.namespace)]" }.joined(separator: ", ")
    throw ControlError(
      "several stacks run: \(list). Pick one with --interface and --netns, or run this inside its namespace "
        + "(ip netns exec).")
  }
}
