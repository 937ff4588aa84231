/// Writes pcapng blocks, little-endian, into a byte buffer that the caller empties.
///
/// ```
///  +------------+--------------------+------ ... ------+--------------------+
///  | block type | block total length | body, 4-aligned | block total length |
///  +------------+--------------------+------ ... ------+--------------------+
/// ```
/// draft-ietf-opsawg-pcapng, sections 3 and 4.
public struct PcapngEncoder: Sendable {
  /// Which way a frame went, as the low bits of `epb_flags` say it.
  public enum Direction: UInt32, Sendable {
    case inbound = 1
    case outbound = 2
  }

  private static let sectionHeaderBlock: UInt32 = 0x0A0D_0D0A
  private static let interfaceDescriptionBlock: UInt32 = 1
  private static let enhancedPacketBlock: UInt32 = 6
  private static let interfaceStatisticsBlock: UInt32 = 5
  private static let linkTypeEthernet: UInt16 = 1

  /// What has been encoded and not yet taken away.
  public private(set) var bytes: [UInt8] = []

  public init() {}

  /// Empties the buffer and keeps its memory.
  public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

  /// Section Header Block (4.1): begins the file.
  ///
  /// - Parameter application: what wrote the file (shb_userappl).
  public mutating func appendSectionHeader(application: String) {
    let start = begin(Self.sectionHeaderBlock)
    append(0x1A2B_3C4D as UInt32)
    append(1 as UInt16)
    append(0 as UInt16)
    append(UInt64.max)  // section length: not given
    appendOption(4, Array(application.utf8))
    appendEndOfOptions()
    end(start)
  }

  /// Interface Description Block (4.2): Ethernet, nanosecond time stamps. The first one is interface 0.
  ///
  /// - Parameter snapLength: the most bytes kept of a frame; 0 for all.
  public mutating func appendInterface(name: String, snapLength: UInt32 = 0) {
    let start = begin(Self.interfaceDescriptionBlock)
    append(Self.linkTypeEthernet)
    append(0 as UInt16)
    append(snapLength)
    appendOption(2, Array(name.utf8))  // if_name
    appendOption(9, [9])  // if_tsresol: 10^-9 s
    appendEndOfOptions()
    end(start)
  }

  /// Enhanced Packet Block (4.3): one frame.
  ///
  /// - Parameters:
  ///   - timestamp: nanoseconds since 1970 UTC.
  ///   - originalByteCount: the frame's length where `frame` holds only its beginning.
  ///   - comment: what Wireshark shows beside the frame (opt_comment); empty for none.
  public mutating func appendPacket(
    _ frame: RawSpan, interface: UInt32 = 0, timestamp: UInt64, direction: Direction? = nil,
    originalByteCount: Int? = nil, comment: String = ""
  ) {
    let start = begin(Self.enhancedPacketBlock)
    append(interface)
    append(UInt32(truncatingIfNeeded: timestamp >> 32))
    append(UInt32(truncatingIfNeeded: timestamp))
    append(UInt32(frame.byteCount))
    append(UInt32(originalByteCount ?? frame.byteCount))
    // Safe: the bytes are copied while the span lends them.
    unsafe frame.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
    pad()
    if !comment.isEmpty { appendOption(1, Array(comment.utf8)) }
    if let direction {
      appendOption(2, (0..<4).map { UInt8(truncatingIfNeeded: direction.rawValue >> (8 * $0)) })
    }
    if direction != nil || !comment.isEmpty { appendEndOfOptions() }
    end(start)
  }

  /// Interface Statistics Block (4.6): what passed an interface, and how much of it is not in the file.
  ///
  /// - Parameters:
  ///   - received: frames that passed (isb_ifrecv).
  ///   - dropped: those of them that came too fast to be kept (isb_ifdrop).
  public mutating func appendStatistics(
    interface: UInt32 = 0, timestamp: UInt64, received: UInt64, dropped: UInt64
  ) {
    let start = begin(Self.interfaceStatisticsBlock)
    append(interface)
    append(UInt32(truncatingIfNeeded: timestamp >> 32))
    append(UInt32(truncatingIfNeeded: timestamp))
    for (code, value) in [(4 as UInt16, received), (5, dropped)] {
      appendOption(code, (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
    }
    appendEndOfOptions()
    end(start)
  }

  private mutating func begin(_ type: UInt32) -> Int {
    let start = bytes.count
    append(type)
    append(0 as UInt32)  // the length, known at the end
    return start
  }

  private mutating func end(_ start: Int) {
    let total = UInt32(bytes.count - start + 4)
    for index in 0..<4 { bytes[start + 4 + index] = UInt8(truncatingIfNeeded: total >> UInt32(8 * index)) }
    append(total)
  }

  /// An option's length counts neither its 4-byte header nor the padding behind the value.
  private mutating func appendOption(_ code: UInt16, _ value: [UInt8]) {
    // Cut between characters: what is cut off does not begin with a UTF-8 continuation byte.
    var count = min(value.count, Int(UInt16.max))
    while count < value.count && count > 0 && value[count] & 0xC0 == 0x80 { count -= 1 }
    let value = value.prefix(count)
    append(code)
    append(UInt16(value.count))
    bytes.append(contentsOf: value)
    pad()
  }

  private mutating func appendEndOfOptions() { append(0 as UInt32) }

  private mutating func pad() {
    while bytes.count % 4 != 0 { bytes.append(0) }
  }

  private mutating func append<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> T(shift)))
    }
  }
}
