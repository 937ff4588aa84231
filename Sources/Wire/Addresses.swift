// Address families are Linux's numbers; whoever has addresses has them too.
@_exported import UAPI

/// An IPv4 address, its value in host byte order: 10.0.0.1 is 0x0A000001.
@frozen
public struct IPv4Address: Hashable, Comparable, Sendable, CustomStringConvertible, LosslessStringConvertible
{
  public var rawValue: UInt32

  @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
    rawValue = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
  }

  /// Parses dotted-quad notation; anything else, leading zeros included, is `nil`.
  public init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      guard !part.isEmpty, part.count <= 3, part.utf8.allSatisfy({ (48...57).contains($0) }),
        part.count == 1 || part.first != "0", let octet = UInt8(part)
      else { return nil }
      value = value << 8 | UInt32(octet)
    }
    rawValue = value
  }

  @inlinable public static var any: IPv4Address { IPv4Address(0) }
  @inlinable public static var broadcast: IPv4Address { IPv4Address(0xFFFF_FFFF) }
  @inlinable public static var loopback: IPv4Address { IPv4Address(127, 0, 0, 1) }

  @inlinable public var isAny: Bool { rawValue == 0 }
  @inlinable public var isBroadcast: Bool { rawValue == 0xFFFF_FFFF }
  @inlinable public var isMulticast: Bool { rawValue >> 28 == 0xE }
  @inlinable public var isLoopback: Bool { rawValue >> 24 == 127 }
  /// By value: the order of the addresses of a range.
  @inlinable public static func < (a: IPv4Address, b: IPv4Address) -> Bool { a.rawValue < b.rawValue }

  public var description: String {
    "\(rawValue >> 24).\(rawValue >> 16 & 0xFF).\(rawValue >> 8 & 0xFF).\(rawValue & 0xFF)"
  }
}

/// An IPv4 prefix such as 10.0.0.0/24, or an address with its prefix such as 10.0.0.2/24.
@frozen
public struct IPv4Prefix: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
  public var address: IPv4Address
  /// 0 to 32 bits.
  public var length: Int

  public init?(_ address: IPv4Address, length: Int) {
    guard (0...32).contains(length) else { return nil }
    self.address = address
    self.length = length
  }
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPv4Address(String(parts[0])),
      parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let length = Int(parts[1]), length <= 32
    else { return nil }
    self.address = address
    self.length = length
  }

  @inlinable public var mask: UInt32 { length == 0 ? 0 : UInt32.max << UInt32(32 - length) }
  @inlinable public var network: IPv4Address { IPv4Address(address.rawValue & mask) }
  /// The directed broadcast address; for /31 and /32 there is none (RFC 3021).
  @inlinable public var broadcast: IPv4Address? {
    length >= 31 ? nil : IPv4Address(address.rawValue | ~mask)
  }
  @inlinable public func contains(_ other: IPv4Address) -> Bool {
    other.rawValue & mask == address.rawValue & mask
  }
  public func overlaps(_ other: IPv4Prefix) -> Bool {
    let shorter = min(length, other.length)
    let mask: UInt32 = shorter == 0 ? 0 : UInt32.max << UInt32(32 - shorter)
    return address.rawValue & mask == other.address.rawValue & mask
  }
  public var description: String { "\(address)/\(length)" }
}

/// A 48-bit Ethernet address in the low bits of `rawValue`, first octet on the wire highest.
@frozen
public struct MACAddress: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
  public var rawValue: UInt64

  @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue & 0xFFFF_FFFF_FFFF }

  /// Parses `02:00:00:00:00:01`.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 6 else { return nil }
    var value: UInt64 = 0
    for part in parts {
      guard part.utf8.count == 2, !part.hasPrefix("+"), !part.hasPrefix("-"),
        let octet = UInt8(part, radix: 16)
      else { return nil }
      value = value << 8 | UInt64(octet)
    }
    rawValue = value
  }

  @inlinable public static var broadcast: MACAddress { MACAddress(0xFFFF_FFFF_FFFF) }
  @inlinable public static var zero: MACAddress { MACAddress(0) }
  /// The group bit: multicast and broadcast.
  @inlinable public var isMulticast: Bool { rawValue >> 40 & 1 == 1 }
  @inlinable public var isBroadcast: Bool { rawValue == 0xFFFF_FFFF_FFFF }
  /// The locally administered bit.
  @inlinable public var isLocal: Bool { rawValue >> 40 & 2 == 2 }
  /// A usable station address: not zero, not a group address.
  @inlinable public var isValidStation: Bool { rawValue != 0 && !isMulticast }

  public var description: String {
    (0..<6).map { index in
      let octet = UInt8(truncatingIfNeeded: rawValue >> UInt64(40 - 8 * index))
      return Hexadecimal.digits(UInt64(octet), count: 2)
    }.joined(separator: ":")
  }
}

/// A network address with its family: what sockets, TCP and UDP key their tables on.
@frozen
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
  /// The bits of the address as one number of 128; an IPv4 address has the low 32.
  public let high: UInt64
  public let low: UInt64
  public let family: AddressFamily

  @inlinable public init(_ address: IPv4Address) {
    high = 0
    low = UInt64(address.rawValue)
    family = .inet
  }
  /// An IPv6 address (RFC 4291).
  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
    family = .inet6
  }
  @inlinable public static func any(_ family: AddressFamily) -> IPAddress { IPAddress(family: family) }
  @inlinable init(family: AddressFamily) {
    high = 0
    low = 0
    self.family = family
  }
  @inlinable public var isAny: Bool { high == 0 && low == 0 }
  /// The IPv4 address; `nil` for another family.
  @inlinable public var v4: IPv4Address? {
    family == .inet ? IPv4Address(UInt32(truncatingIfNeeded: low)) : nil
  }
  public var description: String { v4.map(\.description) ?? "::" }
}

/// Address and port of one end. Linux: `struct sockaddr_in`.
@frozen
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
  public var address: IPAddress
  public var port: UInt16

  @inlinable public init(_ address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }
  @inlinable public init(_ address: IPv4Address, port: UInt16) { self.init(IPAddress(address), port: port) }
  /// The host alone, with port 0.
  @inlinable public var withoutPort: SocketAddress { SocketAddress(address, port: 0) }
  public var description: String { "\(address):\(port)" }
}
