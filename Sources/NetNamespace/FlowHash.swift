import Tables
import Wire

/// Hashes of the ends of a flow, whatever their family.
extension SipHash {
  /// For tables, where a peer sees neither the hash nor the place. Linux: `inet_ehashfn()`, `inet6_ehashfn()`.
  @inlinable @inline(__always)
  public func tableHash(local: SocketAddress, remote: SocketAddress) -> UInt64 {
    if local.address.family == .inet6 || remote.address.family == .inet6 {
      return longHash(local: local, remote: remote, purpose: 0)
    }
    return tableHash(
      local.address.low << 32 | remote.address.low, UInt64(local.port) << 16 | UInt64(remote.port))
  }

  /// For tables, of one end.
  @inlinable public func tableHash(_ end: SocketAddress) -> UInt64 {
    let address = end.address.family == .inet6 ? hash(end.address.high, end.address.low) : end.address.low
    return tableHash(address, UInt64(end.port))
  }

  /// For numbers that a peer sees and must not predict (RFC 6528 section 3, RFC 6056 section 3.3.3).
  ///
  /// - Parameter purpose: below 2^32; one purpose's numbers tell nothing about another's.
  @inlinable public func hash(
    local: SocketAddress, remote: SocketAddress, purpose: UInt64 = 0
  ) -> UInt64 {
    if local.address.family == .inet6 || remote.address.family == .inet6 {
      return longHash(local: local, remote: remote, purpose: purpose)
    }
    return hash(
      local.address.low << 32 | remote.address.low,
      UInt64(local.port) << 16 | UInt64(remote.port) | purpose << 32)
  }

  @inline(never) @usableFromInline
  func longHash(local: SocketAddress, remote: SocketAddress, purpose: UInt64) -> UInt64 {
    hash(
      local.address.high, local.address.low, remote.address.high, remote.address.low,
      UInt64(local.port) << 16 | UInt64(remote.port) | purpose << 32)
  }
}
