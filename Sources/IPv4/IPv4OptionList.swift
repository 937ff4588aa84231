import NetNamespace
import Wire

/// IP options of packets that are sent: at most 40 bytes, a multiple of 4, and where in them something is filled in as a packet
/// leaves. Linux: `struct ip_options`.
public struct IPv4OptionList: Sendable {
  /// A header has 60 bytes at most (RFC 791 section 3.1).
  public static let maximumByteCount = 40
  private var bytes = InlineArray<40, UInt8>(repeating: 0)
  private var count: UInt8 = 0
  /// Where the source's address or the time stands in a recorded route or a time stamp, and where the destination does in a
  /// source route; 0: nowhere, as no option begins there with them.
  private var destinationPlace: UInt8 = 0
  private var recordPlace: UInt8 = 0
  private var stampAddressPlace: UInt8 = 0
  private var stampPlace: UInt8 = 0
  private var hop: UInt32 = 0
  /// Every hop of the source route is on the link of the one before (RFC 791 section 3.1).
  public private(set) var isStrictRoute = false

  /// None.
  public init() {}

  /// Bytes that a header has of them, a multiple of 4.
  public var byteCount: Int { Int(count) }
  /// Where a packet with a source route goes first; `nil`: it has none.
  public var firstHop: IPv4Address? { destinationPlace == 0 ? nil : IPv4Address(hop) }

  private func address(_ place: Int) -> UInt32 {
    UInt32(bytes[place]) << 24 | UInt32(bytes[place + 1]) << 16 | UInt32(bytes[place + 2]) << 8
      | UInt32(bytes[place + 3])
  }

  /// As a user gives them. Linux: `ip_options_compile()` without a packet.
  ///
  /// - Parameters:
  ///   - isEcho: they are those of a packet that is answered, where a full time stamp may have run over, too.
  ///   - isPrivileged: options that nothing here knows may be sent.
  ///   - isElsewhere: whether an address is another host's, which puts its own time behind it.
  /// - Throws: EINVAL for more than 40 bytes, and for what is not well-formed.
  public init(
    sending source: RawSpan, isEcho: Bool = false, isPrivileged: Bool, isElsewhere: (IPv4Address) -> Bool
  ) throws(Errno) {
    guard source.byteCount <= Self.maximumByteCount else { throw .EINVAL }
    for index in 0..<source.byteCount { bytes[index] = source.load8(index) }
    let end = (source.byteCount + 3) & ~3
    count = UInt8(end)
    var seen: [UInt8] = []
    var offset = 0
    while offset < end {
      let kind = bytes[offset]
      if kind == IPv4Options.Kind.end {
        for index in offset..<end { bytes[index] = 0 }
        break
      }
      if kind == IPv4Options.Kind.noOperation {
        offset += 1
        continue
      }
      guard offset + 2 <= end else { throw .EINVAL }
      let length = Int(bytes[offset + 1])
      guard length >= 2, offset + length <= end else { throw .EINVAL }
      let group = kind == IPv4Options.Kind.strictRoute ? IPv4Options.Kind.looseRoute : kind
      switch kind {
      case IPv4Options.Kind.looseRoute, IPv4Options.Kind.strictRoute:
        guard !seen.contains(group), length >= 7, (length - 3) & 3 == 0, bytes[offset + 2] == 4 else {
          throw .EINVAL
        }
        takeHop(offset, length)
        isStrictRoute = kind == IPv4Options.Kind.strictRoute
      case IPv4Options.Kind.recordRoute:
        guard !seen.contains(kind), length >= 3, bytes[offset + 2] >= 4 else { throw .EINVAL }
        try takeRecord(offset, length)
      case IPv4Options.Kind.timestamp:
        guard !seen.contains(kind), length >= 4, bytes[offset + 2] >= 5 else { throw .EINVAL }
        try takeTimestamp(offset, length, isEcho: isEcho, isPrivileged: isPrivileged, isElsewhere)
      case IPv4Options.Kind.routerAlert: guard length >= 4 else { throw .EINVAL }
      default: guard isPrivileged else { throw .EINVAL }
      }
      seen.append(group)
      offset += length
    }
  }

  /// The first hop is the packet's destination; the others move up, and the true destination comes last.
  private mutating func takeHop(_ offset: Int, _ length: Int) {
    hop = address(offset + 3)
    for index in offset + 3..<offset + length - 4 { bytes[index] = bytes[index + 4] }
    destinationPlace = UInt8(offset + length - 4)
  }

  private mutating func takeRecord(_ offset: Int, _ length: Int) throws(Errno) {
    let pointer = Int(bytes[offset + 2])
    guard pointer <= length else { return }
    guard pointer + 3 <= length else { throw .EINVAL }
    recordPlace = UInt8(offset + pointer - 1)
    bytes[offset + 2] = UInt8(pointer + 4)
  }

  private mutating func takeTimestamp(
    _ offset: Int, _ length: Int, isEcho: Bool, isPrivileged: Bool, _ isElsewhere: (IPv4Address) -> Bool
  ) throws(Errno) {
    let pointer = Int(bytes[offset + 2])
    let kind = bytes[offset + 3] & 0xF
    guard pointer <= length else {
      // Those that were left out are counted in four bits.
      guard isEcho || kind == IPv4Options.Stamp.prespecified || bytes[offset + 3] >> 4 != 15 else {
        throw .EINVAL
      }
      return
    }
    let place = offset + pointer - 1
    switch kind {
    case IPv4Options.Stamp.alone:
      guard pointer + 3 <= length else { throw .EINVAL }
      stampPlace = UInt8(place)
      bytes[offset + 2] = UInt8(pointer + 4)
    case IPv4Options.Stamp.prespecified where isEcho && pointer + 7 > length:
      // The last address has had its time; what is behind it is no address. Linux: `__ip_options_echo()`.
      guard pointer + 3 <= length else { throw .EINVAL }
    case IPv4Options.Stamp.withAddress, IPv4Options.Stamp.prespecified:
      guard pointer + 7 <= length else { throw .EINVAL }
      if kind == IPv4Options.Stamp.prespecified {
        guard !isElsewhere(IPv4Address(address(place))) else { return }
      } else {
        stampAddressPlace = UInt8(place)
      }
      stampPlace = UInt8(place + 4)
      bytes[offset + 2] = UInt8(pointer + 8)
    default:
      guard pointer + 3 <= length, isPrivileged else { throw .EINVAL }
    }
  }

  /// Writes them where a packet has room for them. Linux: `ip_options_build()`.
  ///
  /// - Parameters:
  ///   - destination: of a source route the last hop.
  ///   - time: milliseconds since midnight UT.
  @_lifetime(target: copy target)
  func write(to target: inout MutableRawSpan, source: IPv4Address, destination: IPv4Address, time: UInt32) {
    for index in 0..<byteCount { target.store8(bytes[index], index) }
    if destinationPlace != 0 { target.store32(destination.rawValue, Int(destinationPlace)) }
    if recordPlace != 0 { target.store32(source.rawValue, Int(recordPlace)) }
    if stampAddressPlace != 0 { target.store32(source.rawValue, Int(stampAddressPlace)) }
    if stampPlace != 0 { target.store32(time, Int(stampPlace)) }
  }
}

extension IPv4OptionList: Equatable {
  public static func == (a: IPv4OptionList, b: IPv4OptionList) -> Bool {
    guard a.count == b.count, a.hop == b.hop, a.isStrictRoute == b.isStrictRoute else { return false }
    return (0..<a.byteCount).allSatisfy { a.bytes[$0] == b.bytes[$0] }
  }
}
