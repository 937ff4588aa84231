import NetNamespace
import Tables
import Timers

/// What `setsockopt` sets on a TCP socket at the level of its protocol. Linux: `struct tcp_sock`.
///
/// In the order that leaves no holes: every connection has one of these.
public struct TCPSocketOptions: Sendable {
  /// `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT`; `nil`: the system's.
  @TimeLimit public var keepAliveIdle: Nanoseconds? = nil
  @TimeLimit public var keepAliveInterval: Nanoseconds? = nil
  @NarrowOptional public var keepAliveCount: Int? = nil
  /// `TCP_SYNCNT`; `nil`: the system's.
  @NarrowOptional public var synCount: Int? = nil
  /// `TCP_LINGER2`: how long an orphan stays in FIN-WAIT-2; `nil`: the system's. Below zero: not at all.
  @TimeLimit public var finTimeout: Nanoseconds? = nil
  /// `TCP_USER_TIMEOUT` (RFC 5482); `nil`: none.
  @TimeLimit public var userTimeout: Nanoseconds? = nil
  /// `TCP_WINDOW_CLAMP`; 0: none.
  @Narrow<Int32> public var windowClamp = 0
  /// `TCP_NOTSENT_LOWAT` in bytes; 0: none.
  public var notSentLowWater = 0
  /// `TCP_MAXSEG`; `nil`: from the route.
  @NarrowOptional public var maximumSegment: Int? = nil
  /// `TCP_NODELAY`.
  public var noDelay = false
  /// `TCP_CORK`.
  public var cork = false
  /// `TCP_DEFER_ACCEPT`: how many SYN-ACK retransmissions a connection waits for data before it is given to the
  /// acceptor without; 0: none.
  public var deferAcceptRetransmits: UInt8 = 0
  /// `TCP_FASTOPEN`: connections with data in their SYN whose handshake may be open at once; 0: no such data is taken.
  @Narrow<Int32> public var fastOpenQueue = 0
  /// `TCP_FASTOPEN_CONNECT`.
  public var fastOpenConnect = false
  /// `TCP_FASTOPEN_NO_COOKIE`.
  public var fastOpenWithoutCookie = false
  /// `TCP_TX_DELAY`: microseconds that each segment leaves later, where the device's queue heeds departure times.
  public var transmitDelay: UInt32 = 0
  /// `TCP_THIN_LINEAR_TIMEOUTS`: while few segments are outstanding the first timeouts follow each other at the same distance.
  public var thinLinearTimeouts = false
  /// `TCP_SAVE_SYN`: 1: accepted connections keep the headers of their SYN from IP on; 2: from the link layer on.
  public var saveSyn: UInt8 = 0
  /// `TCP_CONGESTION`; `nil`: the system's.
  public var congestionControl: CongestionControlKind? = nil

  public init() {}
}
