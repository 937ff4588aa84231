import IPv4
import InetSocket
import NetNamespace
import Wire

/// What the control messages of one send ask for; `nil`: what the socket's options say. Linux: `struct ipcm_cookie`
/// with `struct sockcm_cookie`.
public struct SendControl: Sendable, Equatable {
  /// `IP_TOS`, `IP_TTL`.
  public var typeOfService: UInt8? = nil
  /// Linux: `IP_TTL`; `nil`: the socket's.
  public var timeToLive: UInt8? = nil
  /// `IP_PKTINFO`: the source address.
  public var source: IPv4Address? = nil
  /// `IP_PKTINFO`: the device to send by; `.none`: as the routes say.
  public var interface = InterfaceIndex.none
  /// `SO_PRIORITY`, `SO_MARK`.
  public var priority: UInt32? = nil
  /// Linux: `SO_MARK`; `nil`: the socket's.
  public var mark: UInt32? = nil
  /// `IP_RETOPTS`: the IP options of this message, none of them among the socket's; `nil`: the socket's.
  public var options: IPv4OptionList? = nil
  /// `UDP_SEGMENT`: 0 to 65,535, else the send is EINVAL.
  public var segmentByteCount: Int? = nil
  /// `SO_TIMESTAMPING`: the socket's flags, with the records that this message asks for instead of the socket's.
  public var timestamping: TimestampingFlags? = nil
  /// `SCM_TS_OPT_ID`: the number of this datagram's time stamps; the socket's count stays where it is.
  public var stampNumber: UInt32? = nil
  /// `SCM_TXTIME`: when it may leave, in nanoseconds of the clock that `SO_TXTIME` chose.
  public var transmitTime: UInt64? = nil

  /// `SCM_DEVMEM_DMABUF`: whose memory is sent, of a stream; `nil` or 0: none's.
  public var deviceMemory: UInt32? = nil

  @inlinable public init() {}

  /// Whether there is something but what is UDP's own: the send has no part in the route that its socket keeps.
  @inlinable public var concernsRoute: Bool {
    typeOfService != nil || timeToLive != nil || source != nil || interface != .none || options != nil
      || concernsSocket
  }

  /// Whether there is something of the level `SOL_SOCKET`.
  @inlinable public var concernsSocket: Bool {
    priority != nil || mark != nil || timestamping != nil || stampNumber != nil || transmitTime != nil
  }
}

/// What is wrong with a datagram's name and with its control messages: told where Linux looks at each, and not at all while
/// a datagram is collected. Linux: the order of `udp_sendmsg()` and `ping_v4_sendmsg()`.
public struct SendRefusals: Sendable {
  /// EINVAL, EAFNOSUPPORT; `nil`: nothing.
  public var name: Errno?
  /// EINVAL, EPERM and so on; `nil`: nothing.
  public var control: Errno?

  @inlinable public init(name: Errno? = nil, control: Errno? = nil) {
    self.name = name
    self.control = control
  }
}
