import Synchronization

/// All descriptor writes before this call are visible to whoever sees a later doorbell or status write.
/// Linux: `wmb()` before the tail write, and before `next_to_watch` is set.
@inlinable @inline(__always) public func writeBarrier() { atomicMemoryFence(ordering: .releasing) }

/// Nothing after this call is read before the DD bit that was tested. Linux: `dma_rmb()`.
@inlinable @inline(__always) public func readBarrier() { atomicMemoryFence(ordering: .acquiring) }

/// The descriptor memory of a Tx queue, shared by driver and device.
///
/// A handle: copied freely, refers to memory that `IceBus` owns. Every index is checked. The word that
/// carries the type, and later DD, is stored with release and loaded with acquire order, so the device
/// may run on another thread.
@frozen @safe public struct TxDescriptorRing: BitwiseCopyable {
  @usableFromInline let base: UnsafeMutablePointer<TxQuadWords>
  /// Number of descriptors.
  public let count: Int

  init(count: Int) {
    precondition(
      count >= 64 && count <= 8160 && count % 32 == 0, "A ring has 64 to 8160 descriptors, a multiple of 32.")
    self.count = count
    unsafe base = UnsafeMutablePointer<TxQuadWords>.allocate(capacity: count)
    unsafe base.initialize(repeating: TxQuadWords(first: 0, second: 0), count: count)
  }

  func deallocate() { unsafe base.deallocate() }

  @inlinable public subscript(index: Int) -> TxQuadWords {
    @inline(__always) get {
      precondition(index >= 0 && index < count, "A Tx descriptor index is outside the ring.")
      return unsafe base[index]
    }
    @inline(__always) nonmutating set {
      precondition(index >= 0 && index < count, "A Tx descriptor index is outside the ring.")
      unsafe base[index] = newValue
    }
  }

  /// The device says that descriptor `index` and all before it are done. Its other bits are kept.
  @inlinable public func writeBackDone(_ index: Int) {
    let word = self[index].second
    // Index was checked; an aligned 64-bit word of initialized ring memory, always accessed as such.
    unsafe secondWord(index).pointee.store(word & ~0xF | TxDescriptorType.done.rawValue, ordering: .releasing)
  }

  /// Whether the device has written descriptor `index` back as done.
  @inlinable public func isDone(_ index: Int) -> Bool {
    precondition(index >= 0 && index < count, "A Tx descriptor index is outside the ring.")
    return unsafe secondWord(index).pointee.load(ordering: .acquiring) & 0xF == TxDescriptorType.done.rawValue
  }

  @inlinable func secondWord(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    // Atomic<UInt64> has the layout of UInt64; the second word of a descriptor is 8-byte aligned.
    unsafe (UnsafeMutableRawPointer(base + index) + 8).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}

/// The descriptor memory of an Rx queue, shared by driver and device. See `TxDescriptorRing`.
@frozen @safe public struct RxDescriptorRing: BitwiseCopyable {
  @usableFromInline let base: UnsafeMutablePointer<RxQuadWords>
  /// Number of descriptors.
  public let count: Int

  init(count: Int) {
    precondition(
      count >= 64 && count <= 8160 && count % 32 == 0, "A ring has 64 to 8160 descriptors, a multiple of 32.")
    self.count = count
    unsafe base = UnsafeMutablePointer<RxQuadWords>.allocate(capacity: count)
    unsafe base.initialize(repeating: RxQuadWords(0, 0, 0, 0), count: count)
  }

  func deallocate() { unsafe base.deallocate() }

  @inlinable public subscript(index: Int) -> RxQuadWords {
    @inline(__always) get {
      precondition(index >= 0 && index < count, "An Rx descriptor index is outside the ring.")
      return unsafe base[index]
    }
    @inline(__always) nonmutating set {
      precondition(index >= 0 && index < count, "An Rx descriptor index is outside the ring.")
      unsafe base[index] = newValue
    }
  }

  /// The device writes a descriptor back: everything first, the word with DD last.
  @inlinable public func writeBack(_ index: Int, _ words: RxQuadWords) {
    precondition(index >= 0 && index < count, "An Rx descriptor index is outside the ring.")
    unsafe base[index].w0 = words.w0
    unsafe base[index].w2 = words.w2
    unsafe base[index].w3 = words.w3
    // Index was checked; an aligned 64-bit word of initialized ring memory.
    unsafe secondWord(index).pointee.store(words.w1, ordering: .releasing)
  }

  /// Whether the device has written descriptor `index` back.
  @inlinable public func isDone(_ index: Int) -> Bool {
    precondition(index >= 0 && index < count, "An Rx descriptor index is outside the ring.")
    return unsafe secondWord(index).pointee.load(ordering: .acquiring) & UInt64(RxStatus.done.rawValue) != 0
  }

  @inlinable func secondWord(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    // Atomic<UInt64> has the layout of UInt64; the second word of a descriptor is 8-byte aligned.
    unsafe (UnsafeMutableRawPointer(base + index) + 8).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}
