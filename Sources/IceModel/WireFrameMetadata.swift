/// What travels beside a frame between the NIC and the wire: the content of a virtio-net header
/// (virtio 1.2 section 5.1.6), and, for tracing, which descriptors the frame came from.
///
/// With the device's own engines every frame is complete and this says "nothing to do". With the
/// engines lent to the wire (`IFF_VNET_HDR`) it tells the wire how to cut and sum the frame.
@frozen public struct WireFrameMetadata: BitwiseCopyable, Equatable, Sendable {
  /// How a frame larger than the MTU is to be cut: `gso_type` of the virtio-net header.
  @frozen public enum GSOType: UInt8, Sendable {
    /// An ordinary frame. virtio: VIRTIO_NET_HDR_GSO_NONE
    case none = 0
    /// TCP over IPv4. virtio: VIRTIO_NET_HDR_GSO_TCPV4
    case tcpv4 = 1
    /// TCP over IPv6. virtio: VIRTIO_NET_HDR_GSO_TCPV6
    case tcpv6 = 4
    /// UDP datagrams of one size, one header. virtio: VIRTIO_NET_HDR_GSO_UDP_L4
    case udpL4 = 5
  }

  /// How the frame is to be cut.
  public var gsoType: GSOType = .none
  /// The TCP segment carries CWR. virtio: VIRTIO_NET_HDR_GSO_ECN
  public var isECN = false
  /// The checksum at `checksumStart + checksumOffset` holds only the pseudo-header sum; whoever
  /// takes the frame off the virtual wire finishes or trusts it. virtio: VIRTIO_NET_HDR_F_NEEDS_CSUM
  public var needsChecksum = false
  /// The giver has verified the checksum. virtio: VIRTIO_NET_HDR_F_DATA_VALID
  public var isDataValid = false
  /// Payload bytes per segment when `gsoType` is not `.none`.
  public var gsoSize: UInt16 = 0
  /// Length of all headers, Ethernet to transport, bytes: `hdr_len`.
  public var headerByteCount: UInt16 = 0
  /// First byte the checksum covers, from the start of the frame.
  public var checksumStart: UInt16 = 0
  /// Where the checksum field is, from `checksumStart`.
  public var checksumOffset: UInt16 = 0
  /// Tx, for tracing: ring index of the packet's first descriptor.
  public var firstDescriptor: UInt16 = 0
  /// Tx, for tracing: ring index of the packet's last descriptor, the one with EOP.
  public var lastDescriptor: UInt16 = 0
  /// Tx, for tracing: which segment of the packet this frame is, 0 for the first.
  public var segmentIndex: UInt16 = 0
  /// Tx: no further frame follows for the same packet.
  public var isLastOfPacket = true

  public init() {}
}
