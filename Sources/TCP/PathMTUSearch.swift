import Tables
import Timers
import Wire

/// The search for the largest packet that a path takes which tells nobody (RFC 4821): between one that is known to pass and
/// one that is not known not to. Sizes are those of IP packets. Linux: `icsk_mtup`, `mtu_probe`.
struct PathMTUSearch {
  /// Segments are no longer than `low` allows, and probes go.
  var isOn = false
  @Narrow<Int32> var low = 0
  @Narrow<Int32> var high = Int(Int32.max)
  /// Size of the probe that is out; 0: none is.
  @Narrow<Int32> var probe = 0
  /// The numbers that the probe carries.
  var start = SequenceNumber(0)
  var end = SequenceNumber(0)
  /// When the search last began.
  var since = Instant.origin
}

/// Whether a probe may go.
enum PathMTUProbeReadiness {
  case notNow
  /// When what is in flight is acknowledged: nothing else goes before.
  case soon
  case ready
}
