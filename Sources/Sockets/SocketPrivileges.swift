/// What the owner of the sockets may do beyond the ordinary. Linux: capabilities of the calling process.
public struct SocketPrivileges: OptionSet, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// `SO_MARK`, `SO_PRIORITY` above 6, `SO_SNDBUFFORCE`, `SO_RCVBUFFORCE`. Linux: `CAP_NET_ADMIN`.
  public static let netAdmin = SocketPrivileges(rawValue: 1)
  /// `SO_BINDTODEVICE` of a socket that has a device. Linux: `CAP_NET_RAW`.
  public static let netRaw = SocketPrivileges(rawValue: 2)

  /// Either capability will do for a mark, and for a priority above 6. Linux: `SO_MARK`, `sk_set_prio_allowed()`.
  public var mayMark: Bool { !isDisjoint(with: [.netAdmin, .netRaw]) }
  /// Of 0 to 6 everybody, of more with a privilege.
  public func maySetPriority(_ priority: UInt32) -> Bool { priority <= 6 || mayMark }
}
