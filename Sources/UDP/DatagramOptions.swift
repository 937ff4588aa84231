import IPv4
import NetNamespace

/// What `setsockopt` sets on a datagram socket. Linux: `struct sock`, `inet_sock`, `udp_sock`.
public struct DatagramOptions: Sendable {
  /// `SO_SNDBUF`, `SO_RCVBUF` in bytes, as Linux doubles them.
  public var sendBuffer: Int
  public var receiveBuffer: Int
  /// `SO_REUSEADDR`, `SO_REUSEPORT`.
  public var reuseAddress = false
  public var reusePort = false
  /// `SO_BROADCAST`: without it a broadcast destination is EACCES.
  public var broadcast = false
  /// `SO_NO_CHECK`: datagrams go out with checksum 0.
  public var noChecksum = false
  /// `SO_DONTROUTE`: destinations on the link only.
  public var dontRoute = false
  /// `SO_PRIORITY`, `SO_MARK`.
  public var priority: UInt32 = 0
  public var mark: UInt32 = 0
  /// `IP_TOS`, `IP_TTL` (0: the system's), `IP_MULTICAST_TTL`.
  public var typeOfService: UInt8 = 0
  public var timeToLive: UInt8 = 0
  public var multicastTimeToLive: UInt8 = 1
  /// `IP_MTU_DISCOVER`.
  public var pathMTUDiscovery = IPv4SendOptions.PathMTUDiscovery.want
  /// `IP_RECVERR`: every ICMP error goes to the error queue and to SO_ERROR.
  public var receiveErrors = false
  /// `IP_PKTINFO`, `IP_RECVTTL`, `IP_RECVTOS`: control messages with each datagram.
  public var packetInfo = false
  public var receiveTimeToLive = false
  public var receiveTypeOfService = false
  /// `UDP_CORK`.
  public var cork = false
  /// `UDP_SEGMENT`: bytes of payload in each datagram that a send is cut into, 1 to 65,535; 0: not cut.
  public var segmentByteCount = 0

  public init(settings: NetSettings) {
    sendBuffer = settings.defaultWriteMemory
    receiveBuffer = settings.defaultReadMemory
  }
}
