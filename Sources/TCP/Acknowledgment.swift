import NetNamespace
import Timers
import Wire

/// What an ACK brought. Linux: the `FLAG_` bits of `tcp_ack()`.
struct AckFlags: OptionSet {
  var rawValue: UInt32
  static let data = AckFlags(rawValue: 1 << 0)
  static let windowUpdate = AckFlags(rawValue: 1 << 1)
  static let dataAcked = AckFlags(rawValue: 1 << 2)
  static let retransDataAcked = AckFlags(rawValue: 1 << 3)
  static let synAcked = AckFlags(rawValue: 1 << 4)
  static let dataSacked = AckFlags(rawValue: 1 << 5)
  /// The peer echoes a router's mark.
  static let congestion = AckFlags(rawValue: 1 << 6)
  static let unaAdvanced = AckFlags(rawValue: 1 << 7)
  static let duplicateSACK = AckFlags(rawValue: 1 << 8)
  static let setRetransmitTimer = AckFlags(rawValue: 1 << 9)
  static let sackReneging = AckFlags(rawValue: 1 << 10)
  static let originalSacked = AckFlags(rawValue: 1 << 11)
  /// The peer has both the last segment and the probe that was the same. Linux: `FLAG_DSACK_TLP`.
  static let probeDuplicated = AckFlags(rawValue: 1 << 12)
  /// What was sent again is lost again.
  static let lostRetransmission = AckFlags(rawValue: 1 << 13)

  /// Not a sign of loss. Linux: `FLAG_NOT_DUP`.
  static let notDuplicate: AckFlags = [.data, .windowUpdate, .dataAcked, .synAcked]
  /// Something for loss recovery to look at, whatever the state. Linux: `FLAG_CA_ALERT`.
  static let alert: AckFlags = [.dataSacked, .congestion, .duplicateSACK]
}

/// One ACK on its way through `tcp_ack()`: what stood before it, and what it has brought so far.
/// Linux: the locals of `tcp_ack()`, `struct tcp_sacktag_state`.
struct Acknowledgment {
  /// SND.UNA before it.
  let priorUna: SequenceNumber
  /// One past the highest number that was known to have arrived before it.
  let priorHighestSack: SequenceNumber
  var flags: AckFlags = []
  var sample: RateSample
  /// Bytes that SACKs tell of for the first time, less those below the ACK that SACKs had told of before.
  var sackedByteCount = 0
  /// How long what has been overtaken still has; `nil`: nothing waits.
  var reorderingWait: Nanoseconds?
  /// `SO_SNDBUF`, which bounds how far SACKs may cut what was sent.
  let sendBuffer: Int
  /// Whose it is, for the trace.
  let socket: SocketID
}
