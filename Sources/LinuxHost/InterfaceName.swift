import Glibc

/// A network interface's name, known to be one the kernel takes: 1 to 15 bytes, no `/`, no `:`,
/// no white space, not `.` or `..`. Linux: dev_valid_name().
public struct InterfaceName: Hashable, Sendable, CustomStringConvertible {
  /// IFNAMSIZ less the terminating NUL.
  public static let longest = 15

  /// The name.
  public let text: String

  public init(_ text: String) throws(LinuxError) {
    let bytes = text.utf8
    var reason: String?
    if bytes.isEmpty {
      reason = "an interface name has at least one character"
    } else if bytes.count > Self.longest {
      reason = "an interface name has at most \(Self.longest) bytes, this one has \(bytes.count)"
    } else if text == "." || text == ".." {
      reason = "an interface cannot be named \"\(text)\""
    } else if let bad = bytes.first(where: { $0 == 0x2F || $0 == 0x3A || $0 <= 0x20 || $0 == 0x7F }) {
      let shown =
        bad == 0x2F || bad == 0x3A
        ? "\"\(Character(UnicodeScalar(bad)))\"" : "white space or a control character"
      reason = "an interface name cannot contain \(shown)"
    } else if bytes.contains(0x25) {
      // The kernel would take "tap%d" as a pattern and pick a number; callers here name one interface.
      reason = "an interface name cannot contain \"%\""
    }
    if let reason {
      let code = bytes.count > Self.longest ? ENAMETOOLONG : EINVAL
      throw LinuxError(code, "use the interface name", "\"\(text)\"", reason: reason)
    }
    self.text = text
  }

  /// A name the kernel itself reported.
  init(fromKernel text: String) { self.text = text }

  public var description: String { text }
}
