import SkBuff
import Tables
import Timers
import Wire

/// What was sent and is not acknowledged, and all that is counted from it. Linux: `tcp_rtx_queue` and the counters and hints
/// that `tcp_input.c` and `tcp_output.c` keep with it.
///
/// The queue changes in the verbs of this file and nowhere else; `brokenInvariant` recounts from it. Policy (when to mark,
/// what an arrival means) is the socket's.
struct Scoreboard: ~Copyable {
  /// In the order of their numbers. Linux: `tcp_rtx_queue`.
  private(set) var queue = SkBuffQueue()
  /// Of them, in the order in which they were last sent, what may be in the network: not what has arrived, nor what was found
  /// lost and was not sent again. Linux: `tsorted_sent_queue`.
  private(set) var sentOrder = SentOrder()

  // Where blocks are looked for, and where retransmission goes on; `nil`: at the head. Linux: `retransmit_skb_hint`.
  private(set) var sackPlaces = SACKPlaces()
  private(set) var retransmitHint: SkBuffQueue.Position?

  /// One past the highest sequence number that was SACKed; only good while something is.
  private(set) var highestSacked = SequenceNumber(0)
  private(set) var counts = SegmentCounts()
  private let addressOnly = AddressOnly()

  var packetsOut: Int { counts.packetsOut }
  var sackedOut: Int { counts.sackedOut }
  var lostOut: Int { counts.lostOut }
  var retransOut: Int { counts.retransOut }
  var inFlight: Int { counts.inFlight }
  var delivered: UInt32 { counts.delivered }
  var lostTotal: UInt32 { counts.lostTotal }
  var hasSACK: Bool {
    get { counts.hasSACK }
    set { counts.hasSACK = newValue }
  }

  /// One past the highest sequence number the peer is known to have. Linux: `tcp_highest_sack_seq()`.
  func highestSack(una: SequenceNumber) -> SequenceNumber { hasSACK && sackedOut > 0 ? highestSacked : una }

  /// The peer SACKed what it should have acknowledged: it may have thrown it away.
  var isHeadSACKed: Bool { queue.first.map { queue[tcp: $0].sacked.contains(.sacked) } ?? false }

  // MARK: Sending

  /// A packet went out for the first time, behind all others.
  mutating func sent(_ skb: consuming SkBuff) {
    counts.sent(Int(skb.tcp.segmentCount))
    queue.append(skb)
    if let place = queue.last { sentOrder.append(place) }
  }

  /// The SYN-ACK of a child that sends before its handshake is over has gone, or gone again.
  mutating func synAckSent() { if let head = queue.first { counts.noteSynAck(queue[tcp: head]) } }
  mutating func synAckAnswered() { counts.noteSynAck(nil) }

  /// Both sides opened at once: the SYN goes again as a SYN-ACK.
  mutating func answerSYN(_ ecn: ECNState) {
    guard let head = queue.first else { return }
    queue[tcp: head].flags.insert(.ack)
    queue[tcp: head].flags.remove(.cwr)
    // What Accurate ECN says instead is put into the header.
    if !ecn.contains(.isOn) { queue[tcp: head].flags.remove(.ece) }
  }

  /// A SYN that goes again does not ask for ECN: something on the way may not bear it (RFC 3168 6.1.1.1).
  /// Linux: `tcp_ecn_clear_syn()`.
  mutating func giveUpECN(_ place: SkBuffQueue.Position) {
    queue[tcp: place].flags.subtract([.ece, .cwr])
  }

  /// The SYN-ACK that made this connection has arrived.
  mutating func handshakeDelivered() { counts.handshakeDelivered() }

  /// The SYN, which is alone here, left with the data of a packet that comes behind it.
  mutating func sentWithData(at now: Instant) {
    guard let head = queue.first else { return }
    queue[tcp: head].sentAt = now
    queue[tcp: head].firstSentAt = now
    queue[tcp: head].deliveredAt = now
    queue[tcp: head].isAppLimited = true
  }

  /// What was sent again without need has arrived, too. Linux: `tcp_dsack_seen()`.
  mutating func needlessDelivered(_ segments: Int) { counts.needlessDelivered(segments) }

  /// The data of a SYN is a packet of its own here, and on the wire it was not.
  mutating func synDataDelivered() { counts.synDataDelivered() }

  mutating func reset() {
    sentOrder.removeAll()
    queue.removeAll()
    sackPlaces.removeAll()
    retransmitHint = nil
    counts.reset()
  }

  /// Forgets places at a packet that leaves the queue.
  private mutating func forget(_ place: SkBuffQueue.Position) {
    if retransmitHint == place { retransmitHint = nil }
    sackPlaces.forget(place, in: queue)
  }

  // MARK: Acknowledgments

  /// What an ACK took off the head.
  struct Acknowledged {
    /// As it was before.
    var block: TCPControlBlock
    var segments: Int
    /// The packet is gone; else its front.
    var isWhole: Bool
  }

  /// Takes the head, or whole segments at the front of a large one, off the queue. Linux: the counting part of
  /// `tcp_clean_rtx_queue()`, `tcp_tso_acked()`.
  ///
  /// - Parameters:
  ///   - una: everything below it is acknowledged.
  ///   - memory: what the socket's queued packets take, in bytes of truesize.
  /// - Returns: `nil` when no whole segment of it is acknowledged.
  @inline(__always)
  mutating func acknowledge(upTo una: SequenceNumber, memory: inout Int) -> Acknowledged? {
    guard let place = queue.first else { return nil }
    let block = queue[tcp: place]
    var segments = Int(block.segmentCount)
    let isWhole = !block.endSequence.isAfter(una)
    if !isWhole {
      guard una.isAfter(block.sequence), !block.flags.contains(.syn) else { return nil }
      let size = max(Int(block.segmentSize), 1)
      guard trimHead(place, bytes: una.offset(from: block.sequence), memory: &memory), segments > 1 else {
        return nil
      }
      let left = max(1, (queue.length(at: place) + size - 1) / size)
      segments -= left
      guard segments > 0 else { return nil }
      queue[tcp: place].segmentCount = UInt16(truncatingIfNeeded: left)
    }
    counts.acknowledge(segments, of: block)
    if !isWhole { stampAcknowledged(place, upTo: una) }
    if isWhole {
      forget(place)
      sentOrder.remove(place)
      memory -= queue.truesize(at: place)
      var skb = queue.remove(at: place)
      if skb.stamps.contains(.acknowledged) {
        skb.timestamp = block.sentAt
        skb.stamp(.acknowledged)
      }
    }
    return Acknowledged(block: block, segments: segments, isWhole: isWhole)
  }

  /// The byte that a stamp is for may be acknowledged before its packet is. Linux: `tcp_ack_tstamp()`.
  private mutating func stampAcknowledged(_ place: SkBuffQueue.Position, upTo una: SequenceNumber) {
    guard queue.withPacket(at: place, { $0.stamps.contains(.acknowledged) }) else { return }
    queue.withMutablePacket(at: place) { (skb: inout SkBuff) in
      guard SequenceNumber(skb.stampKey).isBefore(una) else { return }
      skb.timestamp = skb.tcp.sentAt
      skb.stamp(.acknowledged)
      skb.timestamp = .origin
      skb.stamps.remove(.acknowledged)
    }
  }

  /// What goes down of a packet that is sent again.
  mutating func transmissionClone(of place: SkBuffQueue.Position, _ departure: Departure) -> SkBuff? {
    queue.transmissionClone(of: place, departure)
  }

  /// Takes acknowledged bytes off a packet, whose memory is the writer's again; it counts as many segments as before.
  /// Linux: `tcp_trim_head()`.
  mutating func trimHead(_ place: SkBuffQueue.Position, bytes: Int, memory: inout Int) -> Bool {
    let before = queue.truesize(at: place)
    let isCut = queue.withMutablePacket(at: place) { skb in
      let fragmentBytes = skb.dataLength
      guard skb.trimHead(bytes) else { return false }
      skb.truesize -= fragmentBytes - skb.dataLength
      return true
    }
    guard isCut else { return false }
    queue[tcp: place].sequence += bytes
    memory += queue.truesize(at: place) - before
    return true
  }

  // MARK: SACK

  /// Before the first block in a while: an earlier mark would be half the sequence space away one day.
  mutating func forgetStaleMark(una: SequenceNumber) {
    guard sackedOut == 0 else { return sackPlaces.acknowledge(upTo: una) }
    highestSacked = una
    sackPlaces.forgetArrivals()
  }

  mutating func placeToSACK(from start: SequenceNumber) -> SkBuffQueue.Position? {
    sackPlaces.place(from: start, in: queue)
  }

  mutating func place(behindSACKed place: SkBuffQueue.Position, upTo end: SequenceNumber)
    -> SkBuffQueue.Position?
  { sackPlaces.place(behind: place, upTo: end, in: queue) }

  /// The peer has this packet. Linux: the counting part of `tcp_sacktag_one()`.
  mutating func sack(_ place: SkBuffQueue.Position) {
    var block = queue[tcp: place]
    counts.sack(&block)
    queue[tcp: place] = block
    sentOrder.remove(place)
    if block.endSequence.isAfter(highestSacked) { highestSacked = block.endSequence }
    if retransmitHint == place { retransmitHint = queue.position(after: place) }
    sackPlaces.arrived(place, block)
  }

  // MARK: Without SACK

  mutating func addRenoSACK() -> Bool { counts.addRenoSACK() }
  mutating func removeRenoSACKs(acked: Int) -> Bool { counts.removeRenoSACKs(acked: acked) }
  @discardableResult
  mutating func limitRenoSACKed() -> Bool { counts.limitRenoSACKed() }
  mutating func forgetRenoSACKs() { counts.forgetRenoSACKs() }

  // MARK: Losses

  /// Marks as lost what has been overtaken by more than the reordering window (RFC 8985 section 6.2 step 5).
  ///
  /// - Returns: segments that were sent again and are lost again; and how long the last of what has been overtaken still has,
  ///   zero when nothing has.
  mutating func markLosses(_ rack: RACK, window: Nanoseconds, now: Instant) -> (again: Int, wait: Nanoseconds)
  {
    var again = 0
    var wait = Nanoseconds.zero
    var next = sentOrder.first
    while let place = next {
      next = sentOrder.position(after: place)
      let block = queue[tcp: place]
      if block.sacked.contains(.lost) && !block.sacked.contains(.retransmitted) { continue }
      guard rack.hasOvertaken(block) else { break }
      let remaining = rack.remaining(block, window: window, now: now)
      if remaining > .zero {
        wait = max(wait, remaining)
      } else {
        again += markLost(place)
        sentOrder.remove(place)
      }
    }
    return (again, wait)
  }

  /// Linux: `tcp_mark_skb_lost()`.
  ///
  /// - Returns: segments that were sent again and are lost again.
  mutating func markLost(_ place: SkBuffQueue.Position) -> Int {
    var block = queue[tcp: place]
    guard !block.sacked.contains(.sacked) else { return 0 }
    noteToRetransmit(place, block.sequence)
    let again = counts.lose(&block)
    queue[tcp: place] = block
    return again
  }

  /// Retransmission goes on no later than at this packet. Without a place to go on at it begins at the queue's head, and
  /// still has to where lost packets wait there. Linux: `tcp_verify_retransmit_hint()`.
  private mutating func noteToRetransmit(_ place: SkBuffQueue.Position, _ sequence: SequenceNumber) {
    if let hint = retransmitHint {
      guard sequence.isBefore(queue[tcp: hint].sequence) else { return }
    } else {
      guard retransOut >= lostOut else { return }
    }
    retransmitHint = place
  }

  /// Lost whatever was sent again; after undo a segment may be sent again and not lost.
  ///
  /// - Returns: as `markLost`.
  mutating func markLostAgain(_ place: SkBuffQueue.Position) -> Int {
    counts.forgetRetransmission(&queue[tcp: place])
    return markLost(place)
  }

  /// After a timeout the head is lost, and all else that is not SACKed, but for what was sent less than a round trip ago. A
  /// SACKed head means that the receiver threw away what it had (RFC 2018 section 8): then SACKs count for nothing.
  /// Linux: `tcp_timeout_mark_lost()`.
  ///
  /// - Returns: as `markLost`.
  mutating func markAllLost(_ rack: RACK, now: Instant) -> Int {
    let reneged = isHeadSACKed
    counts.forgetRenoSACKs()
    var again = 0
    var place = queue.first
    while let current = place {
      place = queue.position(after: current)
      if reneged {
        counts.renege(&queue[tcp: current])
      } else if current != queue.first, rack.remaining(queue[tcp: current], now: now) > .zero {
        continue
      }
      again += markLostAgain(current)
    }
    retransmitHint = nil
    return again
  }

  /// Nothing was lost after all. Linux: the first part of `tcp_undo_cwnd_reduction()`.
  mutating func unmarkLost() {
    var place = queue.first
    while let current = place {
      counts.unlose(&queue[tcp: current])
      place = queue.position(after: current)
    }
    retransmitHint = nil
  }

  // MARK: Sending again

  /// The first packet that is lost and was not sent again since; the search goes on from there.
  mutating func nextToRetransmit() -> SkBuffQueue.Position? {
    var place = retransmitHint ?? queue.first
    while let current = place {
      retransmitHint = current
      let marks = queue[tcp: current].sacked
      if marks.contains(.lost) && marks.isDisjoint(with: [.sacked, .retransmitted]) { break }
      place = queue.position(after: current)
    }
    return place
  }

  /// A packet was sent again. Marked even if it did not leave: its time stamp is that of the attempt, and so no RTT sample.
  ///
  /// - Parameter isProbe: it is not known to be lost, and counts once.
  mutating func retransmitted(_ place: SkBuffQueue.Position, hasLeft: Bool, isProbe: Bool = false) {
    counts.retransmitted(&queue[tcp: place], hasLeft: hasLeft && !isProbe)
    if hasLeft { sentOrder.append(place) }
  }

  /// A copy of it arrived, and it is not known to be lost: nothing of it is in the network.
  mutating func retransmissionWasNeedless(_ place: SkBuffQueue.Position) {
    counts.forgetRetransmission(&queue[tcp: place])
  }

  // MARK: Cutting and joining

  /// Cuts a packet in two, each marked as the whole was. Linux: `tcp_fragment()`.
  ///
  /// - Returns: false when memory ran out; nothing has changed.
  mutating func split(_ place: SkBuffQueue.Position, at offset: Int, mss: Int, memory: inout Int) -> Bool {
    guard let change = queue.split(place, at: offset, mss: mss, memory: &memory) else { return false }
    if sentOrder.contains(place), let rest = queue.position(after: place) {
      sentOrder.insert(rest, after: place)
    }
    counts.adjust(queue[tcp: place], by: change)
    return true
  }

  /// The path MTU or options changed since the packet was cut. Linux: `tcp_set_skb_tso_segs()`.
  mutating func resegment(_ place: SkBuffQueue.Position, mss: Int) {
    let old = Int(queue[tcp: place].segmentCount)
    let new = max(1, (queue.length(at: place) + mss - 1) / mss)
    queue[tcp: place].segmentSize = UInt16(truncatingIfNeeded: mss)
    queue[tcp: place].segmentCount = UInt16(truncatingIfNeeded: new)
    counts.adjust(queue[tcp: place], by: new - old)
  }

  /// Moves the bytes of a packet behind those of the one before it, and forgets it. Linux: `tcp_collapse_retrans()`.
  ///
  /// - Returns: false when they may not be moved: a copy is still on its way down, or they are too many pieces.
  mutating func merge(_ next: SkBuffQueue.Position, into place: SkBuffQueue.Position, memory: inout Int)
    -> Bool
  {
    let before = queue.truesize(at: place) + queue.truesize(at: next)
    let block = queue[tcp: next]
    let isOrdered = sentOrder.contains(next)
    let sentBefore = isOrdered ? sentOrder.position(before: next) : nil
    sentOrder.remove(next)
    sackPlaces.forget(next, in: queue)
    var other: SkBuff? = queue.remove(at: next)
    let rest = queue.withMutablePacket(at: place) { (skb: inout SkBuff) -> SkBuff? in
      guard let taken = other.take() else { return nil }
      let (stamps, key) = (taken.stamps, taken.stampKey)
      if let rest = skb.absorb(taken) { return rest }
      if !stamps.isEmpty {
        // Linux: `tcp_skb_collapse_tstamp()`.
        skb.stamps.formUnion(stamps)
        skb.stampKey = key
      }
      return nil
    }
    if let rest {
      queue.insert(rest, after: place)
      if isOrdered, let next = queue.position(after: place) { sentOrder.insert(next, after: sentBefore) }
      return false
    }
    memory += queue.truesize(at: place) - before
    if retransmitHint == next { retransmitHint = place }
    queue[tcp: place].endSequence = block.endSequence
    queue[tcp: place].flags.formUnion(block.flags)
    queue[tcp: place].endOfRecord = block.endOfRecord
    queue[tcp: place].sacked.formUnion(block.sacked.intersection(.everRetransmitted))
    counts.adjust(block, by: -Int(block.segmentCount))
    return true
  }
}
