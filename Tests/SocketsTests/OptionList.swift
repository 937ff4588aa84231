import Sockets

/// An option of Linux's list, and the values to try on it.
struct ListedOption {
  var level: Int32
  var number: Int32
  var name: String
  var values: [[UInt8]]
}

/// Every option of `SOL_SOCKET`, `IPPROTO_TCP`, `IPPROTO_IP` and `IPPROTO_UDP` that Linux's headers name, by number.
enum OptionList {
  static func int(_ value: Int32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> Int32($0 * 8)) }
  }
  private static func long(_ value: Int64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> Int64($0 * 8)) }
  }

  /// Numbers at the edges of what options take, and lengths that are too short or long.
  private static let numbers: [[UInt8]] =
    [
      0, 1, 2, 3, 6, 7, 63, 64, 87, 88, 127, 128, 255, 256, 536, 1460, 5000, 32767, 32768, 65535, 65536,
      1 << 20, -1, -2,
    ]
    .map(int) + [[], [1], [1, 0, 0], int(1) + int(0), int(1) + int(5), int(0) + int(9)]
  private static let times: [[UInt8]] = [
    [], int(1), long(0) + long(0), long(0) + long(252_000), long(1) + long(500_000),
    long(0) + long(1_000_000),
    long(0) + long(-1), long(-1) + long(0), long(1 << 31) + long(0), long(3) + long(4000),
  ]
  private static let groups: [[UInt8]] = [
    [], int(0), [224, 0, 0, 99, 0, 0, 0, 0], [10, 0, 0, 9, 0, 0, 0, 0], [224, 0, 0, 99, 0, 0, 0, 0],
    [224, 0, 0, 98, 0, 0, 0, 0, 0, 0, 0, 0],
    // Interfaces that are not there: by address, by index, and the index before the address.
    [224, 0, 0, 97, 203, 0, 113, 9], [224, 0, 0, 98, 203, 0, 113, 9], [224, 0, 0, 97, 0, 0, 0, 0] + int(999),
    [224, 0, 0, 98, 127, 0, 0, 1] + int(-1), [10, 0, 0, 9, 203, 0, 113, 9],
  ]
  /// Indices in network byte order: the loopback's, one that is not there, and none.
  private static let interfaces: [[UInt8]] = [
    [0, 0, 0, 1], [0, 0, 3, 231], [0, 0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 1], [0xFF, 0, 0, 1],
  ]
  private static let names: [[UInt8]] = [
    [], Array("reno".utf8), Array("cubic".utf8) + [0], Array("nonsense".utf8), [0],
    Array("reno-and-some-more-letters".utf8),
  ]

  private static let devices: [[UInt8]] = [
    [], Array("lo".utf8), Array("no-such".utf8), Array("lo".utf8) + [0, 9, 9, 9], Array("l".utf8), [0],
    Array("lo".utf8) + [UInt8](repeating: 0, count: 40), [0, 0x6C, 0x6F],
    Array("lo-and-some-more-letters".utf8),
  ]

  private static func list(_ level: Int32, _ entries: [(Int32, String)]) -> [ListedOption] {
    entries.map { number, name in
      let values: [[UInt8]] =
        switch name {
        case "SO_RCVTIMEO", "SO_SNDTIMEO", "SO_RCVTIMEO_NEW", "SO_SNDTIMEO_NEW": times
        case "IP_ADD_MEMBERSHIP", "IP_DROP_MEMBERSHIP": groups
        case "IP_UNICAST_IF": numbers + interfaces
        case "TCP_CONGESTION": names
        case "SO_BINDTODEVICE": devices
        default: numbers
        }
      return ListedOption(level: level, number: number, name: name, values: values)
    }
  }

  static let all =
    list(
      SocketOptionLevel.socket,
      [
        (1, "SO_DEBUG"), (2, "SO_REUSEADDR"), (3, "SO_TYPE"), (4, "SO_ERROR"), (5, "SO_DONTROUTE"),
        (6, "SO_BROADCAST"), (7, "SO_SNDBUF"), (8, "SO_RCVBUF"), (9, "SO_KEEPALIVE"), (10, "SO_OOBINLINE"),
        (11, "SO_NO_CHECK"), (12, "SO_PRIORITY"), (13, "SO_LINGER"), (14, "SO_BSDCOMPAT"),
        (15, "SO_REUSEPORT"),
        (16, "SO_PASSCRED"), (17, "SO_PEERCRED"), (18, "SO_RCVLOWAT"), (19, "SO_SNDLOWAT"),
        (20, "SO_RCVTIMEO"),
        (21, "SO_SNDTIMEO"), (25, "SO_BINDTODEVICE"), (26, "SO_ATTACH_FILTER"), (27, "SO_DETACH_FILTER"),
        (28, "SO_PEERNAME"), (29, "SO_TIMESTAMP"), (30, "SO_ACCEPTCONN"), (31, "SO_PEERSEC"),
        (32, "SO_SNDBUFFORCE"), (33, "SO_RCVBUFFORCE"), (34, "SO_PASSSEC"), (35, "SO_TIMESTAMPNS"),
        (36, "SO_MARK"), (37, "SO_TIMESTAMPING"), (38, "SO_PROTOCOL"), (39, "SO_DOMAIN"), (40, "SO_RXQ_OVFL"),
        (41, "SO_WIFI_STATUS"), (42, "SO_PEEK_OFF"), (43, "SO_NOFCS"), (44, "SO_LOCK_FILTER"),
        (45, "SO_SELECT_ERR_QUEUE"), (46, "SO_BUSY_POLL"), (47, "SO_MAX_PACING_RATE"),
        (48, "SO_BPF_EXTENSIONS"), (49, "SO_INCOMING_CPU"), (50, "SO_ATTACH_BPF"),
        (51, "SO_ATTACH_REUSEPORT_CBPF"), (52, "SO_ATTACH_REUSEPORT_EBPF"), (53, "SO_CNX_ADVICE"),
        (55, "SO_MEMINFO"), (56, "SO_INCOMING_NAPI_ID"), (57, "SO_COOKIE"), (59, "SO_PEERGROUPS"),
        (60, "SO_ZEROCOPY"), (61, "SO_TXTIME"), (62, "SO_BINDTOIFINDEX"), (63, "SO_TIMESTAMP_NEW"),
        (64, "SO_TIMESTAMPNS_NEW"), (65, "SO_TIMESTAMPING_NEW"), (66, "SO_RCVTIMEO_NEW"),
        (67, "SO_SNDTIMEO_NEW"), (68, "SO_DETACH_REUSEPORT_BPF"), (69, "SO_PREFER_BUSY_POLL"),
        (70, "SO_BUSY_POLL_BUDGET"), (71, "SO_NETNS_COOKIE"), (72, "SO_BUF_LOCK"), (73, "SO_RESERVE_MEM"),
        (74, "SO_TXREHASH"), (75, "SO_RCVMARK"), (76, "SO_PASSPIDFD"), (77, "SO_PEERPIDFD"),
        (78, "SO_DEVMEM_LINEAR"), (79, "SO_DEVMEM_DMABUF"), (80, "SO_DEVMEM_DONTNEED"),
        (81, "SO_RCVPRIORITY"),
        (120, "SO_120"),
      ])
    + list(
      SocketOptionLevel.tcp,
      [
        (1, "TCP_NODELAY"), (2, "TCP_MAXSEG"), (3, "TCP_CORK"), (4, "TCP_KEEPIDLE"), (5, "TCP_KEEPINTVL"),
        (6, "TCP_KEEPCNT"), (7, "TCP_SYNCNT"), (8, "TCP_LINGER2"), (9, "TCP_DEFER_ACCEPT"),
        (10, "TCP_WINDOW_CLAMP"), (11, "TCP_INFO"), (12, "TCP_QUICKACK"), (13, "TCP_CONGESTION"),
        (14, "TCP_MD5SIG"), (16, "TCP_THIN_LINEAR_TIMEOUTS"), (17, "TCP_THIN_DUPACK"),
        (18, "TCP_USER_TIMEOUT"), (19, "TCP_REPAIR"), (20, "TCP_REPAIR_QUEUE"), (21, "TCP_QUEUE_SEQ"),
        (22, "TCP_REPAIR_OPTIONS"), (23, "TCP_FASTOPEN"), (24, "TCP_TIMESTAMP"), (25, "TCP_NOTSENT_LOWAT"),
        (26, "TCP_CC_INFO"), (27, "TCP_SAVE_SYN"), (28, "TCP_SAVED_SYN"), (29, "TCP_REPAIR_WINDOW"),
        (30, "TCP_FASTOPEN_CONNECT"), (31, "TCP_ULP"), (32, "TCP_MD5SIG_EXT"), (33, "TCP_FASTOPEN_KEY"),
        (34, "TCP_FASTOPEN_NO_COOKIE"), (35, "TCP_ZEROCOPY_RECEIVE"), (36, "TCP_INQ"), (37, "TCP_TX_DELAY"),
        (38, "TCP_AO_ADD_KEY"), (39, "TCP_AO_DEL_KEY"), (40, "TCP_AO_INFO"), (41, "TCP_AO_GET_KEYS"),
        (42, "TCP_AO_REPAIR"), (43, "TCP_IS_MPTCP"), (44, "TCP_RTO_MAX_MS"), (45, "TCP_RTO_MIN_US"),
        (46, "TCP_DELACK_MAX_US"), (120, "TCP_120"),
      ])
    + list(
      SocketOptionLevel.ip,
      [
        (1, "IP_TOS"), (2, "IP_TTL"), (3, "IP_HDRINCL"), (4, "IP_OPTIONS"), (5, "IP_ROUTER_ALERT"),
        (6, "IP_RECVOPTS"), (7, "IP_RETOPTS"), (8, "IP_PKTINFO"), (9, "IP_PKTOPTIONS"),
        (10, "IP_MTU_DISCOVER"), (11, "IP_RECVERR"), (12, "IP_RECVTTL"), (13, "IP_RECVTOS"), (14, "IP_MTU"),
        (15, "IP_FREEBIND"), (16, "IP_IPSEC_POLICY"), (17, "IP_XFRM_POLICY"), (18, "IP_PASSSEC"),
        (19, "IP_TRANSPARENT"), (20, "IP_ORIGDSTADDR"), (21, "IP_MINTTL"), (22, "IP_NODEFRAG"),
        (23, "IP_CHECKSUM"), (24, "IP_BIND_ADDRESS_NO_PORT"), (25, "IP_RECVFRAGSIZE"),
        (26, "IP_RECVERR_RFC4884"), (32, "IP_MULTICAST_IF"), (33, "IP_MULTICAST_TTL"),
        (34, "IP_MULTICAST_LOOP"), (35, "IP_ADD_MEMBERSHIP"), (36, "IP_DROP_MEMBERSHIP"),
        (37, "IP_UNBLOCK_SOURCE"), (38, "IP_BLOCK_SOURCE"), (39, "IP_ADD_SOURCE_MEMBERSHIP"),
        (40, "IP_DROP_SOURCE_MEMBERSHIP"), (41, "IP_MSFILTER"), (42, "MCAST_JOIN_GROUP"),
        (43, "MCAST_BLOCK_SOURCE"), (44, "MCAST_UNBLOCK_SOURCE"), (45, "MCAST_LEAVE_GROUP"),
        (46, "MCAST_JOIN_SOURCE_GROUP"), (47, "MCAST_LEAVE_SOURCE_GROUP"), (48, "MCAST_MSFILTER"),
        (49, "IP_MULTICAST_ALL"), (50, "IP_UNICAST_IF"), (51, "IP_LOCAL_PORT_RANGE"), (52, "IP_PROTOCOL"),
        (120, "IP_120"),
      ])
    + list(
      SocketOptionLevel.udp,
      [
        (1, "UDP_CORK"), (10, "UDPLITE_SEND_CSCOV"), (11, "UDPLITE_RECV_CSCOV"), (100, "UDP_ENCAP"),
        (101, "UDP_NO_CHECK6_TX"), (102, "UDP_NO_CHECK6_RX"),
        (103, "UDP_SEGMENT"), (104, "UDP_GRO"), (120, "UDP_120"),
      ])
    + list(99, [(1, "LEVEL_99")])
}
