// Bytes of one packet into another, in pages.
extension SkBuff {
  /// Moves the first `count` bytes of `other` (whose linear area must be empty) behind this packet. Linux: `skb_shift()`.
  ///
  /// - Returns: false, with both unchanged, when fragment slots do not suffice, a copy of either is under way, or somebody is
  ///   to be told of bytes that they carry.
  public mutating func shift(from other: inout SkBuff, count: Int) -> Bool {
    precondition(count > 0 && count <= other.length, "a packet gives no more than it has")
    guard other.headLength == 0, !isCloned, !other.isCloned, notification == nil, other.notification == nil
    else { return false }
    let target = unsafe header.pointee.shared
    let source = unsafe other.header.pointee.shared
    guard unsafe !target.pointee.isPureZeroCopy && !source.pointee.isPureZeroCopy else { return false }
    let slots = fragmentCount
    var needed = 0
    var reach = 0
    while reach < count {
      reach += unsafe Int(source.pointee.fragments[needed].byteCount)
      needed += 1
    }
    let joins = unsafe slots > 0 && source.pointee.fragments[0].follows(target.pointee.fragments[slots - 1])
    guard slots + needed - (joins ? 1 : 0) <= Self.maximumFragments else { return false }
    var slot = slots
    var left = count
    for index in 0..<needed {
      var part = unsafe source.pointee.fragments[index]
      part.byteCount = UInt32(min(Int(part.byteCount), left))
      left -= Int(part.byteCount)
      if index == 0 && joins {
        unsafe target.pointee.fragments[slot - 1].byteCount += part.byteCount
      } else {
        // Counted before the source lets go of it.
        unsafe part.page.pointee.references += 1
        unsafe target.pointee.fragments[slot] = part
        slot += 1
      }
    }
    unsafe target.pointee.fragmentCount = UInt8(slot)
    // Each pays for what it has.
    let charge = unsafe min(source.pointee.lentCharge, Int32(count))
    unsafe source.pointee.lentCharge -= charge
    unsafe target.pointee.lentCharge += charge
    other.removeFromFragments(count)
    other.grow(by: -count)
    grow(by: count)
    return true
  }

  private mutating func grow(by byteCount: Int) {
    unsafe header.pointee.length += Int32(byteCount)
    unsafe header.pointee.dataLength += Int32(byteCount)
    unsafe header.pointee.truesize += Int32(byteCount)
  }
}

extension Fragment {
  /// Its bytes are the next of the same page. Linux: `skb_can_coalesce()`.
  fileprivate func follows(_ other: Fragment) -> Bool {
    unsafe page == other.page && offset == other.offset + other.byteCount
  }
}
