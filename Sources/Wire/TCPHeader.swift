/// Control bits of a TCP header (RFC 9293 section 3.1; ECE and CWR: RFC 3168). AE (RFC 9768) is among the reserved bits.
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

  /// Where each field begins.
  @frozen public enum Offset {
    @inlinable public static var sourcePort: Int { 0 }
    @inlinable public static var destinationPort: Int { 2 }
    @inlinable public static var sequence: Int { 4 }
    @inlinable public static var acknowledgment: Int { 8 }
    @inlinable public static var dataOffset: Int { 12 }
    @inlinable public static var flags: Int { 13 }
    @inlinable public static var window: Int { 14 }
    @inlinable public static var checksum: Int { 16 }
    @inlinable public static var urgentPointer: Int { 18 }
    @inlinable public static var options: Int { 20 }
  }

  public var sourcePort: UInt16
  public var destinationPort: UInt16
  public var sequence: SequenceNumber
  public var acknowledgment: SequenceNumber
  /// Header with options, a multiple of 4 from 20 to 60.
  public var headerByteCount: Int
  /// The four bits in front of the flags, of which the last is AE (RFC 9768 section 3.1). Linux: `res1`, `ae`.
  public var reserved: UInt8 = 0
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
    let offsetByte = bytes.load8(Offset.dataOffset)
    headerByteCount = Int(offsetByte >> 4) &* 4
    reserved = offsetByte & 0xF
    guard headerByteCount >= Self.minimumByteCount, headerByteCount <= bytes.byteCount else { return nil }
    sourcePort = bytes.load16(Offset.sourcePort)
    destinationPort = bytes.load16(Offset.destinationPort)
    sequence = SequenceNumber(bytes.load32(Offset.sequence))
    acknowledgment = SequenceNumber(bytes.load32(Offset.acknowledgment))
    flags = TCPFlags(rawValue: bytes.load8(Offset.flags))
    window = bytes.load16(Offset.window)
    checksum = bytes.load16(Offset.checksum)
    urgentPointer = bytes.load16(Offset.urgentPointer)
  }

  /// Writes the 20 fixed bytes.
  @inlinable public func write(to bytes: inout MutableRawSpan) {
    bytes.store16(sourcePort, Offset.sourcePort)
    bytes.store16(destinationPort, Offset.destinationPort)
    bytes.store32(sequence.rawValue, Offset.sequence)
    bytes.store32(acknowledgment.rawValue, Offset.acknowledgment)
    bytes.store8(UInt8(truncatingIfNeeded: headerByteCount / 4) << 4 | reserved, Offset.dataOffset)
    bytes.store8(flags.rawValue, Offset.flags)
    bytes.store16(window, Offset.window)
    bytes.store16(checksum, Offset.checksum)
    bytes.store16(urgentPointer, Offset.urgentPointer)
  }
}
