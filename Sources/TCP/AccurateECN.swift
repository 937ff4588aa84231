import Tables
import Timers
import Wire

/// What Accurate ECN (RFC 9768) keeps of a connection, and what TCP_INFO tells of marks without it. Linux: the fields of
/// `struct tcp_sock` about AccECN, `received_ce` and what stands beside it.
struct AccurateECN {
  /// What the counter of packets, r.cep, begins at: 0 would be a field that somebody has cleared (RFC 9768 section 3.2.1).
  static let initialCount: UInt32 = 5
  /// What three bits hold. Linux: `TCP_ACCECN_CEP_ACE_MASK`.
  static let aceMask: UInt32 = 7
  /// Bytes of data after which it is too late to begin to count by the option: it may have wrapped.
  static let latestBegin: UInt64 = (1 << 23) - 1

  /// Packets that came marked, all of them. Linux: `received_ce`.
  var receivedMarked: UInt32 = 0
  /// Payload bytes that came, by their mark. Linux: `received_ecn_bytes`.
  var received = MarkedByteCounts()
  /// Payload bytes that arrived there, by their mark, as the option tells. Linux: `delivered_ecn_bytes`.
  var delivered = MarkedByteCounts()
  /// That the peer's SYN or SYN-ACK came with. Linux: `syn_ect_rcv`.
  var handshakeMark = ECNCodepoint.notCapable
  /// That our SYN or SYN-ACK was sent with. Linux: `syn_ect_snt`.
  var sentHandshakeMark = ECNCodepoint.notCapable
  /// Of the segment before. Linux: `prev_ecnfield`.
  var lastMark = ECNCodepoint.notCapable
  /// The next ACK is the third segment of the handshake, which tells of the SYN-ACK. Linux: `TCPHDR_ACE`.
  var isAnsweringSynAck = false
  var failures: Failures = []
  var seenOption = SeenOption.none
  /// How many segments are still to have the option. Linux: `accecn_opt_demand`.
  var optionDemand: UInt8 = 0
  /// Fields that tell of all that has come since the last option. Linux: `accecn_minlen`.
  var leastFields: UInt8 = 0
  /// The only mark whose bytes have become more with the last option: where none comes, they do again; 0: not known.
  /// Linux: `est_ecnfield`.
  var likelyMark: UInt8 = 0
  /// Linux: `accecn_opt_tstamp`.
  var optionSentAt = Instant.origin

  /// What something on the way does to the feedback. Linux: `accecn_fail_mode`.
  struct Failures: OptionSet {
    var rawValue: UInt16
    /// The IP header's mark or the ACE field is changed: nothing of ours goes as fit for marks (RFC 9768 sections 3.2.2.3,
    /// 3.2.2.4). Linux: `TCP_ACCECN_ACE_FAIL_RECV`.
    static let ace = Failures(rawValue: 2)
    /// The option comes cleared: it is not believed (RFC 9768 section 3.2.3.2.4). Linux: `TCP_ACCECN_OPT_FAIL_RECV`.
    static let option = Failures(rawValue: 8)
  }

  /// What the peer's options have said at the most. Linux: `saw_accecn_opt`.
  enum SeenOption: UInt8 {
    case none
    /// Without counters.
    case empty
    case counters
    /// Counters that begin at 0, where they begin at 1.
    case cleared

    init(_ option: AccurateECNOption) {
      guard option.count > 0 else {
        self = .empty
        return
      }
      let isCleared = option.fields[0] == 0 || option.count == 3 && option.fields[2] == 0
      self = isCleared ? .cleared : .counters
    }
  }

  // MARK: What has come

  /// A segment that was accepted. Linux: `tcp_ecn_received_counters()`.
  ///
  /// - Returns: its mark is not that of the one before (RFC 9768 section 3.2.2.5.1).
  mutating func count(_ mark: UInt8, packets: Int, bytes: Int) -> Bool {
    let isMarked = mark == ECNCodepoint.congestionExperienced
    if isMarked { receivedMarked &+= UInt32(truncatingIfNeeded: packets) }
    if mark != ECNCodepoint.notCapable && bytes > 0 {
      let before = received[mark]
      received[mark] &+= UInt32(truncatingIfNeeded: bytes)
      leastFields = max(leastFields, MarkedByteCounts.place(of: mark) + 1)
      // Of 2^24 that a field counts: so often that no step is mistaken for another.
      if (received[mark] ^ before) >> 22 != 0 { optionDemand = max(optionDemand, 1) }
    }
    let isEdge = mark != lastMark
    lastMark = mark
    // The second ACK tells which side of the edge its packets were on.
    if isEdge || isMarked { optionDemand = 2 }
    return isEdge
  }

  // MARK: What is told

  /// AE, CWR and ECE of a segment behind the handshake. Linux: `tcp_accecn_set_ace()`.
  var ace: UInt8 { UInt8(truncatingIfNeeded: (receivedMarked &+ Self.initialCount) & Self.aceMask) }

  /// AE, CWR and ECE of what answers a SYN or SYN-ACK: with which mark it came (RFC 9768 tables 2 and 3).
  /// Linux: `tcp_accecn_echo_syn_ect()`, `tcp_accecn_reflector_flags()`.
  static func ace(answering mark: UInt8) -> UInt8 {
    switch mark {
    case ECNCodepoint.notCapable: 0b010
    case ECNCodepoint.capable1: 0b011
    case ECNCodepoint.capable: 0b100
    default: 0b110
    }
  }

  /// The mark that a peer says our SYN or SYN-ACK came with (RFC 9768 table 4). Linux: `tcp_accecn_extract_syn_ect()`.
  static func mark(toldBy ace: UInt8) -> UInt8 {
    switch ace & 0b111 {
    case 0b010: ECNCodepoint.notCapable
    case 0b100, 0b000: ECNCodepoint.capable
    case 0b110: ECNCodepoint.congestionExperienced
    default: ECNCodepoint.capable1
    }
  }

  /// A mark may become CE on the way, and ECT(0) and ECT(1) each other; all else is a fault (RFC 9768 section 3.2.2.3).
  /// Linux: `tcp_ect_transition_valid()`.
  static func isPossible(_ sent: UInt8, becomes received: UInt8) -> Bool {
    sent == received
      || sent != ECNCodepoint.notCapable && received != ECNCodepoint.notCapable
        && sent != ECNCodepoint.congestionExperienced
  }

  /// The counters as the option has them.
  var option: AccurateECNOption { received.option }

  /// A segment has the option. Linux: the end of AccECN's part of `tcp_options_write()`.
  mutating func told(now: Instant) {
    leastFields = 0
    optionSentAt = now
    if optionDemand > 0 { optionDemand -= 1 }
  }

  // MARK: What the peer tells

  /// Takes in the option of an ACK, or where none comes, what it would most likely say. Linux: `tcp_accecn_process_option()`.
  ///
  /// - Parameters:
  ///   - bytes: that the ACK tells of for the first time.
  ///   - sent: bytes that were sent until now.
  /// - Returns: how many bytes more came there marked; `nil`: that is not known.
  mutating func takeIn(_ option: AccurateECNOption?, bytes: UInt32, sent: UInt64) -> UInt32? {
    guard !failures.contains(.option) else { return nil }
    let before = delivered[ECNCodepoint.congestionExperienced]
    guard let option else {
      if seenOption == .none {
        if sent >= Self.latestBegin { noteOption(.cleared) }
        return nil
      }
      guard likelyMark != ECNCodepoint.notCapable else { return nil }
      delivered[likelyMark] &+= bytes
      return delivered[ECNCodepoint.congestionExperienced] &- before
    }
    if seenOption == .none || seenOption == .empty { noteOption(SeenOption(option)) }
    let expected = likelyMark
    var isCertain = expected != ECNCodepoint.notCapable
    var isAmbiguous = false
    var grown: UInt8?
    for index in 0..<Int(option.count) {
      let mark = MarkedByteCounts.mark(at: index, option.order)
      let step = delivered.advance(mark, to: option.fields[index])
      if step < 0 { isAmbiguous = true }
      guard step != 0, mark != expected else { continue }
      if grown == nil {
        grown = mark
      } else {
        isAmbiguous = true
      }
    }
    if isAmbiguous { isCertain = false }
    likelyMark = isAmbiguous ? ECNCodepoint.notCapable : grown ?? likelyMark
    return isCertain ? delivered[ECNCodepoint.congestionExperienced] &- before : nil
  }

  mutating func noteOption(_ seen: SeenOption) {
    seenOption = seen
    if seen == .cleared { failures.insert(.option) }
  }
}

/// Bytes by the mark of the packets that had them; RFC 9768 counts none of those without.
struct MarkedByteCounts {
  /// In the order of the option that is sent: ECT(1), CE, ECT(0).
  private var counts: InlineArray<3, UInt32> = .init(repeating: 0)
  /// Where the fields for ECT(0) and ECT(1) begin, so that a cleared option is seen (RFC 9768 section 3.2.1).
  private static let initial: UInt32 = 1

  /// - Parameter mark: not `notCapable`.
  subscript(mark: UInt8) -> UInt32 {
    get { counts[Int(Self.place(of: mark))] }
    set { counts[Int(Self.place(of: mark))] = newValue }
  }

  static func place(of mark: UInt8) -> UInt8 {
    switch mark {
    case ECNCodepoint.capable1: 0
    case ECNCodepoint.congestionExperienced: 1
    default: 2
    }
  }

  /// Which mark a field of the option is about (RFC 9768 table 6).
  static func mark(at index: Int, _ order: AccurateECNOption.Order) -> UInt8 {
    if index == 1 { return ECNCodepoint.congestionExperienced }
    return (index == 0) == (order == .ect1First) ? ECNCodepoint.capable1 : ECNCodepoint.capable
  }

  /// Brings a count up to a field of 24 bits: by fewer than 2^23, or back. Linux: `tcp_update_ecn_bytes()`.
  ///
  /// - Returns: by how many bytes.
  mutating func advance(_ mark: UInt8, to field: UInt32) -> Int32 {
    let start = mark == ECNCodepoint.congestionExperienced ? 0 : Self.initial
    let step = Int32(bitPattern: (field &- start &- self[mark]) << 8) >> 8
    self[mark] &+= UInt32(bitPattern: step)
    return step
  }

  var option: AccurateECNOption {
    AccurateECNOption(
      ect1: counts[0] &+ Self.initial, congestionExperienced: counts[1], ect0: counts[2] &+ Self.initial)
  }
}
