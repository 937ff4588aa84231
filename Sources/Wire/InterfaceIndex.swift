/// Which of a host's network devices is meant, from 1 upwards; never given to another one. Linux: `ifindex`.
@frozen
public struct InterfaceIndex: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// No device is meant, or any.
  @inlinable public static var none: InterfaceIndex { InterfaceIndex(rawValue: 0) }
  /// `lo`, the first device of every host. Linux: `LOOPBACK_IFINDEX`.
  @inlinable public static var loopback: InterfaceIndex { InterfaceIndex(rawValue: 1) }
  public var description: String { "\(rawValue)" }
}
