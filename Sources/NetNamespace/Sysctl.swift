import Timers

/// A setting by its dotted name: how it is read, written and checked. Linux: `struct ctl_table` with its `proc_handler`.
///
/// Where Linux takes a value that means nothing (a negative time), the range here begins where it means something.
public struct Sysctl: Sendable {
  /// `net.ipv4.ip_default_ttl` and so on; of an interface with IFNAME in its place, see `of(interface:)`.
  public private(set) var name: String
  private let kind: Kind

  private typealias Path<Value> = any WritableKeyPath<NetSettings, Value> & Sendable

  /// What kind of value it is, where it lives, and what it may be.
  private enum Kind: Sendable {
    case count(Path<Int>, ClosedRange<Int>)
    /// A number that is not below another setting's, and one that is not above it.
    case atLeast(Path<Int>, Path<Int>)
    case atMost(Path<Int>, Path<Int>)
    case byte(Path<UInt8>, ClosedRange<Int>)
    case flag(Path<Bool>)
    /// A time in units of so many nanoseconds.
    case time(Path<Nanoseconds>, unit: Int64, ClosedRange<Int>)
    /// Least, first and most bytes of a buffer.
    case buffer(Path<(least: Int, initial: Int, most: Int)>)
    /// Pages where memory pressure ends and begins, and most pages.
    case memory(Path<(least: Int, initial: Int, most: Int)?>)
    case ports(Path<ClosedRange<UInt16>>)
    case congestionControl(Path<CongestionControlKind>)
    case fastOpenKeys(Path<FastOpenKeys?>)
    case reversePathFilter(Path<ReversePathFilter>)
    case multipathHash(Path<MultipathHash>)
  }

  private init(_ name: String, _ kind: Kind) {
    self.name = name
    self.kind = kind
  }

  /// The setting of a name; `nil`: there is none.
  ///
  /// - Parameter interface: what IFNAME stands for.
  public static func named(_ name: String, interface: String = "IFNAME") -> Sysctl? {
    all.lazy.map { $0.of(interface: interface) }.first { $0.name == name }
  }

  /// The same, with the interface's name in its own.
  public func of(interface: String) -> Sysctl {
    let start = "net.ipv4.conf.IFNAME."
    guard name.hasPrefix(start) else { return self }
    var own = self
    own.name = "net.ipv4.conf.\(interface)." + name.dropFirst(start.count)
    return own
  }

  /// The value as `sysctl(8)` shows it.
  public func value(in settings: NetSettings) -> String {
    switch kind {
    case .count(let path, _): return "\(settings[keyPath: path])"
    case .atLeast(let path, _), .atMost(let path, _): return "\(settings[keyPath: path])"
    case .byte(let path, _): return "\(settings[keyPath: path])"
    case .flag(let path): return settings[keyPath: path] ? "1" : "0"
    case .time(let path, let unit, _): return "\(settings[keyPath: path].rawValue / unit)"
    case .buffer(let path):
      let value = settings[keyPath: path]
      return "\(value.least) \(value.initial) \(value.most)"
    case .memory(let path):
      let value = settings[keyPath: path] ?? (0, 0, 0)
      return "\(value.least) \(value.initial) \(value.most)"
    case .ports(let path):
      let value = settings[keyPath: path]
      return "\(value.lowerBound) \(value.upperBound)"
    case .congestionControl(let path): return settings[keyPath: path].name
    case .fastOpenKeys(let path):
      // As Linux shows a key that was not picked yet.
      return "\(settings[keyPath: path] ?? FastOpenKeys(primary: .init(0, 0)))"
    case .reversePathFilter(let path): return "\(settings[keyPath: path].rawValue)"
    case .multipathHash(let path): return "\(settings[keyPath: path].rawValue)"
    }
  }

  /// Writes a value given as text. Of several numbers those that are missing stay what they are.
  ///
  /// - Throws: `SysctlError` with EINVAL for what is not a number or out of range, ENOENT for a congestion control that
  ///   does not exist; `settings` is as it was then.
  public func set(_ text: String, in settings: inout NetSettings) throws(SysctlError) {
    switch kind {
    case .count(let path, let range): settings[keyPath: path] = try number(text, in: range)
    case .atLeast(let path, let least):
      settings[keyPath: path] = try number(text, in: settings[keyPath: least]...Self.most)
    case .atMost(let path, let most):
      settings[keyPath: path] = try number(text, in: 0...settings[keyPath: most])
    case .byte(let path, let range): settings[keyPath: path] = UInt8(try number(text, in: range))
    case .flag(let path): settings[keyPath: path] = try number(text, in: 0...1) == 1
    case .time(let path, let unit, let range):
      settings[keyPath: path] = Nanoseconds(Int64(try number(text, in: range)) * unit)
    case .buffer(let path):
      let old = settings[keyPath: path]
      let values = try numbers(text, replacing: [old.least, old.initial, old.most], in: 1...Self.most)
      settings[keyPath: path] = (values[0], values[1], values[2])
    case .memory(let path):
      let old = settings[keyPath: path] ?? (0, 0, 0)
      let values = try numbers(text, replacing: [old.least, old.initial, old.most], in: 0...Self.most)
      settings[keyPath: path] = (values[0], values[1], values[2])
    case .ports(let path):
      let old = settings[keyPath: path]
      let values = try numbers(
        text, replacing: [Int(old.lowerBound), Int(old.upperBound)], in: 1...Int(UInt16.max))
      guard values[0] <= values[1] else {
        throw SysctlError(name, text, .EINVAL, "the first port is above the last")
      }
      settings[keyPath: path] = UInt16(values[0])...UInt16(values[1])
    case .congestionControl(let path):
      let kinds = CongestionControlKind.allCases
      guard let kind = kinds.first(where: { $0.name == text }) else {
        throw SysctlError(
          name, text, .ENOENT, "there are " + kinds.map(\.name).joined(separator: " and "))
      }
      settings[keyPath: path] = kind
    case .fastOpenKeys(let path):
      guard let keys = FastOpenKeys(text) else {
        throw SysctlError(
          name, text, .EINVAL, "a key is four words of hexadecimal digits with - between them")
      }
      settings[keyPath: path] = keys
    case .reversePathFilter(let path):
      settings[keyPath: path] = ReversePathFilter(rawValue: try number(text, in: 0...2)) ?? .off
    case .multipathHash(let path):
      settings[keyPath: path] = MultipathHash(rawValue: try number(text, in: 0...3)) ?? .addresses
    }
  }

  private func number(_ text: String, in range: ClosedRange<Int>) throws(SysctlError) -> Int {
    try numbers(text, replacing: [0], in: range)[0]
  }

  private func numbers(
    _ text: String, replacing old: [Int], in range: ClosedRange<Int>
  ) throws(SysctlError) -> [Int] {
    let words = text.split { $0 == " " || $0 == "\t" }
    guard !words.isEmpty, words.count <= old.count else {
      let wanted = old.count == 1 ? "one number is" : "1 to \(old.count) numbers are"
      throw SysctlError(name, text, .EINVAL, wanted + " expected")
    }
    var values = old
    for (index, word) in words.enumerated() {
      guard let value = Int(word) else { throw SysctlError(name, text, .EINVAL, "\(word) is not a number") }
      guard range.contains(value) else {
        throw SysctlError(
          name, text, .EINVAL, "\(word) is out of range: \(range.lowerBound) to \(range.upperBound)")
      }
      values[index] = value
    }
    return values
  }

  private static let most = Int(Int32.max)
  /// Linux: `SOCK_MIN_SNDBUF`, `SOCK_MIN_RCVBUF` are 4608 and 2304.
  private static let sendBuffers = 4608...most
  private static let receiveBuffers = 2304...most
  private static let second: Int64 = 1_000_000_000
  private static let millisecond: Int64 = 1_000_000
  /// Linux: `USER_HZ` is 100.
  private static let jiffy: Int64 = 10_000_000
  /// Most questions of one kind: their sum is counted in a byte.
  private static let probes = 0...80
  /// Linux: `INT_MAX / HZ`.
  private static let seconds = 0...2_147_483

  /// All of them, by name.
  public static let all: [Sysctl] = [
    Sysctl("net.core.max_skb_frags", .count(\.maximumFragments, 1...17)),
    Sysctl("net.core.optmem_max", .count(\.maximumOptionMemory, 0...most)),
    Sysctl("net.core.rmem_default", .count(\.defaultReadMemory, receiveBuffers)),
    Sysctl("net.core.rmem_max", .count(\.maximumReadMemory, receiveBuffers)),
    Sysctl("net.core.somaxconn", .count(\.maximumBacklog, 0...most)),
    Sysctl("net.core.wmem_default", .count(\.defaultWriteMemory, sendBuffers)),
    Sysctl("net.core.wmem_max", .count(\.maximumWriteMemory, sendBuffers)),
    Sysctl("net.ipv4.conf.IFNAME.accept_redirects", .flag(\.interface.acceptsRedirects)),
    Sysctl("net.ipv4.conf.IFNAME.accept_source_route", .flag(\.interface.acceptsSourceRoute)),
    Sysctl("net.ipv4.conf.IFNAME.arp_accept", .count(\.interface.arpAccept, 0...2)),
    Sysctl("net.ipv4.conf.IFNAME.arp_announce", .count(\.interface.arpAnnounce, 0...2)),
    Sysctl("net.ipv4.conf.IFNAME.arp_filter", .flag(\.interface.arpFilter)),
    Sysctl("net.ipv4.conf.IFNAME.arp_ignore", .count(\.interface.arpIgnore, 0...8)),
    Sysctl("net.ipv4.conf.IFNAME.arp_notify", .flag(\.interface.arpNotify)),
    Sysctl("net.ipv4.conf.IFNAME.proxy_arp", .flag(\.interface.proxyARP)),
    Sysctl("net.ipv4.conf.IFNAME.src_valid_mark", .flag(\.interface.sourceValidMark)),
    Sysctl("net.ipv4.conf.all.accept_redirects", .flag(\.allInterfaces.acceptsRedirects)),
    Sysctl("net.ipv4.conf.all.accept_source_route", .flag(\.allInterfaces.acceptsSourceRoute)),
    Sysctl("net.ipv4.conf.all.arp_accept", .count(\.allInterfaces.arpAccept, 0...2)),
    Sysctl("net.ipv4.conf.all.arp_announce", .count(\.allInterfaces.arpAnnounce, 0...2)),
    Sysctl("net.ipv4.conf.all.arp_filter", .flag(\.allInterfaces.arpFilter)),
    Sysctl("net.ipv4.conf.all.arp_ignore", .count(\.allInterfaces.arpIgnore, 0...8)),
    Sysctl("net.ipv4.conf.all.arp_notify", .flag(\.allInterfaces.arpNotify)),
    Sysctl("net.ipv4.conf.all.force_igmp_version", .count(\.forceIGMPVersion, 0...3)),
    Sysctl("net.ipv4.conf.all.proxy_arp", .flag(\.allInterfaces.proxyARP)),
    Sysctl("net.ipv4.conf.all.rp_filter", .reversePathFilter(\.reversePathFilter)),
    Sysctl("net.ipv4.conf.all.send_redirects", .flag(\.sendsRedirects)),
    Sysctl("net.ipv4.conf.all.src_valid_mark", .flag(\.allInterfaces.sourceValidMark)),
    Sysctl("net.ipv4.fib_multipath_hash_fields", .count(\.multipathHashFields.rawValue, 1...0xFFF)),
    Sysctl("net.ipv4.fib_multipath_hash_policy", .multipathHash(\.multipathHash)),
    Sysctl("net.ipv4.fib_multipath_use_neigh", .flag(\.multipathUsesNeighbours)),
    Sysctl("net.ipv4.icmp_echo_ignore_broadcasts", .flag(\.icmpIgnoreBroadcasts)),
    Sysctl("net.ipv4.icmp_msgs_per_sec", .count(\.icmpMessagesPerSecond, 0...most)),
    Sysctl("net.ipv4.icmp_ratelimit", .time(\.icmpRateLimit, unit: 1_000_000, 0...most)),
    Sysctl("net.ipv4.igmp_link_local_mcast_reports", .flag(\.igmpLinkLocalReports)),
    Sysctl("net.ipv4.igmp_max_memberships", .count(\.maximumMemberships, 0...most)),
    Sysctl("net.ipv4.igmp_max_msf", .count(\.maximumSources, 0...most)),
    Sysctl("net.ipv4.igmp_qrv", .count(\.igmpRobustness, 1...255)),
    Sysctl("net.ipv4.ip_default_ttl", .byte(\.defaultTimeToLive, 1...255)),
    Sysctl("net.ipv4.ip_forward", .flag(\.forwards)),
    Sysctl("net.ipv4.ip_forward_update_priority", .flag(\.forwardUpdatesPriority)),
    Sysctl("net.ipv4.ip_forward_use_pmtu", .flag(\.forwardUsesPathMTU)),
    Sysctl("net.ipv4.ip_local_port_range", .ports(\.localPorts)),
    Sysctl(
      "net.ipv4.ipfrag_high_thresh",
      .atLeast(\.reassemblyMemory, \.reassemblyLowMemory)),
    Sysctl(
      "net.ipv4.ipfrag_low_thresh",
      .atMost(\.reassemblyLowMemory, \.reassemblyMemory)),
    Sysctl("net.ipv4.ipfrag_max_dist", .count(\.reassemblyDistance, 0...most)),
    Sysctl("net.ipv4.ipfrag_time", .time(\.reassemblyTime, unit: second, seconds)),
    Sysctl("net.ipv4.neigh.default.app_solicit", .count(\.neighbours.applicationProbes, probes)),
    Sysctl(
      "net.ipv4.neigh.default.base_reachable_time_ms",
      .time(\.neighbours.baseReachableTime, unit: millisecond, 1...most)),
    Sysctl(
      "net.ipv4.neigh.default.delay_first_probe_time",
      .time(\.neighbours.delayProbeTime, unit: second, seconds)),
    Sysctl("net.ipv4.neigh.default.gc_stale_time", .time(\.neighbours.staleTime, unit: second, seconds)),
    Sysctl("net.ipv4.neigh.default.gc_thresh1", .count(\.neighbours.leastCollected, 0...most)),
    Sysctl("net.ipv4.neigh.default.gc_thresh2", .count(\.neighbours.softLimit, 0...most)),
    Sysctl("net.ipv4.neigh.default.gc_thresh3", .count(\.neighbours.hardLimit, 0...most)),
    Sysctl("net.ipv4.neigh.default.locktime", .time(\.neighbours.lockTime, unit: jiffy, 0...most)),
    Sysctl("net.ipv4.neigh.default.mcast_resolicit", .count(\.neighbours.multicastReprobes, probes)),
    Sysctl("net.ipv4.neigh.default.mcast_solicit", .count(\.neighbours.multicastProbes, probes)),
    Sysctl("net.ipv4.neigh.default.proxy_delay", .time(\.neighbours.proxyDelay, unit: jiffy, 0...most)),
    Sysctl("net.ipv4.neigh.default.proxy_qlen", .count(\.neighbours.proxyQueueLength, 0...most)),
    Sysctl(
      "net.ipv4.neigh.default.retrans_time_ms",
      .time(\.neighbours.retransmitTime, unit: millisecond, 1...most)),
    Sysctl("net.ipv4.neigh.default.ucast_solicit", .count(\.neighbours.unicastProbes, probes)),
    Sysctl("net.ipv4.neigh.default.unres_qlen_bytes", .count(\.neighbours.queueByteLimit, 0...most)),
    Sysctl("net.ipv4.route.gc_timeout", .time(\.redirectExpires, unit: second, seconds)),
    Sysctl("net.ipv4.route.min_pmtu", .count(\.leastPathMTU, 68...most)),
    Sysctl("net.ipv4.route.mtu_expires", .time(\.pathMTUExpires, unit: second, seconds)),
    Sysctl("net.ipv4.tcp_autocorking", .flag(\.tcpAutocorking)),
    Sysctl("net.ipv4.tcp_base_mss", .count(\.tcpBaseMSS, 0...most)),
    Sysctl("net.ipv4.tcp_congestion_control", .congestionControl(\.tcpCongestionControl)),
    Sysctl("net.ipv4.tcp_early_retrans", .count(\.tcpEarlyRetransmit, 0...4)),
    Sysctl("net.ipv4.tcp_ecn", .count(\.tcpECN, 0...5)),
    Sysctl("net.ipv4.tcp_ecn_option", .count(\.tcpECNOption, 0...2)),
    Sysctl("net.ipv4.tcp_ecn_option_beacon", .count(\.tcpECNOptionBeacon, 0...3)),
    Sysctl("net.ipv4.tcp_ecn_fallback", .flag(\.tcpECNFallback)),
    Sysctl("net.ipv4.tcp_fastopen", .count(\.tcpFastOpen.rawValue, 0...most)),
    Sysctl(
      "net.ipv4.tcp_fastopen_blackhole_timeout_sec",
      .time(\.tcpFastOpenBlackholeTimeout, unit: second, seconds)),
    Sysctl("net.ipv4.tcp_fastopen_key", .fastOpenKeys(\.tcpFastOpenKeys)),
    Sysctl("net.ipv4.tcp_fin_timeout", .time(\.tcpFinTimeout, unit: second, seconds)),
    Sysctl("net.ipv4.tcp_frto", .count(\.tcpFRTO, 0...255)),
    Sysctl(
      "net.ipv4.tcp_keepalive_intvl", .time(\.tcpKeepaliveInterval, unit: second, 1...seconds.upperBound)),
    Sysctl("net.ipv4.tcp_keepalive_probes", .count(\.tcpKeepaliveProbes, 0...255)),
    Sysctl("net.ipv4.tcp_keepalive_time", .time(\.tcpKeepaliveTime, unit: second, 1...seconds.upperBound)),
    Sysctl("net.ipv4.tcp_limit_output_bytes", .count(\.tcpLimitOutput, 0...most)),
    Sysctl("net.ipv4.tcp_max_orphans", .count(\.maximumOrphans, 0...most)),
    Sysctl("net.ipv4.tcp_max_reordering", .count(\.tcpMaximumReordering, 1...most)),
    Sysctl("net.ipv4.tcp_max_syn_backlog", .count(\.maximumSynBacklog, 0...most)),
    Sysctl("net.ipv4.tcp_max_tw_buckets", .count(\.maximumTimeWait, 0...most)),
    Sysctl("net.ipv4.tcp_mem", .memory(\.tcpMemory)),
    Sysctl("net.ipv4.tcp_mtu_probe_floor", .count(\.tcpMTUProbeFloor, 48...65535)),
    Sysctl("net.ipv4.tcp_mtu_probing", .count(\.tcpMTUProbing, 0...2)),
    Sysctl("net.ipv4.tcp_orphan_retries", .count(\.tcpOrphanRetries, 0...255)),
    Sysctl("net.ipv4.tcp_probe_interval", .time(\.tcpProbeInterval, unit: second, seconds)),
    Sysctl("net.ipv4.tcp_probe_threshold", .count(\.tcpProbeThreshold, 0...most)),
    Sysctl("net.ipv4.tcp_recovery", .count(\.tcpRecovery.rawValue, 0...255)),
    Sysctl("net.ipv4.tcp_reordering", .count(\.tcpReordering, 1...most)),
    Sysctl("net.ipv4.tcp_retries1", .count(\.tcpRetries1, 0...255)),
    Sysctl("net.ipv4.tcp_retries2", .count(\.tcpRetries2, 0...255)),
    Sysctl("net.ipv4.tcp_rmem", .buffer(\.tcpReadMemory)),
    Sysctl("net.ipv4.tcp_sack", .flag(\.tcpSack)),
    Sysctl("net.ipv4.tcp_slow_start_after_idle", .flag(\.tcpSlowStartAfterIdle)),
    Sysctl("net.ipv4.tcp_syn_linear_timeouts", .count(\.tcpSynLinearTimeouts, 0...127)),
    Sysctl("net.ipv4.tcp_syn_retries", .count(\.tcpSynRetries, 1...127)),
    Sysctl("net.ipv4.tcp_synack_retries", .count(\.tcpSynackRetries, 0...255)),
    Sysctl("net.ipv4.tcp_syncookies", .count(\.tcpSynCookies, 0...255)),
    Sysctl("net.ipv4.tcp_timestamps", .flag(\.tcpTimestamps)),
    Sysctl("net.ipv4.tcp_window_scaling", .flag(\.tcpWindowScaling)),
    Sysctl("net.ipv4.tcp_wmem", .buffer(\.tcpWriteMemory)),
    Sysctl("net.ipv4.udp_rmem_min", .count(\.udpReadMemoryLeast, 1...most)),
    Sysctl(
      "net.netfilter.nf_conntrack_generic_timeout", .time(\.connections.generic, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_icmp_timeout", .time(\.connections.icmp, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_close", .time(\.connections.tcpClose, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
      .time(\.connections.tcpCloseWait, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_established",
      .time(\.connections.tcpEstablished, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_fin_wait",
      .time(\.connections.tcpFinWait, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_last_ack",
      .time(\.connections.tcpLastAck, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_max_retrans",
      .time(\.connections.tcpMaximumRetransmissions, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_syn_recv",
      .time(\.connections.tcpSynReceived, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_syn_sent",
      .time(\.connections.tcpSynSent, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
      .time(\.connections.tcpTimeWait, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_tcp_timeout_unacknowledged",
      .time(\.connections.tcpUnacknowledged, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_udp_timeout", .time(\.connections.udp, unit: second, seconds)),
    Sysctl(
      "net.netfilter.nf_conntrack_udp_timeout_stream", .time(\.connections.udpStream, unit: second, seconds)),
    Sysctl("net.netfilter.nf_conntrack_checksum", .flag(\.connections.verifiesChecksums)),
    Sysctl("net.netfilter.nf_conntrack_max", .count(\.connections.most, 0...ConnectionSettings.mostAnywhere)),
    Sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", .flag(\.connections.tcpLiberal)),
    Sysctl("net.netfilter.nf_conntrack_tcp_loose", .flag(\.connections.tcpLoose)),
    Sysctl("net.netfilter.nf_conntrack_tcp_max_retrans", .count(\.connections.tcpRetransmissions, 0...255)),
  ]
}

/// Why a setting was not written: a sentence with its name, the value and the range.
public struct SysctlError: Error, Equatable, Sendable, CustomStringConvertible {
  public let errno: Errno
  public let description: String

  init(_ name: String, _ value: String, _ errno: Errno, _ reason: String) {
    self.errno = errno
    description = "setting key \"\(name)\" to \"\(value)\": \(errno): \(reason)"
  }
}
