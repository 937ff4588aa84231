import IPv4
import Internet
import NetNamespace
import SkBuff
import Wire

// Explicit congestion notification (RFC 3168): who agrees to it, marks and their echo. Linux: `tcp_ecn_*()`. What RFC 9768
// does instead has a file of its own.
extension TCPConnection {
  /// Flags of our SYN. Linux: `tcp_ecn_send_syn()`.
  mutating func synFlags(net: borrowing Net) -> TCPFlags {
    switch net.settings.tcpECN {
    case 1, 4: sender.ecn = .isOn
    case 3: sender.ecn = .isPending
    default: sender.ecn = sender.congestion.needsECN ? .isOn : []
    }
    return sender.ecn.isEmpty ? .syn : [.syn, .ece, .cwr]
  }

  /// What the peer's SYN or SYN-ACK says. Linux: `tcp_ecn_rcv_syn()`, `tcp_ecn_rcv_synack()`.
  mutating func agreeOnECN(_ segment: IncomingSegment, net: borrowing Net) {
    if sender.ecn.contains(.isPending) { return agreeOnAccurateECN(segment, net: net) }
    let flags = segment.flags
    let agrees = flags.contains(.ece) && flags.contains(.cwr) != flags.contains(.ack)
    if !agrees { sender.ecn = [] }
  }

  /// A segment's bits in both headers. Linux: `tcp_ecn_send()`.
  ///
  /// - Parameter flags: as the segment is queued.
  /// - Returns: the IP header's bits: only new data is sent as fit for marks, nothing that goes again (RFC 3168 6.1.4, 6.1.5).
  mutating func markECN(_ header: inout TCPHeader, _ flags: TCPFlags, isNewData: Bool) -> UInt8 {
    if sender.ecn.contains(.isAccurate) { return markAccurateECN(&header, flags) }
    if flags.contains(.syn) {
      // With the other two it asks for RFC 9768 (its section 3.1.1).
      if sender.ecn.contains(.isPending) && flags.isSuperset(of: [.ece, .cwr]) { header.reserved = 1 }
      return sender.congestion.needsECN ? ECNCodepoint.capable : ECNCodepoint.notCapable
    }
    guard sender.ecn.contains(.isOn) else { return ECNCodepoint.notCapable }
    if sender.ecn.contains(.echoes) { header.flags.insert(.ece) }
    guard isNewData else {
      // RFC 8257 section 3.4.
      return sender.congestion.needsECN ? ECNCodepoint.capable : ECNCodepoint.notCapable
    }
    if sender.ecn.contains(.owesCWR) {
      sender.ecn.remove(.owesCWR)
      header.flags.insert(.cwr)
    }
    return ECNCodepoint.capable
  }

  /// Data that is taken brings a mark, or news that the peer has reduced. Linux: `tcp_ecn_accept_cwr()`,
  /// `__tcp_ecn_check_ce()`.
  mutating func noteECN(_ segment: IncomingSegment, host: inout Host) {
    let isClassic = sender.ecn.contains(.isOn)
    if isClassic && segment.flags.contains(.cwr) {
      sender.ecn.remove(.echoes)
      // The peer may send one segment now, and wait.
      receiver.ack.isImmediate = true
    }
    let isNew =
      segment.endSequence.isAfter(receiver.rcvNxt)
      && segment.sequence.isBefore(receiver.rcvNxt + receiver.receiveWindow)
    guard segment.payload > 0, isNew else { return }
    if isClassic && sender.congestion.usesMarks && segment.networkMark != ECNCodepoint.notCapable {
      return echo(isMarked: segment.networkMark == ECNCodepoint.congestionExperienced, host: &host)
    }
    switch segment.networkMark {
    case ECNCodepoint.notCapable:
      // A peer that marks its data as fit has sent this again.
      if sender.ecn.contains(.hasSeenMark) { receiver.enterQuickAck(2) }
    // Accurate ECN has counted it, and an edge among marks does not wait.
    case _ where !isClassic: break
    case ECNCodepoint.congestionExperienced:
      if !sender.ecn.contains(.echoes) {
        receiver.enterQuickAck(2)
        sender.ecn.insert(.echoes)
      }
      sender.ecn.insert(.hasSeenMark)
    default: sender.ecn.insert(.hasSeenMark)
    }
  }

  /// ECE for as long as marks come, and not until CWR: the peer is to know how many packets were marked (RFC 8257 section
  /// 3.2). Linux: `dctcp_ece_ack_update()`.
  private mutating func echo(isMarked: Bool, host: inout Host) {
    if sender.congestion.received(isMarked: isMarked) {
      // What waits is about packets of the other state.
      if receiver.ack.isScheduled { sendAck(host: &host) }
      receiver.ack.isImmediate = true
    }
    sender.ecn.insert(isMarked ? [.echoes, .hasSeenMark] : .hasSeenMark)
    if !isMarked { sender.ecn.remove(.echoes) }
  }
}

extension TCPLayer {
  /// What of a SYN's wish for ECN is granted: one that comes in a packet marked as fit for it was not made by RFC 3168, unless
  /// bits that were reserved then say that it is of another make. Linux: `tcp_ecn_create_request()`.
  ///
  /// - Parameter isNeeded: the listener's congestion control works by it, and its SYNs are all marked as fit.
  static func grantsECN(_ segment: IncomingSegment, isNeeded: Bool, net: borrowing Net) -> ECNState {
    guard net.settings.tcpECN != 0 || isNeeded, segment.flags.isSuperset(of: [.ece, .cwr]) else { return [] }
    if segment.ace == 0b111 && net.settings.tcpECN >= 3 { return .isAccurate }
    let isPlain = segment.networkMark == ECNCodepoint.notCapable || segment.reserved != 0
    return isPlain || isNeeded ? .isOn : []
  }

  /// What is granted to a connection of which only a cookie is left: that its SYN has asked for RFC 9768 its ACK tells, which
  /// answers the SYN-ACK with bits that RFC 3168 has none of. Linux: `cookie_ecn_ok()`, `cookie_accecn_ok()`.
  static func grantedECN(_ asked: CookieOptions, _ segment: IncomingSegment, net: borrowing Net) -> ECNState {
    guard asked.isECN, net.settings.tcpECN != 0 else { return [] }
    return net.settings.tcpECN >= 3 && segment.ace > 1 ? .isAccurate : .isOn
  }
}
