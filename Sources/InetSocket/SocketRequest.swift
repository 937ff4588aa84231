/// What a socket tells of its queues. Linux: ioctl(2), `tcp_ioctl()`, `udp_ioctl()`.
public enum SocketRequest: UInt32, Sendable, CaseIterable {
  /// Bytes that a receive would find: of a stream up to an urgent byte that is read apart, of a datagram socket those of the
  /// first datagram. Linux: `SIOCINQ`, `FIONREAD`.
  case unread = 0x541B
  /// Bytes of a stream that its peer has not acknowledged, and an end that it has not; of a datagram socket memory of packets
  /// that are on their way. Linux: `SIOCOUTQ`, `TIOCOUTQ`.
  case unacknowledged = 0x5411
  /// Bytes of a stream that were never sent. Linux: `SIOCOUTQNSD`.
  case unsent = 0x894B
  /// 1 where the next byte of a stream is the urgent one, otherwise 0. Linux: `SIOCATMARK`, sockatmark(3).
  case atMark = 0x8905
}
