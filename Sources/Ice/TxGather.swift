import IceHardware
import SkBuff

/// The hardware's limits on how a packet may be scattered, and what is done with one that exceeds them.
enum TxGather {
  /// Descriptors for a buffer: one for every 12 KiB begun. Linux: `ice_txd_use_count()`
  @inline(__always) static func descriptorCount(byteCount: Int) -> Int {
    byteCount / TxDataDescriptor.alignedBufferByteCount + 1
  }

  /// Data descriptors for a packet. Linux: `ice_xmit_desc_count()`
  static func descriptorCount(_ skb: borrowing SkBuff) -> Int {
    var count = descriptorCount(byteCount: skb.headLength)
    var index = 0
    let fragments = skb.fragmentCount
    while index < fragments {
      count += descriptorCount(byteCount: skb.fragmentByteCount(index))
      index += 1
    }
    return count
  }

  /// Whether the packet is scattered more than the hardware can gather: over 8 buffers for a packet, or for
  /// one segment of a TSO packet. Linux: `ice_chk_linearize()`
  static func needsLinearize(_ skb: borrowing SkBuff, descriptorCount count: Int) -> Bool {
    let limit = TxDataDescriptor.maxBuffersPerSegment
    if count < limit { return false }
    if !skb.isGSO { return count > limit }
    return !everyWindowCarriesASegment(skb)
  }

  /// The buffers that a large one is split into: 12 KiB each, the first up to 4 KiB longer so that it ends on a
  /// read-request boundary, and what is left, up to 16,383 bytes. Linux: the inner loop of `ice_tx_map()`
  struct Split {
    /// Bytes of the next buffer.
    private(set) var byteCount: Int
    private var left: Int

    /// - Parameter address: of the first byte, of which the last 12 bits count.
    @inline(__always) init(byteCount total: Int, at address: UInt64) {
      left = total
      byteCount = total
      if total > TxDataDescriptor.maxBufferByteCount {
        let request = UInt64(TxDataDescriptor.readRequestByteCount)
        byteCount = TxDataDescriptor.alignedBufferByteCount + Int((0 &- address) & (request - 1))
      }
    }

    /// This is the last of them.
    @inline(__always) var isLast: Bool { byteCount == left }

    @inline(__always) mutating func advance() {
      left -= byteCount
      let most = TxDataDescriptor.maxBufferByteCount
      byteCount = left > most ? TxDataDescriptor.alignedBufferByteCount : left
    }
  }

  /// A segment has one descriptor for the header and so 7 for payload, of which the outer two may be partly used: any 6
  /// neighbouring buffers must hold a segment less one byte. Linux: `__ice_chk_linearize()`
  ///
  /// A buffer of 12 KiB holds more than the largest segment, so that what a large fragment is split into counts by its
  /// last buffer only.
  private static func everyWindowCarriesASegment(_ skb: borrowing SkBuff) -> Bool {
    let window = TxDataDescriptor.maxBuffersPerSegment - 2
    let count = skb.fragmentCount
    if count <= window { return true }
    let least = skb.gsoSize - 1
    var sizes = InlineArray<6, Int>(repeating: 0)
    var filled = 0
    var sum = 0
    var index = 0
    while index < count {
      let byteCount = skb.fragmentByteCount(index)
      let offset = skb.fragmentOffset(index)
      index += 1
      if byteCount == 0 { continue }
      var split = Split(byteCount: byteCount, at: UInt64(offset))
      if !split.isLast {
        while !split.isLast { split.advance() }
        filled = 0
        sum = 0
      }
      if filled >= window { sum -= sizes[filled % window] }
      sizes[filled % window] = split.byteCount
      sum += split.byteCount
      filled += 1
      if filled >= window && sum < least { return false }
    }
    return true
  }

  /// The same packet in few pieces: linear when it fits 32 KiB, else in whole chunks behind its header.
  ///
  /// - Returns: nil when memory ran out; the packet is gone then, counted as dropped.
  static func linearize(_ skb: consuming SkBuff) -> SkBuff? {
    if skb.length <= SkBuffPool.chunkByteCount - skb.headroom {
      if skb.linearize() { return skb }
      skb.drop(.noMemory)
      return nil
    }
    guard let copy = skb.gathered() else {
      skb.drop(.noMemory)
      return nil
    }
    return copy
  }

  /// Pads a packet the hardware would refuse with zeros to 17 bytes. Linux: `skb_put_padto()`
  ///
  /// - Returns: false when memory ran out.
  static func pad(_ skb: inout SkBuff) -> Bool {
    let missing = TxDataDescriptor.minFrameByteCount - skb.length
    if missing <= 0 { return true }
    guard skb.linearize() else { return false }
    if skb.isCloned || skb.tailroom < missing {
      guard skb.expandHead(headroom: skb.headroom, tailroom: missing) else { return false }
    }
    skb.putZeros(missing)
    return true
  }
}
