/// What explicit congestion notification (RFC 3168, RFC 9768) needs of a connection. Linux: `tp->ecn_flags`.
struct ECNState: OptionSet {
  var rawValue: UInt8
  /// Both ends have agreed to that of RFC 3168, or our SYN asks for it. Linux: `TCP_ECN_MODE_RFC3168`.
  static let isOn = ECNState(rawValue: 1)
  /// The window was reduced: the next new data says so, CWR. Linux: `TCP_ECN_QUEUE_CWR`.
  static let owesCWR = ECNState(rawValue: 2)
  /// A router has marked congestion: every ACK says so, ECE, until the peer has reduced. Linux: `TCP_ECN_DEMAND_CWR`.
  static let echoes = ECNState(rawValue: 4)
  /// The peer's data has come marked as fit for it. Linux: `TCP_ECN_SEEN`.
  static let hasSeenMark = ECNState(rawValue: 8)
  /// Both ends have agreed to that of RFC 9768. Linux: `TCP_ECN_MODE_ACCECN`.
  static let isAccurate = ECNState(rawValue: 16)
  /// Our SYN asks for that of RFC 9768. Linux: `TCP_ECN_MODE_PENDING`.
  static let isPending = ECNState(rawValue: 32)

  /// What the two ends have agreed on, or nothing.
  static let agreed: ECNState = [.isOn, .isAccurate]
}

/// The two bits of the IP header's type of service (RFC 3168 section 5).
enum ECNCodepoint {
  static let mask: UInt8 = 3
  static let notCapable: UInt8 = 0
  /// ECT(1).
  static let capable1: UInt8 = 1
  /// ECT(0).
  static let capable: UInt8 = 2
  static let congestionExperienced: UInt8 = 3
}
