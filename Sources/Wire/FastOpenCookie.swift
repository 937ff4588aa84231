/// A Fast Open cookie as the TCP option carries it (RFC 7413 section 4.1.1): 4 to 16 bytes, or none, which asks for one.
@frozen
public struct FastOpenCookie: Hashable, Sendable {
  /// The bytes in the order of the wire, the first one lowest.
  public var low: UInt64
  public var high: UInt64
  /// 0: a request for a cookie.
  public var byteCount: UInt8
  /// In the form from before the option had a number: kind 254 with the magic number F989 (RFC 6994).
  public var isExperimental: Bool

  @inlinable public init(low: UInt64, high: UInt64 = 0, byteCount: UInt8, isExperimental: Bool = false) {
    self.low = low
    self.high = high
    self.byteCount = byteCount
    self.isExperimental = isExperimental
  }

  /// What a client sends that has no cookie yet.
  @inlinable public static var request: FastOpenCookie { FastOpenCookie(low: 0, byteCount: 0) }

  @inlinable public var isRequest: Bool { byteCount == 0 }

  /// The same bytes, whichever form carries them. Linux: `tcp_fastopen_cookie_match()`.
  @inlinable public func hasBytes(of other: FastOpenCookie) -> Bool {
    byteCount == other.byteCount && low == other.low && high == other.high
  }

  @inlinable public subscript(index: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: (index < 8 ? low : high) &>> UInt64((index & 7) * 8))
  }

  /// Lengths that an option may have. Linux: `TCP_FASTOPEN_COOKIE_MIN`, `TCP_FASTOPEN_COOKIE_MAX`.
  static let lengths = 4...16
  static let magic: UInt16 = 0xF989

  /// - Parameters:
  ///   - bytes: a whole TCP header.
  ///   - offset: where the cookie is.
  /// - Returns: `nil` for a length that no cookie has. Linux: `tcp_parse_fastopen_option()`.
  init?(parsing bytes: RawSpan, at offset: Int, count: Int, isExperimental: Bool) {
    guard count == 0 || Self.lengths.contains(count) && count & 1 == 0 else { return nil }
    self.init(low: 0, byteCount: UInt8(count), isExperimental: isExperimental)
    for index in 0..<count {
      let byte = UInt64(bytes.load8(offset + index)) << UInt64((index & 7) * 8)
      if index < 8 { low |= byte } else { high |= byte }
    }
  }

  /// Bytes of the option, padded to four.
  @usableFromInline var optionByteCount: Int { (Int(byteCount) + (isExperimental ? 4 : 2) + 3) & ~3 }

  @usableFromInline func write(to bytes: inout MutableRawSpan, at offset: Int) {
    let length = Int(byteCount) + (isExperimental ? 4 : 2)
    var at = offset
    if isExperimental {
      bytes.store32(UInt32(TCPOptions.Kind.experiment) << 24 | UInt32(length) << 16 | UInt32(Self.magic), at)
      at += 4
    } else {
      bytes.store8(TCPOptions.Kind.fastOpen, at)
      bytes.store8(UInt8(length), at + 1)
      at += 2
    }
    for index in 0..<Int(byteCount) { bytes.store8(self[index], at + index) }
    at += Int(byteCount)
    while at < offset + optionByteCount {
      bytes.store8(TCPOptions.Kind.noOperation, at)
      at += 1
    }
  }
}
