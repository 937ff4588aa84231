import NetNamespace
import SkBuff
import Timers
import Wire

/// What is known of a TCP connection between two others. Linux: `struct ip_ct_tcp`.
public struct TrackedTCP: Sendable {
  /// Linux: `enum tcp_conntrack`.
  public enum State: UInt8, Sendable {
    case none, synSent, synReceived, established, finWait, closeWait, lastAck, timeWait, close
    /// Both ends have sent a SYN.
    case synSent2

    /// As conntrack(8) prints it.
    public var name: String {
      switch self {
      case .none: "NONE"
      case .synSent: "SYN_SENT"
      case .synReceived: "SYN_RECV"
      case .established: "ESTABLISHED"
      case .finWait: "FIN_WAIT"
      case .closeWait: "CLOSE_WAIT"
      case .lastAck: "LAST_ACK"
      case .timeWait: "TIME_WAIT"
      case .close: "CLOSE"
      case .synSent2: "SYN_SENT2"
      }
    }
  }

  /// What one end has sent and may send. Linux: `struct ip_ct_tcp_state`.
  struct End: Sendable {
    /// Behind the last byte that it sent.
    var end = SequenceNumber(0)
    /// Behind the last byte that the other end has room for.
    var largestEnd = SequenceNumber(0)
    /// The largest window that it has offered, scaled.
    var window: UInt32 = 0
    var scale: UInt8 = 0
    var hasScale = false
    var hasSACK = false
    /// Nobody knows how its windows are scaled: whatever it sends is believed. Linux: `IP_CT_TCP_FLAG_BE_LIBERAL`.
    var isLiberal = false
    /// It closed: its FIN was seen.
    var hasClosed = false
    /// Something of it was seen.
    var isKnown = false
    /// Data of it was not acknowledged yet.
    var isUnanswered = false
    /// The highest acknowledgment that it sent; `nil`: none.
    var acknowledged: SequenceNumber?
  }

  /// What a segment is, most telling flag first. Linux: `enum tcp_bit_set`.
  enum Segment: UInt8 {
    case syn, synAck, fin, ack, reset, none

    init(_ flags: TCPFlags) {
      if flags.contains(.rst) {
        self = .reset
      } else if flags.contains(.syn) {
        self = flags.contains(.ack) ? .synAck : .syn
      } else if flags.contains(.fin) {
        self = .fin
      } else {
        self = flags.contains(.ack) ? .ack : .none
      }
    }
  }

  public internal(set) var state = State.none
  var ends: (original: End, reply: End) = (End(), End())
  /// The last segment that counted, for retransmissions and answers to it.
  var last:
    (
      segment: Segment, direction: ConnectionDirection, sequence: UInt32, acknowledgment: UInt32, end: UInt32,
      window: UInt16
    ) =
      (.none, .original, 0, 0, 0, 0)
  var retransmissions = 0

  subscript(direction: ConnectionDirection) -> End {
    get { direction == .original ? ends.original : ends.reply }
    set { if direction == .original { ends.original = newValue } else { ends.reply = newValue } }
  }

  /// What a segment makes of a state.
  enum Step: Equatable {
    case to(State)
    /// It belongs to no connection in that state.
    case invalid
    /// It may be one of an earlier connection, or from somebody else: it passes and changes nothing.
    case ignore
  }

  /// RFC 9293 section 3.3.2 as somebody between the ends sees it. Linux: `tcp_conntracks[][][]`.
  static func step(_ state: State, _ segment: Segment, _ direction: ConnectionDirection) -> Step {
    switch segment {
    case .none: return .invalid
    case .reset:
      switch state {
      case .none: return .invalid
      default: return .to(.close)
      }
    case .syn: return direction == .original ? synOut(state) : synBack(state)
    case .synAck: return direction == .original ? synAckOut(state) : synAckBack(state)
    case .fin: return fin(state)
    case .ack: return direction == .original ? ackOut(state) : ackBack(state)
    }
  }

  private static func synOut(_ state: State) -> Step {
    switch state {
    // First, again, or anew after the end.
    case .none, .synSent, .timeWait, .close: .to(.synSent)
    case .synSent2: .to(.synSent2)
    case .synReceived, .established, .finWait, .closeWait, .lastAck: .ignore
    }
  }
  private static func synBack(_ state: State) -> Step {
    switch state {
    case .synSent, .synSent2: .to(.synSent2)
    // The other end opens the next connection.
    case .timeWait: .to(.synSent)
    case .none, .synReceived, .established, .finWait, .closeWait, .lastAck, .close: .invalid
    }
  }
  private static func synAckOut(_ state: State) -> Step {
    // Only where both have opened.
    state == .synReceived || state == .synSent2 ? .to(.synReceived) : .invalid
  }
  private static func synAckBack(_ state: State) -> Step {
    switch state {
    case .none: .invalid
    case .synSent, .synSent2: .to(.synReceived)
    default: .ignore
    }
  }
  private static func fin(_ state: State) -> Step {
    switch state {
    case .none, .synSent, .synSent2: .invalid
    case .synReceived, .established: .to(.finWait)
    // The second one.
    case .finWait, .closeWait, .lastAck: .to(.lastAck)
    case .timeWait: .to(.timeWait)
    case .close: .to(.close)
    }
  }
  private static func ackOut(_ state: State) -> Step {
    switch state {
    // One is met in its middle.
    case .none, .synReceived, .established: .to(.established)
    case .synSent, .synSent2: .invalid
    case .finWait, .closeWait: .to(.closeWait)
    case .lastAck, .timeWait: .to(.timeWait)
    case .close: .to(.close)
    }
  }
  private static func ackBack(_ state: State) -> Step {
    switch state {
    case .none: .invalid
    case .synSent, .synSent2: .ignore
    case .synReceived: .to(.synReceived)
    case .established: .to(.established)
    case .finWait, .closeWait: .to(.closeWait)
    case .lastAck, .timeWait: .to(.timeWait)
    case .close: .to(.close)
    }
  }

  /// Linux: `tcp_timeouts[]`, `tcp_timeout_nlattr_to_obj()`.
  func time(_ settings: ConnectionSettings) -> Nanoseconds {
    switch state {
    case .none, .synSent, .synSent2: settings.tcpSynSent
    case .synReceived: settings.tcpSynReceived
    case .established: settings.tcpEstablished
    case .finWait: settings.tcpFinWait
    case .closeWait: settings.tcpCloseWait
    case .lastAck: settings.tcpLastAck
    case .timeWait: settings.tcpTimeWait
    case .close: settings.tcpClose
    }
  }
}

/// The fields of a TCP segment that a tracker looks at.
struct TrackedSegment {
  var flags: TCPFlags
  var sequence: SequenceNumber
  var acknowledgment: SequenceNumber
  /// The highest right edge of its SACK blocks; else its acknowledgment.
  var highestAcknowledgment: SequenceNumber
  var window: UInt16
  /// Bytes of sequence space.
  var byteCount: Int
  var options: TCPOptions

  var end: SequenceNumber { sequence + byteCount }

  /// - Parameter bytes: from the IP header on, with the whole TCP header.
  /// - Returns: `nil` for a header that cannot be. Linux: `tcp_error()`.
  init?(_ header: IPv4Header, bytes: RawSpan) {
    let start = header.headerByteCount
    guard bytes.byteCount >= start + TCPHeader.minimumByteCount else { return nil }
    let headerByteCount = Int(bytes.load8(start + TCPHeader.Offset.dataOffset) >> 4) * 4
    guard headerByteCount >= TCPHeader.minimumByteCount, start + headerByteCount <= header.totalByteCount,
      start + headerByteCount <= bytes.byteCount
    else { return nil }
    flags = TCPFlags(rawValue: bytes.load8(start + TCPHeader.Offset.flags))
    guard Self.isPossible(flags) else { return nil }
    sequence = SequenceNumber(bytes.load32(start + TCPHeader.Offset.sequence))
    acknowledgment = SequenceNumber(bytes.load32(start + TCPHeader.Offset.acknowledgment))
    window = bytes.load16(start + TCPHeader.Offset.window)
    byteCount =
      header.totalByteCount - start - headerByteCount + (flags.contains(.syn) ? 1 : 0)
      + (flags.contains(.fin) ? 1 : 0)
    options = TCPOptions(
      parsing: bytes.extracting(start..<start + headerByteCount), headerByteCount: headerByteCount)
    highestAcknowledgment = acknowledgment
    for index in 0..<options.sackBlockCount {
      let block = options.sackBlocks[index]
      if highestAcknowledgment.isBefore(block.end) { highestAcknowledgment = block.end }
    }
  }

  /// Linux: `tcp_valid_flags[]`.
  private static func isPossible(_ flags: TCPFlags) -> Bool {
    let kind = flags.intersection([.syn, .fin, .rst, .ack])
    switch kind {
    case [.syn], [.syn, .ack], [.rst], [.rst, .ack], [.fin, .ack], [.ack]: return true
    default: return false
    }
  }
}
