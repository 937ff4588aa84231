import IPv4
import NetNamespace
import Timers

/// What `setsockopt` sets on a TCP socket.
///
/// In the order that leaves no holes: every connection has one of these.
public struct TCPSocketOptions: Sendable {
  /// `SO_KEEPALIVE` with `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT`; `nil`: the system's.
  public var keepAlive = false
  @NarrowOptional public var keepAliveCount: Int? = nil
  public var keepAliveIdle: Nanoseconds? = nil
  /// `SO_REUSEADDR`, `SO_REUSEPORT`.
  public var reuseAddress = false
  public var reusePort = false
  /// `SO_DONTROUTE`: peers on the link only.
  public var dontRoute = false
  /// `SO_PRIORITY`, `SO_MARK`.
  public var priority: UInt32 = 0
  public var keepAliveInterval: Nanoseconds? = nil
  /// `SO_OOBINLINE`.
  public var outOfBandInline = false
  public var mark: UInt32 = 0
  /// `TCP_LINGER2`: how long an orphan stays in FIN-WAIT-2; `nil`: the system's. Below zero: not at all.
  public var finTimeout: Nanoseconds? = nil
  /// `TCP_NODELAY`.
  public var noDelay = false
  /// `TCP_CORK`.
  public var cork = false
  /// `TCP_DEFER_ACCEPT`: how many SYN-ACK retransmissions a connection waits for data before it is given to the
  /// acceptor without; 0: none.
  public var deferAcceptRetransmits: UInt8 = 0
  /// `TCP_SYNCNT`; `nil`: the system's.
  @NarrowOptional public var synCount: Int? = nil
  /// `TCP_USER_TIMEOUT` (RFC 5482); `nil`: none.
  public var userTimeout: Nanoseconds? = nil
  /// `TCP_CONGESTION`; `nil`: the system's.
  public var congestionControl: CongestionControlKind? = nil
  /// `TCP_MAXSEG`; `nil`: from the route.
  @NarrowOptional public var maximumSegment: Int? = nil
  /// `SO_SNDBUF`, `SO_RCVBUF` in bytes, doubled as Linux doubles them; `nil`: autotuned.
  public var sendBuffer: Int? = nil
  /// `IP_TOS`.
  public var typeOfService: UInt8 = 0
  /// `IP_TTL`; 0: the system's.
  public var timeToLive: UInt8 = 0
  /// `IP_MTU_DISCOVER`: when DF is set, and whether the path MTU is heeded.
  public var pathMTUDiscovery = IPv4SendOptions.PathMTUDiscovery.want
  /// `IP_RECVERR`: an ICMP error about an open connection is a pending error at once.
  public var receiveErrors = false
  public var receiveBuffer: Int? = nil
  /// `TCP_WINDOW_CLAMP`; 0: none.
  @Narrow<Int32> public var windowClamp = 0
  /// `SO_MAX_PACING_RATE` in bytes a second; `.max`: packets leave as the window allows.
  public var maximumPacingRate = UInt64.max
  /// `SO_RCVLOWAT`: bytes that have to be there before a reader is woken.
  public var receiveLowWater = 1
  /// `TCP_NOTSENT_LOWAT` in bytes; 0: none.
  public var notSentLowWater = 0

  public init() {}
}
