import Wire

/// The two ends of a connection, or of a datagram socket.
@frozen
public struct FourTuple: Hashable, Sendable {
  public var local: SocketAddress
  public var remote: SocketAddress
  @inlinable public init(local: SocketAddress, remote: SocketAddress) {
    self.local = local
    self.remote = remote
  }
}
