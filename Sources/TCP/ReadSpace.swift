import Timers
import Wire

/// Receive-buffer autotuning state. Linux: `tp->rcvq_space`, `rcv_rtt_est`.
struct ReadSpace {
  var space = 0
  var sequence = SequenceNumber(0)
  var since = Instant.origin
  /// Microseconds; 0: none.
  var rtt: Int64 = 0
  var rttSequence = SequenceNumber(0)
  var rttSince = Instant.origin
}
