/// What `setsockopt` sets on a UDP socket at the level of its protocol. Linux: `struct udp_sock`.
public struct DatagramOptions: Sendable {
  /// `UDP_CORK`.
  public var cork = false
  /// `UDP_SEGMENT`: bytes of payload in each datagram that a send is cut into, 1 to 65,535; 0: not cut.
  public var segmentByteCount = 0
  /// `UDP_GRO`: datagrams that came as one are taken as one.
  public var receiveOffload = false
  /// `UDPLITE_SEND_CSCOV`: bytes that a datagram's checksum covers, 0: all; `nil`: not set, which is all too, and said so in
  /// another way.
  public var sendCoverage: UInt16? = nil
  /// `UDPLITE_RECV_CSCOV`: the least that the checksum of what comes covers, 0: all; `nil`: anything.
  public var receiveCoverage: UInt16? = nil
}
