import Wire

/// A segment as the receive path works on it.
struct IncomingSegment {
  var sequence: SequenceNumber
  var endSequence: SequenceNumber
  var acknowledgment: SequenceNumber
  var flags: TCPFlags
  var window: Int
  var payload: Int
  var options: TCPOptions
  var urgentPointer: UInt16
  /// Of its header with options.
  var headerByteCount: UInt8
  /// The two lowest bits of the type of service (RFC 3168).
  var networkMark: UInt8
  /// The four bits in front of its flags.
  var reserved: UInt8
  /// Of its IP header.
  var timeToLive: UInt8

  /// AE, CWR and ECE as a number (RFC 9768 section 3.2).
  var ace: UInt8 { (reserved & 1) << 2 | flags.rawValue >> 6 & 1 | flags.rawValue >> 6 & 2 }

  /// RFC 9293 3.7.1: 536 when a SYN names none, or zero. Never below Linux's 48, `TCP_MIN_SND_MSS`.
  var peerMSS: Int {
    guard let named = options.maximumSegmentSize, named > 0 else { return 536 }
    return max(Int(named), TCPSender.leastSegmentSize)
  }
}

/// What the layer has to do after a socket took a segment.
struct SegmentVerdict: OptionSet {
  var rawValue: UInt8
  /// The connection ended or entered TIME-WAIT: the layer takes its slot back.
  static let moveToTimeWait = SegmentVerdict(rawValue: 1)
  /// Answer the segment with a reset (RFC 9293 3.10.7).
  static let reset = SegmentVerdict(rawValue: 2)
  /// The handshake is complete: hand the child to its listener.
  static let established = SegmentVerdict(rawValue: 4)
}
