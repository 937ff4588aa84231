import Tables
import Timers
import Wire

/// Recent acknowledgment (RFC 8985): of all that is known to have arrived, what was sent last, and how long its
/// acknowledgment took. What was sent before it has been overtaken, and is lost when it does not come within the reordering
/// window. Linux: `struct tcp_rack`.
struct RACK {
  /// RACK.xmit_ts and RACK.end_seq.
  private(set) var sentAt = Instant.origin
  /// RACK.rtt.
  private(set) var rtt = Nanoseconds.zero
  private(set) var endSequence = SequenceNumber(0)
  /// `delivered` when the reordering window last grew.
  private var grownAt: UInt32 = 0
  /// Something has arrived since losses were last looked for.
  var hasAdvanced = false

  // The reordering window: quarters of the least RTT, one more for each round trip in which D-SACK shows that a
  // retransmission was needless, for 16 recoveries (RFC 8985 section 6.2 step 4).
  @Narrow<UInt8> private(set) var steps = 1
  @Narrow<UInt8> private(set) var persistence = 0
  var sawDuplicate = false

  /// Linux: `TCP_RACK_RECOVERY_THRESH`.
  private static let recoveries = 16

  /// A packet arrived. Where it was sent more than once and arrived sooner than anything can, the acknowledgment is of
  /// another transmission (RFC 8985 section 6.2 step 2). Linux: `tcp_rack_advance()`.
  mutating func advance(_ block: TCPControlBlock, least: Nanoseconds?, now: Instant) {
    let taken = now - block.sentAt
    if !block.sacked.isDisjoint(with: .sentAgain), least.map({ taken < $0 }) ?? true { return }
    hasAdvanced = true
    rtt = taken
    if Self.isLater(block.sentAt, block.endSequence, than: sentAt, endSequence) {
      sentAt = block.sentAt
      endSequence = block.endSequence
    }
  }

  /// A packet that was sent before what has arrived.
  func hasOvertaken(_ block: TCPControlBlock) -> Bool {
    Self.isLater(sentAt, endSequence, than: block.sentAt, block.endSequence)
  }

  /// RACK_sent_after(). Linux: `tcp_skb_sent_after()`.
  private static func isLater(
    _ time: Instant, _ end: SequenceNumber, than other: Instant, _ otherEnd: SequenceNumber
  ) -> Bool {
    time > other || time == other && end.isAfter(otherEnd)
  }

  /// How long a packet still has, with a reordering window; zero or less: it is lost. Linux: `tcp_rack_skb_timeout()`.
  func remaining(_ block: TCPControlBlock, window: Nanoseconds = .zero, now: Instant) -> Nanoseconds {
    rtt + window - (now - block.sentAt)
  }

  /// The reordering window of a path that reorders: no more than the smoothed RTT.
  func window(least: Nanoseconds?, smoothed: Nanoseconds) -> Nanoseconds {
    least.map { min(.microseconds($0.microseconds >> 2) * Int64(steps), smoothed) } ?? smoothed
  }

  // MARK: Adapting the window

  /// An ACK has told of deliveries. Linux: `tcp_rack_update_reo_wnd()`.
  ///
  /// - Parameters:
  ///   - priorDelivered: `delivered` when the last of what it told of was sent.
  ///   - delivered: now.
  mutating func adapt(priorDelivered: UInt32, delivered: UInt32) {
    // Once for each round trip.
    if Int32(bitPattern: priorDelivered &- grownAt) < 0 { sawDuplicate = false }
    if sawDuplicate {
      steps = min(steps + 1, 255)
      sawDuplicate = false
      grownAt = delivered
      persistence = Self.recoveries
    } else if persistence == 0 {
      steps = 1
    }
  }

  /// A recovery has ended that was not needless.
  mutating func recovered() { if persistence > 0 { persistence -= 1 } }

  /// D-SACK has undone one.
  mutating func undone() { persistence = min(persistence + 1, Self.recoveries) }
}
