import InetSocket
import NetNamespace
import Wire

/// What a stack of several shards asks, to find the one that a segment belongs to.
extension TCPLayer {
  /// Whether a connection, a handshake or a TIME-WAIT between these ends lives here.
  public func hasConnection(local: SocketAddress, remote: SocketAddress) -> Bool {
    findConnection(FourTuple(local: local, remote: remote)) != nil
  }

  /// Whether a socket here listens at this address.
  public func hasListener(at local: SocketAddress) -> Bool {
    listening[local.port]?.contains { listener in
      let bound = listeners[listener].local.address
      return bound == local.address || bound.isAny
    } ?? false
  }

  /// Has the table of ports keep what `takePortChange()` gives.
  public mutating func recordPortChanges() { ports.recordsChanges = true }

  /// A port that came into use here or went out of use, and which of the two; `nil`: none.
  public mutating func takePortChange() -> (port: UInt16, isInUse: Bool)? { ports.takeChange() }
}
