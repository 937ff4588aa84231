import Tables
import Timers
import Wire

/// Loss recovery: its state, proportional rate reduction (RFC 6937), and what it takes to undo it.
struct RecoveryState {
  var state = CongestionState.open
  /// The peer threw away what it had SACKed: until the episode ends nothing is known of the rate. Linux: `is_sack_reneg`.
  var hasReneged = false
  /// SND.NXT when the episode began: it ends when this is acknowledged.
  var highSeq = SequenceNumber(0)
  /// Segments the network may reorder before a gap means loss. Linux: `tp->reordering`.
  @Narrow<Int32> var reordering: Int = 0
  /// How often the network was seen to reorder. Linux: `tp->reord_seen`.
  var reorderSeen: UInt32 = 0

  // Proportional rate reduction.
  @Narrow<Int32> var priorWindow = 0
  @Narrow<Int32> var prrDelivered = 0
  @Narrow<Int32> var prrOut = 0

  // Undo (RFC 3522, RFC 4015; D-SACK: RFC 3708).
  /// SND.UNA when the episode began; `nil`: there is nothing to undo.
  var undoMarker: SequenceNumber?
  /// Retransmissions not yet reported as duplicates; `nil`: none was made.
  @NarrowOptional var undoRetransmissions: Int? = nil
  /// How far below the highest arrival, in bytes, what was sent again was when it arrived: if every retransmission was
  /// needless, the originals were that late.
  @Narrow<Int32> var undoDistance = 0
  /// What undo gives back; `nil` when the reduction was made for another reason than loss. Linux: `prior_ssthresh`.
  var prior: CongestionSnapshot?

  /// A timeout is not believed yet: new data will tell (RFC 5682). Linux: `tp->frto`.
  var isProbingTimeout = false

  /// The window follows the reduction, not the congestion control. Linux: `tcp_in_cwnd_reduction()`.
  var isReducing: Bool { state == .congestionWindowReduced || state == .recovery }
}

/// The congestion state before a reduction. RFC 9438 section 4.9 names what belongs to it.
struct CongestionSnapshot {
  @Narrow<Int32> var window: Int
  @NarrowOptional var threshold: Int?
  var control: Cubic?
}
