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
    /// Linux: `net/ipv4/udplite.c`.
    case udpLite = 3
  }
  @inlinable public init(rawValue: UInt32, generation: UInt32 = 0) {
    self.rawValue = rawValue
    self.generation = generation
  }
  /// - Parameter index: slot, below 2^29 - 1.
  @inlinable public init(_ kind: Kind, index: Int, generation: UInt32 = 0) {
    rawValue = kind.rawValue << 29 | (UInt32(truncatingIfNeeded: index) &+ 1) & 0x1FFF_FFFF
    self.generation = generation
  }
  @inlinable public static var none: SocketID { SocketID(rawValue: 0) }
  /// `nil`: what it names is no socket.
  @inlinable @inline(__always) public var kind: Kind? { Kind(rawValue: rawValue >> 29) }
  @inlinable public var index: Int { Int(rawValue & 0x1FFF_FFFF) - 1 }
  public var description: String { "\(kind.map { "\($0)" } ?? "?")#\(index)" }
}

extension Slab where Element: ~Copyable {
  /// Whether `id` names the socket that has its slot now, and not an earlier one.
  @inlinable public func holds(_ id: SocketID) -> Bool { isCurrent(id.index, generation: id.generation) }
}
