/// What a receive brought.
public struct Received: Sendable {
  /// Bytes stored; with `.truncate` the datagram's whole length.
  public var byteCount: Int
  /// Where a datagram came from.
  public var source: SocketAddress?
  /// `.truncate`: the datagram was longer than the room for it.
  public var flags: MessageFlags
  /// TTL of an ICMP reply's packet, where the socket asked for it.
  public var timeToLive: UInt8?

  public init(byteCount: Int, source: SocketAddress?, flags: MessageFlags = [], timeToLive: UInt8? = nil) {
    self.byteCount = byteCount
    self.source = source
    self.flags = flags
    self.timeToLive = timeToLive
  }
}
