import InetSocket
import NetNamespace
import Tables
import Timers
import Wire

/// A connection that a SYN asked for and that no ACK has completed yet. Linux: `struct request_sock`.
///
/// Small on purpose: this is what a peer can make us hold for the price of one packet.
struct RequestSocket: ~Copyable {
  var tuple: FourTuple
  /// The listener's slot among the listeners; its requests end before it does.
  var listener: Int
  var initialSend: SequenceNumber
  var initialReceive: SequenceNumber
  var timestampOffset: UInt32
  var timestampRecent: UInt32
  var peerMSS: Int
  /// What our SYN-ACK names.
  var advertisedMSS: Int
  var windowScale: UInt8?
  var receiveWindowScale: UInt8
  var receiveWindow: Int
  var sackPermitted: Bool
  var hasTimestamps: Bool
  var typeOfService: UInt8
  /// The device that the listener was bound to. Linux: `ir_iif`.
  var device: InterfaceIndex
  /// SYN-ACKs sent again, and times the timer expired: a deferred connection that waits for data is not asked.
  var retransmits = 0
  var timeouts = 0
  /// The bare ACK of a deferred connection has come. Linux: `inet_rsk(req)->acked`.
  var isAcknowledged = false
  /// What it has asked for of ECN and gets. Linux: `ecn_ok`, `accecn_ok`.
  var ecn: ECNState
  /// That its SYN came with. Linux: `syn_ect_rcv`.
  var synMark = ECNCodepoint.notCapable
  /// Nothing is kept of it but what its SYN-ACK says by itself. Linux: `req->syncookie`.
  var isCookie = false
  /// Its SYN was signed after RFC 5925, and so is what answers it.
  var authentication: RequestAuthentication?
  /// When the first SYN-ACK went.
  var sentAt: Instant
  /// The clock of time stamps at the first SYN-ACK and at the latest. Linux: `snt_tsval_first`, `snt_tsval_last`.
  var sentTimestamps: (first: UInt32, last: UInt32)
  /// Answers to repeated SYNs and to segments that do not fit.
  var outOfWindow = AnswerLimit()
  /// Neighbours in the order of arrival among the listener's requests.
  var older: Int?
  var newer: Int?
  var timeout: Nanoseconds
  var timer = TimerSlot()

  /// How far our window field is shifted; both ends must have asked (RFC 7323 2.2).
  var scale: UInt8 { windowScale == nil ? 0 : receiveWindowScale }

  /// What a cookie's time stamp has to say.
  var cookieOptions: CookieOptions {
    CookieOptions(windowScale: windowScale, sackPermitted: sackPermitted, isECN: !ecn.isEmpty)
  }

  /// Whether more than one SYN-ACK was lost, and not only answered late. Linux: as `TCPConnection.hasLostHandshakeTwice()`.
  func wasLostTwice(_ segment: IncomingSegment) -> Bool {
    retransmits > 1
      && !(hasTimestamps && segment.options.timestampEcho == sentTimestamps.first &+ timestampOffset)
  }

  /// How long ago the SYN-ACK went that a segment echoes; `nil`: it echoes none, or something else.
  func elapsed(_ segment: IncomingSegment, now: Instant) -> Nanoseconds? {
    guard segment.options.hasTimestamps, segment.options.timestampEcho != 0 else { return nil }
    return RTTEstimator.roundTrip(now.milliseconds32 &- (segment.options.timestampEcho &- timestampOffset))
  }
}

/// A connection that only waits for old duplicates to die (RFC 9293 3.6.1). Linux: `struct inet_timewait_sock`.
struct TimeWaitSocket: ~Copyable {
  /// Linux: `TCP_TIMEWAIT_LEN`.
  static let duration = Nanoseconds.seconds(60)

  var tuple: FourTuple
  var sndNxt: SequenceNumber
  var rcvNxt: SequenceNumber
  var receiveWindow: Int
  var receiveWindowScale: Int
  var hasTimestamps: Bool
  var timestampOffset: UInt32
  var timestampRecent: UInt32
  var timestampRecentAt: Instant
  /// The device that the connection was bound to. Linux: `tw_bound_dev_if`.
  var device: InterfaceIndex
  /// Of the connection's socket. Linux: `tw_mark`, `tw_tos`.
  var mark: UInt32
  var typeOfService: UInt8
  var expires: Instant
  /// Its place in the port table: the port is not free before the wait is over.
  var binding = PortBinding()
  var outOfWindow = AnswerLimit()
  var timer = TimerSlot()
  /// Of RFC 5925, which its connection had.
  var authentication: Box<Authentication>?

  /// Where a new connection on the tuple begins: beyond everything the old one sent (RFC 6191). Linux:
  /// `tw_snd_nxt + 65535 + 2`.
  var nextInitialSequence: SequenceNumber { sndNxt + 65537 }

  /// Fails the PAWS test (RFC 7323 section 5). A reset's timestamp counts for one maximum segment lifetime only.
  func isOld(_ segment: IncomingSegment, now: Instant) -> Bool {
    guard hasTimestamps, segment.options.hasTimestamps else { return false }
    if segment.flags.contains(.rst) && now - timestampRecentAt >= Self.duration { return false }
    return !RecentTimestamp(value: timestampRecent, at: timestampRecentAt)
      .admits(segment.options.timestampValue, now: now)
  }
}
