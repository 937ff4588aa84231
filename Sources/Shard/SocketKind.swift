/// What kind of socket: Linux's `type` and `protocol` together.
public enum SocketKind: Sendable, Hashable {
  /// SOCK_STREAM, IPPROTO_TCP
  case tcp
  /// SOCK_DGRAM, IPPROTO_UDP
  case udp
  /// SOCK_DGRAM, IPPROTO_UDPLITE (RFC 3828): datagrams of which the checksum may cover a part only.
  case udpLite
  /// SOCK_DGRAM, IPPROTO_ICMP: echo requests and their replies.
  case ping
}
