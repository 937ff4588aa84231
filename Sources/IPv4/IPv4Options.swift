import SkBuff
import Wire

/// IPv4 header options (RFC 791 section 3.1). Linux: `ip_options_compile()`.
public enum IPv4Options {
  enum Verdict: Equatable {
    case valid
    /// LSRR or SSRR: refused, as `accept_source_route` 0 says.
    case sourceRoute
    /// One that was accepted and does not end here: its place in the header.
    case leadsOn(at: Int)
    /// SSRR that leads to another host, and not over us. Linux: `ip_options_rcv_srr()`.
    case strictRoute
    /// Offset of the first wrong byte in the header: the pointer of a parameter problem message.
    case malformed(offset: Int)
  }

  /// RFC 791 section 3.1, RFC 2113; the upper bit says that every fragment has it.
  enum Kind {
    static let end: UInt8 = 0
    static let noOperation: UInt8 = 1
    static let recordRoute: UInt8 = 7
    static let timestamp: UInt8 = 68
    static let looseRoute: UInt8 = 131
    static let strictRoute: UInt8 = 137
    static let routerAlert: UInt8 = 148
    static let isCopied: UInt8 = 0x80
  }
  /// What a time stamp comes with: nothing, each host's address, or addresses that were given beforehand.
  enum Stamp {
    static let alone: UInt8 = 0
    static let withAddress: UInt8 = 1
    static let prespecified: UInt8 = 3
  }

  /// Walks the options behind the 20 fixed bytes. Every step moves on by at least one byte.
  ///
  /// - Parameters:
  ///   - headerByteCount: at most the span's length.
  ///   - acceptsSourceRoute: one that has led here is taken.
  ///   - passesOn: the packet is another host's: a loose route leads over others.
  static func check(
    _ bytes: RawSpan, headerByteCount: Int, acceptsSourceRoute: Bool = false, passesOn: Bool = false
  ) -> Verdict {
    var isRefused = false
    var isStrict = false
    var onward: Int?
    var offset = IPv4Header.minimumByteCount
    var hasSourceRoute = false
    var hasRecordRoute = false
    var hasTimestamp = false
    while offset < headerByteCount {
      let kind = bytes.load8(offset)
      // End of list; no operation.
      if kind == 0 { break }
      if kind == 1 {
        offset += 1
        continue
      }
      guard offset + 2 <= headerByteCount else { return .malformed(offset: offset) }
      let length = Int(bytes.load8(offset + 1))
      guard length >= 2, offset + length <= headerByteCount else { return .malformed(offset: offset) }
      let option = bytes.extracting(offset..<offset + length)
      let wrong: Int?
      switch kind {
      case 131, 137:
        // Loose and strict source route: one of them, once.
        wrong = hasSourceRoute ? 0 : wrongByte(inRoute: option, isRecorded: false)
        hasSourceRoute = true
        if wrong == nil {
          isStrict = passesOn && kind == Kind.strictRoute
          isRefused = !acceptsSourceRoute
          if !passesOn && Int(option.load8(2)) <= length { onward = offset }
        }
      case 7:
        wrong = hasRecordRoute ? 0 : wrongByte(inRoute: option, isRecorded: true)
        hasRecordRoute = true
      case 68:
        wrong = hasTimestamp ? 0 : wrongByte(inTimestamp: option)
        hasTimestamp = true
      case 148:
        // Router alert.
        wrong = length < 4 ? 1 : nil
      default:
        wrong = nil
      }
      if let wrong { return .malformed(offset: offset + wrong) }
      offset += length
    }
    if isRefused { return .sourceRoute }
    if let onward { return .leadsOn(at: onward) }
    return isStrict ? .strictRoute : .valid
  }

  /// Kind, length, pointer (4 or more), addresses of 4 bytes. An address still to be recorded must fit.
  private static func wrongByte(inRoute option: RawSpan, isRecorded: Bool) -> Int? {
    guard option.byteCount >= 3 else { return 1 }
    let pointer = Int(option.load8(2))
    guard pointer >= 4 else { return 2 }
    if isRecorded && pointer <= option.byteCount && pointer + 3 > option.byteCount { return 2 }
    return nil
  }

  /// Kind, length, pointer (5 or more), overflow count and flags, time stamps of 4 bytes or 8 with their addresses. One
  /// still to be written must fit; when none does, the overflow must be countable.
  private static func wrongByte(inTimestamp option: RawSpan) -> Int? {
    guard option.byteCount >= 4 else { return 1 }
    let pointer = Int(option.load8(2))
    guard pointer >= 5 else { return 2 }
    let flags = option.load8(3)
    guard pointer <= option.byteCount else { return flags >> 4 == 15 ? 3 : nil }
    // Flag 1: with addresses; 3: with addresses given beforehand.
    let size = flags & 0xF == 1 || flags & 0xF == 3 ? 8 : 4
    return pointer + size - 1 > option.byteCount ? 2 : nil
  }

  // MARK: Well-formed options

  /// Calls `body` with the kind, place and length of each option of a list that `check` found valid.
  static func forEach(
    _ bytes: RawSpan, from start: Int, to end: Int, _ body: (UInt8, Int, Int) -> Void
  ) {
    var offset = start
    while offset < end {
      let kind = bytes.load8(offset)
      if kind == Kind.end { return }
      if kind == Kind.noOperation {
        offset += 1
        continue
      }
      guard offset + 2 <= end else { return }
      let length = Int(bytes.load8(offset + 1))
      guard length >= 2, offset + length <= end else { return }
      body(kind, offset, length)
      offset += length
    }
  }

  /// Writes into a packet that has arrived what its options ask every host for: its address, the time.
  /// Linux: `ip_options_compile()` with a packet.
  ///
  /// - Parameters:
  ///   - bytes: from the IP header on; its options were checked, up to `end`.
  ///   - own: the address of ours that the packet was for.
  ///   - time: milliseconds since midnight UT.
  /// - Returns: where it wrote an address of ours.
  @_lifetime(bytes: copy bytes)
  static func record(
    in bytes: inout MutableRawSpan, to end: Int, own: IPv4Address, time: UInt32,
    isElsewhere: (IPv4Address) -> Bool
  ) -> Recorded {
    var recorded = Recorded()
    clearRest(of: &bytes, to: end)
    var places: [(kind: UInt8, offset: Int, length: Int)] = []
    forEach(bytes.bytes, from: IPv4Header.minimumByteCount, to: end) {
      places.append(($0, $1, $2))
    }
    for (kind, offset, length) in places where kind == Kind.recordRoute || kind == Kind.timestamp {
      let pointer = Int(bytes.bytes.load8(offset + 2))
      if kind == Kind.recordRoute {
        guard pointer <= length else { continue }
        bytes.store32(own.rawValue, offset + pointer - 1)
        bytes.store8(UInt8(pointer + 4), offset + 2)
        recorded.route = offset + pointer - 1
        continue
      }
      let flags = bytes.bytes.load8(offset + 3)
      let stamp = flags & 0xF
      guard pointer <= length else {
        if stamp != Stamp.prespecified { bytes.store8(flags &+ 0x10, offset + 3) }
        continue
      }
      switch stamp {
      case Stamp.alone:
        bytes.store32(time, offset + pointer - 1)
        bytes.store8(UInt8(pointer + 4), offset + 2)
      case Stamp.withAddress:
        bytes.store32(own.rawValue, offset + pointer - 1)
        bytes.store32(time, offset + pointer + 3)
        bytes.store8(UInt8(pointer + 8), offset + 2)
        recorded.timestamp = offset + pointer - 1
      case Stamp.prespecified:
        guard !isElsewhere(bytes.bytes.loadIPv4(offset + pointer - 1)) else { continue }
        bytes.store32(time, offset + pointer + 3)
        bytes.store8(UInt8(pointer + 8), offset + 2)
      default: break
      }
    }
    return recorded
  }

  /// Nothing stands behind the end of the list. Linux: IPOPT_END in `__ip_options_compile()`.
  private static func clearRest(of bytes: inout MutableRawSpan, to end: Int) {
    var place = IPv4Header.minimumByteCount
    while place < end {
      switch bytes.bytes.load8(place) {
      case Kind.end:
        for rest in place..<end { bytes.store8(0, rest) }
        return
      case Kind.noOperation: place += 1
      default:
        guard place + 1 < end else { return }
        place += max(2, Int(bytes.bytes.load8(place + 1)))
      }
    }
  }

  /// Where a packet's options have taken an address of ours, which on the way on is that of the link it leaves by.
  struct Recorded {
    /// Offsets in the header; 0: none.
    var route = 0
    var timestamp = 0
    /// The options are not as they came.
    var isChanged = false
    /// Where the source route goes next; `nil`: it does not, or there is none.
    var hop: SourceRouteHop?

    /// Linux: `ip_forward_options()`.
    ///
    /// - Parameters:
    ///   - source: the address that we have on the way on.
    ///   - skb: data at its IP header.
    /// - Returns: false without memory.
    func write(_ source: IPv4Address, to skb: inout SkBuff) -> Bool {
      guard isChanged else { return true }
      guard var bytes = skb.writable(), let header = IPv4Header(parsing: bytes.bytes) else { return false }
      if route != 0 { bytes.store32(source.rawValue, route) }
      var onward = header
      if let hop {
        // Only of a packet with a source route, as in Linux.
        if timestamp != 0 { bytes.store32(source.rawValue, timestamp) }
        bytes.store32(source.rawValue, hop.slot)
        bytes.store8(hop.pointer, hop.option + 2)
        onward.destination = hop.address
      }
      onward.write(to: &bytes)
      return true
    }
  }

  /// The options that an answer to a packet carries, as a user would give them: a recorded route and a time stamp go on, a
  /// source route is turned around, all else stays behind. Linux: `ip_options_echo()`.
  ///
  /// - Parameters:
  ///   - header: an IP header with its options, which need not be well-formed.
  ///   - fault: where an option stands that cannot be: of those from there on nothing was made yet, and a source route is not
  ///     turned around (RFC 1812 section 4.3.2.6).
  public static func echo(of header: RawSpan, fault: Int? = nil) -> [UInt8] {
    var record: [UInt8] = []
    var stamp: [UInt8] = []
    var route: [UInt8] = []
    let source = header.loadIPv4(IPv4Header.Offset.source)
    forEach(header, from: IPv4Header.minimumByteCount, to: header.byteCount) { kind, offset, length in
      if let fault, offset + length > fault { return }
      if fault == nil, kind == Kind.looseRoute || kind == Kind.strictRoute, route.isEmpty {
        route = turnedRound(header.extracting(offset..<offset + length), from: source)
      }
      guard kind == Kind.recordRoute || kind == Kind.timestamp else { return }
      let option = (offset..<offset + length).map { header.load8($0) }
      if kind == Kind.recordRoute {
        if record.isEmpty { record = option }
      } else if stamp.isEmpty {
        stamp = option
      }
    }
    let both = route + record + stamp
    return both + [UInt8](repeating: 0, count: -both.count & 3)
  }

  /// The way back: the hops that were passed, the last first. Empty: there were none.
  private static func turnedRound(_ option: RawSpan, from source: IPv4Address) -> [UInt8] {
    let length = option.byteCount
    guard length >= 3 else { return [] }
    let end = min(Int(option.load8(2)), length + 1) - 1
    guard end >= 7 else { return [] }
    var hops: [IPv4Address] = stride(from: 3, through: end - 4, by: 4).map { option.loadIPv4($0) }
    // RFC 1812 section 5.2.4.1: some senders put themselves first.
    if hops.first == source { hops.removeFirst() }
    guard !hops.isEmpty else { return [] }
    return [option.load8(0), UInt8(3 + 4 * hops.count), 4]
      + hops.reversed().flatMap { hop in
        (0..<4).map { UInt8(truncatingIfNeeded: hop.rawValue >> (24 - 8 * UInt32($0))) }
      }
  }

  /// A list of a user's as its socket keeps it: nothing behind the end of the list, and a multiple of 4 bytes.
  public static func padded(_ bytes: RawSpan) -> [UInt8] {
    var list = (0..<bytes.byteCount).map { bytes.load8($0) }
    var end = 0
    forEach(bytes, from: 0, to: bytes.byteCount) { end = $1 + $2 }
    while end < list.count && list[end] == Kind.noOperation { end += 1 }
    for index in end..<list.count { list[index] = 0 }
    return list + [UInt8](repeating: 0, count: -list.count & 3)
  }

  /// Takes out of a list, for a fragment that is not the first, what only the first carries. Linux: `ip_options_fragment()`.
  static func keepCopied(_ options: inout [UInt8]) {
    var places: [Range<Int>] = []
    // Safe: a byte has no padding.
    forEach(unsafe options.span.bytes, from: 0, to: options.count) { kind, offset, length in
      if kind & Kind.isCopied == 0 { places.append(offset..<offset + length) }
    }
    for place in places { for index in place { options[index] = Kind.noOperation } }
  }
}
