/// Which of a host's network devices is meant, from 1 upwards; never given to another one. Linux: `ifindex`.
@frozen
public struct InterfaceIndex: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// No device is meant, or any.
  @inlinable public static var none: InterfaceIndex { InterfaceIndex(rawValue: 0) }
  /// `lo`, the first device of every host. Linux: `LOOPBACK_IFINDEX`.
  @inlinable public static var loopback: InterfaceIndex { InterfaceIndex(rawValue: 1) }

  /// Whether what is bound to this device takes a packet that came in by `interface`; `.none` takes all.
  /// Linux: `inet_bound_dev_eq()`.
  @inlinable public func takes(_ interface: InterfaceIndex) -> Bool { self == .none || self == interface }
  public var description: String { "\(rawValue)" }
}
