extension [UInt8] {
  /// The array's bytes as system call wrappers take them.
  public var rawBytes: RawSpan {
    @_lifetime(borrow self)
    get {
      // Safe: a byte has no padding that could be uninitialized.
      unsafe span.bytes
    }
  }
}
