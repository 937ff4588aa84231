import Wire

extension SkBuff {
  /// Computes a partial checksum and stores it. Linux: `skb_checksum_help()`.
  ///
  /// - Returns: false when the packet's marks are not inside it, or memory ran out; the packet is as it was then.
  public func completeChecksum() -> Bool {
    guard checksumStatus == .partial else { return true }
    let start = checksumStart
    let field = start + checksumOffset
    guard start >= 0, field >= start, field + 2 <= length, mayPull(field + 2), unclone() else {
      return false
    }
    let value = checksum(from: start, count: length - start).checksum
    // A computed 0 is sent as all ones: for UDP 0 means "none" (RFC 768), and for the others both are the same number.
    storeLinear16(value == 0 ? 0xFFFF : value, at: field)
    checksumStatus = .none
    return true
  }

  /// Stores a big-endian word in the linear area.
  public func storeLinear16(_ value: UInt16, at offset: Int) {
    precondition(offset >= 0 && offset + 2 <= headLength, "a header field lies in the linear area")
    // Safe: in bounds by the check above.
    unsafe linearBase.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }
}
