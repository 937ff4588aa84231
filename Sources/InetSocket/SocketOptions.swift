import IPv4
import Tables
import Wire
import Timers

/// What `setsockopt` sets at the levels that every socket has, `SOL_SOCKET` and `IPPROTO_IP`. Linux: fields of
/// `struct sock` and `struct inet_sock`. Buffer sizes are the core's.
///
/// Some mean something to one protocol only and are kept by every socket, as Linux keeps them. In the order that leaves
/// no holes: every connection has one of these.
@frozen
public struct SocketOptions: Sendable {
  /// `SO_PRIORITY`.
  public var priority: UInt32 = 0
  /// `SO_MARK`: stands on every packet that the socket sends; rules about routing tables and of netfilter may ask for it.
  public var mark: UInt32 = 0
  /// `SO_LINGER`; Linux keeps the seconds when it is switched off.
  public var lingerSeconds: UInt32 = 0
  /// `SO_RCVLOWAT`: bytes of a stream that have to be there before a reader is woken.
  @Narrow<Int32> public var receiveLowWater = 1
  /// `SO_RCVTIMEO`, `SO_SNDTIMEO`: how long a call waits; `nil`: for ever.
  @TimeLimit public var receiveTimeout: Nanoseconds? = nil
  @TimeLimit public var sendTimeout: Nanoseconds? = nil
  /// `SO_MAX_PACING_RATE` in bytes a second; `.max`: packets leave as the window allows. Of a stream; a datagram socket only
  /// keeps it, as without Linux's fq.
  public var maximumPacingRate = UInt64.max
  public var isLingering = false
  /// `SO_REUSEADDR`, `SO_REUSEPORT`.
  public var reuseAddress = false
  public var reusePort = false
  /// `SO_DONTROUTE`: destinations on the link only.
  public var dontRoute = false
  /// `SO_BROADCAST`: without it a broadcast destination is EACCES.
  public var broadcast = false
  /// `SO_KEEPALIVE`.
  public var keepAlive = false
  /// `SO_OOBINLINE`.
  public var outOfBandInline = false
  /// `SO_NO_CHECK`: datagrams go out with checksum 0. A segment always has its checksum.
  public var noChecksum = false
  /// `SO_ZEROCOPY`: sends may ask with `MSG_ZEROCOPY` for no copy.
  public var zeroCopy = false
  /// `SO_DEBUG`.
  public var debug = false
  /// `IP_TOS`, `IP_TTL` (0: the system's), `IP_MULTICAST_TTL`.
  public var typeOfService: UInt8 = 0
  public var timeToLive: UInt8 = 0
  public var multicastTimeToLive: UInt8 = 1
  /// `IP_MTU_DISCOVER`: when DF is set, and whether the path MTU is heeded.
  public var pathMTUDiscovery = IPv4SendOptions.PathMTUDiscovery.want
  /// `IP_RECVERR`: every ICMP error about a datagram goes to the error queue and to SO_ERROR; one about an open connection
  /// is a pending error at once, and the connection goes on.
  public var receiveErrors = false
  /// `IP_PKTINFO`, `IP_RECVTTL`, `IP_RECVTOS`: control messages with each datagram.
  public var packetInfo = false
  public var receiveTimeToLive = false
  public var receiveTypeOfService = false
  /// `IP_MINTTL`: segments and ICMP errors with a lower time to live are not heard (RFC 5082).
  public var minimumTimeToLive: UInt8 = 0
  /// `SO_BINDTOIFINDEX` as it was set, whether or not such a device is there; 0: none. Linux: `sk_bound_dev_if`.
  public var boundIndex: Int32 = 0

  public init() {}

  /// `SO_BINDTODEVICE`, `SO_BINDTOIFINDEX`: packets come in and go out by this device only, and the port is one on this
  /// device; `.none`: by any.
  @inlinable public var boundDevice: InterfaceIndex {
    InterfaceIndex(rawValue: UInt16(clamping: boundIndex))
  }

  /// What the IP header of a packet of the socket is made by, where nothing else is said for this packet.
  @inlinable public func sendOptions(_ number: IPProtocol) -> IPv4SendOptions {
    var send = IPv4SendOptions(protocol: number)
    send.typeOfService = typeOfService
    send.timeToLive = timeToLive
    send.pmtuDiscovery = pathMTUDiscovery
    send.mark = mark
    send.device = boundDevice
    return send
  }

  /// `SO_LINGER`; `nil` when it is off. Zero: close resets.
  public var linger: Nanoseconds? { isLingering ? .seconds(Int64(lingerSeconds)) : nil }
}
