import Wire

/// What a sender may choose about the IP header of one packet.
@frozen
public struct IPv4SendOptions: Sendable {
  /// When DF is set (`IP_MTU_DISCOVER`), with Linux's values.
  @frozen
  public enum PathMTUDiscovery: UInt8, Sendable {
    /// Never: packets may be fragmented anywhere.
    case dont = 0
    /// On packets that fit the path MTU; larger ones are fragmented here.
    case want = 1
    /// Always; packets over the path MTU are refused.
    case `do` = 2
    /// Always, and the path MTU is not looked at, only the link's.
    case probe = 3
    /// Never, and only the link's MTU counts: larger packets are refused, ICMP's word of a smaller path is not believed.
    case interface = 4
    /// As `interface`, but larger packets are fragmented here.
    case omit = 5

    /// Packets are made for the path's MTU, not the link's. Linux: `ip_sk_use_pmtu()`.
    @inlinable public var usesPathMTU: Bool { rawValue < Self.probe.rawValue }
    /// What ICMP says about the path is believed. Linux: `ip_sk_accept_pmtu()`.
    @inlinable public var acceptsPathMTU: Bool { rawValue < Self.interface.rawValue }
  }
  public var `protocol`: IPProtocol
  public var typeOfService: UInt8 = 0
  /// 0: the stack's default (`net.ipv4.ip_default_ttl`), 1 for multicast.
  public var timeToLive: UInt8 = 0
  public var pmtuDiscovery = PathMTUDiscovery.want
  /// Bytes of IP options that the packet begins with, in front of its transport header. `IPv4Layer.push(_:onto:...)` puts
  /// them there.
  public var optionByteCount = 0
  /// A time to live of 0, `IP_MULTICAST_TTL`: only our own copy is made.
  public var staysHere = false
  /// `SO_BINDTODEVICE`: a packet that a hook sends another way leaves by it all the same.
  public var device = InterfaceIndex.none
  /// `SO_MARK`.
  public var mark: UInt32 = 0
  /// The identification to use; `nil`: the stack's choice (RFC 6864).
  public var identification: UInt16?
  /// The sender has a peer: its identifications are its own, with and without DF. Linux: `ip_select_ident_segs()`.
  public var isConnected = false
  /// Beside DF, where it says nothing (RFC 6864), its identification is 0. Linux: `ip_select_ident_segs()` for a sender that has
  /// no peer and cuts nothing.
  public var isZeroBesideDF = false
  /// `IP_MULTICAST_LOOP`: a copy of a packet to a group that we are in comes back to us.
  public var multicastLoop = true

  @inlinable public init(protocol number: IPProtocol) { self.protocol = number }
}
