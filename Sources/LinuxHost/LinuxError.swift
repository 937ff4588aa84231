import Glibc

/// What the kernel refused: the errno, what was tried, on what, and, where it helps, what to do
/// about it. Every throwing function of this module throws this type and nothing else.
public struct LinuxError: Error, Equatable, Sendable {
  /// The `errno` value. Checks made before any system call use the errno the kernel would give.
  public var code: Int32
  /// What was tried, as a phrase that follows "cannot": `open`, `set the MTU of`.
  public var operation: String
  /// What it was tried on: a path, an interface name, an address.
  public var subject: String
  /// Why, when a sentence says more than the errno's text does.
  public var reason: String?
  /// What the user can do, one full sentence.
  public var advice: String?
  /// The kernel's own words (netlink extended acknowledgement, `NLMSGERR_ATTR_MSG`).
  public var kernelMessage: String?

  public init(
    _ code: Int32, _ operation: String, _ subject: String, reason: String? = nil, advice: String? = nil,
    kernelMessage: String? = nil
  ) {
    self.code = code
    self.operation = operation
    self.subject = subject
    self.reason = reason
    self.advice = advice
    self.kernelMessage = kernelMessage
  }

  /// The error the system call that has just failed on this thread left in `errno`.
  static func last(_ operation: String, _ subject: String, advice: String? = nil) -> LinuxError {
    LinuxError(errno, operation, subject, advice: advice)
  }

  /// The C library's sentence for an errno, `No such file or directory`.
  public static func text(of code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 128)
    // Safe: the pointer and count are one array's; the XSI strerror_r writes within them.
    let failed = unsafe buffer.withUnsafeMutableBufferPointer { room in
      unsafe strerror_r(code, room.baseAddress!, room.count) != 0
    }
    if failed { return "Unknown error \(code)" }
    let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension LinuxError: CustomStringConvertible {
  /// One line: `cannot open /dev/net/tun: No such file or directory. Load the driver with ...`.
  public var description: String {
    var line = "cannot \(operation)"
    if !subject.isEmpty { line += " \(subject)" }
    line += ": \(reason ?? LinuxError.text(of: code))"
    if let kernelMessage { line += " (kernel: \(kernelMessage))" }
    if let advice { line += ". \(advice)" }
    return line
  }
}
