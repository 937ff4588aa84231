import Timers

/// How tracked connections are kept, and for how long without a packet. Linux: `struct nf_ip_net`, `nf_conntrack_max`.
public struct ConnectionSettings: Sendable {
  /// `net.netfilter.nf_conntrack_max`; 0: as many as there can be.
  public var most = 65536
  /// No setting makes more of them than 1,000,000.
  public static let mostAnywhere = 1_000_000
  /// Linux: `nf_conntrack_max()`, where 0 is no limit.
  public var limit: Int { most == 0 ? Self.mostAnywhere : most }
  /// `net.netfilter.nf_conntrack_checksum`: what is damaged is of no connection.
  public var verifiesChecksums = true
  /// `net.netfilter.nf_conntrack_tcp_loose`: a connection may be met in its middle.
  public var tcpLoose = true
  /// `net.netfilter.nf_conntrack_tcp_be_liberal`: of what is out of the window only resets are of no connection.
  public var tcpLiberal = false
  /// `net.netfilter.nf_conntrack_tcp_max_retrans`: after so many without an answer an end is near.
  public var tcpRetransmissions = 3
  /// `net.netfilter.nf_conntrack_tcp_timeout_syn_sent`.
  public var tcpSynSent = Nanoseconds.seconds(120)
  /// `net.netfilter.nf_conntrack_tcp_timeout_syn_recv`.
  public var tcpSynReceived = Nanoseconds.seconds(60)
  /// `net.netfilter.nf_conntrack_tcp_timeout_established`.
  public var tcpEstablished = Nanoseconds.seconds(432000)
  /// `net.netfilter.nf_conntrack_tcp_timeout_fin_wait`.
  public var tcpFinWait = Nanoseconds.seconds(120)
  /// `net.netfilter.nf_conntrack_tcp_timeout_close_wait`.
  public var tcpCloseWait = Nanoseconds.seconds(60)
  /// `net.netfilter.nf_conntrack_tcp_timeout_last_ack`.
  public var tcpLastAck = Nanoseconds.seconds(30)
  /// `net.netfilter.nf_conntrack_tcp_timeout_time_wait`.
  public var tcpTimeWait = Nanoseconds.seconds(120)
  /// `net.netfilter.nf_conntrack_tcp_timeout_close`.
  public var tcpClose = Nanoseconds.seconds(10)
  /// `net.netfilter.nf_conntrack_tcp_timeout_max_retrans`.
  public var tcpMaximumRetransmissions = Nanoseconds.seconds(300)
  /// `net.netfilter.nf_conntrack_tcp_timeout_unacknowledged`.
  public var tcpUnacknowledged = Nanoseconds.seconds(300)
  /// `net.netfilter.nf_conntrack_udp_timeout`.
  public var udp = Nanoseconds.seconds(30)
  /// `net.netfilter.nf_conntrack_udp_timeout_stream`.
  public var udpStream = Nanoseconds.seconds(120)
  /// `net.netfilter.nf_conntrack_icmp_timeout`.
  public var icmp = Nanoseconds.seconds(30)
  /// `net.netfilter.nf_conntrack_generic_timeout`.
  public var generic = Nanoseconds.seconds(600)

  public init() {}
}
