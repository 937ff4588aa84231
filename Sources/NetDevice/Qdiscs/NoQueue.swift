/// No queue: a packet goes to the driver at once or is dropped. Linux: `noqueue`, for software devices.
///
/// A device that sends through another may find itself at the end of its own chain; the guard ends such a loop.
@frozen
public struct NoQueue: Sendable {
  /// Linux: `XMIT_RECURSION_LIMIT`.
  public static let recursionLimit = 8
  public private(set) var depth = 0

  public init() {}

  /// Notes that a transmission begins inside the present one. Linux: `dev_xmit_recursion_inc()`.
  ///
  /// - Returns: false at the limit; nothing was noted then and the packet is to be dropped.
  public mutating func enter() -> Bool {
    guard depth < Self.recursionLimit else { return false }
    depth += 1
    return true
  }
  public mutating func leave() {
    precondition(depth > 0, "a transmission ends that began")
    depth -= 1
  }
}
