/// TCP's authentication option (RFC 5925 section 2.2) but for its code, which is in the header.
/// ```
///  | kind 29 | length | KeyID | RNextKeyID | MAC ... |
/// ```
@frozen
public struct AuthenticationOption: Hashable, Sendable {
  /// Which key the sender has signed with.
  public var keyID: UInt8
  /// Which key it would like to be answered with.
  public var nextKeyID: UInt8
  /// Bytes of the code.
  public var codeByteCount: UInt8
  /// Where the code begins in the TCP header.
  public var offset: UInt8

  /// One to be written: it goes before all other options. Linux: `tcp_options_write()`.
  @inlinable public init(keyID: UInt8, nextKeyID: UInt8, codeByteCount: UInt8) {
    self.keyID = keyID
    self.nextKeyID = nextKeyID
    self.codeByteCount = codeByteCount
    offset = UInt8(truncatingIfNeeded: TCPHeader.minimumByteCount + 4)
  }

  @usableFromInline init(parsing bytes: RawSpan, at start: Int, length: Int) {
    keyID = bytes.load8(start + 2)
    nextKeyID = bytes.load8(start + 3)
    codeByteCount = UInt8(truncatingIfNeeded: length - 4)
    offset = UInt8(truncatingIfNeeded: start + 4)
  }

  /// Bytes of the option in the header, padded to 4.
  @inlinable public var optionByteCount: Int { (4 + Int(codeByteCount) + 3) & ~3 }

  /// Writes the option with a code of zero, which the real one is made over.
  @inlinable func write(to bytes: inout MutableRawSpan, at start: Int) {
    let head = UInt32(TCPOptions.Kind.authentication) << 24 | (4 + UInt32(codeByteCount)) << 16
    bytes.store32(head | UInt32(keyID) << 8 | UInt32(nextKeyID), start)
    for index in 4..<optionByteCount {
      bytes.store8(index < 4 + Int(codeByteCount) ? 0 : TCPOptions.Kind.noOperation, start + index)
    }
  }
}
