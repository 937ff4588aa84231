import NetNamespace
import Timers
import Wire

/// A connection that a SYN asked for and that no ACK has completed yet. Linux: `struct request_sock`.
///
/// Small on purpose: this is what a peer can make us hold for the price of one packet.
struct RequestSocket: ~Copyable {
  var tuple: FourTuple
  /// The listener's slot and generation.
  var listener: Int
  var listenerGeneration: UInt32
  var initialSend: SequenceNumber
  var initialReceive: SequenceNumber
  var timestampOffset: UInt32
  var timestampRecent: UInt32
  var peerMSS: Int
  var windowScale: UInt8?
  var receiveWindowScale: UInt8
  var receiveWindow: Int
  var sackPermitted: Bool
  var hasTimestamps: Bool
  var typeOfService: UInt8
  /// SYN-ACKs sent again.
  var retransmits = 0
  var sentAt: Instant
  var timeout: Nanoseconds
  var timer = TimerSlot()
}

/// A connection that only waits for old duplicates to die (RFC 9293 3.6.1). Linux: `struct inet_timewait_sock`.
struct TimeWaitSocket: ~Copyable {
  /// Linux: `TCP_TIMEWAIT_LEN`.
  static let duration = Nanoseconds.seconds(60)

  var tuple: FourTuple
  var id: SocketID
  var sndNxt: SequenceNumber
  var rcvNxt: SequenceNumber
  var receiveWindow: Int
  var receiveWindowScale: Int
  var hasTimestamps: Bool
  var timestampOffset: UInt32
  var timestampRecent: UInt32
  var timestampRecentAt: Instant
  var expires: Instant
  var ownsPort: Bool
  var timer = TimerSlot()
}
