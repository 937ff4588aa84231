/// Protocol numbers carried in an IP header.
@frozen
public struct IPProtocol: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  @inlinable public static var icmp: IPProtocol { IPProtocol(rawValue: 1) }
  @inlinable public static var igmp: IPProtocol { IPProtocol(rawValue: 2) }
  @inlinable public static var tcp: IPProtocol { IPProtocol(rawValue: 6) }
  @inlinable public static var udp: IPProtocol { IPProtocol(rawValue: 17) }
  /// RFC 3828.
  @inlinable public static var udpLite: IPProtocol { IPProtocol(rawValue: 136) }
}

/// An IPv4 header (RFC 791 section 3.1). Options stay in the packet; `headerByteCount` covers them.
/// ```
///  |version|ihl|  tos  |     total length      |
///  |      identification   |fl| fragment offset|
///  |  ttl  | protocol      |  header checksum  |
///  |                source                     |
///  |              destination                  |
/// ```
@frozen
public struct IPv4Header: Sendable {
  public static let minimumByteCount = 20
  public static let maximumByteCount = 60

  /// Where each field begins.
  @frozen public enum Offset {
    @inlinable public static var versionAndLength: Int { 0 }
    @inlinable public static var typeOfService: Int { 1 }
    @inlinable public static var totalLength: Int { 2 }
    @inlinable public static var identification: Int { 4 }
    @inlinable public static var fragment: Int { 6 }
    @inlinable public static var timeToLive: Int { 8 }
    @inlinable public static var `protocol`: Int { 9 }
    @inlinable public static var checksum: Int { 10 }
    @inlinable public static var source: Int { 12 }
    @inlinable public static var destination: Int { 16 }
    @inlinable public static var options: Int { 20 }
  }

  public var headerByteCount: Int
  public var typeOfService: UInt8
  /// Header and payload, in bytes.
  public var totalByteCount: Int
  public var identification: UInt16
  public var dontFragment: Bool
  public var moreFragments: Bool
  /// In bytes, a multiple of 8.
  public var fragmentOffset: Int
  public var timeToLive: UInt8
  public var `protocol`: IPProtocol
  public var source: IPv4Address
  public var destination: IPv4Address

  public static let defaultTimeToLive: UInt8 = 64

  @inlinable public init(
    headerByteCount: Int = 20, typeOfService: UInt8 = 0, totalByteCount: Int, identification: UInt16 = 0,
    dontFragment: Bool = false, moreFragments: Bool = false, fragmentOffset: Int = 0,
    timeToLive: UInt8 = IPv4Header.defaultTimeToLive, protocol: IPProtocol, source: IPv4Address,
    destination: IPv4Address
  ) {
    self.headerByteCount = headerByteCount
    self.typeOfService = typeOfService
    self.totalByteCount = totalByteCount
    self.identification = identification
    self.dontFragment = dontFragment
    self.moreFragments = moreFragments
    self.fragmentOffset = fragmentOffset
    self.timeToLive = timeToLive
    self.protocol = `protocol`
    self.source = source
    self.destination = destination
  }

  /// `nil` when the bytes are not a whole, consistent version 4 header: short, wrong version, header length under 20
  /// or past the end, total length under the header length (RFC 1122 3.2.1). The checksum is checked apart.
  @inlinable public init?(parsing bytes: RawSpan) { self.init(parsing: bytes, isQuoted: false) }

  /// As it stands in an ICMP error, where some routers leave another total length (RFC 1191 section 5).
  @inlinable public init?(quoted bytes: RawSpan) { self.init(parsing: bytes, isQuoted: true) }

  @inlinable @inline(__always) init?(parsing bytes: RawSpan, isQuoted: Bool) {
    guard bytes.byteCount >= Self.minimumByteCount else { return nil }
    let first = bytes.load8(Offset.versionAndLength)
    let headerByteCount = Int(first & 0xF) &* 4
    let total = Int(bytes.load16(Offset.totalLength))
    guard first >> 4 == 4, headerByteCount >= Self.minimumByteCount, headerByteCount <= bytes.byteCount,
      total >= headerByteCount || isQuoted
    else { return nil }
    self.headerByteCount = headerByteCount
    typeOfService = bytes.load8(Offset.typeOfService)
    totalByteCount = total
    identification = bytes.load16(Offset.identification)
    let fragment = bytes.load16(Offset.fragment)
    dontFragment = fragment & 0x4000 != 0
    moreFragments = fragment & 0x2000 != 0
    fragmentOffset = Int(fragment & 0x1FFF) &* 8
    timeToLive = bytes.load8(Offset.timeToLive)
    self.protocol = IPProtocol(rawValue: bytes.load8(Offset.protocol))
    source = bytes.loadIPv4(Offset.source)
    destination = bytes.loadIPv4(Offset.destination)
  }

  @inlinable public var isFragment: Bool { moreFragments || fragmentOffset != 0 }

  /// Writes the 20 fixed bytes with a valid checksum over `headerByteCount` bytes; options must already be in place.
  @inlinable public func write(to bytes: inout MutableRawSpan) {
    bytes.store8(0x40 | UInt8(truncatingIfNeeded: headerByteCount / 4), Offset.versionAndLength)
    bytes.store8(typeOfService, Offset.typeOfService)
    bytes.store16(UInt16(truncatingIfNeeded: totalByteCount), Offset.totalLength)
    bytes.store16(identification, Offset.identification)
    let flags: UInt16 = (dontFragment ? 0x4000 : 0) | (moreFragments ? 0x2000 : 0)
    bytes.store16(flags | UInt16(truncatingIfNeeded: fragmentOffset / 8), Offset.fragment)
    bytes.store8(timeToLive, Offset.timeToLive)
    bytes.store8(self.protocol.rawValue, Offset.protocol)
    bytes.store16(0, Offset.checksum)
    bytes.store32(source.rawValue, Offset.source)
    bytes.store32(destination.rawValue, Offset.destination)
    var sum = InternetChecksum()
    sum.add(bytes.bytes.extracting(0..<headerByteCount))
    bytes.store16(sum.checksum, Offset.checksum)
  }

  /// Whether the first `byteCount` bytes sum to all ones. Linux: `ip_fast_csum()`.
  @inlinable public static func isChecksumValid(_ bytes: RawSpan, byteCount: Int) -> Bool {
    var sum = InternetChecksum()
    sum.add(bytes.extracting(0..<byteCount))
    return sum.isValid
  }
}
