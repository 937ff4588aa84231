/// What is known about the reachability of a neighbour (RFC 4861 section 7.3.2), with Linux's values.
/// Linux: `NUD_INCOMPLETE` and so on.
@frozen
public struct NeighbourState: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  /// Linux's bits: `NUD_REACHABLE` and the others.
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Just created.
  @inlinable public static var none: NeighbourState { NeighbourState(rawValue: 0x00) }
  /// Asked for, not answered yet; packets wait.
  @inlinable public static var incomplete: NeighbourState { NeighbourState(rawValue: 0x01) }
  /// Confirmed within the reachable time.
  @inlinable public static var reachable: NeighbourState { NeighbourState(rawValue: 0x02) }
  /// Address known, reachability not; the first use makes it DELAY.
  @inlinable public static var stale: NeighbourState { NeighbourState(rawValue: 0x04) }
  /// In use; upper layers have a few seconds to confirm it.
  @inlinable public static var delay: NeighbourState { NeighbourState(rawValue: 0x08) }
  /// Being asked by unicast; packets still go to the known address.
  @inlinable public static var probe: NeighbourState { NeighbourState(rawValue: 0x10) }
  /// Did not answer.
  @inlinable public static var failed: NeighbourState { NeighbourState(rawValue: 0x20) }
  /// Needs no resolution.
  @inlinable public static var noARP: NeighbourState { NeighbourState(rawValue: 0x40) }
  /// Set by the administrator; never changes by itself.
  @inlinable public static var permanent: NeighbourState { NeighbourState(rawValue: 0x80) }

  /// Packets may use the cached header without further thought. Linux: `NUD_CONNECTED`.
  @inlinable public var isConnected: Bool { rawValue & (0x80 | 0x40 | 0x02) != 0 }
  /// The link-layer address is known. Linux: `NUD_VALID`.
  @inlinable public var isValid: Bool { rawValue & (0x80 | 0x40 | 0x02 | 0x10 | 0x04 | 0x08) != 0 }
  /// A timer runs. Linux: `NUD_IN_TIMER`.
  @inlinable public var isTimed: Bool { rawValue & (0x01 | 0x02 | 0x08 | 0x10) != 0 }
  /// Linux: not `NUD_NOARP | NUD_PERMANENT`.
  @inlinable public var isDynamic: Bool { rawValue & (0x80 | 0x40) == 0 }

  /// The name that `ip neigh` prints.
  public var description: String {
    switch self {
    case .none: "NONE"
    case .incomplete: "INCOMPLETE"
    case .reachable: "REACHABLE"
    case .stale: "STALE"
    case .delay: "DELAY"
    case .probe: "PROBE"
    case .failed: "FAILED"
    case .noARP: "NOARP"
    case .permanent: "PERMANENT"
    default: "0x" + String(rawValue, radix: 16)
    }
  }
}
