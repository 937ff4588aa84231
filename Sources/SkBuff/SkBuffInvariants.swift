extension SkBuff {
  /// Traps with a sentence when the packet's lengths, offsets, fragments or charge do not agree. In debug builds and the
  /// fuzzers a packet is looked at where it reaches the driver and where it leaves it.
  @inlinable @inline(__always)
  public func checkInvariants() {
    #if DEBUG || CHECK_INVARIANTS
      if let sentence = inconsistency() { preconditionFailure(sentence) }
    #endif
  }

  /// What does not agree when the packet is counted again from its parts; `nil`: everything does.
  @usableFromInline func inconsistency() -> String? {
    let head = unsafe header.pointee
    let capacity = unsafe head.shared.pointee.headCapacity
    if unsafe head.shared.pointee.references < 1 { return "a living sk_buff's data has no holder" }
    if head.data < 0 || head.data > head.tail || head.tail > capacity {
      return
        "an sk_buff's data and tail (\(head.data), \(head.tail)) do not lie in its \(capacity) linear bytes"
    }
    if Int(head.tail - head.data) != headLength {
      return "skb_headlen is not what lies between data and tail"
    }
    for offset in [head.macHeader, head.networkHeader, head.transportHeader]
    where offset < -1 || offset > capacity {
      return "a header's mark (\(offset)) lies outside of the linear area"
    }
    if let sentence = fragmentInconsistency() { return sentence }
    if truesize < Self.overhead { return "truesize (\(truesize)) is less than the sk_buff itself" }
    let isChargedTwice = unsafe head.writeOwner != nil && head.receiveOwner != nil
    return isChargedTwice ? "an sk_buff is charged to two accounts" : nil
  }

  private func fragmentInconsistency() -> String? {
    if fragmentCount > Self.maximumFragments { return "an sk_buff has \(fragmentCount) fragments" }
    var sum = 0
    for index in 0..<fragmentCount {
      let fragment = unsafe header.pointee.shared.pointee.fragments[index]
      let end = UInt64(fragment.offset) + UInt64(fragment.byteCount)
      if unsafe end > UInt64(fragment.page.pointee.byteCount) { return "a fragment ends behind its page" }
      if unsafe fragment.page.pointee.references < 1 { return "a fragment's page has no holder" }
      sum += Int(fragment.byteCount)
    }
    return sum == dataLength ? nil : "data_len (\(dataLength)) is not the sum of the fragments (\(sum))"
  }
}
