/// `struct virtio_net_hdr_mrg_rxbuf`, the 12 bytes before every frame of a TAP opened with
/// `IFF_VNET_HDR` and a header size of 12. Host byte order; only little-endian hosts are supported.
///
/// ```
///  0     1       2        4        6          8           10         12
///  +-----+-------+--------+--------+----------+-----------+----------+
///  |flags|gsoType| hdrLen | gsoSize| csumStart| csumOffset|numBuffers|
///  +-----+-------+--------+--------+----------+-----------+----------+
/// ```
/// virtio 1.2 section 5.1.6, `linux/virtio_net.h`.
@frozen
public struct VirtioNetHeader: Equatable, Sendable, BitwiseCopyable {
  /// Bytes in memory; `TUNSETVNETHDRSZ` is set to this.
  @inlinable public static var byteCount: Int { 12 }

  /// VIRTIO_NET_HDR_F_NEEDS_CSUM: the checksum from `csumStart` is still to be computed.
  @inlinable public static var needsChecksum: UInt8 { 1 }
  /// VIRTIO_NET_HDR_F_DATA_VALID: the checksum was verified.
  @inlinable public static var dataValid: UInt8 { 2 }

  /// VIRTIO_NET_HDR_GSO_NONE
  package static var gsoNone: UInt8 { 0 }
  /// VIRTIO_NET_HDR_GSO_TCPV4
  package static var gsoTCPv4: UInt8 { 1 }
  /// VIRTIO_NET_HDR_GSO_TCPV6
  package static var gsoTCPv6: UInt8 { 4 }
  /// VIRTIO_NET_HDR_GSO_UDP_L4
  package static var gsoUDPL4: UInt8 { 5 }
  /// VIRTIO_NET_HDR_GSO_ECN, or-ed to a TCP type.
  @inlinable public static var gsoECN: UInt8 { 0x80 }

  public var flags: UInt8 = 0
  public var gsoType: UInt8 = 0
  /// Length of all headers, Ethernet to transport, bytes.
  public var hdrLen: UInt16 = 0
  /// Payload bytes per segment.
  public var gsoSize: UInt16 = 0
  /// First byte the checksum covers, from the start of the frame.
  public var csumStart: UInt16 = 0
  /// Where the checksum goes, from `csumStart`.
  public var csumOffset: UInt16 = 0

  @inlinable public init() {}

  @inlinable
  public init(
    flags: UInt8 = 0, gsoType: UInt8 = 0, hdrLen: UInt16 = 0, gsoSize: UInt16 = 0, csumStart: UInt16 = 0,
    csumOffset: UInt16 = 0
  ) {
    self.flags = flags
    self.gsoType = gsoType
    self.hdrLen = hdrLen
    self.gsoSize = gsoSize
    self.csumStart = csumStart
    self.csumOffset = csumOffset
  }

  /// Reads the header from the first 12 bytes; `nil` if there are fewer.
  @inlinable
  public init?(loadingFrom bytes: RawSpan) {
    guard bytes.byteCount >= Self.byteCount else { return nil }
    // Safe: every offset below is within the 12 bytes just checked.
    flags = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: 0, as: UInt8.self)
    gsoType = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: 1, as: UInt8.self)
    hdrLen = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: 2, as: UInt16.self)
    gsoSize = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: 4, as: UInt16.self)
    csumStart = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: 6, as: UInt16.self)
    csumOffset = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: 8, as: UInt16.self)
  }

  /// Reads the header from raw memory.
  ///
  /// - Safety: 12 readable bytes at `base`; no alignment needed.
  @unsafe @inlinable
  public init(loadingFrom base: UnsafeRawPointer) {
    flags = unsafe base.load(fromByteOffset: 0, as: UInt8.self)
    gsoType = unsafe base.load(fromByteOffset: 1, as: UInt8.self)
    hdrLen = unsafe base.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
    gsoSize = unsafe base.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
    csumStart = unsafe base.loadUnaligned(fromByteOffset: 6, as: UInt16.self)
    csumOffset = unsafe base.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
  }

  /// Writes all 12 bytes, `numBuffers` as 0 (the TAP ignores it).
  ///
  /// - Safety: 12 writable bytes at `base`; no alignment needed.
  @unsafe @inlinable
  public func store(to base: UnsafeMutableRawPointer) {
    unsafe base.storeBytes(of: flags, toByteOffset: 0, as: UInt8.self)
    unsafe base.storeBytes(of: gsoType, toByteOffset: 1, as: UInt8.self)
    unsafe base.storeBytes(of: hdrLen, toByteOffset: 2, as: UInt16.self)
    unsafe base.storeBytes(of: gsoSize, toByteOffset: 4, as: UInt16.self)
    unsafe base.storeBytes(of: csumStart, toByteOffset: 6, as: UInt16.self)
    unsafe base.storeBytes(of: csumOffset, toByteOffset: 8, as: UInt16.self)
    unsafe base.storeBytes(of: 0, toByteOffset: 10, as: UInt16.self)
  }

  /// Writes all 12 bytes to the front of a span. A shorter span is a programming error.
  @inlinable
  public func store(to bytes: inout MutableRawSpan) {
    precondition(bytes.byteCount >= Self.byteCount, "A virtio-net header needs 12 bytes.")
    // Safe: the length was just checked.
    unsafe bytes.withUnsafeMutableBytes { unsafe store(to: $0.baseAddress!) }
  }
}
