/// Control bits of a TCP header (RFC 9293 section 3.1; ECE and CWR: RFC 3168).
@frozen
public struct TCPFlags: OptionSet, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  @inlinable public static var fin: TCPFlags { TCPFlags(rawValue: 0x01) }
  @inlinable public static var syn: TCPFlags { TCPFlags(rawValue: 0x02) }
  @inlinable public static var rst: TCPFlags { TCPFlags(rawValue: 0x04) }
  @inlinable public static var psh: TCPFlags { TCPFlags(rawValue: 0x08) }
  @inlinable public static var ack: TCPFlags { TCPFlags(rawValue: 0x10) }
  @inlinable public static var urg: TCPFlags { TCPFlags(rawValue: 0x20) }
  @inlinable public static var ece: TCPFlags { TCPFlags(rawValue: 0x40) }
  @inlinable public static var cwr: TCPFlags { TCPFlags(rawValue: 0x80) }
}

/// A TCP header without its options (RFC 9293 section 3.1).
/// ```
///  |     source port     |  destination port   |
///  |              sequence number              |
///  |           acknowledgment number           |
///  |off|rsv|   flags     |       window        |
///  |      checksum       |   urgent pointer    |
/// ```
@frozen
public struct TCPHeader: Sendable {
  public static let minimumByteCount = 20
  public static let maximumByteCount = 60
  public static let checksumOffset = 16

  public var sourcePort: UInt16
  public var destinationPort: UInt16
  public var sequence: SequenceNumber
  public var acknowledgment: SequenceNumber
  /// Header with options, a multiple of 4 from 20 to 60.
  public var headerByteCount: Int
  public var flags: TCPFlags
  /// As on the wire, not scaled.
  public var window: UInt16
  public var checksum: UInt16
  public var urgentPointer: UInt16

  @inlinable public init(
    sourcePort: UInt16, destinationPort: UInt16, sequence: SequenceNumber,
    acknowledgment: SequenceNumber = SequenceNumber(0), headerByteCount: Int = 20, flags: TCPFlags,
    window: UInt16 = 0, checksum: UInt16 = 0, urgentPointer: UInt16 = 0
  ) {
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
    self.sequence = sequence
    self.acknowledgment = acknowledgment
    self.headerByteCount = headerByteCount
    self.flags = flags
    self.window = window
    self.checksum = checksum
    self.urgentPointer = urgentPointer
  }

  /// `nil` when short, or when the data offset is under 5 or past the end of the span.
  @inlinable public init?(parsing bytes: RawSpan) {
    guard bytes.byteCount >= Self.minimumByteCount else { return nil }
    headerByteCount = Int(bytes.load8(12) >> 4) &* 4
    guard headerByteCount >= Self.minimumByteCount, headerByteCount <= bytes.byteCount else { return nil }
    sourcePort = bytes.load16(0)
    destinationPort = bytes.load16(2)
    sequence = SequenceNumber(bytes.load32(4))
    acknowledgment = SequenceNumber(bytes.load32(8))
    flags = TCPFlags(rawValue: bytes.load8(13))
    window = bytes.load16(14)
    checksum = bytes.load16(16)
    urgentPointer = bytes.load16(18)
  }

  /// Writes the 20 fixed bytes.
  @inlinable public func write(to bytes: inout MutableRawSpan) {
    bytes.store16(sourcePort, 0)
    bytes.store16(destinationPort, 2)
    bytes.store32(sequence.rawValue, 4)
    bytes.store32(acknowledgment.rawValue, 8)
    bytes.store8(UInt8(truncatingIfNeeded: headerByteCount / 4) << 4, 12)
    bytes.store8(flags.rawValue, 13)
    bytes.store16(window, 14)
    bytes.store16(checksum, 16)
    bytes.store16(urgentPointer, 18)
  }
}
