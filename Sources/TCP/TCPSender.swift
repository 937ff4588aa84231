import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

/// The sending half of a connection: what waits, what is outstanding, and how much and how fast may go.
///
/// SND.UNA <= SND.NXT <= the last byte written: what lies between the first two is on the scoreboard, what lies between the
/// last two on the write queue, and `writeQueuedMemory` is what both take.
struct TCPSender: ~Copyable {
  private let addressOnly = AddressOnly()

  // Send sequence space (RFC 9293 3.3.1).
  var sndUna = SequenceNumber(0)
  var sndNxt = SequenceNumber(0)
  /// One past the urgent byte; counts while `urgentMode`.
  var sndUp = SequenceNumber(0)
  var sndWl1 = SequenceNumber(0)
  /// End of the last small segment sent (Minshall's Nagle).
  var sndSml = SequenceNumber(0)
  /// One past the last byte written.
  var writeSeq = SequenceNumber(0)
  /// Last byte marked with PSH.
  var pushedSeq = SequenceNumber(0)
  var initialSend = SequenceNumber(0)
  @Narrow<Int32> var sndWnd = 0
  /// The largest window that the peer has offered.
  @Narrow<Int32> var maxWindow = 0
  @Narrow<UInt8> var sndWscale = 0
  var urgentMode = false
  /// What is queued goes whatever Nagle and cork say, until more is queued. Linux: `TCP_NAGLE_PUSH`.
  var isPushForced = false
  /// A writer was refused, and is told when there is room. Linux: `SOCK_NOSPACE`.
  var noSpace = false

  var ecn: ECNState = []

  // What is queued.
  var writeQueue = SkBuffQueue()
  /// What is sent and not acknowledged, and its counters.
  var scoreboard = Scoreboard()
  /// Memory in both queues. Linux: `sk_wmem_queued`.
  var writeQueuedMemory = 0
  /// `tcp_wmem[0]`.
  let leastSendMemory: Int

  // Segment size.
  @Narrow<Int32> var peerMSS = 536
  /// Payload of a segment with the options that every segment has. Linux: `mss_cache`.
  @Narrow<Int32> var mssCache = 536
  /// The MTU that `mssCache` was made from; 0: none.
  @Narrow<Int32> var mssPathMTU = 0

  /// Bytes of IP options in every packet. Linux: `icsk_ext_hdr_len`.
  var networkOptionByteCount: UInt8 = 0
  /// Bytes of TCP options in every segment; in SYN-SENT, of those that are hoped for. Linux: `tcp_header_len` beyond 20.
  var segmentOptionByteCount: UInt8 = 0

  // Our time stamps.
  var timestampOffset: UInt32 = 0
  /// Last time stamp echo the peer sent, for RTT and for undo.
  var receivedEcho: UInt32 = 0
  var sawTimestamp = false

  // Congestion and recovery.
  var window = CongestionWindow()
  var congestion: CongestionControl
  var recovery = RecoveryState()
  var rack = RACK()
  var rtt = RTTEstimator()
  /// Timeouts in a row. Linux: `icsk_retransmits`.
  @Narrow<Int32> var retransmits = 0
  /// When the first retransmission of the trouble that lasts was sent, or the SYN; `.origin`: there is none.
  /// Linux: `retrans_stamp`.
  var retransmitStamp = Instant.origin
  var lastSent = Instant.origin
  /// In bytes a second, as of the last ACK; `.max`: there is no limit. Linux: `sk_pacing_rate`.
  var pacingRate = UInt64.max
  /// When the next packet of a paced connection may leave. Linux: `tcp_wstamp_ns`.
  var nextDeparture = Instant.origin
  /// Segments sent again, and those of them that the peer has reported as needless: never more.
  var totalRetransmissions = 0
  var duplicateSACKs = 0
  var bytesAcknowledged: UInt64 = 0

  /// The tail was probed, and the answer has not come. Linux: `tlp_high_seq`, `tlp_retrans`.
  var lossProbe: LossProbe?
  /// The search for the largest packet that the path takes.
  var pathMTU = PathMTUSearch()

  // Whether the window is used.
  @Narrow<Int32> var maxPacketsOut = 0
  var maxPacketsSeq = SequenceNumber(0)
  var filledWindow = false
  /// Most segments outstanding since the window was last full, and when that was, or an ACK last let it grow.
  /// Linux: `snd_cwnd_used`, `snd_cwnd_stamp`.
  @Narrow<Int32> var windowUsed = 0
  var windowUsedSince = Instant.origin
  /// When the window was last taken back for a pause.
  var windowRestartedAt = Instant.origin

  // Delivery rate.
  var deliveredAt = Instant.origin
  var firstSentAt = Instant.origin
  /// Set to `delivered + in flight` while the application leaves the window unused, as before the first ACK.
  var appLimited = UInt32.max
  /// Of `delivered`, what ACKs with ECE have told of. Linux: `tp->delivered_ce`.
  var deliveredMarked: UInt32 = 0
  var rate = DeliveryRate()

  init(congestion: consuming CongestionControl, reordering: Int, leastMemory: Int) {
    self.congestion = congestion
    recovery.reordering = reordering
    leastSendMemory = leastMemory
  }

  /// The stream begins at `initial`, our SYN's number.
  ///
  /// - Parameter next: what is sent next: the SYN, or what follows it.
  mutating func begin(at initial: SequenceNumber, next: SequenceNumber) {
    initialSend = initial
    sndUna = next
    sndNxt = next
    sndUp = next
    sndSml = next
    writeSeq = next
    pushedSeq = next
  }

  /// Nothing that is queued will be sent, or sent again. Linux: `tcp_write_queue_purge()`.
  mutating func purge() {
    writeQueue.removeAll()
    scoreboard.reset()
    lossProbe = nil
    writeQueuedMemory = 0
    rtt.backoff = 0
  }

  // MARK: Segment size

  /// Payload of a segment without options that a path takes whole, never below Linux's `TCP_MIN_SND_MSS`.
  /// Linux: `tcp_mtu_to_mss()`, `ipv4_default_advmss()`.
  static func segmentSize(mtu: Int) -> Int {
    max(mtu - IPv4Header.minimumByteCount - TCPHeader.minimumByteCount, leastSegmentSize)
  }
  static let leastSegmentSize = 48

  /// Linux: `tcp_sync_mss()`.
  mutating func syncMSS(mtu: Int) {
    mssPathMTU = mtu
    pathMTU.high = min(pathMTU.high, mtu)
    let options = Int(segmentOptionByteCount)
    mssCache = boundToHalfWindow(segmentSize(packet: mtu) - options)
    if pathMTU.isOn { mssCache = min(mssCache, segmentSize(packet: pathMTU.low) - options) }
  }

  /// Payload and TCP options of a packet of so many bytes, as far as the peer takes them. Linux: `tcp_mtu_to_mss()`.
  func segmentSize(packet byteCount: Int) -> Int {
    // The peer's word is of segments without IP options (RFC 6691).
    let size = min(Self.segmentSize(mtu: byteCount), peerMSS) - Int(networkOptionByteCount)
    return max(size, Self.leastSegmentSize)
  }

  /// RFC 9293 3.8.6.2.1: a segment no longer than half the largest window seen keeps a small-window peer going.
  /// Linux: `tcp_bound_to_half_wnd()`.
  func boundToHalfWindow(_ size: Int) -> Int {
    let cutoff = maxWindow > 536 ? maxWindow >> 1 : maxWindow
    return cutoff > 0 && size > cutoff ? max(cutoff, 68 - 40) : size
  }

  // MARK: Derived

  var packetsOut: Int { scoreboard.packetsOut }
  var sackedOut: Int { scoreboard.sackedOut }
  var lostOut: Int { scoreboard.lostOut }
  var retransOut: Int { scoreboard.retransOut }
  var inFlight: Int { scoreboard.inFlight }
  var delivered: UInt32 { scoreboard.delivered }
  var hasSACK: Bool { scoreboard.hasSACK }
  /// One past the highest sequence number the peer is known to have.
  var highestSack: SequenceNumber { scoreboard.highestSack(una: sndUna) }
  var unsentByteCount: Int { writeSeq.offset(from: sndNxt) }
  /// One past the highest sequence number the peer's window allows. Linux: `tcp_wnd_end()`.
  var windowEnd: SequenceNumber { sndUna + sndWnd }
  /// The TCP timestamp clock.
  func timestamp(_ now: Instant) -> UInt32 { now.milliseconds32 &+ timestampOffset }
}
