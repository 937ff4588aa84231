/// Commands of a context descriptor, from bit 4 of quad-word 1.
/// Linux: `enum ice_tx_ctx_desc_cmd_bits`.
@frozen public struct TxContextCommand: OptionSet, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Cut the packet into segments of `segmentByteCount`.
  public static var tso: Self { Self(rawValue: 0x1) }
  /// Take a hardware timestamp; the TSO length field then names the tracker slot.
  public static var timestamp: Self { Self(rawValue: 0x2) }
  /// Insert L2TAG2 as a VLAN tag.
  public static var insertL2Tag2: Self { Self(rawValue: 0x4) }
  /// Bypass the switch, straight to the uplink: control frames such as LLDP.
  public static var switchUplink: Self { Self(rawValue: 0x10) }
}

/// The generic-checksum field of a context descriptor, 16 bits: where to begin in words (bits 0-7), where from there to
/// store the result in words (bits 8-11), and how (bits 12-14). Linux: `ICE_TX_GCS_DESC_START_M` and so on.
@frozen public struct GenericChecksum: Equatable, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// - Parameters:
  ///   - start: first byte that is summed, from the start of the frame; even, up to 510.
  ///   - offset: where the result goes, from `start`; even, up to 30.
  ///   - hasPseudoHeader: the field already holds the pseudo-header's sum (type 1).
  @inlinable public init(start: Int, offset: Int, hasPseudoHeader: Bool) {
    rawValue =
      UInt16(truncatingIfNeeded: start / 2) & 0xFF | (UInt16(truncatingIfNeeded: offset / 2) & 0xF) << 8
      | (hasPseudoHeader ? 1 << 12 : 0)
  }

  @inlinable public var start: Int { Int(rawValue & 0xFF) * 2 }
  @inlinable public var offset: Int { Int(rawValue >> 8 & 0xF) * 2 }
  /// Bits 12-14; 0: no checksum is asked for, 1: one whose field holds the pseudo-header's sum.
  @inlinable public var type: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 12 & 7) }
}

/// A Tx context descriptor: what the data descriptors behind it need beyond their own fields.
///
///      63    50 49 48 47     30 29       11 10     4 3    0
///     +--------+-----+---------+-----------+--------+------+
///     | gcs 16 | l2tag2 16  |   tunnelling params 32       |  quad-word 0
///     +--------+-----+---------+-----------+--------+------+
///     |  MSS   |     | TSO len |           | command| type |  quad-word 1
///     +--------+-----+---------+-----------+--------+------+
///
/// Linux: `struct ice_tx_ctx_desc`.
@frozen public struct TxContextDescriptor: Equatable, Sendable {
  public var tunnellingParameters: UInt32
  /// The VLAN tag for `.insertL2Tag2`.
  public var l2Tag2: UInt16
  /// A checksum over anything; not together with TSO.
  public var genericChecksum: GenericChecksum
  public var command: TxContextCommand
  /// TSO: length of the TCP payload of the whole packet, 18 bits. Timestamp: the tracker slot.
  public var tsoByteCount: Int
  /// TSO: payload bytes per segment (MSS), 14 bits.
  public var segmentByteCount: Int

  /// Smallest MSS the device takes. Linux: ICE_TXD_CTX_MIN_MSS
  @inlinable public static var minSegmentByteCount: Int { 64 }
  /// Largest MSS the device takes. Linux: ICE_TXD_CTX_MAX_MSS
  @inlinable public static var maxSegmentByteCount: Int { 9668 }

  @inlinable public init(
    command: TxContextCommand, tsoByteCount: Int = 0, segmentByteCount: Int = 0, l2Tag2: UInt16 = 0,
    tunnellingParameters: UInt32 = 0, genericChecksum: GenericChecksum = GenericChecksum(rawValue: 0)
  ) {
    self.genericChecksum = genericChecksum
    self.command = command
    self.tsoByteCount = tsoByteCount
    self.segmentByteCount = segmentByteCount
    self.l2Tag2 = l2Tag2
    self.tunnellingParameters = tunnellingParameters
  }

  /// Reads the fields out of the two quad-words.
  @inlinable public init(unpacking quadWords: TxQuadWords) {
    genericChecksum = GenericChecksum(rawValue: UInt16(truncatingIfNeeded: quadWords.first >> 48))
    tunnellingParameters = UInt32(truncatingIfNeeded: quadWords.first)
    l2Tag2 = UInt16(truncatingIfNeeded: quadWords.first >> 32)
    command = TxContextCommand(rawValue: UInt16(truncatingIfNeeded: quadWords.second >> 4 & 0x7F))
    tsoByteCount = Int(quadWords.second >> 30 & 0x3FFFF)
    segmentByteCount = Int(quadWords.second >> 50 & 0x3FFF)
  }

  /// The two quad-words. A field too large for its bits loses the upper ones, as in hardware.
  @inlinable public var packed: TxQuadWords {
    let first =
      UInt64(tunnellingParameters) | UInt64(l2Tag2) << 32 | UInt64(genericChecksum.rawValue) << 48
    let low = TxDescriptorType.context.rawValue | UInt64(command.rawValue & 0x7F) << 4
    let length = (UInt64(truncatingIfNeeded: tsoByteCount) & 0x3FFFF) << 30
    let segment = (UInt64(truncatingIfNeeded: segmentByteCount) & 0x3FFF) << 50
    return TxQuadWords(first: first, second: low | length | segment)
  }
}
