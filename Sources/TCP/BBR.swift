import NetNamespace
import Tables
import Timers

/// BBR, version 1 (draft-cardwell-iccrg-bbr-congestion-control-00): sends at the rate that the path delivers, with no more
/// in the network than that rate takes in a round trip, whatever is lost. Linux: `net/ipv4/tcp_bbr.c`, whose detection of
/// policers is not here.
///
/// The model is the greatest delivery rate of ten round trips and the least RTT of ten seconds. Pacing follows it, more or
/// less by a gain: 5/4 in one of eight round trips to find more, 3/4 in the next to take back what that queued.
struct BBR {
  enum Mode {
    /// Doubles the rate in each round trip until it grows no more.
    case startup
    /// Takes back what that has queued.
    case drain
    case probeBandwidth
    /// Every ten seconds four segments for 200 ms, so that the queue of others and of our own is seen to be empty.
    case probeRTT
  }

  // Linux's numbers, of which it has 256 to one.
  private static let highGain = 739.0 / 256
  private static let drainGain = 88.0 / 256
  private static let windowGain = 2.0
  private static let cycle = [320.0 / 256, 192.0 / 256, 1, 1, 1, 1, 1, 1]
  private static let leastWindow = 4
  private static let bandwidthRounds: UInt32 = 10
  private static let rttLife = Nanoseconds.seconds(10)
  private static let probeTime = Nanoseconds.milliseconds(200)
  /// What is sent is a hundredth less than what arrives, so that no queue stays.
  private static let margin = 0.99
  private static let fullGrowth = 1.25
  private static let fullRounds = 3
  private static let aggregationRounds = 5
  private static let mostAggregation = Nanoseconds.milliseconds(100)

  private(set) var mode = Mode.startup
  private var pacingGain = BBR.highGain
  private var gain = BBR.highGain

  // The model. Bandwidth is in segments a second.
  private var bandwidth = WindowedMaximum()
  private var leastRTT: Nanoseconds?
  private var leastRTTSeen = Instant.origin

  private var round = DeliveryRound()
  private var roundCount: UInt32 = 0
  private var isRoundStart = false

  // Whether the pipe is full.
  private var fullBandwidth = 0.0
  private var fullCount = 0
  private var isFull = false

  private var phase = 0
  private var phaseSince = Instant.origin

  private var probeEnd: Instant?
  private var probeRoundDone = false
  private var isRestarting = false

  // Recovery.
  private var lastState = CongestionState.open
  private var conserves = false
  private var priorWindow = 0

  // How much more than the bandwidth arrives at once, where receivers and links aggregate: the most in five to ten rounds.
  private var extra = (current: 0, last: 0)
  private var extraRounds = 0
  private var epochSince = Instant.origin
  private var epochAcked = 0

  /// In bytes a second.
  private(set) var pacingRate = UInt64.max
  private var hasSeenRTT = false

  /// The connection is open, or takes it up: a first rate from the window and the RTT, of which a millisecond is thought where
  /// none was measured. Linux: `bbr_init()`.
  mutating func begin(_ view: CongestionView, window: inout CongestionWindow) {
    // The ACK of the SYN has been seen, and the clock is no measure of when a round trip was: nothing of that stays.
    self = BBR()
    window.threshold = nil
    leastRTT = view.minimumRTT
    leastRTTSeen = view.now
    round = DeliveryRound(at: view.delivered)
    epochSince = view.now
    setFirstRate(view, window: window.segments)
  }

  private mutating func setFirstRate(_ view: CongestionView, window: Int) {
    hasSeenRTT = view.smoothedRTT != nil
    let rtt = max(view.smoothedRTT ?? .milliseconds(1), .microseconds(1))
    pacingRate = rate(Double(window) * 1e9 / Double(rtt.rawValue), gain: Self.highGain, mss: view.mss)
  }

  // MARK: An ACK

  mutating func acked(_ sample: RateSample, _ view: CongestionView, window: inout CongestionWindow) {
    noteBandwidth(sample, view)
    noteAggregation(sample, view, window: window.segments)
    advancePhase(sample, view)
    noteFullPipe(sample)
    noteDrained(view, window: &window)
    noteRTT(sample, view, window: &window)
    setGains()
    setPacingRate(view, window: window.segments)
    setWindow(sample, view, window: &window)
  }

  private mutating func noteBandwidth(_ sample: RateSample, _ view: CongestionView) {
    isRoundStart = false
    guard let interval = sample.interval else { return }
    if round.advance(sample, delivered: view.delivered) {
      roundCount &+= 1
      isRoundStart = true
      conserves = false
    }
    let rate = Double(sample.delivered) * 1e9 / Double(interval.rawValue)
    // An application that had nothing to send says nothing of the path, but when it is more.
    if !sample.isAppLimited || rate >= bandwidth.value {
      bandwidth.note(rate, round: roundCount, window: Self.bandwidthRounds)
    }
  }

  private mutating func noteAggregation(_ sample: RateSample, _ view: CongestionView, window: Int) {
    guard sample.newlyDelivered > 0, sample.interval != nil else { return }
    if isRoundStart {
      extraRounds += 1
      if extraRounds >= Self.aggregationRounds {
        extraRounds = 0
        extra = (0, extra.current)
      }
    }
    var expected = segments(in: view.deliveredAt - epochSince)
    if epochAcked <= expected || epochAcked + sample.newlyDelivered >= 1 << 20 {
      epochAcked = 0
      epochSince = view.deliveredAt
      expected = 0
    }
    epochAcked += sample.newlyDelivered
    extra.current = max(extra.current, min(epochAcked - expected, window))
  }

  /// A phase of the cycle lasts a round trip; the one that asks for more until it has it in the network or loses some, the one
  /// that takes back no longer than there is something to take back.
  private mutating func advancePhase(_ sample: RateSample, _ view: CongestionView) {
    guard mode == .probeBandwidth else { return }
    let isLong = view.deliveredAt - phaseSince > leastRTT ?? .zero
    let isOver: Bool
    if pacingGain > 1 {
      isOver =
        isLong
        && (sample.newlyLost > 0
          || inNetwork(sample.priorInFlight, view) >= wanted(pacingGain, view))
    } else if pacingGain < 1 {
      isOver = isLong || inNetwork(sample.priorInFlight, view) <= wanted(1, view)
    } else {
      isOver = isLong
    }
    if isOver { nextPhase(at: view.deliveredAt) }
  }

  private mutating func nextPhase(at now: Instant) {
    phase = (phase + 1) & 7
    phaseSince = now
  }

  /// Three round trips without a quarter more: the pipe is full.
  private mutating func noteFullPipe(_ sample: RateSample) {
    guard !isFull, isRoundStart, !sample.isAppLimited else { return }
    if bandwidth.value >= fullBandwidth * Self.fullGrowth {
      fullBandwidth = bandwidth.value
      fullCount = 0
      return
    }
    fullCount += 1
    isFull = fullCount >= Self.fullRounds
  }

  private mutating func noteDrained(_ view: CongestionView, window: inout CongestionWindow) {
    if mode == .startup && isFull {
      mode = .drain
      window.threshold = wanted(1, view)
    }
    if mode == .drain && inNetwork(view.inFlight, view) <= wanted(1, view) { beginCycle(view.now) }
  }

  /// Connections of one path do not all ask for more at once: which phase comes first is by chance, but never the one that
  /// takes back.
  private mutating func beginCycle(_ now: Instant) {
    mode = .probeBandwidth
    let chance = UInt32(truncatingIfNeeded: (now - .origin).microseconds) &* 2_654_435_761
    phase = 7 - Int((UInt64(chance) &* 7) >> 32)
    nextPhase(at: now)
  }

  private mutating func noteRTT(_ sample: RateSample, _ view: CongestionView, window: inout CongestionWindow)
  {
    let isStale = view.now - leastRTTSeen > Self.rttLife
    if let rtt = sample.rtt, leastRTT.map({ rtt < $0 }) ?? true || isStale && !sample.isMaybeDelayed {
      leastRTT = rtt
      leastRTTSeen = view.now
    }
    if isStale && !isRestarting && mode != .probeRTT {
      remember(window: window.segments)
      mode = .probeRTT
      probeEnd = nil
    }
    if mode == .probeRTT { probeRTT(view, window: &window) }
    if sample.delivered > 0 { isRestarting = false }
  }

  private mutating func probeRTT(_ view: CongestionView, window: inout CongestionWindow) {
    if probeEnd == nil {
      guard view.inFlight <= Self.leastWindow else { return }
      probeEnd = view.now + Self.probeTime
      probeRoundDone = false
      round = DeliveryRound(at: view.delivered)
    } else {
      if isRoundStart { probeRoundDone = true }
      if probeRoundDone { endProbe(view.now, window: &window) }
    }
  }

  private mutating func endProbe(_ now: Instant, window: inout CongestionWindow) {
    guard let end = probeEnd, now > end else { return }
    leastRTTSeen = now
    window.segments = max(window.segments, priorWindow)
    if isFull { beginCycle(now) } else { mode = .startup }
  }

  private mutating func setGains() {
    switch mode {
    case .startup: (pacingGain, gain) = (Self.highGain, Self.highGain)
    case .drain: (pacingGain, gain) = (Self.drainGain, Self.highGain)
    case .probeBandwidth: (pacingGain, gain) = (Self.cycle[phase], Self.windowGain)
    case .probeRTT: (pacingGain, gain) = (1, 1)
    }
  }

  // MARK: What follows from the model

  private func rate(_ segmentsPerSecond: Double, gain: Double, mss: Int) -> UInt64 {
    UInt64(min(max(segmentsPerSecond * Double(mss) * gain * Self.margin, 1), 1e18))
  }

  private mutating func setPacingRate(_ view: CongestionView, window: Int) {
    if !hasSeenRTT && view.smoothedRTT != nil { setFirstRate(view, window: window) }
    let wanted = rate(bandwidth.value, gain: pacingGain, mss: view.mss)
    // Until the pipe is full it only becomes faster.
    if isFull || wanted > pacingRate { pacingRate = wanted }
  }

  /// Segments that a gain wants in the network: what the bandwidth takes in the least RTT, and what offload needs at both ends.
  private func wanted(_ gain: Double, _ view: CongestionView) -> Int {
    quantized(product(gain), mss: view.mss)
  }

  private func product(_ gain: Double) -> Int {
    guard let leastRTT else { return CongestionWindow.initialSegments }
    let segments = bandwidth.value * Double(leastRTT.rawValue) / 1e9 * gain
    return Int(min(segments.rounded(.up), Double(CongestionWindow.clamp)))
  }

  /// What the bandwidth delivers in such a time.
  private func segments(in span: Nanoseconds) -> Int {
    Int(min(max(bandwidth.value * Double(span.rawValue) / 1e9, 0), 1e15))
  }

  /// Three packets of segments may be on their way without being in the network, and a delayed ACK is for two.
  private func quantized(_ segments: Int, mss: Int) -> Int {
    var result = segments + 3 * packetSegments(mss)
    result = (result + 1) & ~1
    if mode == .probeBandwidth && phase == 0 { result += 2 }
    return result
  }

  /// Segments of a packet. Linux: `bbr_tso_segs_goal()`.
  private func packetSegments(_ mss: Int) -> Int {
    let bytes = min(pacingRate >> 10, 65_000)
    return min(max(Int(bytes) / max(mss, 1), leastSegments), 0x7F)
  }

  /// Of a slow path packets are single segments.
  var leastSegments: Int { pacingRate < 150_000 ? 1 : 2 }

  /// What will be in the network when the next packet leaves.
  private func inNetwork(_ now: Int, _ view: CongestionView) -> Int {
    let ahead = max(view.nextDeparture - view.now, .zero)
    let delivered = segments(in: ahead)
    return max(0, now + (pacingGain > 1 ? packetSegments(view.mss) : 0) - delivered)
  }

  private mutating func setWindow(
    _ sample: RateSample, _ view: CongestionView, window: inout CongestionWindow
  ) {
    let acked = sample.newlyDelivered
    if acked > 0 && !followsRecovery(sample, view, window: &window) {
      var target = product(gain)
      if isFull {
        target += min(max(extra.current, extra.last), segments(in: Self.mostAggregation))
      }
      target = quantized(target, mss: view.mss)
      if isFull {
        window.segments = min(window.segments + acked, target)
      } else if window.segments < target || view.delivered < CongestionWindow.initialSegments {
        window.segments += acked
      }
      window.segments = max(window.segments, Self.leastWindow)
    }
    window.segments = min(window.segments, CongestionWindow.clamp)
    if mode == .probeRTT { window.segments = min(window.segments, Self.leastWindow) }
  }

  /// For the first round trip of a recovery no more is sent than arrives; after it the window is what it was before.
  private mutating func followsRecovery(
    _ sample: RateSample, _ view: CongestionView, window: inout CongestionWindow
  ) -> Bool {
    if sample.newlyLost > 0 { window.segments = max(window.segments - sample.newlyLost, 1) }
    let wasRecovering = lastState == .recovery || lastState == .loss
    if view.state == .recovery && lastState != .recovery {
      conserves = true
      round = DeliveryRound(at: view.delivered)
      window.segments = view.inFlight + sample.newlyDelivered
    } else if wasRecovering && view.state != .recovery && view.state != .loss {
      window.segments = max(window.segments, priorWindow)
      conserves = false
    }
    lastState = view.state
    guard conserves else { return false }
    window.segments = max(window.segments, view.inFlight + sample.newlyDelivered)
    return true
  }

  /// Bandwidth in bytes a second, low word and high, the least RTT in microseconds, and the gains of pacing and window, of which
  /// 256 are one. Linux: `struct tcp_bbr_info`.
  func info(mss: Int) -> [UInt32] {
    let bytes = UInt64(min(bandwidth.value * Double(mss), 1e18))
    return [
      UInt32(truncatingIfNeeded: bytes), UInt32(truncatingIfNeeded: bytes >> 32),
      UInt32(clamping: leastRTT?.microseconds ?? Int64(UInt32.max)), UInt32(pacingGain * 256),
      UInt32(gain * 256),
    ]
  }

  // MARK: Other events

  /// The window is about to be taken back for another reason than the model's.
  mutating func remember(window: Int) {
    let isRecovering = lastState == .recovery || lastState == .loss
    priorWindow = isRecovering || mode == .probeRTT ? max(priorWindow, window) : window
  }

  mutating func timedOut() {
    lastState = .loss
    fullBandwidth = 0
    isRoundStart = true
  }

  mutating func undone() {
    fullBandwidth = 0
    fullCount = 0
  }

  /// The application has something to send again: at the path's rate, not at that of a phase that is long over.
  mutating func restarted(mss: Int, now: Instant, window: inout CongestionWindow) {
    isRestarting = true
    epochSince = now
    epochAcked = 0
    if mode == .probeBandwidth {
      pacingRate = rate(bandwidth.value, gain: 1, mss: mss)
    } else if mode == .probeRTT {
      endProbe(now, window: &window)
    }
  }
}
