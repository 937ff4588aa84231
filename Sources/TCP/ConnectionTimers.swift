import Tables
import Timers

/// When a connection has to do something by itself; `.distantFuture`: it has not.
/// Linux: `icsk_retransmit_timer`, `icsk_delack_timer`, `pacing_timer`, `sk_timer`.
///
/// Retransmission, loss probe, reordering and window probe share a deadline, because only one of them can run: something is outstanding,
/// or data waits with nothing outstanding. The deadline is `.distantFuture` exactly while the kind is `.none`.
struct ConnectionTimers {
  /// What the shared deadline is for. Linux: `ICSK_TIME_RETRANS`, `ICSK_TIME_LOSS_PROBE`, `ICSK_TIME_REO_TIMEOUT`,
  /// `ICSK_TIME_PROBE0`.
  enum Retransmit { case none, retransmission, lossProbe, reordering, probe }

  private(set) var retransmitDeadline = Instant.distantFuture
  private(set) var retransmitKind = Retransmit.none
  /// Armed while a packet waits for its time to leave.
  var pacingDeadline = Instant.distantFuture
  /// Armed while an ACK waits.
  var ackDeadline = Instant.distantFuture
  /// Of keep-alive, and of an orphan in FIN-WAIT-2.
  var keepAliveDeadline = Instant.distantFuture
  /// Probes without an answer, of a closed window or of keep-alive. Linux: `icsk_probes_out`.
  @Narrow<Int32> var probesOut = 0
  /// When the window's first probe without an answer was due; `.origin`: none is. Linux: `icsk_probes_tstamp`.
  var probeSince = Instant.origin

  @inline(__always)
  var earliest: Instant {
    min(min(retransmitDeadline, pacingDeadline), min(ackDeadline, keepAliveDeadline))
  }

  /// Linux: `inet_csk_reset_xmit_timer()`.
  @inline(__always)
  mutating func start(_ kind: Retransmit, at deadline: Instant) {
    retransmitKind = kind
    retransmitDeadline = deadline
  }

  @inline(__always)
  mutating func stopRetransmit() { start(.none, at: .distantFuture) }

  /// What runs fires no later than this.
  mutating func bringForward(to deadline: Instant) {
    if retransmitKind != .none { retransmitDeadline = min(retransmitDeadline, deadline) }
  }

  /// What has expired of retransmission and probes; it does not run any more.
  mutating func takeExpired(now: Instant) -> Retransmit {
    guard retransmitDeadline <= now else { return .none }
    defer { stopRetransmit() }
    return retransmitKind
  }

  mutating func stop() {
    stopRetransmit()
    pacingDeadline = .distantFuture
    ackDeadline = .distantFuture
    keepAliveDeadline = .distantFuture
  }
}
