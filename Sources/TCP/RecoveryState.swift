import SkBuff
import Timers
import Wire

/// Loss recovery: its state, proportional rate reduction (RFC 6937), and what it takes to undo it.
struct RecoveryState {
  var state = CongestionState.open
  /// SND.NXT when the episode began: it ends when this is acknowledged.
  var highSeq = SequenceNumber(0)
  /// Segments the network may reorder before a gap means loss (`tcp_reordering`).
  var reordering = 3
  static let maximumReordering = 300

  // Proportional rate reduction.
  var priorWindow = 0
  var priorThreshold: Int? = nil
  var prrDelivered = 0
  var prrOut = 0

  // Undo (RFC 3522, RFC 4015; D-SACK: RFC 3708).
  var undoMarker: SequenceNumber?
  /// Retransmissions not yet reported as duplicates; `nil`: none was made.
  var undoRetransmissions: Int?
  var undoWindow = 0

  // Places in the retransmission queue where work goes on; `nil`: from its head.
  var sackHint: SkBuffQueue.Position?
  var retransmitHint: SkBuffQueue.Position?
  var lostHint: SkBuffQueue.Position?
  /// SACKed segments before `lostHint`.
  var lostHintSacked = 0
  /// One past the highest sequence number that was SACKed.
  var highestSacked = SequenceNumber(0)

  mutating func clearHints() {
    sackHint = nil
    retransmitHint = nil
    lostHint = nil
    lostHintSacked = 0
  }
  /// Forgets places at a packet that leaves the queue.
  mutating func forget(_ place: SkBuffQueue.Position) {
    if sackHint == place { sackHint = nil }
    if retransmitHint == place { retransmitHint = nil }
    if lostHint == place {
      lostHint = nil
      lostHintSacked = 0
    }
  }
}
