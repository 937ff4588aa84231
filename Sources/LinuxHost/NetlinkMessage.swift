/// One received message of a reply, copied out of the socket's buffer.
struct NetlinkMessage {
  /// RTM_NEWLINK, RTM_NEWADDR, ...
  let type: UInt16
  /// Everything after the `nlmsghdr`.
  let payload: [UInt8]

  /// The family's fixed part; `nil` if the message is too short for it.
  func fixedPart<T: BitwiseCopyable>(as type: T.Type) -> T? {
    guard payload.count >= MemoryLayout<T>.size else { return nil }
    // Safe: the length was just checked, and the netlink structures are plain integers.
    return unsafe payload.withUnsafeBytes { unsafe $0.loadUnaligned(as: T.self) }
  }

  /// The attributes behind a fixed part.
  func attributes<T: BitwiseCopyable>(after type: T.Type) -> NetlinkAttributes {
    NetlinkAttributes(payload.dropFirst((MemoryLayout<T>.size + 3) & ~3))
  }
}
