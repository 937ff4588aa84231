import NetNamespace
import Tables
import Wire

/// What a shard knows of the others' ports of one protocol, and they of its own: behind one address a port is one thing.
public struct SharedPorts: Sendable {
  /// Shards that have a port, by port.
  public let users: SharedMasks
  /// Shards with a listener on a port; `nil`: nobody listens in the protocol.
  public let listeners: SharedMasks?
  /// Whose table it is.
  public let shard: Int

  public init(users: SharedMasks, listeners: SharedMasks? = nil, shard: Int) {
    self.users = users
    self.listeners = listeners
    self.shard = shard
  }

  /// The other shards that have a port, a bit for each.
  public func others(on port: UInt16) -> UInt64 { users[Int(port)] & ~(1 << UInt64(shard)) }

  func set(_ port: UInt16, isInUse: Bool, isListenedOn: Bool) {
    users.set(shard, isInUse, at: Int(port))
    listeners?.set(shard, isListenedOn, at: Int(port))
  }
}

/// A port that `bind()` or `listen()` asks for, and how it would be shared.
public struct PortWish: Sendable {
  public var address: SocketAddress
  public var reuseAddress: Bool
  public var reusePort: Bool
  public var device: InterfaceIndex
  /// Shards that may be in the way, a bit for each.
  public var others: UInt64
}

/// A connection that a socket with a port of its own is about to open.
public struct ConnectionWish: Sendable {
  public var flow: FourTuple
  public var device: InterfaceIndex
  /// Shards that may be in the way, a bit for each.
  public var others: UInt64

  public init(flow: FourTuple, device: InterfaceIndex, others: UInt64) {
    self.flow = flow
    self.device = device
    self.others = others
  }
}

extension PortTable {
  /// What a socket wants of other shards: its port, or one that it asks for, to be shared as its options say; `nil`:
  /// nothing.
  public func wish(of core: borrowing SocketCore, _ asked: SocketAddress?) -> PortWish? {
    guard let shared, let address = asked ?? (core.isBound ? core.tuple.local : nil), address.port != 0
    else { return nil }
    return PortWish(
      address: address, reuseAddress: core.options.reuseAddress, reusePort: core.options.reusePort,
      device: core.options.boundDevice, others: shared.others(on: address.port))
  }

  /// Whether owners of the port in this shard are in the way of such a wish. Linux: `inet_csk_bind_conflict()`,
  /// `udp_lib_lport_inuse()`.
  public func refuses(_ wish: PortWish) -> Bool {
    refuses(
      address: wish.address.address, port: wish.address.port, reuseAddress: wish.reuseAddress,
      reusePort: wish.reusePort, device: wish.device)
  }
}
