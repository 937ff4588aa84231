import NetNamespace
import SkBuff
import Tables
import Timers
import Wire

/// The receiving half of a connection: what has come, what is offered, and what is to be acknowledged.
///
/// RCV.NXT lies between the first byte that was not read and the end of what was last offered; what is queued out of order
/// lies above RCV.NXT, and only that is reported by SACK.
struct TCPReceiver: ~Copyable {
  private let addressOnly = AddressOnly()

  // Receive sequence space (RFC 9293 3.3.1).
  var rcvNxt = SequenceNumber(0)
  /// RCV.NXT when the window was last offered.
  var rcvWup = SequenceNumber(0)
  /// The first byte that the reader has not taken.
  var copiedSeq = SequenceNumber(0)
  var initialReceive = SequenceNumber(0)
  @Narrow<UInt8> var rcvWscale = 0
  var peerFinSeen = false
  /// The newest urgent mark that the reader has not passed. Linux: `urg_seq`, `urg_data`.
  var urgent: UrgentMark?

  // What has come.
  var receiveQueue = SkBuffQueue()
  var outOfOrder = OutOfOrderQueue()
  var lastReceived = Instant.origin
  /// What the peer's time stamps say, and what is echoed. Linux: `ts_recent`, `ts_recent_stamp`.
  var recent = RecentTimestamp()
  /// What its full segments carry, as far as is known. Linux: `icsk_ack.rcv_mss`.
  @Narrow<Int32> var rcvMSS = 536
  /// What our SYN named.
  @Narrow<Int32> var advertisedMSS = 1460

  // What is offered.
  var rcvWnd = 0
  /// The largest window there will be.
  var windowClamp = 65535
  /// The ceiling of the window now, which data that uses memory well raises. Linux: `rcv_ssthresh`.
  var rcvSsthresh = 0
  /// Out of 256: payload bytes per byte of memory in received packets. Linux: `scaling_ratio`.
  @Narrow<UInt16> var scalingRatio = TCPReceiver.initialScalingRatio
  var readSpace = ReadSpace()

  // What is to be acknowledged.
  var sack = SACKReport()
  var ack = DelayedAck()
  /// Answers to segments that do not fit. Linux: `last_oow_ack_time`.
  var answers = AnswerLimit()

  /// Linux: `TCP_DEFAULT_SCALING_RATIO`.
  static let initialScalingRatio = 128

  // MARK: The stream

  /// Bytes that arrived in order and were not read, an urgent one among them.
  var readableByteCount: Int {
    let bytes = rcvNxt.offset(from: copiedSeq) - (peerFinSeen ? 1 : 0)
    return max(0, bytes)
  }

  /// The next byte to read is the urgent one.
  var isAtMark: Bool { urgent?.sequence == copiedSeq }

  /// Bytes to read before an urgent one that is read apart. Linux: `tcp_inq()`.
  func byteCountToMark(inline: Bool) -> Int {
    guard !inline, let mark = urgent?.sequence, mark.isAtOrAfter(copiedSeq), rcvNxt.isAfter(mark) else {
      return readableByteCount
    }
    return mark.offset(from: copiedSeq)
  }

  /// The peer's SYN: its stream begins behind it.
  mutating func begin(at initial: SequenceNumber) {
    initialReceive = initial
    rcvNxt = initial + 1
    rcvWup = rcvNxt
    copiedSeq = rcvNxt
  }

  // MARK: The window

  /// What is left of the window last offered. Linux: `tcp_receive_window()`.
  var receiveWindow: Int { max(0, (rcvWup + rcvWnd).offset(from: rcvNxt)) }

  /// A segment leaves with this window.
  mutating func offer(_ window: Int) {
    rcvWnd = window
    rcvWup = rcvNxt
  }

  /// Bytes of window that `space` bytes of buffer carry. Linux: `tcp_win_from_space()`.
  static func windowFrom(space: Int, ratio: Int) -> Int { (space * ratio) >> 8 }

  // MARK: Acknowledging

  /// RCV.NXT has moved: what it has passed is not reported any more.
  mutating func trimSACKReport() {
    if outOfOrder.isEmpty { sack.forgetRanges() } else { sack.acknowledge(upTo: rcvNxt) }
  }

  /// Linux: `tcp_enter_quickack_mode()`.
  mutating func enterQuickAck(_ most: Int = DelayedAck.maximumQuick) {
    raiseQuickAcks(most)
    ack.pingpong = 0
    ack.timeout = DelayedAck.minimum
  }

  /// Linux: `tcp_incr_quickack()`.
  mutating func raiseQuickAcks(_ most: Int) {
    let segments = receiveWindow / (2 * max(rcvMSS, 1))
    ack.quick = max(ack.quick, min(max(segments, 2), most))
  }
}
