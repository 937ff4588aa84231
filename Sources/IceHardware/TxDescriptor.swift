/// What a Tx descriptor is: bits 0...3 of quad-word 1. Linux: `enum ice_tx_desc_dtype_value`.
@frozen public enum TxDescriptorType: UInt64, Sendable {
  case data = 0x0
  case context = 0x1
  case filterProgram = 0x8
  /// Written back by the device: the descriptor and all before it are done.
  case done = 0xF
}

/// Commands of a data descriptor, bits 4...15 of quad-word 1. Linux: `enum ice_tx_desc_cmd_bits`.
@frozen public struct TxDataCommand: OptionSet, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// End of packet.
  public static var endOfPacket: Self { Self(rawValue: 0x1) }
  /// Report status: write DD back when this descriptor is done.
  public static var reportStatus: Self { Self(rawValue: 0x2) }
  /// Insert L2TAG1 as a VLAN tag.
  public static var insertL2Tag1: Self { Self(rawValue: 0x8) }
  /// Send nothing.
  public static var dummy: Self { Self(rawValue: 0x10) }
  /// The network header is IPv6.
  public static var ipv6: Self { Self(rawValue: 0x20) }
  /// The network header is IPv4; its checksum is left alone.
  public static var ipv4: Self { Self(rawValue: 0x40) }
  /// The network header is IPv4; the device fills in its checksum.
  public static var ipv4Checksum: Self { Self(rawValue: 0x60) }
  /// The device fills in the TCP checksum.
  public static var l4TCP: Self { Self(rawValue: 0x100) }
  /// The device fills in the SCTP CRC.
  public static var l4SCTP: Self { Self(rawValue: 0x200) }
  /// The device fills in the UDP checksum.
  public static var l4UDP: Self { Self(rawValue: 0x300) }
  /// Report event.
  public static var reportEvent: Self { Self(rawValue: 0x400) }
  /// What the last descriptor of a packet carries: EOP and RS.
  public static var lastDescriptor: Self { Self(rawValue: 0x3) }

  /// The two network-header-type bits: none, `.ipv6`, `.ipv4` or `.ipv4Checksum`.
  @inlinable public var networkType: Self { Self(rawValue: rawValue & 0x60) }
  /// The two transport-header-type bits: none, `.l4TCP`, `.l4SCTP` or `.l4UDP`.
  @inlinable public var transportType: Self { Self(rawValue: rawValue & 0x300) }
}

/// Header lengths of the packet, bits 16...33 of quad-word 1, each in the unit its header has.
@frozen public struct TxHeaderOffsets: Equatable, Sendable {
  /// The 18 bits as they are in the descriptor, from bit 0.
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue & 0x3FFFF }

  /// - Parameters: lengths in bytes; the MAC header's even, the others multiples of 4.
  @inlinable public init(macByteCount: Int, networkByteCount: Int, transportByteCount: Int) {
    let mac = UInt32(truncatingIfNeeded: macByteCount) / 2 & 0x7F
    let network = UInt32(truncatingIfNeeded: networkByteCount) / 4 & 0x7F
    let transport = UInt32(truncatingIfNeeded: transportByteCount) / 4 & 0xF
    rawValue = mac | network << 7 | transport << 14
  }

  /// MACLEN, bytes.
  @inlinable public var macByteCount: Int { Int(rawValue & 0x7F) * 2 }
  /// IPLEN, bytes.
  @inlinable public var networkByteCount: Int { Int(rawValue >> 7 & 0x7F) * 4 }
  /// L4LEN, bytes.
  @inlinable public var transportByteCount: Int { Int(rawValue >> 14 & 0xF) * 4 }
}

/// A Tx data descriptor: one buffer of a packet.
///
///      63        48 47      34 33    16 15     4 3    0
///     +------------+----------+--------+--------+------+
///     |              buffer address (IOVA)             |  quad-word 0
///     +------------+----------+--------+--------+------+
///     |   L2TAG1   | size 14b | offset | command| type |  quad-word 1
///     +------------+----------+--------+--------+------+
///
/// Linux: `struct ice_tx_desc`, `ice_build_ctob()`.
@frozen public struct TxDataDescriptor: Equatable, Sendable {
  /// Where the device reads from.
  public var bufferAddress: IOVA
  public var command: TxDataCommand
  public var offsets: TxHeaderOffsets
  /// Length of the buffer, 1...16383 bytes.
  public var bufferByteCount: Int
  /// The VLAN tag for `.insertL2Tag1`.
  public var l2Tag1: UInt16

  /// The largest buffer the 14-bit field can say. Linux: ICE_MAX_DATA_PER_TXD
  @inlinable public static var maxBufferByteCount: Int { 16 * 1024 - 1 }
  /// How much goes into one descriptor when a larger buffer is split: a multiple of the 4 KiB read
  /// request. Linux: ICE_MAX_DATA_PER_TXD_ALIGNED
  @inlinable public static var alignedBufferByteCount: Int { 12 * 1024 }
  /// PCIe read-request size, bytes. Linux: ICE_MAX_READ_REQ_SIZE
  @inlinable public static var readRequestByteCount: Int { 4096 }
  /// Shortest frame the device takes, bytes; the driver pads to it. Linux: ICE_MIN_TX_LEN
  @inlinable public static var minFrameByteCount: Int { 17 }
  /// Most data descriptors for one packet, or for one segment of a TSO packet. Linux: ICE_MAX_BUF_TXD
  @inlinable public static var maxBuffersPerSegment: Int { 8 }

  @inlinable public init(
    bufferAddress: IOVA, command: TxDataCommand, offsets: TxHeaderOffsets, bufferByteCount: Int,
    l2Tag1: UInt16 = 0
  ) {
    self.bufferAddress = bufferAddress
    self.command = command
    self.offsets = offsets
    self.bufferByteCount = bufferByteCount
    self.l2Tag1 = l2Tag1
  }

  /// Reads the fields out of the two quad-words.
  @inlinable public init(unpacking quadWords: TxQuadWords) {
    bufferAddress = IOVA(rawValue: quadWords.first)
    let word = quadWords.second
    command = TxDataCommand(rawValue: UInt16(truncatingIfNeeded: word >> 4 & 0xFFF))
    offsets = TxHeaderOffsets(rawValue: UInt32(truncatingIfNeeded: word >> 16 & 0x3FFFF))
    bufferByteCount = Int(word >> 34 & 0x3FFF)
    l2Tag1 = UInt16(truncatingIfNeeded: word >> 48)
  }

  /// The two quad-words. A field too large for its bits loses the upper ones, as in hardware.
  @inlinable public var packed: TxQuadWords {
    let low =
      TxDescriptorType.data.rawValue | UInt64(command.rawValue & 0xFFF) << 4 | UInt64(offsets.rawValue) << 16
    let high = (UInt64(truncatingIfNeeded: bufferByteCount) & 0x3FFF) << 34 | UInt64(l2Tag1) << 48
    return TxQuadWords(first: bufferAddress.rawValue, second: low | high)
  }
}

/// The 16 bytes of any Tx descriptor.
@frozen public struct TxQuadWords: Equatable, BitwiseCopyable, Sendable {
  public var first: UInt64
  public var second: UInt64

  @inlinable public init(first: UInt64, second: UInt64) {
    self.first = first
    self.second = second
  }

  /// Bits 0...3 of quad-word 1; nil for a value that is none of the known types.
  @inlinable public var type: TxDescriptorType? { TxDescriptorType(rawValue: second & 0xF) }
}
