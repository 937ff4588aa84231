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
