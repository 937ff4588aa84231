extension [UInt8] {
  /// The array's bytes as the system call wrappers of this module take them.
  var rawBytes: RawSpan {
    @_lifetime(borrow self)
    get {
      // Safe: a byte has no padding that could be uninitialized.
      unsafe span.bytes
    }
  }
}
