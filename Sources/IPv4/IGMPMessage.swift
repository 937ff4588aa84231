import Timers
import Wire

/// One group in a report of version 3 (RFC 3376 section 4.2.4).
struct GroupRecord: Sendable, Equatable {
  /// RFC 3376 section 4.2.12.
  enum Kind: UInt8, Sendable {
    case isIncluding = 1
    case isExcluding = 2
    case turnsIncluding = 3
    case turnsExcluding = 4
    case allows = 5
    case blocks = 6
  }
  var kind: Kind
  var group: IPv4Address
  var sources: [IPv4Address]

  init(_ kind: Kind, _ group: IPv4Address, _ sources: [IPv4Address]) {
    self.kind = kind
    self.group = group
    self.sources = sources
  }
}

/// What hosts say.
enum IGMPMessage {
  enum Kind {
    static let query: UInt8 = 0x11
    static let report1: UInt8 = 0x12
    static let report2: UInt8 = 0x16
    static let leave: UInt8 = 0x17
    static let report3: UInt8 = 0x22
  }
  private static let headerByteCount = 8
  private static let recordByteCount = 8

  static func report1(_ group: IPv4Address) -> [UInt8] { message(Kind.report1, group) }
  static func report2(_ group: IPv4Address) -> [UInt8] { message(Kind.report2, group) }
  static func leave(_ group: IPv4Address) -> [UInt8] { message(Kind.leave, group) }

  private static func message(_ kind: UInt8, _ group: IPv4Address) -> [UInt8] {
    summed([kind, 0, 0, 0] + octets(group))
  }

  /// Reports of version 3 that hold all records, each in `room` bytes. A list that does not fit goes on in the next,
  /// but "all but these" is cut off there: it would say that the rest is wanted (RFC 3376 section 4.2.16).
  static func reports(_ records: [GroupRecord], room: Int) -> [[UInt8]] {
    guard room >= headerByteCount + recordByteCount + 4 else { return [] }
    var made: [[UInt8]] = []
    var body: [UInt8] = []
    var count = 0
    func finish() {
      guard count > 0 else { return }
      made.append(summed([Kind.report3, 0, 0, 0, 0, 0] + octets(UInt16(count)) + body))
      body = []
      count = 0
    }
    for record in records {
      let isCut = record.kind == .isExcluding || record.kind == .turnsExcluding
      if isCut && room - headerByteCount - body.count < recordByteCount + 4 * record.sources.count {
        finish()
      }
      var rest = record.sources[...]
      repeat {
        let least = recordByteCount + (rest.isEmpty ? 0 : 4)
        if room - headerByteCount - body.count < least { finish() }
        let fitting = rest.prefix((room - headerByteCount - body.count - recordByteCount) / 4)
        rest = isCut ? [] : rest.dropFirst(fitting.count)
        body += [record.kind.rawValue, 0] + octets(UInt16(fitting.count)) + octets(record.group)
        for source in fitting { body += octets(source) }
        count += 1
      } while !rest.isEmpty
    }
    finish()
    return made
  }

  private static func octets(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
  private static func octets(_ address: IPv4Address) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: address.rawValue >> $0) }
  }
  private static func summed(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    var sum = InternetChecksum()
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum.add(UInt16(bytes[index]) << 8 | UInt16(bytes[index + 1]))
    }
    let checksum = octets(sum.checksum)
    bytes[2] = checksum[0]
    bytes[3] = checksum[1]
    return bytes
  }
}

/// What a querier asks (RFC 3376 section 4.1, RFC 2236 section 2, RFC 1112 appendix I).
struct IGMPQuery: Sendable, Equatable {
  var version: Int
  /// How long an answer may take.
  var responseTime: Nanoseconds
  /// Any: all groups.
  var group: IPv4Address
  var sources: [IPv4Address] = []
  /// 0: the querier does not say.
  var robustness = 0
  var interval = Nanoseconds.zero

  /// - Returns: `nil` for a length that no query has, and for fewer sources than it says.
  init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= 8 else { return nil }
    let code = bytes.load8(1)
    group = bytes.loadIPv4(4)
    if bytes.byteCount == 8 {
      version = code == 0 ? 1 : 2
      responseTime = .milliseconds(100 * Int64(code))
      return
    }
    guard bytes.byteCount >= 12 else { return nil }
    version = 3
    responseTime = .milliseconds(max(1, 100 * Self.value(code)))
    robustness = Int(bytes.load8(8) & 7)
    interval = .seconds(Self.value(bytes.load8(9)))
    let count = Int(bytes.load16(10))
    guard bytes.byteCount >= 12 + 4 * count else { return nil }
    sources = (0..<count).map { bytes.loadIPv4(12 + 4 * $0) }
  }

  /// RFC 3376 section 4.1.1: from 128 on a number with an exponent.
  private static func value(_ code: UInt8) -> Int64 {
    if code < 128 { return Int64(code) }
    return Int64(code & 0xF | 0x10) << Int64((code >> 4 & 7) + 3)
  }
}
