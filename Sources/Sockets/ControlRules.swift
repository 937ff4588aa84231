import InetSocket
import NetNamespace

/// What a socket's options allow a control message to say.
public struct ControlRules: Sendable {
  /// `SO_TXTIME` is on.
  public var hasTransmitTime: Bool
  /// `SO_TIMESTAMPING`.
  public var timestamping: TimestampingFlags

  public init(hasTransmitTime: Bool = false, timestamping: TimestampingFlags = []) {
    self.hasTransmitTime = hasTransmitTime
    self.timestamping = timestamping
  }
}

extension SocketLayer {
  /// - Throws: EBADF.
  mutating func controlRules(_ id: SocketID) throws(Errno) -> ControlRules {
    try withCore(id) { (core) throws(Errno) in
      ControlRules(hasTransmitTime: core.transmitTime != nil, timestamping: core.timestamping)
    }
  }
}
