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
    while offset < headerByteCount {
      let kind = bytes.load8(offset)
      // End of list; no operation.
      if kind == 0 { return .valid }
      if kind == 1 {
        offset += 1
        continue
      }
      guard offset + 2 <= headerByteCount else { return .malformed(offset: offset) }
      let length = Int(bytes.load8(offset + 1))
      guard length >= 2, offset + length <= headerByteCount else { return .malformed(offset: offset + 1) }
      switch kind {
      case 131, 137:
        return .sourceRoute
      case 7:
        // Record route: the pointer is 4 or more.
        guard length >= 3 else { return .malformed(offset: offset + 1) }
        guard bytes.load8(offset + 2) >= 4 else { return .malformed(offset: offset + 2) }
      case 68:
        // Timestamp: the pointer is 5 or more.
        guard length >= 4 else { return .malformed(offset: offset + 1) }
        guard bytes.load8(offset + 2) >= 5 else { return .malformed(offset: offset + 2) }
      case 148:
        // Router alert.
        guard length >= 4 else { return .malformed(offset: offset + 1) }
      default:
        break
      }
      offset += length
    }
    return .valid
  }
}
