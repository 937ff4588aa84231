/// RFC 864's pattern: lines of 72 characters out of the 95 printable ones, each line beginning one further on, ended by
/// CR LF.
enum CharacterGenerator {
  static let lineByteCount = 74
  static let characterCount = 95
  /// After so many bytes the pattern begins again.
  static let period = lineByteCount * characterCount

  static func byte(at position: Int) -> UInt8 {
    let line = position / lineByteCount % characterCount
    let column = position % lineByteCount
    if column == 72 { return 0x0D }
    if column == 73 { return 0x0A }
    return UInt8(0x20 + (line + column) % characterCount)
  }

  /// The pattern again and again, so that a piece can begin at any place of it.
  private static let pattern = (0..<period + 65536).map(byte(at:))

  /// 64 KiB of the pattern.
  static func text(from position: Int) -> ArraySlice<UInt8> { pattern[position..<position + 65536] }

  static func fill(_ buffer: UnsafeMutableRawBufferPointer, from position: Int) {
    for index in 0..<buffer.count { unsafe buffer[index] = byte(at: position + index) }
  }
}
