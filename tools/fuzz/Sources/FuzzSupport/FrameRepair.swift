import Wire

/// Makes a changed frame acceptable again. Its own reading of the formats, from the RFCs: nothing of the code under
/// test is used but the sums.
public enum FrameRepair {
  /// Where the IPv4 payload begins, when the frame holds an IPv4 header: offset and the end given by its length field.
  static func payload(of frame: [UInt8]) -> Range<Int>? {
    guard frame.count >= 34, frame[12] == 8, frame[13] == 0, frame[14] >> 4 == 4 else { return nil }
    let header = Int(frame[14] & 15) * 4
    guard header >= 20, 14 + header <= frame.count else { return nil }
    let total = Int(frame[16]) << 8 | Int(frame[17])
    guard total >= header else { return nil }
    return (14 + header)..<Swift.min(14 + total, frame.count)
  }

  /// Destination: the stack. Source: one of four peers, by what was there.
  public static func fixAddresses(_ frame: inout [UInt8], mac: [UInt8], address: [UInt8]) {
    guard frame.count >= 34 else { return }
    frame.replaceSubrange(0..<6, with: mac)
    let peer = frame[29] & 3
    if frame[12] == 8 && frame[13] == 6 {
      guard frame.count >= 42 else { return }
      frame.replaceSubrange(38..<42, with: address)
      return
    }
    frame.replaceSubrange(30..<34, with: address)
    frame.replaceSubrange(26..<29, with: address[0..<3])
    frame[29] = peer == 2 ? 1 : peer
  }

  /// IPv4 header sum, then the sum of an unfragmented TCP, UDP or ICMP payload.
  public static func fixChecksums(_ frame: inout [UInt8]) {
    guard let payload = payload(of: frame) else { return }
    frame[24] = 0
    frame[25] = 0
    store(sum(frame[14..<payload.lowerBound]), at: 24, in: &frame)
    guard frame[20] & 0x3F == 0, frame[21] == 0 else { return }
    let field: Int
    var pseudo: UInt32 = 0
    switch frame[23] {
    case 1: field = payload.lowerBound + 2
    case 6, 17:
      field = payload.lowerBound + (frame[23] == 6 ? 16 : 6)
      for index in stride(from: 26, to: 34, by: 2) {
        pseudo += UInt32(frame[index]) << 8 | UInt32(frame[index + 1])
      }
      pseudo += UInt32(frame[23]) + UInt32(payload.count)
    default: return
    }
    guard field + 2 <= payload.upperBound else { return }
    store(0, at: field, in: &frame)
    store(sum(frame[payload], adding: pseudo), at: field, in: &frame)
  }

  /// RFC 1071, the complement of the ones-complement sum.
  static func sum(_ bytes: ArraySlice<UInt8>, adding start: UInt32 = 0) -> UInt16 {
    var total = UInt64(start)
    var isHigh = true
    for byte in bytes {
      total += isHigh ? UInt64(byte) << 8 : UInt64(byte)
      isHigh.toggle()
    }
    while total >> 16 != 0 { total = (total & 0xFFFF) + (total >> 16) }
    return ~UInt16(truncatingIfNeeded: total)
  }

  static func store(_ value: UInt16, at offset: Int, in frame: inout [UInt8]) {
    frame[offset] = UInt8(truncatingIfNeeded: value >> 8)
    frame[offset + 1] = UInt8(truncatingIfNeeded: value)
  }
}
