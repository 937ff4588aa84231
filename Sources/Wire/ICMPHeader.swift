/// The 8 bytes that every ICMP message begins with (RFC 792).
/// ```
///  | type | code | checksum | rest of header (4 bytes) |
/// ```
@frozen
public struct ICMPHeader: Sendable {
  public static let byteCount = 8

  /// Where each field begins.
  @frozen public enum Offset {
    @inlinable public static var kind: Int { 0 }
    @inlinable public static var code: Int { 1 }
    @inlinable public static var checksum: Int { 2 }
    @inlinable public static var rest: Int { 4 }
  }

  /// The type of a message (RFC 792).
  @frozen public struct Kind: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let echoReply = Kind(rawValue: 0)
    public static let destinationUnreachable = Kind(rawValue: 3)
    public static let sourceQuench = Kind(rawValue: 4)
    public static let redirect = Kind(rawValue: 5)
    public static let echoRequest = Kind(rawValue: 8)
    public static let timeExceeded = Kind(rawValue: 11)
    public static let parameterProblem = Kind(rawValue: 12)
    public static let timestampRequest = Kind(rawValue: 13)
    public static let timestampReply = Kind(rawValue: 14)
    public static let addressMaskRequest = Kind(rawValue: 17)
    public static let addressMaskReply = Kind(rawValue: 18)
    /// RFC 8335.
    public static let extendedEchoRequest = Kind(rawValue: 42)
    public static let extendedEchoReply = Kind(rawValue: 43)

    /// Messages that report about another packet; never answered with an error (RFC 1122 3.2.2).
    public var isError: Bool {
      [.destinationUnreachable, .sourceQuench, .redirect, .timeExceeded, .parameterProblem].contains(self)
    }
  }
  /// Codes of `destinationUnreachable`.
  public enum Unreachable {
    public static let network: UInt8 = 0
    public static let host: UInt8 = 1
    public static let `protocol`: UInt8 = 2
    public static let port: UInt8 = 3
    public static let fragmentationNeeded: UInt8 = 4
    public static let sourceRouteFailed: UInt8 = 5
    public static let networkProhibited: UInt8 = 9
    public static let hostProhibited: UInt8 = 10
    public static let administrativelyProhibited: UInt8 = 13
    /// RFC 1812 section 5.2.7.1: precedence cutoff. Linux: `NR_ICMP_UNREACH`.
    public static let highest: UInt8 = 15
  }

  /// Code of `redirect`: for one host (RFC 1812 section 5.2.7.2).
  public static let redirectHost: UInt8 = 1

  public var kind: Kind
  public var code: UInt8
  /// Echo: identifier and sequence. Fragmentation needed: next-hop MTU in the low half (RFC 1191).
  public var rest: UInt32

  public init(kind: Kind, code: UInt8, rest: UInt32 = 0) {
    self.kind = kind
    self.code = code
    self.rest = rest
  }
  public init?(parsing bytes: RawSpan) {
    guard bytes.byteCount >= Self.byteCount else { return nil }
    kind = Kind(rawValue: bytes.load8(Offset.kind))
    code = bytes.load8(Offset.code)
    rest = bytes.load32(Offset.rest)
  }
  /// An error that is kept from the sockets: a code of "unreachable" that nobody has assigned, and fragments that did not
  /// come together in time, which says nothing about the way. Linux: `icmp_unreach()`.
  public var concernsNoSocket: Bool {
    switch kind {
    case .destinationUnreachable: code > Unreachable.highest
    case .timeExceeded: code == 1
    default: false
    }
  }
  public var identifier: UInt16 { UInt16(truncatingIfNeeded: rest >> 16) }
  public var sequence: UInt16 { UInt16(truncatingIfNeeded: rest) }

  /// Writes the header with a zero checksum; the caller sums header and payload and stores the result.
  public func write(to bytes: inout MutableRawSpan) {
    bytes.store8(kind.rawValue, Offset.kind)
    bytes.store8(code, Offset.code)
    bytes.store16(0, Offset.checksum)
    bytes.store32(rest, Offset.rest)
  }
}
