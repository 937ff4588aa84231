/// How many bytes have come with each mark, as the peer is told (RFC 9768 section 3.2.3). The fields count modulo 2^24.
/// ```
///  |  174  | length |      EE1B      |      ECEB      |      EE0B      |
///  |  172  | length |      EE0B      |      ECEB      |      EE1B      |
/// ```
/// Fields at the end may be missing.
@frozen
public struct AccurateECNOption: Hashable, Sendable {
  /// Which of ECT(0) and ECT(1) comes first.
  @frozen public enum Order: UInt8, Sendable {
    case ect0First = 172
    case ect1First = 174
  }
  @inlinable public static var fieldCount: Int { 3 }
  @usableFromInline static var fieldByteCount: Int { 3 }

  public var order: Order
  /// How many of the fields there are.
  public var count: UInt8
  /// In the order of the option.
  public var fields: InlineArray<3, UInt32> = .init(repeating: 0)

  /// As Linux sends it.
  @inlinable public init(ect1: UInt32, congestionExperienced: UInt32, ect0: UInt32) {
    order = .ect1First
    count = 3
    fields = [ect1 & 0xFF_FFFF, congestionExperienced & 0xFF_FFFF, ect0 & 0xFF_FFFF]
  }

  /// Bytes behind the last whole field are nobody's.
  init?(parsing bytes: RawSpan, at offset: Int, length: Int) {
    guard let order = Order(rawValue: bytes.load8(offset)) else { return nil }
    self.order = order
    count = UInt8(min((length - 2) / Self.fieldByteCount, Self.fieldCount))
    for index in 0..<Int(count) {
      let at = offset + 2 + Self.fieldByteCount * index
      fields[index] = UInt32(bytes.load8(at)) << 16 | UInt32(bytes.load16(at + 1))
    }
  }

  public static func == (left: Self, right: Self) -> Bool {
    left.order == right.order && left.count == right.count
      && (0..<Int(left.count)).allSatisfy { left.fields[$0] == right.fields[$0] }
  }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(order)
    for index in 0..<Int(count) { hasher.combine(fields[index]) }
  }

  /// Bytes that it takes of a header, a multiple of 4.
  ///
  /// - Parameter freeBytes: how many at its end may stand in padding of another option.
  @usableFromInline func byteCount(freeBytes: Int) -> Int {
    let length = 2 + Self.fieldByteCount * Int(count)
    return length & 3 <= freeBytes ? length & ~3 : (length + 3) & ~3
  }

  /// Writes what fills whole words.
  ///
  /// - Parameter ending: gets the one or two bytes that are left for padding of another option.
  /// - Returns: how many bytes were written.
  @usableFromInline func write(to bytes: inout MutableRawSpan, at offset: Int, ending: inout UInt32) -> Int {
    let length = 2 + Self.fieldByteCount * Int(count)
    let head = UInt32(order.rawValue) << 8 | UInt32(length)
    guard count > 0 else {
      ending = head
      return 0
    }
    bytes.store32(head << 16 | fields[0] >> 8, offset)
    guard count > 1 else {
      ending = (fields[0] & 0xFF) << 8 | 0x01
      return 4
    }
    bytes.store32((fields[0] & 0xFF) << 24 | fields[1], offset + 4)
    guard count > 2 else { return 8 }
    bytes.store32(fields[2] << 8 | 0x01, offset + 8)
    return 12
  }
}
