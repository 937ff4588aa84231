/// The 32 bytes of an Rx descriptor as four quad-words, little-endian in memory.
@frozen public struct RxQuadWords: Equatable, BitwiseCopyable, Sendable {
  public var w0: UInt64
  public var w1: UInt64
  public var w2: UInt64
  public var w3: UInt64

  @inlinable public init(_ w0: UInt64, _ w1: UInt64, _ w2: UInt64, _ w3: UInt64) {
    self.w0 = w0
    self.w1 = w1
    self.w2 = w2
    self.w3 = w3
  }
}

/// What the driver writes to post a buffer: quad-word 0 is its address, quad-word 1 the header
/// buffer's (unused) and at the same time the cleared status. Linux: `union ice_32b_rx_flex_desc.read`.
@frozen public struct RxReadDescriptor: Equatable, Sendable {
  public var bufferAddress: IOVA

  @inlinable public init(bufferAddress: IOVA) { self.bufferAddress = bufferAddress }
  @inlinable public init(unpacking quadWords: RxQuadWords) { bufferAddress = IOVA(rawValue: quadWords.w0) }
  @inlinable public var packed: RxQuadWords { RxQuadWords(bufferAddress.rawValue, 0, 0, 0) }
}

/// `status_error0` of a written-back Rx descriptor. Linux: `enum ice_rx_flex_desc_status_error_0_bits`.
@frozen public struct RxStatus: OptionSet, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Descriptor done: the device has written it.
  public static var done: Self { Self(rawValue: 1 << 0) }
  /// End of frame: the last buffer of the frame.
  public static var endOfFrame: Self { Self(rawValue: 1 << 1) }
  /// The device has looked at the L3 and L4 checksums.
  public static var l3l4Processed: Self { Self(rawValue: 1 << 3) }
  /// IPv4 header checksum wrong.
  public static var ipChecksumError: Self { Self(rawValue: 1 << 4) }
  /// TCP, UDP or SCTP checksum wrong.
  public static var l4ChecksumError: Self { Self(rawValue: 1 << 5) }
  /// Outer IPv4 header checksum wrong.
  public static var outerIPChecksumError: Self { Self(rawValue: 1 << 6) }
  /// Outer UDP checksum wrong.
  public static var outerUDPChecksumError: Self { Self(rawValue: 1 << 7) }
  /// The frame was broken on the wire.
  public static var receiveError: Self { Self(rawValue: 1 << 10) }
  /// `rssHash` holds a hash.
  public static var rssValid: Self { Self(rawValue: 1 << 12) }
  /// `l2Tag1` holds a VLAN tag taken off the frame.
  public static var l2Tag1Present: Self { Self(rawValue: 1 << 13) }
}

/// `status_error1` of a written-back Rx descriptor. Linux: `enum ice_rx_flex_desc_status_error_1_bits`.
@frozen public struct RxStatus1: OptionSet, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// `l2Tag2Second` holds a VLAN tag taken off the frame.
  public static var l2Tag2Present: Self { Self(rawValue: 1 << 11) }
  /// Extracted metadata word 4 is valid: here, the transport checksum is only the pseudo-header's
  /// and the word says where it is (bits 0...9 start, 10...15 offset from there, both in bytes).
  public static var metadata4Valid: Self { Self(rawValue: 1 << 14) }
  /// Extracted metadata word 5 is valid: here, the frame was coalesced and the word is its segment size.
  public static var metadata5Valid: Self { Self(rawValue: 1 << 15) }
}

/// A written-back Rx flex descriptor, profile 2 ("NIC"). One per buffer used; all but `packetByteCount`
/// and the status of the last one concern the frame as a whole.
///
///      63          48 47         32 31           16 15    8 7     0
///     +--------------+-------------+---------------+-------+-------+
///     | header length| packet len14|ptype10 flags6 |mir/umb| rxdid |  quad-word 0
///     |           RSS hash         |     l2tag1    | status_error0 |  quad-word 1
///     | l2tag2 second|  raw csum   |ts_low |flags2 | status_error1 |  quad-word 2
///     |  meta 5      |   meta 4    |          flow id              |  quad-word 3
///     +--------------+-------------+-------------------------------+
///
/// Metadata words 4 and 5 (`flex_ts.flex` in Linux; with a profile that has no time stamp the device's
/// parser can put extracted values there) carry what an engine-lending wire knows about a frame, see
/// `RxStatus1`. E810 itself has no receive coalescing; devices that do (IDPF `rscseglen`) report the
/// segment size in the same way.
///
/// Linux: `struct ice_32b_rx_flex_desc_nic`.
@frozen public struct RxFlexDescriptor: Equatable, Sendable {
  /// Descriptor profile id; 2 is the NIC profile. Linux: ICE_RXDID_FLEX_NIC
  public var profile: UInt8 = 2
  /// Unicast, multicast or broadcast, bits 6...7. Linux: ICE_RX_FLEX_DESC umbcast
  public var mirrorAndCast: UInt8 = 0
  /// What the device's parser recognised, 10 bits.
  public var packetType: RxPacketType = .unknown
  /// Bytes in this buffer, 14 bits.
  public var packetByteCount: Int = 0
  public var headerByteCountAndFlags: UInt16 = 0
  public var status: RxStatus = []
  public var l2Tag1: UInt16 = 0
  public var rssHash: UInt32 = 0
  public var status1: RxStatus1 = []
  public var flags2: UInt8 = 0
  public var timestampLow: UInt8 = 0
  public var rawChecksum: UInt16 = 0
  public var l2Tag2Second: UInt16 = 0
  public var flowID: UInt32 = 0
  public var metadata4: UInt16 = 0
  public var metadata5: UInt16 = 0

  @inlinable public init() {}

  /// Reads the fields out of the four quad-words.
  @inlinable public init(unpacking q: RxQuadWords) {
    profile = UInt8(truncatingIfNeeded: q.w0)
    mirrorAndCast = UInt8(truncatingIfNeeded: q.w0 >> 8)
    packetType = RxPacketType(rawValue: UInt16(truncatingIfNeeded: q.w0 >> 16 & 0x3FF))
    packetByteCount = Int(q.w0 >> 32 & 0x3FFF)
    headerByteCountAndFlags = UInt16(truncatingIfNeeded: q.w0 >> 48)
    status = RxStatus(rawValue: UInt16(truncatingIfNeeded: q.w1))
    l2Tag1 = UInt16(truncatingIfNeeded: q.w1 >> 16)
    rssHash = UInt32(truncatingIfNeeded: q.w1 >> 32)
    status1 = RxStatus1(rawValue: UInt16(truncatingIfNeeded: q.w2))
    flags2 = UInt8(truncatingIfNeeded: q.w2 >> 16)
    timestampLow = UInt8(truncatingIfNeeded: q.w2 >> 24)
    rawChecksum = UInt16(truncatingIfNeeded: q.w2 >> 32)
    l2Tag2Second = UInt16(truncatingIfNeeded: q.w2 >> 48)
    flowID = UInt32(truncatingIfNeeded: q.w3)
    metadata4 = UInt16(truncatingIfNeeded: q.w3 >> 32)
    metadata5 = UInt16(truncatingIfNeeded: q.w3 >> 48)
  }

  /// The four quad-words.
  @inlinable public var packed: RxQuadWords {
    let type = UInt64(packetType.rawValue & 0x3FF) << 16
    let length = (UInt64(truncatingIfNeeded: packetByteCount) & 0x3FFF) << 32
    let w0 =
      UInt64(profile) | UInt64(mirrorAndCast) << 8 | type | length | UInt64(headerByteCountAndFlags) << 48
    let w1 = UInt64(status.rawValue) | UInt64(l2Tag1) << 16 | UInt64(rssHash) << 32
    let times = UInt64(flags2) << 16 | UInt64(timestampLow) << 24
    let w2 = UInt64(status1.rawValue) | times | UInt64(rawChecksum) << 32 | UInt64(l2Tag2Second) << 48
    let w3 = UInt64(flowID) | UInt64(metadata4) << 32 | UInt64(metadata5) << 48
    return RxQuadWords(w0, w1, w2, w3)
  }
}

/// What the device's parser recognised in a received frame. Linux: `enum ice_ptype`-style indices of
/// `ice_ptype_lkup`.
@frozen public struct RxPacketType: Equatable, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  public static var unknown: Self { Self(rawValue: 0) }
  /// An Ethernet frame of a type the parser does not look into.
  public static var macPayload: Self { Self(rawValue: 1) }
  public static var arp: Self { Self(rawValue: 11) }
  public static var ipv4Fragment: Self { Self(rawValue: 22) }
  public static var ipv4: Self { Self(rawValue: 23) }
  public static var ipv4UDP: Self { Self(rawValue: 24) }
  public static var ipv4TCP: Self { Self(rawValue: 26) }
  public static var ipv4SCTP: Self { Self(rawValue: 27) }
  public static var ipv4ICMP: Self { Self(rawValue: 28) }
  public static var ipv6: Self { Self(rawValue: 89) }
}
