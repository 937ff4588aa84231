/// What a TAP is to be like.
public struct TapConfiguration: Equatable, Sendable {
  /// What to do when an interface of that name exists already.
  public enum Existing: Equatable, Sendable {
    /// Refuse, whatever it is (IFF_TUN_EXCL).
    case refuse
    /// Use it if it is a TAP that nobody holds open, one made by `ip tuntap add` for example.
    case attachIfIdle
  }

  public var name: InterfaceName
  /// Queues to open; more than one makes a multi-queue TAP. 1 to 256.
  public var queueCount: Int
  /// What the stack can receive unfinished. `nil` leaves the virtio-net header off (`--offload off`).
  public var offloads: TapOffloads?
  public var existing: Existing

  public init(
    name: InterfaceName, queueCount: Int = 1, offloads: TapOffloads? = .undone,
    existing: Existing = .attachIfIdle
  ) {
    self.name = name
    self.queueCount = queueCount
    self.offloads = offloads
    self.existing = existing
  }
}
