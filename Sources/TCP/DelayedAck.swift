import Tables
import Timers

/// When to acknowledge. Linux: `icsk_ack`.
struct DelayedAck {
  /// `TCP_DELACK_MIN`, `TCP_DELACK_MAX`, `TCP_ATO_MIN`.
  static let minimum = Nanoseconds.milliseconds(40)
  static let maximum = Nanoseconds.milliseconds(200)
  static let maximumQuick = 16

  /// `pingpong` of a conversation. Linux: `inet_csk_enter_pingpong_mode()`.
  static let conversation = 3

  var timeout = Nanoseconds.zero
  var lastDataAt = Instant.origin
  /// ACKs still to be sent at once.
  @Narrow<Int32> var quick = 0
  /// Length of the last small segment, two of which in a row mean a smaller MSS. Linux: `last_seg_size`.
  @Narrow<Int32> var lastSegmentSize = 0
  /// An ACK is owed.
  var isScheduled = false
  /// A conversation of requests and answers: ACKs ride on data. Linux: `inet_csk_in_pingpong_mode()`.
  @Narrow<UInt8> var pingpong = 0
  /// A small or pushed segment came since the last ACK: a reader that has taken all is owed one at once, because the
  /// sender may be waiting for it. Linux: `ICSK_ACK_PUSHED`.
  var isPushed = false
  /// So did a second one: at once even in a conversation. Linux: `ICSK_ACK_PUSHED2`.
  var isPushedTwice = false
  /// Not to be delayed (RFC 5681 4.2: a gap was filled). Linux: `ICSK_ACK_NOW`.
  var isImmediate = false
  /// Data was refused for want of memory: the window is closed. Linux: `ICSK_ACK_NOMEM`.
  var isOutOfMemory = false

  var isInteractive: Bool { pingpong >= 1 }

  /// An ACK has left: nothing is owed. Linux: `tcp_event_ack_sent()`, `inet_csk_clear_xmit_timer(ICSK_TIME_DACK)`.
  mutating func sent() {
    if quick > 0 && isScheduled {
      quick -= 1
      if quick == 0 { timeout = Self.minimum }
    }
    isScheduled = false
    isImmediate = false
    isOutOfMemory = false
    isPushed = false
    isPushedTwice = false
  }
}
