import Timers
import Wire

/// What `TCP_INFO` and `ss -ti` tell about a connection. Linux: `struct tcp_info`.
public struct TCPInfo: Sendable {
  /// The state. Linux: `tcpi_state`.
  public var state = TCPState.close
  /// Where loss recovery is. Linux: `tcpi_ca_state`.
  public var congestionState = CongestionState.open
  /// Address and port here.
  public var local = SocketAddress(.any, port: 0)
  /// Address and port of the peer; `nil`: none.
  public var remote: SocketAddress? = nil
  /// The name of the congestion control, as `cubic`.
  public var congestionControl = ""
  /// Time-outs of the segment that is next to be acknowledged. Linux: `tcpi_retransmits`.
  public var retransmits = 0
  /// Window or keep-alive probes without an answer. Linux: `tcpi_probes`.
  public var probes = 0
  /// How often the time-out was doubled. Linux: `tcpi_backoff`.
  public var backoff = 0
  /// Both ends have agreed on time stamps. Linux: `TCPI_OPT_TIMESTAMPS`.
  public var hasTimestamps = false
  /// Both ends have agreed to ECN (RFC 3168, RFC 9768), or our SYN asks for it.
  public var hasECN = false
  /// The peer's data has come marked as fit for ECN.
  public var hasSeenECN = false
  /// Both ends have agreed on selective acknowledgments. Linux: `TCPI_OPT_SACK`.
  public var hasSACK = false
  /// Both ends have agreed on window scaling. Linux: `TCPI_OPT_WSCALE`.
  public var hasWindowScale = false
  /// Data in the SYN was taken, the peer's here or ours there. Linux: `TCPI_OPT_SYN_DATA`.
  public var isSynDataAcknowledged = false
  /// It took data with its SYN, before the handshake was over. Linux: `TCPI_OPT_TFO_CHILD`.
  public var isFastOpenChild = false
  /// Why data did not go in the SYN, or was not taken. Linux: `tcpi_fastopen_client_fail`.
  public var fastOpenFailure = FastOpenFailure.none
  /// Bits that the peer's window is shifted by. Linux: `tcpi_snd_wscale`.
  public var sendWindowScale = 0
  /// Bits that our window is shifted by. Linux: `tcpi_rcv_wscale`.
  public var receiveWindowScale = 0
  /// Linux: `tcpi_rto`.
  public var retransmissionTimeout = Nanoseconds.zero
  /// How long an acknowledgment waits for company. Linux: `tcpi_ato`.
  public var delayedAckTimeout = Nanoseconds.zero
  /// Payload bytes of a full segment. Linux: `tcpi_snd_mss`.
  public var sendMSS = 0
  /// What the peer's full segments seem to be, bytes. Linux: `tcpi_rcv_mss`.
  public var receiveMSS = 0
  /// What the peer was told, bytes. Linux: `tcpi_advmss`.
  public var advertisedMSS = 0
  /// Bytes of the largest packet on the way. Linux: `tcpi_pmtu`.
  public var pathMTU = 0
  /// Segments sent and not acknowledged. Linux: `tcpi_unacked`.
  public var unacknowledged = 0
  /// Of those, segments that the peer has. Linux: `tcpi_sacked`.
  public var sacked = 0
  /// Of those, segments taken for lost. Linux: `tcpi_lost`.
  public var lost = 0
  /// Of those, segments sent again. Linux: `tcpi_retrans`.
  public var retransmitted = 0
  /// Linux: `tcpi_rtt`.
  public var smoothedRTT = Nanoseconds.zero
  /// Linux: `tcpi_rttvar`.
  public var rttVariation = Nanoseconds.zero
  /// The least of late; `nil`: no sample yet. Linux: `tcpi_min_rtt`.
  public var minimumRTT: Nanoseconds? = nil
  /// Segments. Linux: `tcpi_snd_cwnd`.
  public var congestionWindow = 0
  /// Segments; `nil`: none yet. Linux: `tcpi_snd_ssthresh`.
  public var slowStartThreshold: Int? = nil
  /// Segments that may overtake one that is not lost. Linux: `tcpi_reordering`.
  public var reordering = 0
  /// How often the network was seen to reorder. Linux: `tcpi_reord_seen`.
  public var reorderingSeen = 0
  /// Bytes that the window may grow to for now. Linux: `tcpi_rcv_ssthresh`.
  public var receiveSlowStartThreshold = 0
  /// Bytes that the reader takes in a round trip. Linux: `tcpi_rcv_space`.
  public var receiveSpace = 0
  /// Segments sent again, ever. Linux: `tcpi_total_retrans`.
  public var totalRetransmissions = 0
  /// How fast packets leave; `.max`: as the window allows. Linux: `tcpi_pacing_rate`.
  public var pacingBytesPerSecond = UInt64.max
  /// `SO_MAX_PACING_RATE`. Linux: `tcpi_max_pacing_rate`.
  public var maximumPacingBytesPerSecond = UInt64.max
  /// Linux: `tcpi_delivery_rate`.
  public var deliveryBytesPerSecond: UInt64 = 0
  /// The delivery rate was the writer's, not the network's. Linux: `tcpi_delivery_rate_app_limited`.
  public var isApplicationLimited = false
  /// Linux: `tcpi_bytes_acked`.
  public var bytesAcknowledged: UInt64 = 0
  /// Linux: `tcpi_bytes_received`.
  public var bytesReceived: UInt64 = 0
  /// Payload, with what was sent again. Linux: `tcpi_bytes_sent`.
  public var bytesSent: UInt64 = 0
  /// Linux: `tcpi_bytes_retrans`.
  public var bytesRetransmitted: UInt64 = 0
  /// Linux: `tcpi_segs_out`.
  public var segmentsOut: UInt64 = 0
  /// Linux: `tcpi_segs_in`.
  public var segmentsIn: UInt64 = 0
  /// Linux: `tcpi_data_segs_out`.
  public var dataSegmentsOut: UInt64 = 0
  /// Linux: `tcpi_data_segs_in`.
  public var dataSegmentsIn: UInt64 = 0
  /// Bytes written and not sent. Linux: `tcpi_notsent_bytes`.
  public var notSentByteCount = 0
  /// Segments that have arrived there. Linux: `tcpi_delivered`.
  public var delivered: UInt64 = 0
  /// Of them, what the peer's ACKs with ECE have told of (RFC 3168). Linux: `tcpi_delivered_ce`.
  public var deliveredMarked: UInt64 = 0
  /// What has come and arrived marked, by packets and bytes (RFC 9768).
  public var accurateECN = AccurateECN()
  /// Segments that arrived there twice. Linux: `tcpi_dsack_dups`.
  public var dsackDuplicates = 0
  /// Segments that arrived here before their turn. Linux: `tcpi_rcv_ooopack`.
  public var outOfOrderPackets = 0
  /// Bytes that the peer has room for. Linux: `tcpi_snd_wnd`.
  public var sendWindow = 0
  /// Bytes that we have offered. Linux: `tcpi_rcv_wnd`.
  public var receiveWindow = 0
  /// Bytes waiting for the reader; for a listener the connections in its accept queue.
  public var receiveQueue = 0
  /// Bytes not yet acknowledged by the peer; for a listener the limit of its accept queue.
  public var sendQueue = 0
  /// How long there was something to send. Linux: `tcpi_busy_time`.
  public var busyTime = Nanoseconds.zero
  /// Of that, held up by the peer's window. Linux: `tcpi_rwnd_limited`.
  public var receiveWindowLimitedTime = Nanoseconds.zero
  /// Of that, held up by the send buffer. Linux: `tcpi_sndbuf_limited`.
  public var sendBufferLimitedTime = Nanoseconds.zero
  /// How long ago; `nil`: never. Linux: `tcpi_last_data_sent`.
  public var lastDataSent: Nanoseconds? = nil
  /// How long ago; `nil`: never. Linux: `tcpi_last_data_recv`.
  public var lastDataReceived: Nanoseconds? = nil
  /// How long ago; `nil`: never. Linux: `tcpi_last_ack_recv`.
  public var lastAckReceived: Nanoseconds? = nil
  /// The round trip as the receiver sees it; zero: not known. Linux: `tcpi_rcv_rtt`.
  public var receiveRTT = Nanoseconds.zero
  /// Retransmission time-outs, ever. Linux: `tcpi_total_rto`.
  public var timeouts = 0
  /// How often one came with nothing wrong before. Linux: `tcpi_total_rto_recoveries`.
  public var timeoutRecoveries = 0
  /// From the first of them until what was lost was made good, in all. Linux: `tcpi_total_rto_time`.
  public var timeoutTime = Nanoseconds.zero
  /// Bytes. Linux: `sk_sndbuf`.
  public var sendBuffer = 0
  /// Bytes. Linux: `sk_rcvbuf`.
  public var receiveBuffer = 0
  /// Bytes with their overhead. Linux: `sk_wmem_queued`.
  public var writeQueuedMemory = 0
  /// Bytes with their overhead. Linux: `sk_wmem_alloc`.
  public var writeAllocatedMemory = 0
  /// Bytes with their overhead. Linux: `sk_rmem_alloc`.
  public var receiveAllocatedMemory = 0
  /// What the retransmission timer waits for, and how long still; `nil`: not armed.
  public var timer: (name: String, remaining: Nanoseconds)? = nil

  public init() {}

  /// Bytes are payload.
  public struct AccurateECN: Sendable {
    /// Packets that came marked. Linux: `tcpi_received_ce`.
    public var receivedMarked: UInt32 = 0
    /// Bytes that arrived there as ECT(1), as ECT(0), marked. Linux: `tcpi_delivered_e1_bytes` and those behind it.
    public var deliveredBytes: (ect1: UInt32, ect0: UInt32, marked: UInt32) = (0, 0, 0)
    /// Bytes that came as ECT(1), as ECT(0), marked. Linux: `tcpi_received_e1_bytes` and those behind it.
    public var receivedBytes: (ect1: UInt32, ect0: UInt32, marked: UInt32) = (0, 0, 0)
    /// What something on the way changes. Linux: `tcpi_accecn_fail_mode`.
    public var failures: UInt16 = 0
    /// What the peer's AccECN options have said: 0 to 3 are none, empty ones, counters, cleared ones.
    /// Linux: `tcpi_accecn_opt_seen`.
    public var seenOption: UInt16 = 0

    public init() {}
    init(_ state: TCP.AccurateECN) {
      receivedMarked = state.receivedMarked
      deliveredBytes = Self.bytes(state.delivered)
      receivedBytes = Self.bytes(state.received)
      failures = state.failures.rawValue
      seenOption = UInt16(state.seenOption.rawValue)
    }
    private static func bytes(_ counts: MarkedByteCounts) -> (ect1: UInt32, ect0: UInt32, marked: UInt32) {
      (
        counts[ECNCodepoint.capable1], counts[ECNCodepoint.capable],
        counts[ECNCodepoint.congestionExperienced]
      )
    }
  }
}
