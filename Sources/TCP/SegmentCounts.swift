import Tables
import SkBuff

/// How many of the segments sent and not acknowledged are where. Linux: `packets_out`, `sacked_out`, `lost_out`,
/// `retrans_out`, `delivered`, `lost`.
///
/// A packet's marks and the counters change together, in the verbs of this file and nowhere else. Without SACK no packet is
/// marked as arrived: duplicate ACKs are counted.
struct SegmentCounts {
  /// Sent and not acknowledged.
  @Narrow<Int32> private(set) var packetsOut = 0
  /// Of them, what the peer has, as SACK says; without SACK, duplicate ACKs that came.
  @Narrow<Int32> private(set) var sackedOut = 0
  /// Of them, what is taken for lost.
  @Narrow<Int32> private(set) var lostOut = 0
  /// Sent again and, as far as is known, in the network.
  @Narrow<Int32> private(set) var retransOut = 0
  /// Copies in the network of the SYN-ACK of a child that sends before its handshake is over: they take no room in the
  /// window. In Linux it is the request's, not the child's.
  @Narrow<UInt8> private(set) var synAcks = 0
  /// Segments that have reached the peer, ever, modulo 2^32. Linux: `tp->delivered`.
  private(set) var delivered: UInt32 = 0
  /// Segments ever taken for lost, modulo 2^32. Linux: `tp->lost`.
  private(set) var lostTotal: UInt32 = 0
  /// The peer tells what it has; else `sackedOut` guesses. Linux: `tcp_is_sack()`.
  var hasSACK = false

  /// Segments believed to be in the network. Linux: `tcp_packets_in_flight()`.
  var inFlight: Int { packetsOut - sackedOut - lostOut + retransOut - synAcks }

  // MARK: Coming and going

  mutating func sent(_ segments: Int) { packetsOut += segments }

  /// The SYN-ACK of such a child is as marked; `nil`: its ACK has come, and is still to be processed.
  mutating func noteSynAck(_ block: TCPControlBlock?) {
    guard let block else { return synAcks = 0 }
    synAcks = (block.sacked.contains(.lost) ? 0 : 1) + (block.sacked.contains(.retransmitted) ? 1 : 0)
  }

  /// The SYN-ACK that made this connection has arrived.
  mutating func handshakeDelivered() { delivered = 1 }

  /// The peer has segments a second time.
  mutating func needlessDelivered(_ segments: Int) { delivered &+= UInt32(truncatingIfNeeded: segments) }

  /// SYN and data have arrived as one segment.
  mutating func synDataDelivered() { if delivered > 1 { delivered -= 1 } }

  /// The first `segments` of a packet are acknowledged.
  @inline(__always)
  mutating func acknowledge(_ segments: Int, of block: TCPControlBlock) {
    if block.sacked.contains(.retransmitted) { retransOut -= segments }
    if block.sacked.contains(.sacked) {
      sackedOut -= segments
    } else if hasSACK {
      delivered &+= UInt32(truncatingIfNeeded: segments)
    }
    if block.sacked.contains(.lost) { lostOut -= segments }
    packetsOut -= segments
  }

  /// The parts of a sent packet count more or fewer segments than the whole did. What is SACKed is not cut any more.
  /// Linux: `tcp_adjust_pcount()`.
  mutating func adjust(_ block: TCPControlBlock, by change: Int) {
    assert(!block.sacked.contains(.sacked), "what the peer has stays as it was sent")
    guard change != 0 else { return }
    packetsOut += change
    if block.sacked.contains(.retransmitted) { retransOut += change }
    if block.sacked.contains(.lost) { lostOut += change }
    // Without SACK nobody knows which of them had arrived.
    if !hasSACK && change < 0 { sackedOut -= min(sackedOut, -change) }
  }

  /// Nothing is outstanding any more.
  mutating func reset() {
    packetsOut = 0
    synAcks = 0
    sackedOut = 0
    lostOut = 0
    retransOut = 0
  }

  // MARK: Marks

  /// The peer has this packet.
  mutating func sack(_ block: inout TCPControlBlock) {
    let segments = Int(block.segmentCount)
    if block.sacked.contains(.lost) {
      block.sacked.remove(.lost)
      lostOut -= segments
      if block.sacked.contains(.retransmitted) {
        block.sacked.remove(.retransmitted)
        retransOut -= segments
      }
    }
    block.sacked.insert(.sacked)
    sackedOut += segments
    delivered &+= UInt32(truncatingIfNeeded: segments)
  }

  /// The peer has thrown away what it had (RFC 2018 section 8).
  mutating func renege(_ block: inout TCPControlBlock) {
    guard block.sacked.contains(.sacked) else { return }
    block.sacked.remove(.sacked)
    sackedOut -= Int(block.segmentCount)
  }

  /// A packet that is not SACKed is lost, or what was sent again of it is. Linux: the counting part of
  /// `tcp_mark_skb_lost()`.
  ///
  /// - Returns: segments that were sent again and are lost again.
  mutating func lose(_ block: inout TCPControlBlock) -> Int {
    let segments = Int(block.segmentCount)
    var again = 0
    if block.sacked.contains(.lost) {
      guard block.sacked.contains(.retransmitted) else { return 0 }
      block.sacked.remove(.retransmitted)
      retransOut -= segments
      again = segments
    } else {
      block.sacked.insert(.lost)
      lostOut += segments
    }
    lostTotal &+= UInt32(truncatingIfNeeded: segments)
    return again
  }

  /// What was sent again and is not marked as lost (an undo took the mark away) is not in the network.
  mutating func forgetRetransmission(_ block: inout TCPControlBlock) {
    guard block.sacked.contains(.retransmitted), !block.sacked.contains(.lost) else { return }
    block.sacked.remove(.retransmitted)
    retransOut -= Int(block.segmentCount)
  }

  /// The packet was not lost after all.
  mutating func unlose(_ block: inout TCPControlBlock) {
    guard block.sacked.contains(.lost) else { return }
    block.sacked.remove(.lost)
    lostOut -= Int(block.segmentCount)
  }

  /// A packet was sent again.
  mutating func retransmitted(_ block: inout TCPControlBlock, hasLeft: Bool) {
    block.sacked.insert(.everRetransmitted)
    guard hasLeft, !block.sacked.contains(.retransmitted) else { return }
    block.sacked.insert(.retransmitted)
    retransOut += Int(block.segmentCount)
  }

  // MARK: Without SACK

  /// A duplicate ACK says one more segment left the network. Linux: `tcp_add_reno_sack()`.
  ///
  /// - Returns: whether more came than segments are outstanding: the network reorders.
  mutating func addRenoSACK() -> Bool {
    let before = sackedOut
    sackedOut += 1
    let isOver = limitRenoSACKed()
    if sackedOut > before { delivered &+= 1 }
    return isOver
  }

  /// - Returns: as `addRenoSACK`. Linux: `tcp_remove_reno_sacks()`.
  mutating func removeRenoSACKs(acked: Int) -> Bool {
    if acked > 0 {
      delivered &+= UInt32(truncatingIfNeeded: max(acked - sackedOut, 1))
      sackedOut = acked - 1 >= sackedOut ? 0 : sackedOut - (acked - 1)
    }
    return limitRenoSACKed()
  }

  /// - Returns: whether more had been counted than can have arrived. Linux: `tcp_limit_reno_sacked()`.
  @discardableResult
  mutating func limitRenoSACKed() -> Bool {
    let holes = min(max(lostOut, 1), packetsOut)
    guard sackedOut + holes > packetsOut else { return false }
    sackedOut = packetsOut - holes
    return true
  }

  /// What duplicate ACKs told of is acknowledged, or another episode begins. Linux: `tcp_reset_reno_sack()`.
  mutating func forgetRenoSACKs() {
    if !hasSACK { sackedOut = 0 }
  }
}
