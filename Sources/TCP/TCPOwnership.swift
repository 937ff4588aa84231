import InetSocket
import NetNamespace
import Wire

/// What a stack of several shards asks, to find the one that a segment belongs to.
extension TCPLayer {
  /// Whether a connection, a handshake or a TIME-WAIT between these ends lives here.
  public func hasConnection(_ flow: FourTuple) -> Bool { findConnection(flow) != nil }

  /// Whether a socket here listens at this address.
  public func hasListener(at local: SocketAddress) -> Bool {
    listening[local.port]?.contains { listener in
      let bound = listeners[listener].local.address
      return bound == local.address || bound.isAny
    } ?? false
  }

  /// Tells other shards of ports, and has the table of connections keep what `takeConnectionChange()` gives.
  public mutating func share(_ shared: SharedPorts) {
    ports.shared = shared
    connections.recordsChanges = true
  }

  /// What a socket wants of other shards; `nil`: nothing. As `PortTable.wish(of:_:)`.
  public func portWish(_ id: SocketID, _ asked: SocketAddress?) throws(Errno) -> PortWish? {
    ports.wish(of: sockets[try slot(id)].core, asked)
  }

  /// Whether sockets here are in the way of another shard's.
  public func refuses(_ wish: PortWish) -> Bool { ports.refuses(wish) }

  /// Whether `takeConnectionChange` has one.
  public var hasConnectionChanges: Bool { !connections.changes.isEmpty }

  /// A connection that came into being here or ended, and which of the two; `nil`: none.
  public mutating func takeConnectionChange() -> (flow: FourTuple, isThere: Bool)? {
    guard let flow = connections.changes.popLast() else { return nil }
    return (flow, findConnection(flow) != nil)
  }
}
