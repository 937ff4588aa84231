import Wire

extension [UInt8] {
  /// The bytes as parsers take them.
  var raw: RawSpan {
    @_lifetime(borrow self)
    get {
      // Safe: `UInt8` has no padding.
      let bytes = unsafe span.bytes
      return unsafe _overrideLifetime(bytes, borrowing: self)
    }
  }
}

/// What a parser makes of the bytes.
func parsed<Header>(_ bytes: [UInt8], _ parse: (RawSpan) -> Header?) -> Header? { parse(bytes.raw) }

/// What a writer leaves in `count` zeroed bytes.
func written(_ count: Int, _ write: (inout MutableRawSpan) -> Void) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  var span = bytes.mutableSpan
  // Safe: any byte is a valid `UInt8`.
  var raw = unsafe span.mutableBytes
  write(&raw)
  return bytes
}
