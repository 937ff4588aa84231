/// What a server makes Fast Open cookies with, and a second key whose cookies it still takes while clients change over
/// (RFC 7413 section 4.1.2). Linux: `struct tcp_fastopen_context`.
public struct FastOpenKeys: Hashable, Sendable {
  /// 16 bytes each. Linux: `TCP_FASTOPEN_KEY_LENGTH`.
  public static let keyByteCount = 16

  /// A key as the two little-endian words that SipHash takes.
  public struct Key: Hashable, Sendable {
    public var first: UInt64
    public var second: UInt64
    public init(_ first: UInt64, _ second: UInt64) {
      self.first = first
      self.second = second
    }
  }
  public var primary: Key
  public var backup: Key?

  public init(primary: Key, backup: Key? = nil) {
    self.primary = primary
    self.backup = backup
  }

  /// - Parameter bytes: 16, or 32 with the backup key behind the primary; `nil` for another number.
  public init?(_ bytes: [UInt8]) {
    func word(_ at: Int) -> UInt64 {
      (0..<8).reduce(0) { $0 | UInt64(bytes[at + $1]) << UInt64($1 * 8) }
    }
    guard bytes.count == Self.keyByteCount || bytes.count == 2 * Self.keyByteCount else { return nil }
    primary = Key(word(0), word(8))
    backup = bytes.count == Self.keyByteCount ? nil : Key(word(16), word(24))
  }

  public var bytes: [UInt8] {
    [primary, backup].compactMap(\.self).flatMap { key in
      [key.first, key.second].flatMap { word in
        (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
      }
    }
  }
}

extension FastOpenKeys: CustomStringConvertible, LosslessStringConvertible {
  /// As `net.ipv4.tcp_fastopen_key` has them: four little-endian words of hexadecimal digits a key, the second behind a
  /// comma. Linux: `proc_tcp_fastopen_key()`.
  public var description: String {
    [primary, backup].compactMap(\.self).map { key in
      [key.first, key.first >> 32, key.second, key.second >> 32].map { word in
        let digits = String(UInt32(truncatingIfNeeded: word), radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
      }.joined(separator: "-")
    }.joined(separator: ",")
  }

  public init?(_ text: String) {
    let keys = text.split(separator: ",", omittingEmptySubsequences: false).map { part -> Key? in
      let words = part.split(separator: "-", omittingEmptySubsequences: false)
        .map { $0.count <= 8 ? UInt32($0, radix: 16) : nil }.compactMap(\.self)
      guard words.count == 4, part.split(separator: "-").count == 4 else { return nil }
      return Key(UInt64(words[0]) | UInt64(words[1]) << 32, UInt64(words[2]) | UInt64(words[3]) << 32)
    }
    guard keys.count <= 2, let first = keys.first, let primary = first else { return nil }
    guard keys.count == 1 || keys[1] != nil else { return nil }
    self.init(primary: primary, backup: keys.count == 2 ? keys[1] : nil)
  }
}

/// What `net.ipv4.tcp_fastopen` allows, a bit each. Linux: `TFO_CLIENT_ENABLE` and so on.
public struct FastOpenUse: OptionSet, Hashable, Sendable {
  public var rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }
  /// Data in the SYN of a connection that is opened here.
  public static let client = FastOpenUse(rawValue: 1)
  /// Data taken from the SYN of others, by listeners that ask for it.
  public static let server = FastOpenUse(rawValue: 2)
  /// Without a cookie, too.
  public static let clientWithoutCookie = FastOpenUse(rawValue: 4)
  /// Whoever sends data in a SYN needs no cookie.
  public static let serverWithoutCookie = FastOpenUse(rawValue: 0x200)
  /// Every listener asks for it. Linux: `TFO_SERVER_WO_SOCKOPT1`.
  public static let everyListener = FastOpenUse(rawValue: 0x400)
}
