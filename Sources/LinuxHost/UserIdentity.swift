import CLinux
import Glibc

/// A user to run as, and that user's group.
public struct UserIdentity: Equatable, Sendable {
  public var user: UInt32
  public var group: UInt32
  /// As people call it.
  public var name: String

  public init(user: UInt32, group: UInt32, name: String) {
    self.user = user
    self.group = group
    self.name = name
  }

  /// The user that the process is.
  public static var current: UserIdentity {
    UserIdentity(
      user: geteuid(), group: getegid(), name: entry(ofUser: geteuid())?.name ?? "user \(geteuid())")
  }

  /// By a name that the machine knows, or by a number, which need not be in its list: then the group has the same one.
  public static func named(_ text: String) throws(LinuxError) -> UserIdentity {
    // Safe: the entry is read before anything else asks for one, by a process of one thread.
    if let entry = unsafe getpwnam(text) { return unsafe UserIdentity(entry.pointee) }
    // -1 is what setresuid(2) takes for "as it was".
    guard let number = UInt32(text), number != .max else {
      throw LinuxError(
        EINVAL, "run as", "\"\(text)\"", reason: "there is no user of that name",
        advice: "\"getent passwd\" shows those there are.")
    }
    return entry(ofUser: number) ?? UserIdentity(user: number, group: number, name: "user \(number)")
  }

  /// What the machine's list of users has under a number.
  public static func entry(ofUser number: UInt32) -> UserIdentity? {
    // Safe: as above.
    guard let entry = unsafe getpwuid(number) else { return nil }
    return unsafe UserIdentity(entry.pointee)
  }

  private init(_ entry: passwd) {
    // Safe: a name of the list's ends with a NUL.
    unsafe self.init(user: entry.pw_uid, group: entry.pw_gid, name: String(cString: entry.pw_name))
  }

  /// Makes every thread of the process this user, without further groups and for good. It takes CAP_SETUID and CAP_SETGID,
  /// and, but for root, leaves no capability in effect.
  public func become() throws(LinuxError) {
    guard clinux_become(user, group) == 0 else {
      throw .last(
        "run as", name,
        advice: errno == EPERM ? "It takes CAP_SETUID and CAP_SETGID: run as root." : nil)
    }
  }

  /// Whether the process can become the user: a container's root may lack the capabilities, and a user namespace know no other
  /// user than its own. `nil`: it can; otherwise why not.
  public func obstacle() -> String? {
    for (capability, name) in [(6 as UInt64, "CAP_SETGID"), (7, "CAP_SETUID")]
    where (try? Privileges.has(capability)) != true {
      return "\(name) is missing"
    }
    let users = Self.text("/proc/self/uid_map")
    let groups = Self.text("/proc/self/gid_map")
    guard Self.maps(users, user), Self.maps(groups, group), Self.text("/proc/self/setgroups") != "deny\n"
    else { return "this user namespace has no \(name)" }
    return nil
  }

  /// Whether one of a map's lines, `INSIDE OUTSIDE COUNT`, has the number inside. Linux: user_namespaces(7).
  static func maps(_ text: String, _ number: UInt32) -> Bool {
    text.split(separator: "\n").contains { line in
      let words = line.split(separator: " ").map { UInt64($0) ?? 0 }
      return words.count == 3 && words[0] <= UInt64(number) && UInt64(number) - words[0] < words[2]
    }
  }

  private static func text(_ path: String) -> String {
    guard let file = try? OwnedDescriptor.open(path, flags: O_RDONLY),
      let bytes = try? file.read(upTo: 65536, subject: path)
    else { return "" }
    return String(decoding: bytes, as: UTF8.self)
  }
}
