import Wire

extension SkBuff {
  /// Computes a partial checksum and stores it. Linux: `skb_checksum_help()`.
  ///
  /// - Returns: false when the packet's marks are not inside it, or memory ran out; the packet is as it was then.
  public mutating func completeChecksum() -> Bool {
    guard checksumStatus == .partial else { return true }
    let start = checksumStart
    let field = start + checksumOffset
    guard start >= 0, field >= start, field + 2 <= length, !isUnreadable, mayPull(field + 2) else {
      return false
    }
    // What may change after it was summed is copied first.
    if dataLength > 0 && hasSharedFragments { guard linearize() else { return false } }
    let value = checksum(from: start, count: length - start).checksum
    // A computed 0 is sent as all ones: for UDP 0 means "none" (RFC 768), and for the others both are the same number.
    guard storeLinear16(value == 0 ? 0xFFFF : value, at: field) else { return false }
    checksumStatus = .none
    return true
  }

  /// Stores a big-endian word in a header.
  ///
  /// - Returns: false when memory ran out while unsharing.
  package mutating func storeLinear16(_ value: UInt16, at offset: Int) -> Bool {
    guard var bytes = writable() else { return false }
    bytes.store16(value, offset)
    return true
  }
}
