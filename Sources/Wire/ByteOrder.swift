extension RawSpan {
  /// Big-endian loads. The offset is the caller's, never the wire's: out of bounds is a broken invariant and traps.
  @inlinable @inline(__always)
  public func load8(_ offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount, "a header field lies inside its span")
    // Safe: in bounds by the check above.
    return unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt8.self)
  }
  @inlinable @inline(__always)
  public func load16(_ offset: Int) -> UInt16 {
    precondition(offset >= 0 && offset &+ 2 <= byteCount, "a header field lies inside its span")
    // Safe: in bounds by the check above.
    return unsafe UInt16(bigEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt16.self))
  }
  @inlinable @inline(__always)
  public func load32(_ offset: Int) -> UInt32 {
    precondition(offset >= 0 && offset &+ 4 <= byteCount, "a header field lies inside its span")
    // Safe: in bounds by the check above.
    return unsafe UInt32(bigEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt32.self))
  }
  @inlinable @inline(__always)
  public func loadMAC(_ offset: Int) -> MACAddress {
    MACAddress(UInt64(load16(offset)) << 32 | UInt64(load32(offset + 2)))
  }
  @inlinable public func loadIPv4(_ offset: Int) -> IPv4Address { IPv4Address(load32(offset)) }
}

extension MutableRawSpan {
  /// Big-endian stores; out of bounds is a broken invariant and traps.
  @inlinable @inline(__always)
  @_lifetime(self: copy self)
  public mutating func store8(_ value: UInt8, _ offset: Int) {
    precondition(offset >= 0 && offset < byteCount, "a header field lies inside its span")
    // Safe: in bounds by the check above.
    unsafe storeBytes(of: value, toUncheckedByteOffset: offset, as: UInt8.self)
  }
  @inlinable @inline(__always)
  @_lifetime(self: copy self)
  public mutating func store16(_ value: UInt16, _ offset: Int) {
    precondition(offset >= 0 && offset &+ 2 <= byteCount, "a header field lies inside its span")
    // Safe: in bounds by the check above.
    unsafe storeBytes(of: value.bigEndian, toUncheckedByteOffset: offset, as: UInt16.self)
  }
  @inlinable @inline(__always)
  @_lifetime(self: copy self)
  public mutating func store32(_ value: UInt32, _ offset: Int) {
    precondition(offset >= 0 && offset &+ 4 <= byteCount, "a header field lies inside its span")
    // Safe: in bounds by the check above.
    unsafe storeBytes(of: value.bigEndian, toUncheckedByteOffset: offset, as: UInt32.self)
  }
  @inlinable
  @_lifetime(self: copy self)
  public mutating func storeMAC(_ value: MACAddress, _ offset: Int) {
    store16(UInt16(truncatingIfNeeded: value.rawValue >> 32), offset)
    store32(UInt32(truncatingIfNeeded: value.rawValue), offset + 2)
  }
}
