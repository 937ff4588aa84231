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

  /// Has the tables of ports and connections keep what `takePortChange()` and `takeConnectionChange()` give.
  public mutating func recordChanges() {
    ports.recordsChanges = true
    connections.recordsChanges = true
  }

  /// A port that came into use here or went out of use, or whose first listener came or last one went; `nil`: none.
  public mutating func takePortChange() -> PortChange? { ports.takeChange() }

  /// A connection that came into being here or ended, and which of the two; `nil`: none.
  public mutating func takeConnectionChange() -> (flow: FourTuple, isThere: Bool)? {
    guard let flow = connections.changes.popLast() else { return nil }
    return (flow, findConnection(flow) != nil)
  }
}
