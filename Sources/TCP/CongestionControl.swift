import NetNamespace
import Tables
import Timers
import Wire

/// What congestion control sees of a connection, beside what an ACK tells.
struct CongestionView {
  var now: Instant
  var minimumRTT: Nanoseconds?
  /// `nil`: not measured.
  var smoothedRTT: Nanoseconds?
  var state = CongestionState.open
  /// Segments believed to be in the network, after the ACK.
  var inFlight = 0
  /// Segments that have reached the peer, ever, and when the last of them did.
  var delivered: UInt32 = 0
  var deliveredAt = Instant.origin
  /// When the next packet of a paced connection leaves.
  var nextDeparture = Instant.origin
  var mss = 1460
}

/// The algorithm that opens the congestion window and says how far to close it. Linux: `struct tcp_congestion_ops`.
///
/// It hears of what happened (`acked`, `lost`, `timedOut`, `undone`, `transmitted`) and says how fast to send (`pacingRate`):
/// the sender and loss recovery call nothing else of it.
enum CongestionControl: ~Copyable {
  case reno
  case cubic(Cubic)
  case bbr(Box<BBR>)
  case dctcp(Box<DCTCP>)

  init(_ kind: CongestionControlKind) {
    switch kind {
    case .reno: self = .reno
    case .cubic: self = .cubic(Cubic())
    case .bbr: self = .bbr(Box(BBR()))
    case .dctcp: self = .dctcp(Box(DCTCP()))
    }
  }
  var kind: CongestionControlKind {
    switch self {
    case .reno: .reno
    case .cubic: .cubic
    case .bbr: .bbr
    case .dctcp: .dctcp
    }
  }

  // MARK: What happened

  /// The connection is open, or changes to this algorithm: what is known of the path by now. Linux: `init()`.
  mutating func begin(_ view: CongestionView, window: inout CongestionWindow) {
    switch consume self {
    case .reno: self = .reno
    case .cubic(var cubic):
      cubic.start = HyStart(delivered: view.delivered)
      self = .cubic(cubic)
    case .bbr(var bbr):
      bbr.value.begin(view, window: &window)
      self = .bbr(bbr)
    case .dctcp(let dctcp): self = .dctcp(dctcp)
    }
  }

  /// Segments were lost, or the network marks congestion: an episode begins. RFC 5681 equation 4 for Reno, RFC 9438 4.6 for
  /// CUBIC; BBR remembers the window. Linux: `ssthresh()`.
  ///
  /// - Parameter isMarked: nothing was lost.
  /// - Returns: the slow start threshold in segments, 2 or more; `nil`: there is none.
  mutating func lost(window: Int, threshold: Int? = nil, isMarked: Bool = false) -> Int? {
    switch consume self {
    case .reno:
      self = .reno
      return max(window >> 1, 2)
    case .cubic(var cubic):
      let threshold = cubic.slowStartThreshold(window: window)
      self = .cubic(cubic)
      return threshold
    case .bbr(var bbr):
      bbr.value.remember(window: window)
      self = .bbr(bbr)
      return threshold
    case .dctcp(let dctcp):
      let threshold = isMarked ? dctcp.value.threshold(window: window) : DCTCP.halved(window)
      self = .dctcp(dctcp)
      return threshold
    }
  }

  /// Something was lost while the window is closed for marks already. Linux: `set_state(TCP_CA_Recovery)`.
  ///
  /// - Returns: as `lost`.
  func lostAfterMarks(window: Int, threshold: Int?) -> Int? {
    switch self {
    case .dctcp: DCTCP.halved(window)
    default: threshold
    }
  }

  /// An ACK came, with all that it tells: in recovery too, where the window follows the reduction (RFC 6937) unless it is
  /// set here (`setsWindow`). Linux: `cong_avoid()`, `pkts_acked()`, `cong_control()`.
  mutating func acked(_ sample: RateSample, _ view: CongestionView, window: inout CongestionWindow) {
    switch consume self {
    case .reno:
      self = .reno
      guard sample.mayGrow else { return }
      Self.growAsReno(sample, &window)
    case .cubic(var cubic):
      cubic.acked(sample, view, window: &window)
      self = .cubic(cubic)
    case .bbr(var bbr):
      bbr.value.acked(sample, view, window: &window)
      self = .bbr(bbr)
    case .dctcp(let dctcp):
      self = .dctcp(dctcp)
      if sample.mayGrow { Self.growAsReno(sample, &window) }
    }
  }

  private static func growAsReno(_ sample: RateSample, _ window: inout CongestionWindow) {
    let acked = window.isInSlowStart ? window.slowStart(sample.newlyDelivered) : sample.newlyDelivered
    if acked > 0 { window.additiveIncrease(per: window.segments, acked: acked) }
  }

  /// The retransmission timer fired: what was learned of the path is forgotten. Linux: `set_state(TCP_CA_Loss)`,
  /// `cubictcp_state()`, `bbr_set_state()`.
  mutating func timedOut() {
    switch consume self {
    case .reno: self = .reno
    case .cubic(var cubic):
      cubic.timedOut()
      self = .cubic(cubic)
    case .bbr(var bbr):
      bbr.value.timedOut()
      self = .bbr(bbr)
    case .dctcp(let dctcp): self = .dctcp(dctcp)
    }
  }

  /// What a reduction that proves needless gives back (RFC 9438 section 4.9).
  var memory: Cubic? {
    switch self {
    case .reno: nil
    case .cubic(let cubic): cubic
    case .bbr: nil
    case .dctcp: nil
    }
  }

  /// The reduction was needless: as it was before. Linux: `undo_cwnd()`.
  mutating func undone(_ before: Cubic?) {
    switch consume self {
    case .reno: self = .reno
    case .cubic(let cubic): self = .cubic(before ?? cubic)
    case .bbr(var bbr):
      bbr.value.undone()
      self = .bbr(bbr)
    case .dctcp(let dctcp): self = .dctcp(dctcp)
    }
  }

  /// New data leaves, with `inFlight` segments in the network before it. Time spent idle does not count as time since the
  /// last reduction (RFC 9438 section 5.8). Linux: `cwnd_event(CA_EVENT_TX_START)`.
  @inline(__always)
  mutating func transmitted(
    inFlight: Int, lastSent: Instant, isAppLimited: Bool, mss: Int, now: Instant,
    window: inout CongestionWindow
  ) {
    if inFlight == 0 { restarted(lastSent: lastSent, isAppLimited, mss, now: now, window: &window) }
  }

  private mutating func restarted(
    lastSent: Instant, _ isAppLimited: Bool, _ mss: Int, now: Instant, window: inout CongestionWindow
  ) {
    switch consume self {
    case .reno: self = .reno
    case .cubic(var cubic):
      cubic.resumedAfterIdle(now: now, lastSent: lastSent)
      self = .cubic(cubic)
    case .bbr(var bbr):
      if isAppLimited { bbr.value.restarted(mss: mss, now: now, window: &window) }
      self = .bbr(bbr)
    case .dctcp(let dctcp): self = .dctcp(dctcp)
    }
  }

  // MARK: How fast

  /// The window is what the algorithm says, in recovery too: no reduction, and none for want of use. Linux: that there is
  /// `cong_control()`.
  var setsWindow: Bool {
    switch self {
    case .reno: false
    case .cubic: false
    case .bbr: true
    case .dctcp: false
    }
  }

  /// Packets leave at `pacingRate`, not as the window allows. Linux: `SK_PACING_NEEDED`.
  var isPaced: Bool { setsWindow }

  /// What is in the network is held down on purpose: what arrives meanwhile tells nothing of the bandwidth.
  var holdsBack: Bool {
    switch self {
    case .reno: false
    case .cubic: false
    case .bbr(let bbr): bbr.value.mode == .probeRTT
    case .dctcp: false
    }
  }

  /// How many windows a send buffer has to hold. Linux: `sndbuf_expand()`.
  var windowsToBuffer: Int { setsWindow ? 3 : 2 }

  /// What it tells its owner. Linux: `get_info()`.
  ///
  /// - Parameters:
  ///   - arrived: segments that have reached the peer, ever, and `marked` of them.
  func info(mss: Int, arrived: UInt32 = 0, marked: UInt32 = 0) -> [UInt32] {
    switch self {
    case .reno: []
    case .cubic: []
    case .bbr(let bbr): bbr.value.info(mss: mss)
    case .dctcp(let dctcp): dctcp.value.info(mss: mss, arrived: arrived, marked: marked)
    }
  }

  // MARK: Marks

  /// It works by what the network marks, and so everything of its connections is to be fit for marks, SYNs too.
  /// Linux: `TCP_CONG_NEEDS_ECN`.
  var needsECN: Bool {
    switch self {
    case .dctcp: true
    default: false
    }
  }

  /// Both ends have agreed to ECN, and it works by that.
  var usesMarks: Bool {
    switch self {
    case .dctcp(let dctcp): dctcp.value.isEnabled
    default: false
    }
  }

  /// The connection is open, or changes to this algorithm.
  mutating func beginMarks(isAgreed: Bool, next: SequenceNumber, arrived: UInt32, marked: UInt32) {
    guard case .dctcp(var dctcp) = consume self else { preconditionFailure("has no marks to count") }
    dctcp.value.begin(isEnabled: isAgreed, next: next, arrived: arrived, marked: marked)
    self = .dctcp(dctcp)
  }

  /// An ACK came, before anything is made of it. Linux: `in_ack_event()`.
  mutating func countMarks(_ una: SequenceNumber, next: SequenceNumber, arrived: UInt32, marked: UInt32) {
    guard case .dctcp(var dctcp) = consume self else { preconditionFailure("has no marks to count") }
    dctcp.value.acknowledged(una, next: next, arrived: arrived, marked: marked)
    self = .dctcp(dctcp)
  }

  /// A data packet came. Linux: `cwnd_event(CA_EVENT_ECN_IS_CE)`, `cwnd_event(CA_EVENT_ECN_NO_CE)`.
  ///
  /// - Returns: whether it is the first of another state.
  mutating func received(isMarked: Bool) -> Bool {
    guard case .dctcp(var dctcp) = consume self else { preconditionFailure("has no marks to count") }
    let isChange = dctcp.value.received(isMarked: isMarked)
    self = .dctcp(dctcp)
    return isChange
  }

  /// Of what is in use: without ECN it is another. Linux: `dctcp_reno`.
  var name: String {
    needsECN && !usesMarks ? "dctcp-reno" : kind.name
  }

  /// Segments of a packet, where there is enough to send. Linux: `min_tso_segs()`, `net.ipv4.tcp_min_tso_segs`.
  var leastSegments: Int {
    switch self {
    case .reno: 2
    case .cubic: 2
    case .dctcp: 2
    case .bbr(let bbr): bbr.value.leastSegments
    }
  }

  /// In bytes a second: a window in each round trip, and room to grow: 200 % of it in slow start, 120 % after.
  /// Linux: `tcp_update_pacing_rate()`.
  ///
  /// - Parameters:
  ///   - packetsOut: segments not acknowledged, which may be more than the window.
  ///   - smoothed8: eight times the smoothed RTT, in microseconds.
  @inline(__always)
  func pacingRate(window: CongestionWindow, packetsOut: Int, mss: Int, smoothed8: Int64) -> UInt64 {
    switch self {
    case .bbr(let bbr): return bbr.value.pacingRate
    default: break
    }
    let slow = window.threshold.map { window.segments < $0 / 2 } ?? true
    let perSegment = UInt64(mss) &* (slow ? 16_000_000 : 9_600_000)
    return perSegment &* UInt64(max(window.segments, packetsOut)) / UInt64(max(smoothed8, 1))
  }
}
