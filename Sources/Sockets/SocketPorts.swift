import InetSocket
import NetNamespace
import Wire

/// What the shards behind one address ask each other before a socket takes a port by its number.
extension SocketLayer {
  /// What a socket wants of other shards: its port, or one that it asks for, to be shared as its options say; `nil`:
  /// nothing.
  public mutating func portWish(_ id: SocketID, _ asked: SocketAddress?) throws(Errno) -> PortWish? {
    try operations(id).portWish(id, asked, &self)
  }

  /// Whether owners of the port in this shard are in the way of such a wish of a socket of the same protocol.
  public mutating func refuses(_ wish: PortWish, of id: SocketID) -> Bool {
    (try? operations(id))?.refuses(wish, &self) ?? false
  }
}
