import NetNamespace
import Timers
import Wire

/// Which segments a tracked connection can have: those inside the windows of both ends, after Guido van Rooij, "Real Stateful
/// TCP Packet Filtering in IP Filter" (2000). Linux: `nf_conntrack_proto_tcp.c`.
extension TrackedTCP {
  enum Verdict {
    case accept
    /// Of no connection.
    case invalid
    /// It passes, and says nothing.
    case ignore
    /// The connection is over; the packet may begin another one.
    case again
  }

  /// An acknowledgment may be so far behind. Linux: `MAXACKWINDOW()`.
  private static let leastAcknowledgedWindow: UInt32 = 66000

  /// What the first packet tells. Linux: `tcp_new()`.
  mutating func begin(_ segment: TrackedSegment) {
    self = TrackedTCP()
    if segment.flags.contains(.syn) {
      ends.original = opening(segment)
      ends.original.isKnown = true
      return
    }
    // Met in its middle: both are believed until they have been seen for a while.
    ends.original.end = segment.end
    ends.original.window = UInt32(max(segment.window, 1))
    ends.original.largestEnd = segment.end + ends.original.window
    ends.original.hasSACK = true
    ends.reply.hasSACK = true
    ends.original.isKnown = true
    // How their windows are scaled was said before.
    ends.original.isLiberal = true
    ends.reply.isLiberal = true
  }

  /// An end as its SYN presents it.
  private func opening(_ segment: TrackedSegment) -> End {
    var end = End()
    end.end = segment.end
    end.window = UInt32(max(segment.window, 1))
    end.largestEnd = segment.end
    end.hasScale = segment.options.windowScale != nil
    end.scale = segment.options.windowScale ?? 0
    end.hasSACK = segment.options.sackPermitted
    end.isKnown = true
    return end
  }

  /// Where a segment lies.
  enum Fit {
    case inside
    /// What it carries or acknowledges is long past.
    case late
    case outside
  }

  /// Whether a segment fits into the windows; then what it tells is noted. Linux: `tcp_in_window()`.
  mutating func takes(_ segment: TrackedSegment, _ direction: ConnectionDirection) -> Fit {
    var sender = self[direction]
    var receiver = self[direction.other]
    let isOpening = segment.flags.contains(.syn)
    if !sender.isKnown {
      if isOpening {
        sender = opening(segment)
        // Without an offer of both there is no scaling (RFC 7323 section 2.2).
        if !(sender.hasScale && receiver.hasScale) {
          sender.scale = 0
          receiver.scale = 0
        }
        if !segment.flags.contains(.ack) {
          self[direction] = sender
          self[direction.other] = receiver
          return .inside
        }
      } else {
        // Nothing of what it may send is known.
        sender.end = segment.end
        sender.window = max(UInt32(segment.window), 1)
        sender.largestEnd = segment.end + sender.window
        sender.isKnown = true
      }
    }
    // It opened anew, above what it used before (RFC 9293 section 3.4.2).
    let mayOpen = state == .synSent && direction == .original || state == .synReceived && direction == .reply
    if isOpening && mayOpen && segment.end.isAfter(sender.end) { sender = opening(segment) }
    var acknowledgment = segment.acknowledgment
    var highest = segment.highestAcknowledgment
    var sequence = segment.sequence
    var end = segment.end
    if !segment.flags.contains(.ack) || segment.flags.contains(.rst) && acknowledgment.rawValue == 0 {
      // It acknowledges nothing.
      acknowledgment = receiver.end
      highest = receiver.end
    }
    if sequence == end && segment.flags.contains(.rst) && sequence.rawValue == 0 && state == .synSent {
      // A refusal has no sequence number of its own.
      sequence = sender.end
      end = sender.end
    }
    if !sender.hasSACK { highest = acknowledgment }
    let window = isOpening ? UInt32(segment.window) : UInt32(segment.window) << UInt32(sender.scale)
    let acknowledged = max(sender.window, Self.leastAcknowledgedWindow)
    let fits =
      (!receiver.isKnown
        || (sequence.isAtOrBefore(sender.largestEnd)
          && (end.isAtOrAfter(sender.end - receiver.window - 1) || receiver.window == 0)))
      && (!receiver.isKnown
        || (highest.isAtOrBefore(receiver.end) && acknowledgment.isAtOrAfter(receiver.end - acknowledged - 1)))
    guard fits else {
      if sender.isLiberal {
        self[direction] = sender
        self[direction.other] = receiver
        return .inside
      }
      // Below a lower bound only it is late, a copy perhaps: it passes, with its connection.
      let isLate = sequence.isAtOrBefore(sender.largestEnd) && highest.isAtOrBefore(receiver.end)
      return isLate ? .late : .outside
    }
    if sender.window < window { sender.window = window }
    if end.isAfter(sender.end) {
      sender.end = end
      sender.isUnanswered = true
    }
    if segment.flags.contains(.fin) { sender.hasClosed = true }
    if segment.flags.contains(.ack) {
      if acknowledgment == receiver.end { receiver.isUnanswered = false }
      if sender.acknowledged.map({ acknowledgment.isAfter($0) }) ?? true {
        sender.acknowledged = acknowledgment
      }
      // The receiver of data says how far it may go on.
      let right = highest + max(window, 1)
      if !receiver.isKnown || right.isAfter(receiver.largestEnd) { receiver.largestEnd = right }
    }
    self[direction] = sender
    self[direction.other] = receiver
    return .inside
  }
}

extension ConnectionTracking {
  /// Linux: `nf_conntrack_tcp_packet()`.
  mutating func takeSegment(
    _ segment: TrackedSegment, _ direction: ConnectionDirection, _ slot: Int, net: inout Net
  ) -> TrackedTCP.Verdict {
    let settings = net.settings.connections
    let old = table[slot].tcp.state
    let kind = TrackedTCP.Segment(segment.flags)
    var new: TrackedTCP.State
    switch TrackedTCP.step(old, kind, direction) {
    case .ignore:
      table[slot].tcp.note(segment, kind, direction)
      return .ignore
    case .invalid: return .invalid
    case .to(let state): new = state
    }
    // The ends open again what is over: another connection. One that has only been refused goes on.
    if new == .synSent && kind == .syn && (old == .timeWait || old == .close) {
      let isOver =
        table[slot].tcp.ends.original.hasClosed || table[slot].tcp.ends.reply.hasClosed
        || table[slot].tcp.last.segment == .reset && table[slot].tcp.last.direction == direction
      if isOver { return .again }
    }
    if kind == .reset, let least = table[slot].tcp[direction.other].acknowledged,
      segment.sequence.isBefore(least)
    {
      return .invalid
    }
    let isExact = isExactReset(segment, direction, slot)
    let fit = table[slot].tcp.takes(segment, direction)
    if fit != .inside && !(settings.tcpLiberal && kind != .reset) { return fit == .late ? .ignore : .invalid }
    // A reset that is not exact is answered by a challenge (RFC 5961 section 3.2): the connection may go on.
    if kind == .reset && old == .established && !isExact { new = old }
    table[slot].tcp.note(segment, kind, direction)
    table[slot].tcp.state = new
    // Whatever it is to the connection: after a reset hardly anything will follow.
    var time = kind == .reset ? settings.tcpClose : table[slot].tcp.time(settings)
    if table[slot].tcp.retransmissions >= settings.tcpRetransmissions {
      time = min(time, settings.tcpMaximumRetransmissions)
    }
    if segment.window == 0 { time = min(time, settings.tcpMaximumRetransmissions) }
    let hasAnswer = table[slot].status.contains(.seenReply)
    if table[slot].tcp.ends.original.isUnanswered || table[slot].tcp.ends.reply.isUnanswered
      || new == .established && !hasAnswer
    {
      // An end may be gone.
      time = min(time, settings.tcpUnacknowledged)
    }
    // A reset is all that came of it.
    if kind == .reset && !hasAnswer { time = .zero }
    table.refresh(slot, time, net: &net)
    if hasAnswer && new == .established && (old == .established || old == .synReceived) {
      table[slot].status.insert(.assured)
    }
    return .accept
  }

  /// Whether a reset is where the other end expects the next byte, or behind what was sent just before it.
  private func isExactReset(
    _ segment: TrackedSegment, _ direction: ConnectionDirection, _ slot: Int
  ) -> Bool {
    let last = table[slot].tcp.last
    if last.segment == .ack && last.direction == direction && last.end == segment.sequence.rawValue {
      return true
    }
    return segment.sequence == table[slot].tcp[direction.other].acknowledged
  }
}

extension TrackedTCP {
  /// Counts what is sent again without an answer.
  mutating func note(_ segment: TrackedSegment, _ kind: Segment, _ direction: ConnectionDirection) {
    let isAgain =
      kind == .ack && last.direction == direction && last.segment == .ack
      && last.sequence == segment.sequence.rawValue
      && last.acknowledgment == segment.acknowledgment.rawValue && last.end == segment.end.rawValue
      && last.window == segment.window
    retransmissions = isAgain ? retransmissions + 1 : 0
    last = (
      kind, direction, segment.sequence.rawValue, segment.acknowledgment.rawValue, segment.end.rawValue,
      segment.window
    )
  }
}
