import NetNamespace
import Timers
import Wire

/// Option values as bytes, the way Linux's `setsockopt` and `getsockopt` exchange them.
enum SocketOptionValue {
  /// An `int`. Longer values are allowed, shorter ones EINVAL.
  static func int(_ bytes: RawSpan) throws(Errno) -> Int32 {
    guard bytes.byteCount >= 4 else { throw .EINVAL }
    return HostOrder.loadInt(bytes, 0)
  }

  /// An `int`, or one byte, as options of the IP level may have it. Linux: `do_ip_setsockopt()`.
  static func intOrByte(_ bytes: RawSpan) throws(Errno) -> Int32 {
    if bytes.byteCount >= 4 { return HostOrder.loadInt(bytes, 0) }
    return bytes.byteCount >= 1 ? Int32(bytes.load8(0)) : 0
  }

  /// The bytes that an `int` of the IP level is read into: where there is no room for one, a byte, if that holds it.
  /// Linux: `do_ip_getsockopt()`.
  static func intOrByte(_ value: Int32, room: Int) -> [UInt8] {
    guard (1..<4).contains(room), let byte = UInt8(exactly: value) else {
      return bytes(UInt32(bitPattern: value))
    }
    return [byte]
  }

  /// An `int` inside a range; EINVAL outside.
  static func int(_ bytes: RawSpan, in range: ClosedRange<Int32>) throws(Errno) -> Int {
    let value = try int(bytes)
    guard range.contains(value) else { throw .EINVAL }
    return Int(value)
  }

  /// A `struct timeval` of two 64-bit numbers: `nil` for 0, "wait for ever"; below zero: do not wait.
  ///
  /// - Throws: EINVAL when short, EDOM when the microseconds are out of range. Linux: `sock_set_timeout()`.
  static func timeout(_ bytes: RawSpan) throws(Errno) -> Nanoseconds? {
    guard bytes.byteCount >= 16 else { throw .EINVAL }
    let seconds = Int64(bitPattern: HostOrder.load64(bytes, 0))
    let microseconds = Int64(bitPattern: HostOrder.load64(bytes, 8))
    guard (0..<1_000_000).contains(microseconds) else { throw Errno(rawValue: 33) }
    if seconds < 0 { return .zero }
    if seconds == 0 && microseconds == 0 { return nil }
    // Longer than anybody waits. Linux: MAX_SCHEDULE_TIMEOUT.
    guard seconds < 1 << 32 else { return nil }
    return .seconds(seconds) + .microseconds(microseconds)
  }

  static func bytes(_ value: Int) -> [UInt8] { bytes(UInt32(truncatingIfNeeded: value)) }
  static func bytes(_ value: Bool) -> [UInt8] { bytes(UInt32(value ? 1 : 0)) }
  static func bytes(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32($0 * 8)) }
  }
  static func bytes(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
  }
  static func bytes(timeout: Nanoseconds?) -> [UInt8] {
    let microseconds = timeout?.microseconds ?? 0
    return bytes(UInt64(bitPattern: microseconds / 1_000_000))
      + bytes(UInt64(bitPattern: microseconds % 1_000_000))
  }

  /// `SO_SNDBUF` and `SO_RCVBUF`: clamped, doubled for what packets cost beside their data, and not below the least.
  /// Linux: `sk_setsockopt()`.
  ///
  /// - Parameter isForced: `SO_SNDBUFFORCE`, `SO_RCVBUFFORCE`: the system's maximum does not hold.
  static func buffer(_ value: Int32, isForced: Bool, maximum: Int, least: Int) -> Int {
    // A negative number is a very large one, and none when it is forced.
    let wanted = isForced ? Int(max(0, value)) : min(Int(UInt32(bitPattern: value)), maximum)
    return max(min(wanted, Int(Int32.max) / 2) * 2, least)
  }
  /// Linux: `SOCK_MIN_SNDBUF`, `SOCK_MIN_RCVBUF`.
  static let leastSendBuffer = 4608
  static let leastReceiveBuffer = 2304
}
