import Tables

/// Names a socket inside one shard: which table, and the slot in it. 0 names none.
@frozen
public struct SocketID: Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt32
  /// Tells a socket from a later one with the same number: that of its slot in a `Slab`. 0 is nobody's, so that
  /// an ID made from the number alone (of a packet, of a trace record) names no socket in a call.
  public var generation: UInt32

  @frozen
  /// The protocol that a socket is of.
  public enum Kind: UInt32, Sendable {
    case tcp = 0
    case udp = 1
    /// ICMP echo sockets. Linux: `net/ipv4/ping.c`.
    case ping = 2
  }
  @inlinable public init(rawValue: UInt32, generation: UInt32 = 0) {
    self.rawValue = rawValue
    self.generation = generation
  }
  /// - Parameter index: slot, below 2^30 - 1.
  @inlinable public init(_ kind: Kind, index: Int, generation: UInt32 = 0) {
    rawValue = kind.rawValue << 30 | (UInt32(truncatingIfNeeded: index) &+ 1) & 0x3FFF_FFFF
    self.generation = generation
  }
  @inlinable public static var none: SocketID { SocketID(rawValue: 0) }
  @inlinable public var kind: Kind? { Kind(rawValue: rawValue >> 30) }
  @inlinable public var index: Int { Int(rawValue & 0x3FFF_FFFF) - 1 }
  public var description: String { "\(kind.map { "\($0)" } ?? "?")#\(index)" }
}

extension Slab where Element: ~Copyable {
  /// Whether `id` names the socket that has its slot now, and not an earlier one.
  @inlinable public func holds(_ id: SocketID) -> Bool { isCurrent(id.index, generation: id.generation) }
}

/// What a socket is ready for. Linux: `EPOLLIN` and so on, same values.
@frozen
public struct Readiness: OptionSet, Hashable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable public static var readable: Readiness { Readiness(rawValue: 0x001) }
  @inlinable public static var priority: Readiness { Readiness(rawValue: 0x002) }
  @inlinable public static var writable: Readiness { Readiness(rawValue: 0x004) }
  @inlinable public static var error: Readiness { Readiness(rawValue: 0x008) }
  @inlinable public static var hangup: Readiness { Readiness(rawValue: 0x010) }
  @inlinable public static var readHangup: Readiness { Readiness(rawValue: 0x2000) }
}

/// Flags of a send or receive; Linux's values.
@frozen
public struct MessageFlags: OptionSet, Hashable, Sendable {
  public var rawValue: Int32
  @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
  @inlinable public static var outOfBand: MessageFlags { MessageFlags(rawValue: 0x1) }
  @inlinable public static var peek: MessageFlags { MessageFlags(rawValue: 0x2) }
  @inlinable public static var dontRoute: MessageFlags { MessageFlags(rawValue: 0x4) }
  @inlinable public static var controlTruncated: MessageFlags { MessageFlags(rawValue: 0x8) }
  @inlinable public static var probe: MessageFlags { MessageFlags(rawValue: 0x10) }
  @inlinable public static var truncate: MessageFlags { MessageFlags(rawValue: 0x20) }
  @inlinable public static var dontWait: MessageFlags { MessageFlags(rawValue: 0x40) }
  @inlinable public static var endOfRecord: MessageFlags { MessageFlags(rawValue: 0x80) }
  @inlinable public static var waitAll: MessageFlags { MessageFlags(rawValue: 0x100) }
  @inlinable public static var confirm: MessageFlags { MessageFlags(rawValue: 0x800) }
  @inlinable public static var errorQueue: MessageFlags { MessageFlags(rawValue: 0x2000) }
  @inlinable public static var noSignal: MessageFlags { MessageFlags(rawValue: 0x4000) }
  @inlinable public static var more: MessageFlags { MessageFlags(rawValue: 0x8000) }
  @inlinable public static var zeroCopy: MessageFlags { MessageFlags(rawValue: 0x400_0000) }
}
