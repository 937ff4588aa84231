import Timers

/// The stack's sysctls, with Linux's names and defaults.
public struct NetSettings: Sendable {
  /// `net.ipv4.tcp_wmem`: least, first and most bytes of a socket's send buffer.
  public var tcpWriteMemory = (least: 4096, initial: 16384, most: 4 << 20)
  /// `net.ipv4.tcp_rmem`.
  public var tcpReadMemory = (least: 4096, initial: 131_072, most: 6 << 20)
  /// `net.ipv4.tcp_mem`, in pages of 4 KiB for each shard: where memory pressure ends and begins, and what is kept at most;
  /// `nil`: three, four and six eighths of the shard's packet memory.
  public var tcpMemory: (least: Int, initial: Int, most: Int)?
  /// `net.ipv4.udp_rmem_min`: what a datagram socket may keep when memory is short.
  public var udpReadMemoryLeast = 4096
  /// `net.ipv4.tcp_max_orphans`: connections whose owner has closed them. Each may hold its send buffer.
  public var maximumOrphans = 8192
  /// `net.core.wmem_default`, `net.core.rmem_default`.
  public var defaultWriteMemory = 212_992
  public var defaultReadMemory = 212_992
  /// `net.core.wmem_max`, `net.core.rmem_max`: what SO_SNDBUF and SO_RCVBUF are clamped to.
  public var maximumWriteMemory = 4 << 20
  public var maximumReadMemory = 4 << 20
  /// `net.ipv4.tcp_early_retrans`: 3 and 4 probe the tail of a flight that nobody acknowledges (RFC 8985 section 7).
  public var tcpEarlyRetransmit = 3
  /// `net.ipv4.tcp_recovery`: how losses are told from reordering (RFC 8985).
  public var tcpRecovery: LossDetection = .recentAcknowledgment
  /// `net.ipv4.tcp_reordering`: so many segments that arrived behind a hole are no reordering, until the path has been seen to
  /// do more; `tcp_max_reordering`: that is believed up to here.
  public var tcpReordering = 3
  public var tcpMaximumReordering = 300
  /// `net.ipv4.tcp_frto`: other than 0: new data finds out whether a timeout was needless (RFC 5682).
  public var tcpFRTO = 2
  /// `net.ipv4.tcp_mtu_probing`: 1 looks for a packet size that passes when nothing gets through, 2 always (RFC 4821).
  public var tcpMTUProbing = 0
  /// `net.ipv4.tcp_base_mss`: payload that every path is thought to take, where that search begins;
  /// `tcp_mtu_probe_floor`: it goes no lower.
  public var tcpBaseMSS = 1024
  public var tcpMTUProbeFloor = 48
  /// `net.ipv4.tcp_probe_interval`: when the search begins anew; `tcp_probe_threshold`: a range of so few bytes is not
  /// searched.
  public var tcpProbeInterval = Nanoseconds.seconds(600)
  public var tcpProbeThreshold = 8
  /// `net.ipv4.tcp_slow_start_after_idle`: a congestion window that nothing has used shrinks (RFC 2861).
  public var tcpSlowStartAfterIdle = true
  /// `net.core.max_skb_frags`: pieces of memory that a segment is filled with.
  public var maximumFragments = 17
  /// `net.ipv4.tcp_syn_retries`, `tcp_synack_retries`, `tcp_retries1`, `tcp_retries2`.
  public var tcpSynRetries = 6
  public var tcpSynackRetries = 5
  public var tcpRetries1 = 3
  public var tcpRetries2 = 15
  /// `net.ipv4.tcp_syn_linear_timeouts`: SYNs sent again before the timer doubles.
  public var tcpSynLinearTimeouts = 4
  /// `net.ipv4.tcp_orphan_retries`; 0 means 8.
  public var tcpOrphanRetries = 0
  /// `net.ipv4.tcp_fin_timeout`.
  public var tcpFinTimeout = Nanoseconds.seconds(60)
  /// `net.ipv4.tcp_keepalive_time`, `_intvl`, `_probes`.
  public var tcpKeepaliveTime = Nanoseconds.seconds(7200)
  public var tcpKeepaliveInterval = Nanoseconds.seconds(75)
  public var tcpKeepaliveProbes = 9
  /// `net.ipv4.tcp_timestamps`, `tcp_sack`, `tcp_window_scaling`.
  public var tcpTimestamps = true
  public var tcpSack = true
  public var tcpWindowScaling = true
  /// `net.ipv4.tcp_ecn`: 0: never; 1: asked for and granted; 2: granted to who asks (RFC 3168). 3: Accurate ECN (RFC 9768)
  /// is asked for and granted; 4: it is granted, and RFC 3168 asked for; 5: it is granted, and nothing asked for.
  public var tcpECN = 2
  /// `net.ipv4.tcp_ecn_option`: the AccECN option is sent 0: never; 1: when there is news to tell; 2: whenever it fits.
  public var tcpECNOption = 2
  /// `net.ipv4.tcp_ecn_option_beacon`: how often in a round trip it is sent at the least, news or not; 0: not for that.
  public var tcpECNOptionBeacon = 3
  /// `net.ipv4.tcp_ecn_fallback`: a SYN that goes again does not ask for it.
  public var tcpECNFallback = true
  /// `net.ipv4.tcp_congestion_control`.
  public var tcpCongestionControl = CongestionControlKind.cubic
  /// `net.ipv4.tcp_autocorking`.
  public var tcpAutocorking = true
  /// `net.ipv4.tcp_fastopen`.
  public var tcpFastOpen: FastOpenUse = .client
  /// `net.ipv4.tcp_fastopen_key`; `nil`: one that the stack picks.
  public var tcpFastOpenKeys: FastOpenKeys?
  /// `net.ipv4.tcp_fastopen_blackhole_timeout_sec`: for how long at first no data goes in a SYN after a path has lost
  /// such connections; zero: it goes again at once.
  public var tcpFastOpenBlackholeTimeout = Nanoseconds.zero
  /// `net.core.somaxconn`, `net.ipv4.tcp_max_syn_backlog`.
  public var maximumBacklog = 4096
  public var maximumSynBacklog = 2048
  /// `net.ipv4.tcp_syncookies`: 1: SYNs that a listener has no room for are answered by cookies (RFC 4987 3.6), 2: all,
  /// 0: none; then the oldest of `maximumSynBacklog` requests makes room, where Linux drops the newest.
  public var tcpSynCookies = 1
  /// `net.ipv4.tcp_limit_output_bytes`.
  public var tcpLimitOutput = 4 << 20
  /// `net.ipv4.tcp_max_tw_buckets`.
  public var maximumTimeWait = 131_072
  /// `net.ipv4.ip_local_port_range`.
  public var localPorts: ClosedRange<UInt16> = 32768...60999
  /// `net.ipv4.ipfrag_time`, `ipfrag_high_thresh` in bytes, `ipfrag_max_dist`.
  public var reassemblyTime = Nanoseconds.seconds(30)
  public var reassemblyMemory = 4 << 20
  /// `ipfrag_low_thresh`, which Linux keeps for those who set it; nothing looks at it.
  public var reassemblyLowMemory = 3 << 20
  public var reassemblyDistance = 64
  /// `net.ipv4.route.mtu_expires`, `min_pmtu`.
  public var pathMTUExpires = Nanoseconds.seconds(600)
  /// `net.ipv4.route.gc_timeout`: for how long a redirect is followed.
  public var redirectExpires = Nanoseconds.seconds(300)
  public var leastPathMTU = 552
  /// `net.ipv4.ip_forward`: the stack is a router. One that becomes a router believes no redirects any more (RFC 1812 section
  /// 5.2.7.2), unless it is told so afterwards. Linux: `inet_forward_change()`.
  public var forwards = false {
    didSet { if forwards != oldValue { allInterfaces.acceptsRedirects = !forwards } }
  }
  /// `net.ipv4.ip_forward_use_pmtu`: what was learned of a path's MTU counts for packets of others, too.
  public var forwardUsesPathMTU = false
  /// `net.ipv4.ip_forward_update_priority`: a forwarded packet's priority is that of its type of service.
  public var forwardUpdatesPriority = true
  /// `net.ipv4.conf.all.send_redirects`.
  public var sendsRedirects = true
  /// `net.ipv4.conf.all.rp_filter`.
  public var reversePathFilter = ReversePathFilter.off
  /// `net.ipv4.fib_multipath_hash_policy`: by what a flow gets one of several next hops.
  public var multipathHash = MultipathHash.addresses
  /// `net.ipv4.fib_multipath_hash_fields`, of `MultipathHash.fields`.
  public var multipathHashFields: MultipathHashFields = [.source, .destination, .protocol]
  /// `net.ipv4.fib_multipath_use_neigh`: gateways that do not answer are passed over.
  public var multipathUsesNeighbours = false
  /// `net.netfilter.nf_conntrack_*`.
  public var connections = ConnectionSettings()
  /// `net.ipv4.icmp_ratelimit` per destination and `icmp_msgs_per_sec` overall.
  public var icmpRateLimit = Nanoseconds.seconds(1)
  public var icmpMessagesPerSecond = 1000
  /// `net.ipv4.icmp_echo_ignore_broadcasts`.
  public var icmpIgnoreBroadcasts = true
  /// `net.ipv4.igmp_max_memberships`: most groups of one socket. `net.ipv4.igmp_max_msf`: most sources of one of them.
  public var maximumMemberships = 20
  public var maximumSources = 10
  /// `net.ipv4.igmp_qrv`: how often a change is reported, where the querier does not say.
  public var igmpRobustness = 2
  /// `net.ipv4.igmp_link_local_mcast_reports`: groups of 224.0.0.0/24 are reported, too.
  public var igmpLinkLocalReports = true
  /// `net.ipv4.conf.all.force_igmp_version`; 0: as old as the queriers.
  public var forceIGMPVersion = 0
  /// `net.core.optmem_max`: bytes of an option's value; what a socket's notifications of sends that did not copy may take.
  public var maximumOptionMemory = 131_072
  /// `net.ipv4.ip_default_ttl`.
  public var defaultTimeToLive: UInt8 = 64
  /// `net.ipv4.conf.all`, and of the interface.
  public var allInterfaces = InterfaceSettings(acceptsSourceRoute: false)
  public var interface = InterfaceSettings()
  /// `net.ipv4.neigh.default`.
  public var neighbours = NeighbourParameters()
  /// Most sockets of all kinds, and most connections.
  public var maximumSockets = 1 << 20

  public init() {}

  /// Linux: `tcp_schedule_loss_probe()`.
  public var probesTails: Bool { tcpEarlyRetransmit == 3 || tcpEarlyRetransmit == 4 }
}

/// How losses are told from reordering. Linux: `TCP_RACK_LOSS_DETECTION` and so on.
public struct LossDetection: OptionSet, Hashable, Sendable {
  public var rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }
  /// By time, whether it is set or not, as in Linux since 6.17.
  public static let recentAcknowledgment = LossDetection(rawValue: 1)
  /// D-SACK does not make the reordering window longer.
  public static let staticWindow = LossDetection(rawValue: 2)
  /// Three arrivals behind a hole do not make it a loss before its time.
  public static let noThreshold = LossDetection(rawValue: 4)
}

/// What of a flow decides on its next hop, where there are several. Linux: `fib_multipath_hash_policy`.
@frozen
public enum MultipathHash: Int, Sendable {
  case addresses = 0
  /// Protocol and ports, too.
  case ports = 1
  /// The addresses of a packet in a packet, or its own where it has none inside.
  case inner = 2
  /// Those that are chosen.
  case fields = 3
}

/// Fields of a flow and of what is inside its packets. Linux: `FIB_MULTIPATH_HASH_FIELD_*`.
@frozen
public struct MultipathHashFields: OptionSet, Sendable {
  public var rawValue: Int
  @inlinable public init(rawValue: Int) { self.rawValue = rawValue }
  public static let source = Self(rawValue: 1)
  public static let destination = Self(rawValue: 1 << 1)
  public static let `protocol` = Self(rawValue: 1 << 2)
  /// Of IPv6.
  public static let flowLabel = Self(rawValue: 1 << 3)
  public static let sourcePort = Self(rawValue: 1 << 4)
  public static let destinationPort = Self(rawValue: 1 << 5)

  public static let addresses: Self = [.source, .destination]
  public static let fiveTuple: Self = [.source, .destination, .protocol, .sourcePort, .destinationPort]
  /// What IPv6 says beside its addresses of what it carries.
  public static let sixTuple: Self = [.source, .destination, .protocol, .flowLabel]

  /// Those of the packet itself.
  public var outer: Self { Self(rawValue: rawValue & 0x3F) }
  /// Those of a packet inside it, which follow in the same order.
  public var inner: Self { Self(rawValue: rawValue >> 6) }
}

/// Whether a packet's source has to be where packets to it would go (RFC 3704). Linux: `rp_filter`.
@frozen
public enum ReversePathFilter: Int, Sendable {
  case off = 0
  /// By the device that it came in by.
  case strict = 1
  /// By any device.
  case loose = 2
}

/// Which congestion control a socket uses; `TCP_CONGESTION`.
@frozen
public enum CongestionControlKind: UInt8, Sendable, CaseIterable {
  case reno
  case cubic
  case bbr
  case dctcp
  public var name: String { "\(self)" }
}
