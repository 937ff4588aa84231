import NetNamespace
import SkBuff
import Wire

// Explicit congestion notification (RFC 3168): who agrees to it, marks and their echo. Linux: `tcp_ecn_*()`.
extension TCPConnection {
  /// Flags of our SYN. Linux: `tcp_ecn_send_syn()`.
  mutating func synFlags(net: borrowing Net) -> TCPFlags {
    sender.ecn = net.settings.tcpECN == 1 ? .isOn : []
    return sender.ecn.contains(.isOn) ? [.syn, .ece, .cwr] : .syn
  }

  /// What the peer's SYN or SYN-ACK says. Linux: `tcp_ecn_rcv_syn()`, `tcp_ecn_rcv_synack()`.
  mutating func agreeOnECN(_ flags: TCPFlags) {
    let agrees = flags.contains(.ece) && flags.contains(.cwr) != flags.contains(.ack)
    if !agrees { sender.ecn = [] }
  }

  /// Flags of a segment behind the handshake. Linux: `tcp_ecn_send()`.
  ///
  /// - Returns: the IP header's bits: only new data is sent as fit for marks, nothing that goes again (RFC 3168 6.1.4, 6.1.5).
  mutating func markECN(_ flags: inout TCPFlags, isNewData: Bool) -> UInt8 {
    if sender.ecn.contains(.echoes) { flags.insert(.ece) }
    guard isNewData else { return ECNCodepoint.notCapable }
    if sender.ecn.contains(.owesCWR) {
      sender.ecn.remove(.owesCWR)
      flags.insert(.cwr)
    }
    return ECNCodepoint.capable
  }

  /// Data that is taken brings a mark, or news that the peer has reduced. Linux: `tcp_ecn_accept_cwr()`,
  /// `__tcp_ecn_check_ce()`.
  mutating func noteECN(_ segment: IncomingSegment) {
    if segment.flags.contains(.cwr) {
      sender.ecn.remove(.echoes)
      // The peer may send one segment now, and wait.
      receiver.ack.isImmediate = true
    }
    let isNew =
      segment.endSequence.isAfter(receiver.rcvNxt)
      && segment.sequence.isBefore(receiver.rcvNxt + receiver.receiveWindow)
    guard segment.payload > 0, isNew else { return }
    switch segment.networkMark {
    case ECNCodepoint.notCapable:
      // A peer that marks its data as fit has sent this again.
      if sender.ecn.contains(.hasSeenMark) { receiver.enterQuickAck(2) }
    case ECNCodepoint.congestionExperienced:
      if !sender.ecn.contains(.echoes) {
        receiver.enterQuickAck(2)
        sender.ecn.insert(.echoes)
      }
      sender.ecn.insert(.hasSeenMark)
    default: sender.ecn.insert(.hasSeenMark)
    }
  }
}

extension TCPLayer {
  /// Whether a SYN's wish for ECN is granted: one that comes in a packet marked as fit for it was not made by RFC 3168.
  /// Linux: `tcp_ecn_create_request()`.
  static func grantsECN(_ segment: IncomingSegment, net: borrowing Net) -> Bool {
    net.settings.tcpECN != 0 && segment.flags.isSuperset(of: [.ece, .cwr])
      && segment.networkMark == ECNCodepoint.notCapable
  }
}
