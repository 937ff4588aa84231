import NetNamespace
import Tables
import Timers
import Wire

// Accurate ECN (RFC 9768): each packet that came marked is told of, by three bits that count, and by an option that counts
// bytes. Linux: `tcp_accecn_*()`, include/net/tcp_ecn.h.
extension TCPConnection {
  var accurateState: AccurateECN? {
    switch accurateECN {
    case .some(let box): box.value
    case .none: nil
    }
  }

  // MARK: Agreeing

  /// What the SYN-ACK says, or a SYN that has crossed ours, where our SYN asks for RFC 9768 (its tables 2 and 3).
  /// Linux: `tcp_ecn_rcv_synack()`, `tcp_ecn_rcv_syn()`.
  mutating func agreeOnAccurateECN(_ segment: IncomingSegment, net: borrowing Net) {
    let isAnswer = segment.flags.contains(.ack)
    switch (segment.ace, isAnswer) {
    case (0b111, false), (0b010, true), (0b011, true), (0b100, true), (0b110, true): break
    // The peer has RFC 3168, or the nonce that came after it.
    case (0b011, false), (0b001, true), (0b101, true):
      sender.ecn = .isOn
      return
    default:
      sender.ecn = []
      return
    }
    beginAccurateECN(handshakeMark: segment.networkMark)
    guard isAnswer else {
      accurateECN?.value.lastMark = segment.networkMark
      return
    }
    if let option = segment.options.accurateECN {
      accurateECN?.value.noteOption(AccurateECN.SeenOption(option))
      accurateECN?.value.optionDemand = 2
    }
    if segment.networkMark == ECNCodepoint.congestionExperienced && isPlausible(segment.ace, net: net) {
      accurateECN?.value.receivedMarked = 1
    }
  }

  /// A connection that a listener has granted it: what the ACK that ends the handshake says of our SYN-ACK, if it is one
  /// without data, which tells of nothing else (RFC 9768 section 3.2.2.1). Linux: `tcp_ecn_openreq_child()`,
  /// `tcp_accecn_third_ack()`.
  ///
  /// - Parameter mark: the SYN's.
  mutating func acceptAccurateECN(_ segment: IncomingSegment, mark: UInt8, net: borrowing Net) {
    beginAccurateECN(handshakeMark: mark)
    accurateECN?.value.lastMark = mark
    accurateECN?.value.optionDemand = 1
    if let option = segment.options.accurateECN {
      accurateECN?.value.noteOption(AccurateECN.SeenOption(option))
    }
    guard !segment.flags.contains(.syn) else { return }
    switch segment.ace {
    case 0b000:
      // Nobody begins with it: somebody clears the field (RFC 9768 section 3.2.2.4).
      accurateECN?.value.failures.insert(.ace)
    case 0b001, 0b101, 0b111: break
    case let ace:
      if segment.payload == 0, !segment.flags.contains(.fin), isPlausible(ace, net: net),
        AccurateECN.mark(toldBy: ace) == ECNCodepoint.congestionExperienced
      {
        sender.deliveredMarked = max(sender.deliveredMarked, 1)
      }
    }
  }

  mutating func beginAccurateECN(handshakeMark mark: UInt8) {
    var state = AccurateECN()
    state.handshakeMark = mark
    state.sentHandshakeMark = sender.congestion.needsECN ? ECNCodepoint.capable : ECNCodepoint.notCapable
    accurateECN = Box(state)
    sender.ecn = .isAccurate
  }

  /// Whether what the peer says of our handshake can have become of it on the way. Linux:
  /// `tcp_accecn_validate_syn_feedback()`.
  private mutating func isPlausible(_ ace: UInt8, net: borrowing Net) -> Bool {
    guard net.settings.tcpECNFallback, let sent = accurateState?.sentHandshakeMark else { return true }
    if AccurateECN.isPossible(sent, becomes: AccurateECN.mark(toldBy: ace)) { return true }
    accurateECN?.value.failures.insert(.ace)
    return false
  }

  /// Whether a SYN that goes again is to ask for nothing any more: after the first time where it asks for RFC 9768
  /// (its section 3.1.4.1), at once where it asks for RFC 3168 (its section 6.1.1.1).
  func givesUpECN(net: borrowing Net) -> Bool {
    net.settings.tcpECNFallback && (!sender.ecn.contains(.isPending) || sender.retransmits > 1)
  }

  // MARK: Telling

  /// A segment's bits in both headers. Linux: `tcp_ecn_send()`.
  ///
  /// - Returns: the IP header's: everything is fit for marks, as ACKs and what goes again are counted, too.
  mutating func markAccurateECN(_ header: inout TCPHeader, _ flags: TCPFlags) -> UInt8 {
    guard let state = accurateState else { return ECNCodepoint.notCapable }
    if flags.contains(.syn) {
      // Our SYN-ACK, of two that have crossed, or with Fast Open; the third one says nothing, so that it comes through
      // (RFC 9768 section 3.2.3.2.2).
      let ace = sender.retransmits > 1 ? 0 : AccurateECN.ace(answering: state.handshakeMark)
      header.write(ace: ace)
      return state.sentHandshakeMark
    }
    header.write(ace: state.isAnsweringSynAck ? AccurateECN.ace(answering: state.handshakeMark) : state.ace)
    return state.failures.contains(.ace) ? ECNCodepoint.notCapable : ECNCodepoint.capable
  }

  /// Adds the option to those of a segment.
  mutating func addAccurateECN(_ options: inout TCPOptions, _ flags: TCPFlags, net: borrowing Net) {
    guard let state = accurateState else { return }
    if flags.contains(.syn) {
      // What tells that it is understood; again it may be what is not let through (RFC 9768 section 3.2.3.2.2).
      if net.settings.tcpECNOption > 0 && sender.retransmits == 0 {
        options.fit(MarkedByteCounts().option, least: 0, reserving: Int(signedByteCount))
      }
      return
    }
    guard tellsBytes(state, net: net),
      options.fit(state.option, least: Int(state.leastFields), reserving: Int(signedByteCount))
    else { return }
    accurateECN?.value.told(now: net.now)
  }

  /// Bytes of options with the AccECN option among them; `nil`: as without. Linux: in `tcp_established_options()`.
  func accurateOptionByteCount(net: borrowing Net) -> Int? {
    guard let state = accurateState, tellsBytes(state, net: net) else { return nil }
    var options = establishedOptions(net: net)
    options.fit(state.option, least: Int(state.leastFields), reserving: Int(signedByteCount))
    return options.byteCount + Int(signedByteCount)
  }

  /// Whether a segment now is to have the option: a peer that has sent one understands it. Linux:
  /// `tcp_accecn_option_beacon_check()` and what stands before it.
  private func tellsBytes(_ state: AccurateECN, net: borrowing Net) -> Bool {
    guard net.settings.tcpECNOption > 0, state.seenOption != .none else { return false }
    if net.settings.tcpECNOption >= 2 || state.optionDemand > 0 { return true }
    let beacons = Int64(net.settings.tcpECNOptionBeacon)
    return beacons > 0
      && (net.now - state.optionSentAt).microseconds * beacons >= sender.rtt.smoothed8 >> 3
  }

  // MARK: Hearing

  /// Counts a segment by its mark. Linux: `tcp_ecn_received_counters()`, which does so in ESTABLISHED alone; a peer that
  /// sends on to a side that has sent its FIN is to hear of congestion, too.
  @inline(never)
  mutating func countMarks(_ segment: IncomingSegment, packets: Int) {
    if accurateECN == nil { accurateECN = Box(AccurateECN()) }
    if segment.networkMark != ECNCodepoint.notCapable && !sender.ecn.contains(.isOn) {
      sender.ecn.insert(.hasSeenMark)
    }
    let isEdge = accurateECN?.value.count(segment.networkMark, packets: packets, bytes: segment.payload)
    if isEdge == true && sender.ecn.contains(.isAccurate) { receiver.ack.isImmediate = true }
  }

  /// What an ACK tells of marks. Linux: `tcp_accecn_process()`.
  @inline(never)
  mutating func noteAccurateECN(_ segment: IncomingSegment, _ ack: inout Acknowledgment, net: inout Net) {
    // One that brings nothing else may have been overtaken by another, and what it counts is old.
    guard !ack.flags.isDisjoint(with: [.dataAcked, .synAcked, .dataSacked]) || bringsNewTimestamp(segment)
    else {
      return
    }
    let packets = sender.delivered &- ack.sample.priorDelivered
    let acknowledged = Int(sender.sndUna.distance(from: ack.priorUna)) + ack.sackedByteCount
    let bytes = UInt32(truncatingIfNeeded: max(0, acknowledged))
    let marked =
      accurateECN?.value.takeIn(segment.options.accurateECN, bytes: bytes, sent: statistics.bytesSent) ?? nil
    // Its bits are the handshake's.
    guard !ack.flags.contains(.synAcked) else { return }
    let more = sender.newlyMarked(segment.ace, packets: packets, bytes: bytes, markedBytes: marked)
    guard more > 0 else { return }
    sender.deliveredMarked &+= more
    net.counters.count(.TcpExtTCPDeliveredCE, by: UInt64(more))
    ack.flags.insert(.congestion)
  }

  private func bringsNewTimestamp(_ segment: IncomingSegment) -> Bool {
    guard hasTimestamps, segment.options.hasTimestamps, !segment.sequence.isAfter(receiver.rcvWup) else {
      return false
    }
    return Int32(bitPattern: segment.options.timestampValue &- receiver.recent.value) > 0
  }
}

extension TCPSender {
  /// How many packets more came there marked than was known, as three bits say, which may have wrapped where an ACK is of
  /// many: then as many as can be, unless the bytes say otherwise (RFC 9768 section 3.2.2.5.2, appendix A.2).
  /// Linux: `__tcp_accecn_process()`.
  ///
  /// - Parameters:
  ///   - packets: that the ACK tells of for the first time, of so many `bytes`.
  ///   - markedBytes: `nil`: not known.
  func newlyMarked(_ ace: UInt8, packets: UInt32, bytes: UInt32, markedBytes: UInt32?) -> UInt32 {
    let known = deliveredMarked &+ AccurateECN.initialCount
    let least = (UInt32(ace) &- known) & AccurateECN.aceMask
    guard packets > AccurateECN.aceMask else { return least }
    let most = packets &- ((packets &- least) & AccurateECN.aceMask)
    guard let markedBytes else { return most }
    guard markedBytes > 0 else { return least }
    let isEven = hasSACK || recovery.state == .open || recovery.state == .congestionWindowReduced
    if packets >= 2 * (AccurateECN.aceMask + 1) && isEven {
      guard bytes > markedBytes else { return most }
      // As many of the packets as of the bytes.
      let share = (UInt64(markedBytes) * UInt64(packets) + UInt64(bytes) - 1) / UInt64(bytes)
      return min(most, least &+ UInt32(truncatingIfNeeded: share) & ~AccurateECN.aceMask)
    }
    let segment = UInt64(mssCache)
    if UInt64(markedBytes) > UInt64(least) * segment { return most }
    // Not even half of what the most would be.
    return UInt64(markedBytes) < UInt64(most) * segment / 2 ? least : most
  }
}

extension TCPHeader {
  /// - Parameter ace: AE, CWR and ECE as a number.
  mutating func write(ace: UInt8) {
    reserved = ace >> 2
    flags.subtract([.cwr, .ece])
    flags.formUnion(TCPFlags(rawValue: ace << 6))
  }
}
