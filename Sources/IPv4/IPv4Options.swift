import Wire

/// IPv4 header options (RFC 791 section 3.1). Linux: `ip_options_compile()`.
enum IPv4Options {
  enum Verdict: Equatable {
    case valid
    /// LSRR or SSRR: refused, as `accept_source_route` 0 says.
    case sourceRoute
    /// Offset of the first wrong byte in the header: the pointer of a parameter problem message.
    case malformed(offset: Int)
  }

  /// Walks the options behind the 20 fixed bytes. Every step moves on by at least one byte.
  ///
  /// - Parameter headerByteCount: at most the span's length.
  static func check(_ bytes: RawSpan, headerByteCount: Int) -> Verdict {
    var offset = IPv4Header.minimumByteCount
    var hasSourceRoute = false
    var hasRecordRoute = false
    var hasTimestamp = false
    while offset < headerByteCount {
      let kind = bytes.load8(offset)
      // End of list; no operation.
      if kind == 0 { break }
      if kind == 1 {
        offset += 1
        continue
      }
      guard offset + 2 <= headerByteCount else { return .malformed(offset: offset) }
      let length = Int(bytes.load8(offset + 1))
      guard length >= 2, offset + length <= headerByteCount else { return .malformed(offset: offset) }
      let option = bytes.extracting(offset..<offset + length)
      let wrong: Int?
      switch kind {
      case 131, 137:
        // Loose and strict source route: one of them, once.
        wrong = hasSourceRoute ? 0 : wrongByte(inRoute: option, isRecorded: false)
        hasSourceRoute = true
      case 7:
        wrong = hasRecordRoute ? 0 : wrongByte(inRoute: option, isRecorded: true)
        hasRecordRoute = true
      case 68:
        wrong = hasTimestamp ? 0 : wrongByte(inTimestamp: option)
        hasTimestamp = true
      case 148:
        // Router alert.
        wrong = length < 4 ? 1 : nil
      default:
        wrong = nil
      }
      if let wrong { return .malformed(offset: offset + wrong) }
      offset += length
    }
    return hasSourceRoute ? .sourceRoute : .valid
  }

  /// Kind, length, pointer (4 or more), addresses of 4 bytes. An address still to be recorded must fit.
  private static func wrongByte(inRoute option: RawSpan, isRecorded: Bool) -> Int? {
    guard option.byteCount >= 3 else { return 1 }
    let pointer = Int(option.load8(2))
    guard pointer >= 4 else { return 2 }
    if isRecorded && pointer <= option.byteCount && pointer + 3 > option.byteCount { return 2 }
    return nil
  }

  /// Kind, length, pointer (5 or more), overflow count and flags, time stamps of 4 bytes or 8 with their addresses. One
  /// still to be written must fit; when none does, the overflow must be countable.
  private static func wrongByte(inTimestamp option: RawSpan) -> Int? {
    guard option.byteCount >= 4 else { return 1 }
    let pointer = Int(option.load8(2))
    guard pointer >= 5 else { return 2 }
    let flags = option.load8(3)
    guard pointer <= option.byteCount else { return flags >> 4 == 15 ? 3 : nil }
    // Flag 1: with addresses; 3: with addresses given beforehand.
    let size = flags & 0xF == 1 || flags & 0xF == 3 ? 8 : 4
    return pointer + size - 1 > option.byteCount ? 2 : nil
  }
}
