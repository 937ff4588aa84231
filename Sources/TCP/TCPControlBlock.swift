import SkBuff
import Timers
import Wire

/// What TCP keeps with a segment on its queues. Linux: `struct tcp_skb_cb`.
struct TCPControlBlock: ControlBlock {
  /// First sequence number; SYN and FIN count one.
  var sequence = SequenceNumber(0)
  /// One past the last sequence number.
  var endSequence = SequenceNumber(0)
  var flags: TCPFlags = []
  var sacked: TCPSackState = []
  /// Set by `MSG_EOR`: never appended to or collapsed past.
  var endOfRecord = false
  /// Delivery-rate sample state at transmission (draft-cheng-iccrg-delivery-rate-estimation), as are the last three.
  var isAppLimited = false
  /// How many MSS-sized segments the packet makes. Linux: `tcp_skb_pcount()`.
  var segmentCount: UInt16 = 0
  var segmentSize: UInt16 = 0
  /// Last transmission; `.origin` when never sent. Linux: `skb_mstamp_ns`.
  var sentAt = Instant.origin
  var delivered: UInt32 = 0
  var deliveredAt = Instant.origin
  var firstSentAt = Instant.origin
}

/// What the delivery rate's estimate is to know of a packet's last departure (draft-cheng-iccrg-delivery-rate-estimation).
/// Linux: `tcp_rate_skb_sent()`.
struct Departure {
  let at: Instant
  let firstSentAt: Instant
  let delivered: UInt32
  let deliveredAt: Instant
  let isAppLimited: Bool
}

extension SkBuffQueue {
  /// What goes down of a packet that stays, which notes that it does.
  @inline(__always)
  mutating func transmissionClone(of place: Position, _ departure: Departure) -> SkBuff? {
    withMutablePacket(at: place) { skb in
      skb.tcp.sentAt = departure.at
      skb.tcp.firstSentAt = departure.firstSentAt
      skb.tcp.deliveredAt = departure.deliveredAt
      skb.tcp.delivered = departure.delivered
      skb.tcp.isAppLimited = departure.isAppLimited
      return skb.transmissionClone()
    }
  }
}

/// What the scoreboard knows of a sent segment. Linux: `TCPCB_SACKED_ACKED` and so on.
struct TCPSackState: OptionSet, Sendable {
  var rawValue: UInt8
  init(rawValue: UInt8) { self.rawValue = rawValue }
  static var sacked: TCPSackState { TCPSackState(rawValue: 1) }
  static var retransmitted: TCPSackState { TCPSackState(rawValue: 2) }
  static var lost: TCPSackState { TCPSackState(rawValue: 4) }
  static var everRetransmitted: TCPSackState { TCPSackState(rawValue: 8) }
  /// It was queued in repair mode: when it was sent is not known.
  static var repaired: TCPSackState { TCPSackState(rawValue: 16) }
  /// Which of its transmissions has arrived cannot be told. Linux: `TCPCB_RETRANS`.
  static var sentAgain: TCPSackState { [.retransmitted, .everRetransmitted, .repaired] }

  /// As OptionSet's own, which takes three generic calls for it where nothing is optimised: the invariants ask for each segment.
  func contains(_ member: TCPSackState) -> Bool { rawValue & member.rawValue == member.rawValue }
}

extension SkBuff {
  /// The control block of a packet that TCP holds. Linux: `TCP_SKB_CB()`.
  @inline(__always) var tcp: TCPControlBlock {
    get { self[controlBlock: TCPControlBlock.self] }
    _modify { yield &self[controlBlock: TCPControlBlock.self] }
  }
}

extension SkBuffQueue {
  /// The control block of the packet at `place`, in place.
  @inline(__always) subscript(tcp place: Position) -> TCPControlBlock {
    get { self[controlBlock: place, TCPControlBlock.self] }
    _modify { yield &self[controlBlock: place, TCPControlBlock.self] }
  }
}
