/// What `setsockopt` sets on a UDP socket at the level of its protocol. Linux: `struct udp_sock`.
public struct DatagramOptions: Sendable {
  /// `UDP_CORK`.
  public var cork = false
  /// `UDP_SEGMENT`: bytes of payload in each datagram that a send is cut into, 1 to 65,535; 0: not cut.
  public var segmentByteCount = 0
}
