import Wire

/// The two ends of a connection, or of a datagram socket.
@frozen
public struct FourTuple: Hashable, Sendable {
  /// Our end.
  public var local: SocketAddress
  /// The other end.
  public var remote: SocketAddress
  @inlinable public init(local: SocketAddress, remote: SocketAddress) {
    self.local = local
    self.remote = remote
  }
}
