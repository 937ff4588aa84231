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

  /// Both addresses, and both ports in the lower half of the second word, for a keyed hash.
  @inlinable public var words: (addresses: UInt64, ports: UInt64) {
    let addresses =
      UInt64(local.address.v4?.rawValue ?? 0) << 32 | UInt64(remote.address.v4?.rawValue ?? 0)
    return (addresses, UInt64(local.port) << 16 | UInt64(remote.port))
  }
}
