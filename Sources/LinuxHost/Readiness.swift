import CLinux

/// What epoll watches for and reports. Error and hang-up are always reported.
public struct Readiness: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// EPOLLIN
  public static let readable = Readiness(rawValue: 0x001)
  /// EPOLLOUT
  public static let writable = Readiness(rawValue: 0x004)
  /// EPOLLERR
  public static let error = Readiness(rawValue: 0x008)
  /// EPOLLHUP: both directions are closed.
  public static let hangUp = Readiness(rawValue: 0x010)
  /// EPOLLET: reported on change only. Without it a descriptor is reported while it is ready.
  public static let edgeTriggered = Readiness(rawValue: 1 << 31)
}
